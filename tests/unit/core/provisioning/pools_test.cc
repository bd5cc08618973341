#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::hours;
using std::chrono::seconds;

// A pool whose servers cost 0.40 an hour.
class PoolsTest : public testing::Test {
 protected:
  PoolsTest() { api.AddPool("spot"); }
  // Buys a server, uses it for so long, and lets it be given back. It costs a little more, until it
  // has been idle for long enough.
  void UseAServer(const std::string& task, std::chrono::milliseconds time) {
    api.AddTask(task);
    api.Settle();
    api.ProvideServer("cloud-" + task);
    api.Settle();
    api.SetPod(task + "-1", PodPhase::kRunning);
    api.Advance(time);
    api.SetPod(task + "-1", PodPhase::kSucceeded);
    api.Advance(seconds(320));
  }
  const api::ServerPoolStatus& Status() {
    api.Advance(seconds(61));
    return api.pools.at("spot").status;
  }
  ApiModel api;
};

TEST_F(PoolsTest, TellWhatTheirServersHaveCostThisMonth) {
  UseAServer("t", hours(1));
  EXPECT_GE(Status().spent_micros, 400'000);
  EXPECT_LE(Status().spent_micros, 450'000);
  EXPECT_EQ(Status().spent_micros, Status().ended_micros);
}

TEST_F(PoolsTest, PayNothingForAServerThatWasNeverLaunched) {
  api.AddTask("t");
  api.Settle();
  api.Advance(seconds(300));
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  ASSERT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kFailed);
  EXPECT_EQ(api.scales.begin()->second.status.cost_so_far, "");
  EXPECT_EQ(Status().spent_micros, 0);
}

TEST_F(PoolsTest, PayForAServerThatWasLaunchedAndNeverReady) {
  api.AddTask("t");
  api.Settle();
  api.LaunchServer();
  api.Advance(seconds(360));
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  EXPECT_GE(Status().spent_micros, 40'000);
  EXPECT_TRUE(api.scales.begin()->second.status.launched_at);
}

TEST_F(PoolsTest, MadeAnewUnderTheirNameDoNotPayForTheOldOne) {
  UseAServer("t", hours(1));
  ASSERT_GE(Status().spent_micros, 400'000);
  api.AddPool("spot");
  EXPECT_EQ(Status().spent_micros, 0);
}

TEST_F(PoolsTest, TellWhatAServerInUseHasCostByNow) {
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(hours(1));
  EXPECT_GE(Status().spent_micros, 400'000);
  EXPECT_EQ(Status().ended_micros, 0);
}

TEST_F(PoolsTest, CountAServerOnceThoughItsRequestIsDeletedLater) {
  UseAServer("t", hours(1));
  const int64_t once = Status().spent_micros;
  api.Advance(seconds(700));
  EXPECT_TRUE(api.scales.empty());
  EXPECT_EQ(Status().spent_micros, once);
}

TEST_F(PoolsTest, CountAServerOnceAcrossARestart) {
  UseAServer("t", hours(1));
  const int64_t once = Status().spent_micros;
  ASSERT_FALSE(api.scales.empty());
  api.Restart();
  EXPECT_EQ(Status().spent_micros, once);
}

TEST_F(PoolsTest, BeginAnewWithEachMonth) {
  UseAServer("t", hours(1));
  api.Advance(hours(24 * 17));  // into February
  EXPECT_EQ(Status().spent_micros, 0);
}

TEST_F(PoolsTest, TheCoreIsWokenWhenTheMonthEnds) {
  api.silent = true;
  api.Settle();
  const Time end = api::PeriodOf(api::BudgetPeriod::kMonth, api.now).end;
  api.now = end - seconds(2);
  api.Settle();
  EXPECT_LE(api.wake, end);
}

// A request that is gone for good, such as by hand, had cost something.
TEST_F(PoolsTest, WhatOneHasCostThatIsGoneIsTakenOffInTime) {
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-t");
  api.Advance(seconds(600));
  ASSERT_GT(Status().spent_micros, 0);
  api.Remove(api.scales, api.scales.begin()->first);
  api.hangs = [](const Write&) { return true; };
  api.silent = true;
  api.Settle();
  const Time due = api.world().provisioning.pools.at("spot").spent_at + seconds(60);
  api.now = due - seconds(1);
  api.Settle();
  EXPECT_LE(api.wake, due);
}

// By our clock it has cost nothing yet. What the purchase itself has cost is told at other times.
TEST_F(PoolsTest, WhatALeaderBoughtWhoseClockWasAheadIsToldInTime) {
  api.AddTask("t");
  api.Settle();
  api.LaunchServer();
  api.Settle();
  api.scales.begin()->second.status.requested_at = api.now + seconds(90);
  api.Restart();
  api.Settle();
  api.Advance(seconds(10));
  api.ProvideServer("cloud-t");
  api.Settle();
  api.hangs = [](const Write&) { return true; };
  api.silent = true;
  const Time due = api.world().provisioning.pools.at("spot").spent_at + seconds(60);
  api.now = due - seconds(1);
  api.Settle();
  EXPECT_LE(api.wake, due);
}

}  // namespace
}  // namespace spillway::core
