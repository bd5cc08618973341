#include "operator/core/provisioning/scaling.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "operator/core/scheduling/fit.h"
#include "operator/runtime/pod_body.h"
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
  // Of pool spot, for a task named t; its engine was not asked, as far as is known.
  void AddRequestOfAnotherLeader(std::optional<Time> requested) {
    api::ScaleRequest& scale = api.scales["spw-old-1"];
    scale.meta.name = "spw-old-1", scale.meta.uid = "old", scale.meta.created = api.now;
    scale.pool = "spot";
    scale.status.requested_at = requested;
    if (requested) scale.status.phase = api::ScalePhase::kRequested;
  }
  // Task t, on server cloud-1 of pool spot.
  void RunOnBought() {
    api.AddPool("spot");
    api.AddTask("t");
    api.Settle();
    api.ProvideServer("cloud-1");
    api.Settle();
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

// It was deleted, and a request that had hung has made it again, before its engine told why.
TEST_F(ScalingTest, WhyOneIsGoneIsNotTakenForTheEndOfAnother) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  const auto [name, first] = *api.claims.begin();
  const auto late = CloudDiagnosis{first.request_uid, api::CloudError::kTransient, "it is gone"};
  api.diagnoses_hang = true;
  api.Remove(api.claims, name);
  api.Settle();
  api.claims[name] = first;
  api.claims[name].uid = "another";
  api.Change(api.claims[name]);
  api.Settle();
  api.Push(late);
  api.Settle();
  EXPECT_EQ(PhaseOf("spot"), "Provisioning");
  api.diagnoses_hang = false;
  api.Remove(api.claims, name);
  api.Settle();
  EXPECT_NE(PhaseOf("spot").find("Failed"), std::string::npos) << "it is asked of this one as well";
}

