// For how long a pool is left alone after a failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/cloud/karpenter.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::CloudError;
using std::chrono::hours;
using std::chrono::seconds;

// Two tasks that share no server, and one pool.
class HoldsTest : public testing::Test {
 protected:
  HoldsTest() {
    api.AddPool("spot");
    AddTask("a");
    AddTask("b");
    api.Settle();
  }
  void AddTask(const std::string& name) { api.AddTask(name, {{"exclusive", true}}); }
  // What was bought for the task last; no other is.
  api::CloudServer& ClaimOf(const std::string& task) {
    for (auto& [key, claim] : api.claims) {
      for (const auto& [name, scale] : api.scales) {
        if (scale.meta.uid == claim.request_uid && scale.for_tasks.front().name == task)
          return claim;
      }
    }
    throw std::out_of_range(task);
  }
  void Fail(const std::string& task, CloudError error) {
    api::CloudServer& claim = ClaimOf(task);
    claim.error = error;
    claim.message = "no";
    api.Change(claim);
    api.Settle();
  }
  // It is ready by its engine's word; an agent has not taken its taint away.
  void Provide(const std::string& task, bool tainted) {
    api.AddNode("n-" + task, "8");
    if (tainted) {
      api.nodes.at("n-" + task).taints = {{"agent.example/not-ready", "", "NoSchedule"}};
      api.Change(api.nodes.at("n-" + task));
    }
    api::CloudServer& claim = ClaimOf(task);
    claim.launched = claim.ready = true;
    claim.node_name = "n-" + task;
    api.Change(claim);
    api.Settle();
  }
  const api::Condition& Held() {
    return *api::FindCondition(api.pools.at("spot").status.conditions, "BackingOff");
  }
  ApiModel api;
};

TEST_F(HoldsTest, APoolIsAvailableAgainInTheMomentInWhichItsPauseEnds) {
  api.Advance(seconds(1));  // so that no other look is due then
  Fail("a", CloudError::kInsufficientCapacity);
  api.Remove(api.tasks, "ns/a");
  api.Remove(api.tasks, "ns/b");
  api.Settle();
  ASSERT_EQ(Held().status, "True");
  api.Advance(seconds(30));
  EXPECT_EQ(Held().status, "False");
}

TEST_F(HoldsTest, OfTwoFailuresTheOneThatAsksForMoreCounts) {
  Fail("a", CloudError::kQuotaExceeded);
  Fail("b", CloudError::kInsufficientCapacity);
  api.Advance(seconds(590));
  EXPECT_EQ(api.scales_made, 2);
  EXPECT_NE(Held().message.str().find("QuotaExceeded"), std::string::npos) << Held().message.str();
  api.Advance(seconds(20));
  EXPECT_GT(api.scales_made, 2);
}

TEST_F(HoldsTest, SoItIsForTheNextLeader) {
  Fail("b", CloudError::kInsufficientCapacity);
  api.Advance(seconds(10));
  Fail("a", CloudError::kQuotaExceeded);
  api.Restart();
  api.Advance(seconds(300));
  EXPECT_EQ(api.scales_made, 2);
  EXPECT_EQ(Held().status, "True");
}

TEST_F(HoldsTest, TheNextLeaderHoldsAPoolWhoseServerIsStillBeingGivenBack) {
  Provide("a", true);
  Provide("b", true);
  api.slow_release = true;
  api.Advance(seconds(920));
  ASSERT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kReleasing);
  api.Restart();
  api.Advance(seconds(100));
  EXPECT_EQ(api.scales_made, 2);
  EXPECT_EQ(Held().status, "True");
}

TEST_F(HoldsTest, AServerThatIsReadyAndOfNoUseDoesNotEndThem) {
  api.tasks.at("ns/b").spec.suspend = true;
  api.Change(api.tasks.at("ns/b"));
  Provide("a", true);
  api.Advance(seconds(800));
  AddTask("c");
  api.Settle();
  const int bought = api.scales_made;
  api.Advance(seconds(110));  // a's server is given back
  ASSERT_EQ(Held().status, "True");
  Provide("c", true);
  api.Advance(seconds(60));
  EXPECT_EQ(Held().status, "True");
  EXPECT_EQ(api.scales_made, bought);
}

TEST_F(HoldsTest, OneThatCanTakeItsTaskDoes) {
  Fail("a", CloudError::kQuotaExceeded);
  api.Advance(seconds(10));
  Provide("b", false);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.scales_made, 3);
}

