#include "operator/api/meta.h"

#include <gtest/gtest.h>

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
  const Json object = Json::parse(R"({"some":90,"long":9007199254740992,"text":"auto"})");
  EXPECT_EQ(GetSeconds(object, "some"), std::chrono::seconds(90));
  EXPECT_GT(GetSeconds(object, "long"), std::chrono::hours(24 * 365 * 99));
  EXPECT_LT(GetSeconds(object, "long"), std::chrono::hours(24 * 366 * 101));
  EXPECT_EQ(GetSeconds(object, "text"), std::nullopt);
}

}  // namespace
}  // namespace spillway::api
