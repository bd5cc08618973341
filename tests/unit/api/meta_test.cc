#include "operator/api/meta.h"

#include <gtest/gtest.h>

#include "operator/base/foreign_text.h"

namespace spillway::api {
namespace {

TEST(MetaTest, AnIntIsAWholeNumberThatEveryReaderOfJsonTakesAlike) {
  const Json object = Json::parse(
      R"({"whole":7,"below":-7,"huge":1e25,"half":0.5,"long":9223372036854775807,
          "unsigned":18446744073709551615,"text":"7"})");
  EXPECT_EQ(GetOptionalInt(object, "whole"), 7);
  EXPECT_EQ(GetOptionalInt(object, "below"), -7);
  for (const char* key : {"huge", "half", "long", "unsigned", "text", "missing"})
    EXPECT_EQ(GetOptionalInt(object, key), std::nullopt) << key;
}

TEST(MetaTest, ANumberOfSecondsStaysWithinWhatMomentsCanBeReckonedWith) {
  const Json object =
      Json::parse(R"({"some":90,"long":9007199254740992,"below":-9007199254740992,"text":"auto"})");
  EXPECT_EQ(GetSeconds(object, "below"), std::chrono::seconds(0));
  EXPECT_EQ(GetSeconds(object, "some"), std::chrono::seconds(90));
  EXPECT_GT(GetSeconds(object, "long"), std::chrono::hours(24 * 365 * 99));
  EXPECT_LT(GetSeconds(object, "long"), std::chrono::hours(24 * 366 * 101));
  EXPECT_EQ(GetSeconds(object, "text"), std::nullopt);
}

std::string MessageOf(const std::vector<Condition>& conditions, const char* type) {
  return FindCondition(conditions, type)->message.str();
}

TEST(ProgressTest, TheColumnIsOneLineAndTheWholeTextStandsBesideIt) {
  const std::string text = "refused:\n" + std::string(1000, 'x');
  std::vector<Condition> conditions;
  SetProgress(conditions, Progress::kStalled, "R", text, 1, Time{});
  EXPECT_LE(MessageOf(conditions, "Ready").size(), kMostLine);
  EXPECT_TRUE(MessageOf(conditions, "Ready").starts_with("refused: x"));
  EXPECT_EQ(MessageOf(conditions, "Stalled"), text);
  EXPECT_EQ(MessageOf(conditions, "Reconciling"), MessageOf(conditions, "Ready"));
}

TEST(ProgressTest, AShortLineIsSharedByAllThree) {
  std::vector<Condition> conditions;
  SetProgress(conditions, Progress::kReconciling, "R", "waits", 1, Time{});
  EXPECT_EQ(&FindCondition(conditions, "Ready")->message.str(),
            &FindCondition(conditions, "Reconciling")->message.str());
}

TEST(ProgressTest, WhatAConditionSaysIsBounded) {
  std::vector<Condition> conditions;
  SetProgress(conditions, Progress::kStalled, std::string(999, 'r'),
              std::string(290'000, 'x') + "\xFF", 1, Time{});
  EXPECT_LE(FindCondition(conditions, "Stalled")->reason.str().size(), kMostReason);
  EXPECT_LE(MessageOf(conditions, "Stalled").size(), kMostConditionMessage);
}

TEST(BoundedStatusTest, WhatIsSmallStaysAsItIs) {
  const Json status{{"message", std::string(3000, 'x')}, {"list", {1, "a", true}}};
  EXPECT_EQ(BoundedStatus(status), status);
}

TEST(BoundedStatusTest, AnyTextsTogetherStayBelowTheBound) {
  Json status = Json::object();
  for (int i = 0; i < 100; ++i)
    status["list"].push_back({{"message", std::string(290'000 / 100, i % 2 == 0 ? 'x' : '\x01')}});
  EXPECT_LE(BoundedStatus(status).dump().size(), kMostStatus);
}

}  // namespace
}  // namespace spillway::api
