#include "operator/core/scaling.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

class ScalingTest : public testing::Test {
 protected:
  std::string PhaseOf(const std::string& pool) {
    std::string out;
    for (const auto& [name, scale] : api.scales) {
      if (scale.pool == pool)
        out += (out.empty() ? "" : ",") + std::string(ToString(scale.status.phase));
    }
    return out;
  }
  ApiModel api;
};

TEST_F(ScalingTest, BuysWhatNoServerCanTakeAndRunsItThere) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Scaling");
  EXPECT_EQ(PhaseOf("spot"), "Provisioning");
  api.ProvideServer("cloud-1");
  api.Settle();
  EXPECT_EQ(PhaseOf("spot"), "Ready");
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "cloud-1");
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(api.Status("t").assignment->cloud);
  EXPECT_EQ(api.Status("t").assignment->pool, "spot");
}

TEST_F(ScalingTest, ReleasesAnIdleServer) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  api.Advance(seconds(299));
  EXPECT_EQ(PhaseOf("spot"), "Ready");
  api.Advance(seconds(2));
  EXPECT_EQ(PhaseOf("spot"), "Released");
  EXPECT_TRUE(api.claims.empty());
  EXPECT_TRUE(api.servers.empty());
  EXPECT_FALSE(api.scales.begin()->second.status.cost_so_far.empty());
  api.Advance(kKeepEnded + seconds(1));
  EXPECT_TRUE(api.scales.empty());
}

TEST_F(ScalingTest, OneServerServesAllTasksThatFitIt) {
  api.AddPool("spot", "8");
  for (int i = 0; i < 10; ++i) api.AddTask("t" + std::to_string(i));
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, AnExclusiveTaskGetsAServerOfItsOwn) {
  api.AddPool("spot", "8");
  api.AddTask("alone", {{"exclusive", true}});
  api.AddTask("other");
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, NeverBuysTwiceForOneNeedAcrossRestarts) {
  api.AddPool("spot", "1");
  api.AddTask("t");
  api.Settle();
  for (int i = 0; i < 3; ++i) {
    api.Restart();
    api.Advance(seconds(1));
  }
  EXPECT_EQ(api.claims_made, 1);
  EXPECT_EQ(api.scales.size(), 1u);
}

TEST_F(ScalingTest, ALaterAndMoreUrgentTaskDoesNotTakeAnothersServer) {
  api.AddPool("spot", "1");
  api.AddTask("t");
  api.Settle();
  api.AddTask("urgent", {{"priority", 100}});
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
  int own = 0;
  for (const auto& [name, scale] : api.scales) own += scale.for_tasks.size() == 1 ? 1 : 0;
  EXPECT_EQ(own, 2);
}

TEST_F(ScalingTest, WithoutCapacityTheNextPoolIsAskedAtOnce) {
  api.AddPool("spot", "8", 10);
  api.AddPool("on-demand", "8", 0);
  api.AddTask("t");
  api.Settle();
  ASSERT_EQ(PhaseOf("spot"), "Provisioning");
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  EXPECT_EQ(PhaseOf("spot"), "Failed");
  EXPECT_EQ(PhaseOf("on-demand"), "Provisioning");
  EXPECT_EQ(api::FindCondition(api.pools["spot"].status.conditions, "Available")->reason,
            "InsufficientCapacity");
}

TEST_F(ScalingTest, APoolIsAskedAgainAfterItsBackoff) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  EXPECT_EQ(api.claims_made, 1);
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.Advance(seconds(28));
  EXPECT_EQ(api.claims_made, 1);
  api.Advance(seconds(2));
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, ABackoffOutlivesARestart) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  api.Restart();
  api.Advance(seconds(5));
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(ScalingTest, AServerThatIsLateIsGivenBack) {
  api.AddPool("spot", "8", 10);
  api.AddPool("on-demand", "8", 0);
  api.AddTask("t");
  api.Settle();
  api.Advance(seconds(901));
  EXPECT_EQ(PhaseOf("spot"), "Failed");
  EXPECT_EQ(api.scales.size(), 2u);
  EXPECT_EQ(api.claims.size(), 1u);
  EXPECT_EQ(PhaseOf("on-demand"), "Provisioning");
}

TEST_F(ScalingTest, IsWithdrawnWhenTheTaskIsDeleted) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.Remove(api.tasks, "ns/t");
  api.Settle();
  EXPECT_TRUE(api.claims.empty());
  EXPECT_EQ(PhaseOf("spot"), "Released");
}

TEST_F(ScalingTest, IsWithdrawnWhenALocalServerFreesUp) {
  api.AddServer("s1", "1");
  api.AddTask("first");
  api.Settle();
  api.AddPool("spot");
  api.AddTask("second");
  api.Settle();
  ASSERT_EQ(api.claims_made, 1);
  api.SetPod("first-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/second-1").node_name, "s1");
  EXPECT_EQ(PhaseOf("spot"), "Released");
}