TEST_F(ScalingTest, ReleasesAnIdleServer) {
  RunOnBought();
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

TEST_F(ScalingTest, ANewLeaderTellsWhatAServerHasCostAfterAMinute) {
  RunOnBought();
  api.Advance(seconds(3'000));
  api.Restart();
  api.Settle();
  const std::string told = api.scales.begin()->second.status.cost_so_far;
  for (int i = 0; i < 5; ++i) {
    api.now += seconds(10);
    api.AddServer("s" + std::to_string(i));  // anything that happens
    api.Settle();
  }
  EXPECT_EQ(api.scales.begin()->second.status.cost_so_far, told);
  api.Advance(seconds(15));
  EXPECT_NE(api.scales.begin()->second.status.cost_so_far, told);
}

TEST_F(ScalingTest, AServerTakesNoTaskInTheMomentInWhichItIsGivenBack) {
  RunOnBought();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  api.Advance(seconds(299));
  api.AddTask("u");
  api.now += seconds(1);
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
  EXPECT_TRUE(api.Status("u").attempts.empty());
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

TEST_F(ScalingTest, ATaskIsToldWhichPurchaseProvidesNoServerAndWhy) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  const std::string scale = api.scales.begin()->first;
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  const auto& told = *api.world().tasks.by_key.at("ns/t").object.status.conditions;
  EXPECT_EQ(api::FindCondition(told, "Reconciling")->message.str(),
            "ScaleRequest " + scale +
                " no longer provides a server: InsufficientCapacity: no capacity; choosing again");
  EXPECT_EQ(api::FindCondition(api.pools["spot"].status.conditions, "BackingOff")->message.str(),
            "backing off until " + FormatTime(api.now + seconds(30)) +
                " after InsufficientCapacity: no capacity");
}

TEST_F(ScalingTest, AStartDeadlineTellsWhatBecameOfThePurchase) {
  api.AddPool("spot");
  api.AddTask("t", {{"startDeadlineSeconds", 30}});
  api.Settle();
  api.Advance(seconds(29) + std::chrono::milliseconds(500));
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  api.Advance(seconds(1));
  EXPECT_NE(api.Status("t").result->message.find("InsufficientCapacity: no capacity"),
            std::string::npos)
      << api.Status("t").result->message;
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

TEST_F(ScalingTest, AnEngineThatRefusesItsCredentialsIsAskedEverMoreSeldom) {
  api.AddPool("spot");
  api.ensure_error = Error{ErrorKind::kForbidden, "nodeclaims is forbidden", {}};
  api.AddTask("t");
  api.Advance(std::chrono::hours(1));
  EXPECT_GE(api.purchases_asked, 6);
  EXPECT_LE(api.purchases_asked, 10);
}

TEST_F(ScalingTest, AnEngineThatDoesNotAnswerIsAskedEverMoreSeldomAndTheRequestSaysWhy) {
  api.AddPool("spot");
  api.ensure_error = Error{ErrorKind::kUnavailable, "the webhook did not answer", {}};
  api.AddTask("t");
  api.Advance(std::chrono::minutes(10));
  EXPECT_GE(api.purchases_asked, 8);
  EXPECT_LE(api.purchases_asked, 20);
  EXPECT_NE(api.scales.begin()->second.status.message.find("the webhook did not answer"),
            std::string::npos);
}

// The operator was suspended for a while: it is both time to ask again and too late.
TEST_F(ScalingTest, AnEngineThatDidNotAnswerIsNotAskedOnceThePurchaseIsLate) {
  api.AddPool("spot");
  api.ensure_error = Error{ErrorKind::kUnavailable, "the webhook did not answer", {}};
  api.AddTask("t");
  api.Advance(seconds(890));
  api.ensure_error.reset();
  api.now += seconds(100);
  api.Settle();
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_EQ(PhaseOf("spot"), "Failed");
}

TEST_F(ScalingTest, AnEngineThatDidNotAnswerIsNotAskedForWhatNobodyWantsAnyMore) {
  api.AddPool("spot");
  api.pools.at("spot").spec.min_servers = 1;
  api.Change(api.pools.at("spot"));
  api.ensure_error = Error{ErrorKind::kUnavailable, "the webhook did not answer", {}};
  api.Advance(seconds(30));
  ASSERT_GT(api.purchases_asked, 0);
  api.ensure_error.reset();
  api.pools.at("spot").spec.min_servers = 0;
  api.Change(api.pools.at("spot"));
  api.now += seconds(100);
  api.Settle();
  EXPECT_EQ(api.claims_made, 0);
}

TEST_F(ScalingTest, AnAnswerThatWasLostDoesNotUndoAServerThatIsSeen) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  ASSERT_EQ(PhaseOf("spot"), "Provisioning");
  api.Push(Outcome{Verb::kCreate,
                   Kind::kCloudServer,
                   "",
                   api.scales.begin()->second.meta.uid,
                   Error{ErrorKind::kUnavailable, "timed out", std::nullopt, true},
                   {}});
  api.Advance(seconds(120));
  EXPECT_EQ(PhaseOf("spot"), "Provisioning");
  EXPECT_EQ(api.purchases_asked, 1);
}

TEST_F(ScalingTest, AnEndedRequestStaysWhileItsEngineHasNotAnswered) {
  api.AddPool("spot");
  api.purchases_hang = true;
  api.AddTask("t");
  api.Advance(seconds(901));
  ASSERT_EQ(PhaseOf("spot"), "Failed");
  const std::string name = api.scales.begin()->first;
  api.pools.at("spot").spec.max_servers = 0;
  api.Change(api.pools.at("spot"));
  api.Advance(kKeepEnded + seconds(60));
  EXPECT_TRUE(api.scales.contains(name));
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

TEST_F(ScalingTest, ANewLeaderAsksForNothingThatIsLateAlready) {
  api.AddPool("spot");
  AddRequestOfAnotherLeader(api.now - std::chrono::hours(1));
  api.AddTask("t");
  api.Restart();
  api.Settle();
  EXPECT_EQ(api.scales.at("spw-old-1").status.phase, api::ScalePhase::kRequested);
  api.Advance(std::chrono::minutes(2));
  EXPECT_EQ(api.scales.at("spw-old-1").status.phase, api::ScalePhase::kFailed);
  for (const auto& [name, claim] : api.claims) EXPECT_NE(claim.request_uid, "old");
}

TEST_F(ScalingTest, ANewLeaderAsksForNothingThatNoTaskWaitsFor) {
  api.AddPool("spot");
  AddRequestOfAnotherLeader(std::nullopt);
  api.Restart();
  api.Settle();
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_EQ(api.scales.at("spw-old-1").status.phase, api::ScalePhase::kNone);
  api.Advance(std::chrono::minutes(2));
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_EQ(api.scales.at("spw-old-1").status.phase, api::ScalePhase::kReleased);
}

TEST_F(ScalingTest, NothingIsBoughtBesideARequestWhoseWithdrawalIsNotToldYet) {
  api.AddPool("spot");
  api.AddTask("t", {{"suspend", true}});
  api.Settle();
  api::ScaleRequest left;
  const std::string uid = api.tasks.at("ns/t").meta.uid, name = "spw-" + uid + "-1";
  left.meta.name = name, left.meta.uid = "left", left.meta.created = api.now;
  left.meta.resource_version = 1;
  left.pool = "spot";
  api.scales[name] = left;
  api.Restart();
  api.refuse =
      Denies(Verb::kPatchStatus, Kind::kScale, Error{ErrorKind::kForbidden, "a policy", {}});
  api.Advance(seconds(130));
  api.tasks.at("ns/t").spec.suspend = false;
  api.Change(api.tasks.at("ns/t"));
  api.Advance(seconds(5));
  EXPECT_EQ(api.scales_made, 0);
  api.refuse = nullptr;
  api.Advance(seconds(70));
  EXPECT_EQ(api.scales_made, 1);
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(ScalingTest, WhatTheLeaderBeforeStillGetsIsCountedAndGivenBack) {
  api.AddPool("spot");
  api.pools.at("spot").spec.max_servers = 1;
  AddRequestOfAnotherLeader(api.now - std::chrono::hours(1));
  api.AddTask("t");
  api.Restart();
  api.Settle();
  api.Advance(seconds(60));
  EXPECT_EQ(api.claims_made, 0) << "the pool may have one server, and that may be on its way";
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

// Task t runs on the pool's server, of 8 cpu, and so does a pod of another namespace, of 2.
class SharedServerTest : public ScalingTest {
 protected:
  void SetUp() override {
    api.AddPool("spot", "8");
    api.AddTask("t", api::Json::object(), "6");
    api.Settle();
    api.ProvideServer("cloud-1", "8");
    api.Settle();
    api::Pod& pod = api.pods["other/p"];
    pod.meta.ns = "other", pod.meta.name = "p", pod.meta.uid = "p";
    pod.node_name = "cloud-1";
    pod.phase = PodPhase::kRunning;
    pod.requests.cpu_milli = 2'000;
  }
  // How many servers were bought, once another task has asked for 7 cpu.
  int BoughtAfterRestart() {
    api.Change(api.pods["other/p"]);
    api.Restart();
    api.AddTask("u", api::Json::object(), "7");
    api.Settle();
    return api.claims_made;
  }
};

TEST_F(SharedServerTest, DoesNotMakeItsPoolLookSmall) { EXPECT_EQ(BoughtAfterRestart(), 2); }

TEST_F(SharedServerTest, WhatComesWithEveryNodeIsNotOffered) {
  for (const char* kind : {"DaemonSet", "Node"}) {
    api.pods["other/p"].meta.owners = {{kind, "d", "d", true, false}};
    EXPECT_EQ(BoughtAfterRestart(), 1) << kind;
  }
}

TEST_F(ScalingTest, ADeviceThatComesAfterItsNodeIsOfferedByItsPool) {
  const api::Json gpu{
      {"template",
       {{"spec",
         {{"containers",
           {{{"name", "c"}, {"resources", {{"requests", {{"example.com/gpu", "1"}}}}}}}}}}}}};
  api.AddPool("spot");
  api.pools["spot"].spec.resources.extended["example.com/gpu"] = 1;
  api.Change(api.pools["spot"]);
  api.AddTask("t", gpu);
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Advance(seconds(20));
  api.nodes["cloud-1"].allocatable.extended["example.com/gpu"] = 1;
  api.Change(api.nodes["cloud-1"]);
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "cloud-1");
  api.AddTask("u", gpu);
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, ALostCloudServerLetsItsTaskRunElsewhere) {
  RunOnBought();
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

TEST_F(ScalingTest, ReplacesASpareInTheMomentInWhichItIsUsed) {
  api.AddPool("spot", "1");
  api.pools["spot"].spec.warm_spares = 1;
  api.Change(api.pools["spot"]);
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  api.hangs = [](const Write& write) { return write.kind != Kind::kScale; };
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, GivesASpareBackInTheMomentInWhichAnotherServerIsOne) {
  api.AddPool("spot", "1");
  for (const char* node : {"cloud-1", "cloud-2"}) {
    api.AddTask(std::string("for-") + node);
    api.Settle();
    api.ProvideServer(node, "1");
    api.Settle();
  }
  const auto end_on = [&](const api::ScaleRequest& scale) {
    api.SetPod("for-" + scale.status.node_name + "-1", PodPhase::kSucceeded);
    api.Settle();
  };
  end_on(api.scales.begin()->second);
  api.pools["spot"].spec.warm_spares = 1;
  api.Change(api.pools["spot"]);
  api.Advance(seconds(2000));
  ASSERT_EQ(api.claims.size(), 2u);
  api.hangs = [](const Write&) { return true; };  // no answer wakes the core
  end_on(api.scales.rbegin()->second);
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
  EXPECT_FALSE(api.nodes.contains("cloud-1"));
  EXPECT_EQ(api.claims_made, 1) << "the next would be as useless: the pool is held";
  api.Advance(seconds(300));
  EXPECT_EQ(api.claims_made, 2) << "the task still needs one";
}

constexpr char kAgentTaint[] = "node.cilium.io/agent-not-ready";

class UnfitServerTest : public ScalingTest {
 protected:
  UnfitServerTest() {
    api.AddPool("spot", "8");
    api.pools["spot"].spec.provision_timeout = seconds(120);
    api.pools["spot"].spec.labels = {{"gpu", "a100"}};
    api.Change(api.pools["spot"]);
  }
  void Buy(const api::Json& spec = api::Json::object()) {
    api.AddTask("t", spec);
    api.Settle();
    api.ProvideServer("cloud-1");
  }
  void Taint() {
    api.nodes["cloud-1"].taints = {{api::kPoolTaint, "spot", "NoSchedule"},
                                   {kAgentTaint, "", "NoSchedule"}};
    api.Change(api.nodes["cloud-1"]);
  }
  std::string Why() { return api.Says("t", "Reconciling"); }
};

TEST_F(UnfitServerTest, AStartupTaintLeadsToNoSecondPurchase) {
  Buy();
  Taint();
  api.Advance(seconds(100));
  EXPECT_EQ(api.claims_made, 1);
  EXPECT_EQ(api.Phase("t"), "Scaling");
  EXPECT_NE(Why().find(std::string("waiting for node cloud-1: taint ") + kAgentTaint),
            std::string::npos)
      << Why();
  api.nodes["cloud-1"].taints.pop_back();
  api.Change(api.nodes["cloud-1"]);
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "cloud-1");
}

TEST_F(UnfitServerTest, ATaintThatStaysGivesTheServerBackByItsName) {
  Buy();
  Taint();
  api.Advance(seconds(125));
  EXPECT_TRUE(api.claims.empty());
  const auto& status = api.scales.begin()->second.status;
  EXPECT_NE(status.message.find(kAgentTaint), std::string::npos) << status.message;
  EXPECT_EQ(api.claims_made, 1) << "its pool is held";
  const auto* held = api::FindCondition(api.pools["spot"].status.conditions, "BackingOff");
  EXPECT_EQ(held->status, "True");
  EXPECT_NE(held->message.str().find(kAgentTaint), std::string::npos);
}

TEST_F(UnfitServerTest, ItsHoldOutlivesARestart) {
  Buy();
  Taint();
  api.Advance(seconds(125));
  api.Restart();
  api.Advance(seconds(30));
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(UnfitServerTest, ATaskThatToleratesTheTaintStartsAtOnce) {
  Buy({{"template",
        {{"spec",
          {{"containers", {{{"name", "c"}}}}, {"tolerations", {{{"operator", "Exists"}}}}}}}}});
  Taint();
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "cloud-1");
}

TEST_F(UnfitServerTest, ALabelThatItsPoolPromisedLeadsToNoSecondPurchase) {
  Buy({{"template",
        {{"spec", {{"containers", {{{"name", "c"}}}}, {"nodeSelector", {{"gpu", "a100"}}}}}}}});
  api.Advance(seconds(100));
  EXPECT_EQ(api.claims_made, 1);
  EXPECT_NE(Why().find("waiting for node cloud-1: label gpu is missing"), std::string::npos)
      << Why();
  api.Advance(seconds(30));
  EXPECT_TRUE(api.claims.empty());
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(UnfitServerTest, OneThatIsTooSmallMakesRoomForAnotherPoolSoon) {
  api.AddPool("other", "8", -1);
  api.AddTask("t", api::Json::object(), "8");
  api.Settle();
  api.ProvideServer("cloud-1", "7");
  api.Advance(seconds(20));
  EXPECT_EQ(api.claims_made, 1);
  api.Advance(seconds(20));
  EXPECT_EQ(PhaseOf("spot"), "Released");
  EXPECT_EQ(PhaseOf("other"), "Provisioning");
}

TEST_F(UnfitServerTest, AReadyServerThatWasNeverUsedIsNotBoughtAgain) {
  Buy();
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  EXPECT_EQ(api.claims_made, 1);
  // Another that needs one gets its own: the first has hosted a task.
  api.AddTask("u", api::Json::object(), "8");
  api.Settle();
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, WhatIsNotTakenBackYetCountsToMaxServers) {
  api.AddPool("spot");
  api.pools["spot"].spec.max_servers = 1;
  api.Change(api.pools["spot"]);
  api.AddTask("t");
  api.Settle();
  api.slow_release = true;
  api.Advance(seconds(901 + 600));
  EXPECT_EQ(PhaseOf("spot"), "Failed");
  EXPECT_EQ(api.claims_made, 1) << "its claim is still there";
  api.Remove(api.claims, api.claims.begin()->first);
  api.Advance(seconds(10));
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, AClaimWithoutARequestCountsToMaxServers) {
  api.AddPool("spot");
  api.pools["spot"].spec.max_servers = 1;
  api.Change(api.pools["spot"]);
  api.AddTask("t");
  api.Settle();
  api.slow_release = true;
  api.Remove(api.scales, api.scales.begin()->first);
  api.Advance(seconds(10));
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(ScalingTest, ARefusedReleaseIsAskedForAgainEverMoreSlowly) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.release_error = Error{ErrorKind::kForbidden, "a policy says no", {}};
  api.Remove(api.tasks, "ns/t");
  api.Advance(seconds(60));
  EXPECT_GE(api.releases_asked, 3);
  EXPECT_LE(api.releases_asked, 8);
  api.release_error.reset();
  api.Advance(seconds(120));
  EXPECT_TRUE(api.claims.empty());
}

TEST_F(ScalingTest, ARefusedReleaseIsAskedForAgainWhenItsEngineWantsButWithinTenMinutes) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.release_error = Error{ErrorKind::kUnavailable, "maintenance", seconds(200)};
  api.Remove(api.tasks, "ns/t");
  api.Advance(seconds(190));
  EXPECT_EQ(api.releases_asked, 1);
  api.release_error->retry_after = seconds(86'400);
  api.Advance(seconds(20));
  EXPECT_EQ(api.releases_asked, 2);
  api.Advance(seconds(560));
  EXPECT_EQ(api.releases_asked, 2);
  api.Advance(seconds(60));
  EXPECT_EQ(api.releases_asked, 3);
}

TEST_F(ScalingTest, ARefusedReleaseOfAnOrphanIsAskedForAgainSlowly) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.release_error = Error{ErrorKind::kForbidden, "a policy says no", {}};
  api.tasks.clear();
  api.scales.clear();
  api.Restart();
  api.Advance(seconds(100));
  EXPECT_GE(api.releases_asked, 2);
  EXPECT_LE(api.releases_asked, 5);
  api.release_error.reset();
  api.Advance(seconds(60));
  EXPECT_TRUE(api.claims.empty());
}

TEST_F(ScalingTest, APoolMadeAnewUnderItsNameForgetsTheFailuresOfTheOldOne) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.Remove(api.claims, api.claims.begin()->first);
  api.Advance(seconds(5));
  ASSERT_EQ(api.claims_made, 1) << "held";
  api.AddPool("spot");
  api.Advance(seconds(1));
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, APoolDeletedAndMadeAnewForgetsTheFailuresOfTheOldOne) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.Remove(api.claims, api.claims.begin()->first);
  api.Advance(seconds(5));
  api.Remove(api.pools, "spot");
  api.Settle();
  api.AddPool("spot");
  api.Advance(seconds(1));
  EXPECT_EQ(api.claims_made, 2);
}

TEST(ServerNameTest, IsTheWholeUidWhereAnotherPurchaseHasTheFirstDigits) {
  World world;
  ScaleState scale;
  scale.object.pool = "spot";
  scale.object.meta.name = "mine";
  scale.object.meta.uid = "12345678-9999";
  EXPECT_EQ(ServerName(world, scale), "spot-12345678");
  world.servers.by_name["spot-12345678"].object.spec.scale_request = "mine";
  EXPECT_EQ(ServerName(world, scale), "spot-12345678");
  world.servers.by_name["spot-12345678"].object.spec.scale_request = "another";
  EXPECT_EQ(ServerName(world, scale), "spot-12345678-9999");
}

class PoolLabelsTest : public ScalingTest {
 protected:
  bool Buys(const api::Json& pod_spec, const api::Json& more = api::Json::object()) {
    api::Json pool = {{"metadata", {{"name", "p"}, {"uid", "p"}, {"resourceVersion", "1"}}},
                      {"spec",
                       {{"template", {{"resources", {{"cpu", "8"}, {"memory", "8Gi"}}}}},
                        {"backend", {{"karpenter", {{"requirements", api::Json::parse(R"([
             {"key":"kubernetes.io/arch","operator":"In","values":["arm64"]},
             {"key":"zone","operator":"In","values":["a","b","c"]},
             {"key":"zone","operator":"NotIn","values":["c"]},
             {"key":"family","operator":"Exists"},
             {"key":"spot","operator":"DoesNotExist"}])")}}}}}}}};
    ApiModel api;
    api.pools["p"] = *api::DecodeServerPool(pool);
    api.Change(api.pools["p"]);
    api::Json spec = more;
    spec["template"]["spec"] = pod_spec;
    spec["template"]["spec"]["containers"] = {{{"name", "c"}}};
    api.AddTask("t", spec);
    api.Settle();
    asked = api.asked;
    return api.claims_made == 1;
  }
  std::vector<api::Requirement> asked;
  static api::Json Selects(const char* key, const char* value) {
    return {{"nodeSelector", {{key, value}}}};
  }
  static api::Json Affinity(const api::Json& expressions) {
    return {{"affinity",
             {{"nodeAffinity",
               {{"requiredDuringSchedulingIgnoredDuringExecution",
                 {{"nodeSelectorTerms", {{{"matchExpressions", expressions}}}}}}}}}}};
  }
};

TEST_F(PoolLabelsTest, ARequirementOfOneValueIsALabelOfItsServers) {
  EXPECT_TRUE(Buys(Selects("kubernetes.io/arch", "arm64")));
  EXPECT_FALSE(Buys(Selects("kubernetes.io/arch", "amd64")));
}

TEST_F(PoolLabelsTest, OfSeveralValuesAnyMayMatch) {
  EXPECT_TRUE(Buys(Selects("zone", "b")));
  EXPECT_FALSE(Buys(Selects("zone", "c"))) << "excluded by the other requirement";
  EXPECT_FALSE(Buys(Selects("zone", "d")));
}

TEST_F(PoolLabelsTest, OneValueMustMeetAllWishes) {
  EXPECT_TRUE(Buys(Affinity(api::Json::parse(
      R"([{"key":"zone","operator":"In","values":["a","b"]},
          {"key":"zone","operator":"NotIn","values":["a"]}])"))));
  EXPECT_FALSE(Buys(Affinity(api::Json::parse(
      R"([{"key":"zone","operator":"In","values":["a"]},
          {"key":"zone","operator":"NotIn","values":["a"]}])"))));
}

TEST_F(PoolLabelsTest, ALabelOfUnknownValueExists) {
  const auto one = [](const char* key, const char* op) {
    return Affinity({{{"key", key}, {"operator", op}}});
  };
  EXPECT_TRUE(Buys(one("family", "Exists")));
  EXPECT_TRUE(Buys(one(kHostnameLabel, "Exists")));
  EXPECT_FALSE(Buys(one("other", "Exists")));
  EXPECT_TRUE(Buys(one("spot", "DoesNotExist")));
  EXPECT_FALSE(Buys(one("family", "DoesNotExist")));
  EXPECT_FALSE(Buys(Selects("family", "c5")));
}

TEST_F(PoolLabelsTest, TheEngineIsAskedForAValueThatTheTaskCanUse) {
  ASSERT_TRUE(Buys(Selects("zone", "b")));
  ASSERT_EQ(asked.size(), 6u);
  EXPECT_EQ(asked.back(), (api::Requirement{"zone", "In", {"b"}}));
  ASSERT_TRUE(
      Buys(Affinity(api::Json::parse(R"([{"key":"zone","operator":"NotIn","values":["a"]}])"))));
  EXPECT_EQ(asked.back(), (api::Requirement{"zone", "In", {"b"}}));
  ASSERT_TRUE(Buys(api::Json::object()));
  EXPECT_EQ(asked.size(), 5u) << "any will do";
}

TEST_F(PoolLabelsTest, CountForRequirementsOfTheTask) {
  const auto wish = [](const char* value) {
    return api::Json{{"requirements",
                      {{{"key", "kubernetes.io/arch"}, {"operator", "In"}, {"values", {value}}}}}};
  };
  EXPECT_TRUE(Buys(api::Json::object(), wish("arm64")));
  EXPECT_FALSE(Buys(api::Json::object(), wish("amd64")));
}

TEST_F(ScalingTest, AServerWhoseNodeIsLostIsGivenBack) {
  RunOnBought();
  api.SetPod("t-1", PodPhase::kRunning);
  api.nodes["cloud-1"].ready = api::NodeReady::kUnknown;
  api.Change(api.nodes["cloud-1"]);
  api.Advance(kLostServerAfter + seconds(1));
  EXPECT_FALSE(api.nodes.contains("cloud-1"));
  EXPECT_EQ(api.claims_made, 2);
}

TEST_F(ScalingTest, AServerThatIsUnregisteredByHandIsRegisteredAgain) {
  RunOnBought();
  ASSERT_EQ(api.servers.size(), 1u);
  api.Advance(seconds(61));
  api.Remove(api.servers, api.servers.begin()->first);
  api.Settle();
  EXPECT_EQ(api.servers.size(), 1u);
}

// It runs on, and is paid for: whatever keeps the server from the next task, it is in use.
class UsedServerTest : public ScalingTest {
 protected:
  UsedServerTest() {
    RunOnBought();
    api.SetPod("t-1", PodPhase::kRunning);
    api.Settle();
  }
  void Refuse() {
    api.refuse = Denies(Verb::kCreate, Kind::kServer, {ErrorKind::kForbidden, "no servers", {}});
  }
  // Longer than a server may be of no use, and than it may be idle.
  void PassLong() { api.Advance(seconds(1'000)); }
  void ExpectRuns() {
    EXPECT_EQ(PhaseOf("spot"), "Ready") << api.scales.begin()->second.status.message;
    ASSERT_TRUE(api.pods.contains("ns/t-1"));
    EXPECT_FALSE(api.pods.at("ns/t-1").meta.deleted);
  }
};

TEST_F(UsedServerTest, ACordonedOneIsKeptByTheNextLeader) {
  api.servers.begin()->second.spec.cordoned = true;
  api.Change(api.servers.begin()->second);
  api.Settle();
  api.Restart();
  PassLong();
  ExpectRuns();
}

TEST_F(UsedServerTest, OneWhoseNodeIsCordonedIsKeptByTheNextLeader) {
  api.nodes.at("cloud-1").unschedulable = true;
  api.Change(api.nodes.at("cloud-1"));
  api.Settle();
  api.Restart();
  PassLong();
  ExpectRuns();
}

TEST_F(UsedServerTest, TheNextLeaderDoesNotSayThatItTakesNoTask) {
  api.scales.begin()->second.status.message = "node cloud-1 is ready, but takes no task: taint x";
  api.Restart();
  api.Settle();
  EXPECT_EQ(api.scales.begin()->second.status.message, "node cloud-1 is ready");
}

TEST_F(UsedServerTest, OneThatCannotBeRegisteredAgainIsKept) {
  Refuse();
  api.Remove(api.servers, api.servers.begin()->first);
  PassLong();
  ExpectRuns();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(400));
  EXPECT_EQ(PhaseOf("spot"), "Released") << "nobody uses it any more";
}

TEST_F(ScalingTest, AServerThatWasRegisteredLateIsRegisteredAgainWhenThatIsUndoneMuchLater) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.hangs = [](const Write& write) { return write.kind == Kind::kServer; };
  api.ProvideServer("cloud-1");
  api.Advance(seconds(5));
  api.hangs = nullptr;
  api.Unblock();
  api.Settle();
  api.pools["spot"].spec.idle_before_release = seconds(10'000);
  api.Change(api.pools["spot"]);
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(1'000));
  api.hangs = [](const Write& write) { return write.kind == Kind::kServer; };
  api.Remove(api.servers, api.servers.begin()->first);
  api.Advance(seconds(5));
  EXPECT_EQ(PhaseOf("spot"), "Ready") << api.scales.begin()->second.status.message;
}

TEST_F(UsedServerTest, NorIsItTakenForUnusedByTheNextLeader) {
  Refuse();
  api.Remove(api.servers, api.servers.begin()->first);
  api.Settle();
  api.Restart();
  PassLong();
  ExpectRuns();
}

class UnregisteredTest : public ScalingTest {
 protected:
  UnregisteredTest() {
    api.refuse = [](const Write& write) -> std::optional<Error> {
      if (write.kind != Kind::kServer || write.verb != Verb::kCreate) return std::nullopt;
      return Error{ErrorKind::kForbidden, "no servers of pools", {}};
    };
    api.AddPool("spot");
    api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}}}});
    api.Settle();
    api.ProvideServer("cloud-1");
    api.Advance(seconds(2));
  }
};

TEST_F(UnregisteredTest, TheTaskIsToldWhyItsServerIsNotUsed) {
  EXPECT_NE(api.Says("t").find("no servers of pools"), std::string::npos) << api.Says("t");
}

TEST_F(UnregisteredTest, TheServerIsGivenBackWhenItIsLate) {
  api.Advance(seconds(901));
  EXPECT_EQ(api.scales.begin()->second.status.error, api::CloudError::kProvisionTimeout);
  EXPECT_EQ(PhaseOf("spot"), "Released");
}

TEST_F(UnregisteredTest, TheServerIsGivenBackWhenNobodyWaitsForIt) {
  api.tasks.at("ns/t").spec.cancel = true;
  api.Change(api.tasks.at("ns/t"));
  api.Advance(seconds(330));
  EXPECT_EQ(PhaseOf("spot"), "Released");
}

TEST_F(ScalingTest, AReleaseThatIsTakenAndDoesNotBeginIsAskedForAgain) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.releases_lost = 1;
  api.Remove(api.tasks, "ns/t");
  api.Settle();
  EXPECT_EQ(api.claims.size(), 1u);
  api.Advance(seconds(61));
  EXPECT_TRUE(api.claims.empty());
}

TEST_F(ScalingTest, AReleaseWithoutAnAnswerIsNotAskedForBesideIt) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.releases_hang = true;
  api.Remove(api.tasks, "ns/t");
  api.Advance(seconds(600));
  EXPECT_EQ(api.releases_asked, 1);
}

TEST_F(ScalingTest, APurchaseThatIsRefusedIsToldOfItsPoolWithTheReason) {
  api.refuse = [](const Write& write) -> std::optional<Error> {
    if (write.kind != Kind::kScale) return std::nullopt;
    return Error{ErrorKind::kForbidden, "no purchases today", {}};
  };
  api.AddPool("spot");
  api.AddTask("t");
  api.Advance(seconds(3));
  const api::Json status = api::EncodeStatus(api.pools.at("spot").status);
  EXPECT_NE(status.dump().find("no purchases today"), std::string::npos) << status.dump();
}

// So many seconds after it was asked for, each purchase is refused.
struct RefusedPurchasesTest : ScalingTest {
  RefusedPurchasesTest() {
    api.AddPool("spot", "8", 10);
    api.AddPool("on-demand", "8", 0);
    api.refuse = [this](const Write& write) -> std::optional<Error> {
      if (write.kind != Kind::kScale || write.verb != Verb::kCreate) return std::nullopt;
      return Error{ErrorKind::kForbidden, why + std::to_string(++refused), {}};
    };
  }
  // In half an hour, in which each purchase is answered so long after it was asked for.
  void Wait(seconds after) {
    if (after > seconds(0))
      api.hangs = [](const Write& write) { return write.kind == Kind::kScale; };
    api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}}}});
    for (auto left = seconds(1'800); left > seconds(0); left -= std::max(after, seconds(1))) {
      api.Advance(std::max(after, seconds(1)));
      if (api.hanging() == 0) continue;
      const auto hangs = api.hangs;
      api.Unblock();
      api.hangs = hangs;
    }
  }
  std::string why = "exceeded quota: q, used: ";
  int refused = 0;
};

TEST_F(RefusedPurchasesTest, AreToldOnceAndNotWithEveryTry) {
  Wait(seconds(0));
  EXPECT_GE(refused, 12);
  EXPECT_LE(api.task_writes, 13);
  EXPECT_TRUE(std::none_of(api.notes.begin(), api.notes.end(),
                           [](const Note& note) { return note.reason == "Scaling"; }));
}

TEST_F(RefusedPurchasesTest, SoAreThoseThatTakeTheirTime) {
  Wait(seconds(10));
  EXPECT_GE(refused, 12);
  EXPECT_LE(api.task_writes, 15);
}

TEST_F(RefusedPurchasesTest, ANewReasonIsToldAtOnce) {
  Wait(seconds(0));
  why = "denied by policy ";
  const int before = refused;
  for (int i = 0; i < 400 && refused == before; ++i) api.Advance(seconds(1));
  ASSERT_GT(refused, before);
  api.Advance(seconds(1));
  EXPECT_NE(api.Says("t").find("denied by policy"), std::string::npos) << api.Says("t");
  api.refuse = nullptr;
  api.Advance(seconds(400));
  EXPECT_EQ(api.Phase("t"), "Scaling");
}

TEST_F(ScalingTest, AScaleRequestWhoseCreationHasNoAnswerIsTold) {
  api.AddPool("spot");
  api.hangs = [](const Write& write) { return write.kind == Kind::kScale; };
  api.AddTask("t");
  api.Settle();
  api.Advance(seconds(6));
  EXPECT_NE(api.Says("t", "Reconciling").find("nothing has been heard since 2027-"),
            std::string::npos)
      << api.Says("t", "Reconciling");
  api.Unblock();
  api.Advance(seconds(2));
  EXPECT_EQ(api.Says("t", "Reconciling").find("nothing has been heard"), std::string::npos)
      << api.Says("t", "Reconciling");
}

TEST_F(ScalingTest, SoIsAnEngineThatDoesNotAnswer) {
  api.AddPool("spot");
  api.purchases_hang = true;
  api.AddTask("t");
  api.Settle();
  api.Advance(seconds(7));
  EXPECT_NE(api.Says("t", "Reconciling").find("nothing has been heard since 2027-"),
            std::string::npos)
      << api.Says("t", "Reconciling");
  EXPECT_NE(api.scales.begin()->second.status.message.find("without an answer yet"),
            std::string::npos);
}

TEST_F(ScalingTest, APurchaseThatAnotherLeaderMadeIsKeptWhenOurOwnIsRefused) {
  api.AddPool("spot");
  std::optional<Write> ours;
  api.hangs = [&](const Write& write) {
    if (write.kind == Kind::kScale && write.verb == Verb::kCreate) ours = write;
    return write.kind == Kind::kScale && write.verb == Verb::kCreate;
  };
  api.AddTask("t");
  api.Settle();
  ASSERT_TRUE(ours);
  api::ScaleRequest& theirs = api.scales[ours->name] =
      *api::DecodeScaleRequest(runtime::Body(*ours));
  theirs.meta.uid = "theirs";
  api.Change(theirs);
  api.Settle();
  api.Push(Outcome{
      Verb::kCreate, Kind::kScale, ours->name, "", Error{ErrorKind::kForbidden, "", {}}, {}});
  api.Advance(seconds(1));
  ASSERT_TRUE(api.world().provisioning.scales.contains(ours->name));
  EXPECT_EQ(PhaseOf("spot"), "Provisioning");
  EXPECT_EQ(api.claims.size(), 1u) << "its server is nobody's orphan";
}

// An older leader has asked for it late, when the one that was ready had been deleted.
TEST_F(ScalingTest, AServerThatTookTheNameOfTheOneBeforeIsUsedAndGivenBack) {
  RunOnBought();
  api.claims.begin()->second.uid = "other";
  api.claims.begin()->second.node_name.clear();
  api.Remove(api.nodes, "cloud-1");
  api.ProvideServer("cloud-2");
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "cloud-2");
  api.SetPod("t-2", PodPhase::kSucceeded);
  api.Advance(seconds(302));
  EXPECT_EQ(PhaseOf("spot"), "Released");
  EXPECT_TRUE(api.claims.empty());
}

// Its registration comes late, when its engine has replaced it.
TEST_F(ScalingTest, TheMachineBeforeTakesNoTaskOnceThereIsAnother) {
  std::optional<Write> registration;
  api.hangs = [&](const Write& write) {
    const bool registers = write.kind == Kind::kServer && write.verb == Verb::kCreate;
    if (registers && !registration) registration = write;
    return registers;
  };
  RunOnBought();
  api.AddNode("cloud-2", "8");
  api.claims.begin()->second.node_name = "cloud-2";
  api.Change(api.claims.begin()->second);
  api.Settle();
  ASSERT_TRUE(registration);
  api::RegisteredServer& late = api.servers[registration->name] =
      *api::DecodeRegisteredServer(runtime::Body(*registration));
  ASSERT_EQ(late.spec.node_name, "cloud-1");
  late.meta.uid = "late";
  api.Change(late);
  api.Advance(seconds(10));
  EXPECT_FALSE(api.pods.contains("ns/t-1")) << api.pods.at("ns/t-1").node_name;
  EXPECT_TRUE(api.servers.empty());
}

// A leader that was late has written that it gives the request back, from before there was a node.
TEST_F(ScalingTest, AServerThatAnOldStatusGivesBackTakesNoTask) {
  RunOnBought();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(5));
  api::ScaleRequest& scale = api.scales.begin()->second;
  scale.status.phase = api::ScalePhase::kReleasing;
  scale.status.node_name.clear();
  api.slow_release = true;
  api.Change(scale);
  api.Restart();
  api.Settle();
  api.AddTask("next");
  api.Settle();
  ASSERT_TRUE(api.nodes.contains("cloud-1"));
  EXPECT_FALSE(api.pods.contains("ns/next-1")) << api.ServerOf("next");
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

// Its engine still tries to make it, so what it is asked next waits.
TEST_F(ScalingTest, OneThatVanishedAndOfWhichNothingIsToldTimesOut) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.diagnoses_hang = true;
  api.Remove(api.claims, api.claims.begin()->first);
  api.Advance(seconds(1'000));
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kFailed);
}

TEST_F(ScalingTest, WhatIsToldOfOneWhileAnotherIsThereIsAskedAgainOnceThatIsGone) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  api.diagnoses_hang = true;
  const auto [name, first] = *api.claims.begin();
  api.Remove(api.claims, name);
  api.Settle();
  api.diagnoses_hang = false;
  api::CloudServer second = first;
  second.uid = "second";
  api.claims[name] = second;
  api.Change(api.claims[name]);
  api.Push(CloudDiagnosis{first.request_uid, api::CloudError::kTransient, "it is gone"});
  api.Remove(api.claims, name);
  api.Advance(seconds(5));
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kFailed);
}

TEST_F(ScalingTest, ARegistrationThatNobodyAnswersDoesNotKeepTasksWaiting) {
  api.hangs = [](const Write& write) { return write.kind == Kind::kServer; };
  api.AddPool("spot");
  api.AddNode("n", "4");
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  api.Settle();
  ASSERT_EQ(api.hanging(), 1u);
  api.AddTask("t");
  api.Advance(seconds(5));
  EXPECT_EQ(api.claims_made, 0) << "it may run there in a moment";
  api.Advance(seconds(10));
  EXPECT_EQ(api.claims_made, 1);
}

// A leader before has made both, and our watch of ScaleRequests is late.
TEST_F(ScalingTest, AClaimIsNoOrphanWhileItsRequestMayBeStillToCome) {
  RunOnBought();
  const auto scales = std::exchange(api.scales, {});
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(api.claims.size(), 1u);
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  api.scales = scales;
  api.Change(api.scales.begin()->second);
  api.Resume(Kind::kScale);
  api.Advance(seconds(60));
  EXPECT_EQ(api.claims.size(), 1u);
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
}

TEST_F(ScalingTest, AClaimIsAnOrphanOnceItsRequestWouldHaveBeenSeen) {
  RunOnBought();
  const std::string claim = api.claims.begin()->first;
  api.scales.clear();
  api.Restart();
  api.Advance(seconds(60));
  api.Resume(Kind::kScale);
  api.Advance(seconds(60));
  EXPECT_FALSE(api.claims.contains(claim));
}

// The answer to a request tells of the next one of that name before the watch tells of the end of
// the one before.
TEST_F(ScalingTest, TheEndOfTheOneBeforeIsNotTakenForTheEndOfTheNext) {
  api.AddPool("spot");
  api.AddTask("t");
  api.Settle();
  const api::CloudServer first = api.claims.begin()->second;
  api::CloudServer second = first;
  second.uid = "second";
  second.resource_version = first.resource_version + 1'000;
  api.Push(Seen{second});
  api.Push(
      Gone{Kind::kCloudServer, first.key(), first.uid, first.resource_version + 500, first.engine});
  api.diagnoses_hang = true;
  api.Settle();
  EXPECT_EQ(api.world().provisioning.cloud_servers.VersionOf(first.engine, first.key()),
            second.resource_version);
  EXPECT_FALSE(api.world().provisioning.scales.begin()->second.diagnose_sent);
}

// Its task waits for a pod that may still run, and for nothing that is bought.
TEST_F(ScalingTest, APromiseIsForgottenByATaskThatIsOutOfTheQueue) {
  api.AddServer("s1");
  api.AddPool("spot");
  api.AddBudget("b", "100");
  api.slow_deletion = true;
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  const api::Node node = api.nodes.at("s1");
  api.Remove(api.nodes, "s1");
  api.Advance(seconds(5));
  const TaskState& task = api.world().tasks.by_key.at("ns/t");
  ASSERT_FALSE(task.nominated.empty()) << api.Says("t");
  api.nodes["s1"] = node;
  api.Change(api.nodes["s1"]);
  api.Settle();
  ASSERT_FALSE(task.queued);
  ASSERT_FALSE(task.binding);
  EXPECT_TRUE(task.nominated.empty());
  EXPECT_EQ(task.committed, 0);
}

// It was bought before the pool's servers became larger.
TEST_F(ScalingTest, AServerOfAnOlderGenerationDoesNotTellHowLargeTheNextWillBe) {
  api.AddPool("spot", "2");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1", "2");
  api.Settle();
  api.pools["spot"].spec.resources.cpu_milli = 8'000;
  api.Change(api.pools["spot"]);
  api.Restart();
  api.Settle();
  api.AddTask("large", api::Json::object(), "6");
  api.Advance(seconds(5));
  EXPECT_EQ(api.claims_made, 2) << api.Summary("large");
}

}  // namespace
}  // namespace spillway::core
