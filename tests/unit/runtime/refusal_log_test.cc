#include "operator/runtime/refusal_log.h"

#include <gtest/gtest.h>

namespace spillway::runtime {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class RefusalLogTest : public testing::Test {
 protected:
  bool IsNews(const std::string& message, const std::string& object = "Pod/ns/p") {
    return log.IsNews(object, message, now);
  }
  RefusalLog log;
  Time now{std::chrono::hours(100)};
};

TEST_F(RefusalLogTest, TellsARefusalOnceHoweverOftenItIsMet) {
  EXPECT_TRUE(IsNews("denied by policy"));
  for (int i = 0; i < 500; ++i) {
    now += seconds(60);
    EXPECT_FALSE(IsNews("denied by policy"));
  }
}

TEST_F(RefusalLogTest, TakesOtherNumbersForTheSame) {
  EXPECT_TRUE(IsNews("exceeded quota: used pods=4, limited pods=4"));
  EXPECT_FALSE(IsNews("exceeded quota: used pods=5, limited pods=6"));
}

TEST_F(RefusalLogTest, TellsAChange) {
  EXPECT_TRUE(IsNews("denied by policy a"));
  EXPECT_TRUE(IsNews("denied by policy b"));
}

TEST_F(RefusalLogTest, DoesNotTellTwoThatTakeTurnsAgainAndAgain) {
  EXPECT_TRUE(IsNews("no route to host"));
  EXPECT_TRUE(IsNews("webhook x timed out"));
  EXPECT_FALSE(IsNews("no route to host"));
  EXPECT_FALSE(IsNews("webhook x timed out"));
}

TEST_F(RefusalLogTest, TellsItAgainAfterASuccess) {
  EXPECT_TRUE(IsNews("denied"));
  log.Succeeded("Pod/ns/p");
  EXPECT_TRUE(IsNews("denied"));
}

TEST_F(RefusalLogTest, TellsItAgainWhenItComesBackAfterALongTime) {
  EXPECT_TRUE(IsNews("denied"));
  now += minutes(11);
  EXPECT_TRUE(IsNews("denied"));
}

TEST_F(RefusalLogTest, KeepsOnlySoMany) {
  for (size_t i = 0; i < 3 * kMostRefusals; ++i) {
    now += Duration{1};
    EXPECT_TRUE(IsNews("denied", "Pod/ns/" + std::to_string(i)));
  }
  EXPECT_FALSE(IsNews("denied", "Pod/ns/" + std::to_string(3 * kMostRefusals - 1)));
  EXPECT_TRUE(IsNews("denied", "Pod/ns/0"));
}

}  // namespace
}  // namespace spillway::runtime