TEST_F(ScalingTest, WaitsForALocalServerAsLongAsItIsTold) {
  api.AddPool("spot");
  api.AddTask("t", {{"placement", {{"burstAfterSeconds", 60}}}});
  api.Advance(seconds(59));
  EXPECT_EQ(api.claims_made, 0);
  api.Advance(seconds(2));
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(ScalingTest, NeverBuysForALocalOnlyTask) {
  api.AddPool("spot");
  api.AddTask("t", {{"placement", {{"policy", "LocalOnly"}}}});
  api.Advance(seconds(600));
  EXPECT_EQ(api.claims_made, 0);
}

TEST_F(ScalingTest, StaysUnderMaxServers) {
  api.AddPool("spot", "1");
  api.pools["spot"].spec.max_servers = 2;
  api.Change(api.pools["spot"]);
  for (int i = 0; i < 5; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(1));
  EXPECT_EQ(api.claims_made, 2);
  EXPECT_NE(api.Status("t4").explanation->summary.find("spot full"), std::string::npos)
      << api.Status("t4").explanation->summary;
}

TEST_F(ScalingTest, AsksTheCheaperOfEqualPools) {
  api.AddPool("a-dear");
  api.AddPool("b-cheap");
  api.pools["a-dear"].spec.price_micros = 900000;
  api.Change(api.pools["a-dear"]);
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(PhaseOf("b-cheap"), "Provisioning");
  EXPECT_EQ(PhaseOf("a-dear"), "");
}

TEST_F(ScalingTest, DoesNotBuyAServerThatWouldBeTooSmall) {
  api.AddPool("spot", "2");
  api.AddTask("t", api::Json::object(), "3");
  api.Advance(seconds(1));
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_NE(api.Status("t").explanation->summary.find("spot insufficient cpu"), std::string::npos)
      << api.Status("t").explanation->summary;
}

TEST_F(ScalingTest, LearnsThatServersAreSmallerThanDeclared) {
  api.AddPool("spot", "8");
  api.AddTask("t", api::Json::object(), "8");
  api.Settle();
  api.ProvideServer("cloud-1", "7");
  api.Advance(seconds(1));
  api.Advance(seconds(600));
  EXPECT_EQ(api.claims_made, 1) << "a second server would be as small";
}

TEST_F(ScalingTest, ABusyServerSeenAfterARestartDoesNotMakeItsPoolLookSmall) {
  api.AddPool("spot", "8");
  api.AddTask("t", api::Json::object(), "6");
  api.Settle();
  api.ProvideServer("cloud-1", "8");
  api.Settle();
  api.Restart();
  api.AddTask("u", api::Json::object(), "6");
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, ALostCloudServerLetsItsTaskRunElsewhere) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.Remove(api.claims, api.claims.begin()->first);
  api.Remove(api.nodes, "cloud-1");
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
  api.ProvideServer("cloud-2");
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "cloud-2");
}

TEST_F(ScalingTest, KeepsMinServersWithoutAnyTask) {
  api.AddPool("spot");
  api.pools["spot"].spec.min_servers = 2;
  api.Change(api.pools["spot"]);
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
  api.ProvideServer("cloud-1");
  api.ProvideServer("cloud-2");
  api.Advance(seconds(2000));
  EXPECT_EQ(api.claims_made, 2);
  EXPECT_EQ(api.claims.size(), 2u);
  api.Restart();
  api.Advance(seconds(10));
  EXPECT_EQ(api.claims_made, 2);
  api.pools["spot"].spec.min_servers = 0;
  api.Change(api.pools["spot"]);
  api.Advance(seconds(400));
  EXPECT_TRUE(api.claims.empty());
}

TEST_F(ScalingTest, KeepsAWarmSpareBesideTheServersInUse) {
  api.AddPool("spot", "1");
  api.pools["spot"].spec.warm_spares = 1;
  api.Change(api.pools["spot"]);
  api.Settle();
  EXPECT_EQ(api.claims_made, 1);
  api.ProvideServer("cloud-1");
  api.Settle();
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "cloud-1") << "the spare is there for this";
  EXPECT_EQ(api.claims_made, 2) << "and is replaced";
  api.ProvideServer("cloud-2");
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(2000));
  EXPECT_EQ(api.claims.size(), 1u);
}

TEST_F(ScalingTest, KeepsAPaidServerUntilJustBeforeItsNextBillingStep) {
  api.AddPool("spot");
  api.pools["spot"].spec.billing_quantum = seconds(3600);
  api.Change(api.pools["spot"]);
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(3530));
  EXPECT_EQ(api.claims.size(), 1u);
  api.Advance(seconds(20));
  EXPECT_TRUE(api.claims.empty());
}

TEST_F(ScalingTest, AServerThatNeverTakesTasksIsGivenBack) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.nodes["cloud-1"].ready = api::NodeReady::kFalse;
  api.Change(api.nodes["cloud-1"]);
  api.Advance(seconds(890));
  EXPECT_EQ(api.claims.size(), 1u);
  api.Advance(seconds(30));
  EXPECT_EQ(api.claims_made, 2) << "the task still needs one";
  EXPECT_FALSE(api.nodes.contains("cloud-1"));
}

TEST_F(ScalingTest, AServerWhoseNodeIsLostIsGivenBack) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.nodes["cloud-1"].ready = api::NodeReady::kUnknown;
  api.Change(api.nodes["cloud-1"]);
  api.Advance(kLostServerAfter + seconds(1));
  EXPECT_FALSE(api.nodes.contains("cloud-1"));
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, AServerThatIsUnregisteredByHandIsRegisteredAgain) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  ASSERT_EQ(api.servers.size(), 1u);
  api.Remove(api.servers, api.servers.begin()->first);
  api.Settle();
  EXPECT_EQ(api.servers.size(), 1u);
}

TEST_F(ScalingTest, AClaimWhoseRequestIsGoneIsGivenBack) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.tasks.clear();
  api.scales.clear();
  api.Restart();
  api.Settle();
  EXPECT_TRUE(api.claims.empty());
}

}  // namespace
}  // namespace spillway::core
