#include "operator/runtime/event_body.h"

#include <gtest/gtest.h>

#include "operator/base/foreign_text.h"

namespace spillway::runtime {
namespace {

core::Note Note(const std::string& name, const std::string& reason, const std::string& message) {
  return {core::Kind::kTask, "ns", name, "uid", true, reason, message};
}

TEST(EventBodyTest, AMessageIsCutBetweenTwoCharacters) {
  const std::string message = std::string(1023, 'x') + "ü and more";
  const api::Json body = EventBody(Note("t", "Failed", message), "me", Time{}, 1);
  const auto told = body["message"].get<std::string>();
  EXPECT_LE(told.size(), kMostEventMessage);
  EXPECT_TRUE(told.ends_with("x…"));
  EXPECT_NO_THROW((void)body.dump());
}

TEST(EventBodyTest, AReasonThatSomebodyElseGaveIsOneShortLine) {
  const api::Json body = EventBody(Note("t", std::string(500, 'r') + "\n", ""), "me", Time{}, 1);
  EXPECT_LE(body["reason"].get<std::string>().size(), kMostReason);
}

TEST(EventBodyTest, ALongNameIsNotCutWhereANameMayNotEnd) {
  const std::string name = std::string(199, 'a') + "-" + std::string(50, 'b');
  const auto made =
      EventBody(Note(name, "R", "m"), "me", Time{}, 1)["metadata"]["name"].get<std::string>();
  EXPECT_TRUE(made.starts_with(std::string(199, 'a') + ".")) << made;
  EXPECT_LE(made.size(), 253u);
}

}  // namespace
}  // namespace spillway::runtime