TEST_F(HoldsTest, OneThatCameBeforeDoesNotThoughAnotherLeaderSeesItLater) {
  Provide("b", false);
  ASSERT_EQ(api.pods_made, 1);
  api.SetPod(api.pods.begin()->second.meta.name, api::PodPhase::kRunning);
  api.Advance(seconds(10));
  Fail("a", CloudError::kQuotaExceeded);
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(Held().status, "True");
  EXPECT_EQ(api.scales_made, 2);
}

TEST_F(HoldsTest, WhatFailsAtOnceCountsOnce) {
  Fail("a", CloudError::kInsufficientCapacity);
  Fail("b", CloudError::kInsufficientCapacity);
  api.Advance(seconds(29));
  EXPECT_EQ(api.scales_made, 2);
  api.Advance(seconds(2));
  EXPECT_GT(api.scales_made, 2);
}

// Each has 15 minutes.
TEST_F(HoldsTest, APoolWhoseServersAreNeverInTimeIsAskedEverMoreSeldom) {
  std::vector<int> bought;
  for (int minute = 1; minute <= 180; ++minute) {
    const int before = api.scales_made;
    api.Advance(seconds(60));
    if (api.scales_made > before) bought.push_back(minute);
  }
  EXPECT_THAT(bought, testing::ElementsAre(15 + 5, 45, 80, 125, 170));
}

TEST(LastingRefusalTest, ScaleRequestsAreAskedForUpToEveryFiveMinutes) {
  ApiModel api;
  api.AddPool("spot");
  api.refuse = Denies(Verb::kCreate, Kind::kScale, {ErrorKind::kForbidden, "not allowed", {}});
  api.AddTask("t");
  api.Advance(hours(1));
  const int tries = api.tries[{Verb::kCreate, Kind::kScale}];
  EXPECT_GE(tries, 10);
  EXPECT_LE(tries, 18);
}

const api::Condition& Available(const ApiModel& api) {
  return *api::FindCondition(api.pools.at("spot").status.conditions, "Available");
}

// No server would be seen to join.
TEST(UnseenNodesTest, NothingIsBoughtWhileTheyCannotBeWatched) {
  ApiModel api;
  api.AddPool("spot");
  api.Settle();
  api.Break(Kind::kNode);
  api.silent = true;
  api.Advance(seconds(100));
  api.AddTask("t");
  api.Advance(seconds(30));
  EXPECT_EQ(api.scales_made, 0);
  EXPECT_EQ(Available(api).status, "False");
  EXPECT_EQ(Available(api).reason, "NodesUnseen");
  api.Resume(Kind::kNode);
  api.Settle();
  EXPECT_EQ(api.scales_made, 1);
}

// A watch breaks now. The core is called once it counts, though nothing else is due then.
void ExpectToldAtOnce(ApiModel& api, const std::string& reason) {
  const Time unseen = api.now + kFresh;
  api.Advance(kFresh - std::chrono::milliseconds(1));
  EXPECT_EQ(Available(api).status, "True");
  EXPECT_EQ(api.wake, unseen);
  api.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(Available(api).reason, reason);
}

TEST(UnseenNodesTest, ThePoolSaysSoAtOnce) {
  ApiModel api;
  api.AddPool("spot");
  api.Advance(seconds(2));
  api.Resume(Kind::kNode);
  api.Break(Kind::kNode);
  api.silent = true;
  ExpectToldAtOnce(api, "NodesUnseen");
}

TEST(UnseenNodesTest, ThePoolSaysSoAtOnceOfItsEngine) {
  ApiModel api;
  api.AddPool("spot");
  api.Advance(seconds(2));
  api.Push(Bookmark{Kind::kCloudServer, 1, cloud::kKarpenter});
  api.Push(Behind{Kind::kCloudServer, cloud::kKarpenter});
  ExpectToldAtOnce(api, "EngineUnseen");
}

TEST(UnseenNodesTest, NorWhileWhatTheEngineHasCannotBe) {
  ApiModel api;
  api.AddPool("spot");
  api.Settle();
  api.Push(Behind{Kind::kCloudServer, cloud::kKarpenter});
  api.Advance(seconds(100));
  api.AddTask("t");
  api.Advance(seconds(30));
  EXPECT_EQ(api.scales_made, 0);
  EXPECT_EQ(Available(api).reason, "EngineUnseen");
  api.Push(Listed{Kind::kCloudServer, 1, {}, cloud::kKarpenter});
  api.Settle();
  EXPECT_EQ(api.scales_made, 1);
}

// A watch that breaks is begun again in a moment.
TEST(UnseenNodesTest, AShortBreakHoldsNothing) {
  ApiModel api;
  api.AddPool("spot");
  api.Settle();
  api.Break(Kind::kNode);
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.scales_made, 1);
}

}  // namespace
}  // namespace spillway::core
