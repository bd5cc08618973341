// A server that is taken away while tasks run on it: by its engine, by its cloud, by hand.
#include "operator/core/provisioning/endings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/runtime/feed.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using api::ScalePhase;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// Servers that nothing drains, such as those of a cloud service.
class FleetThatEnds : public cloud::Engine {
 public:
  api::EngineTraits traits() const override {
    api::EngineTraits out{"machines", true};
    out.ending_taints = {"machines/leaving"};
    return out;
  }
  cloud::Source source() override {
    return cloud::Poll{seconds(1), [this](std::stop_token) {
                         return Result<std::vector<api::CloudServer>>(servers);
                       }};
  }
  Result<cloud::Ensured> Ensure(const std::string&, const std::string& uid, const api::ServerPool&,
                                std::stop_token) override {
    for (const api::CloudServer& each : servers) {
      if (each.request_uid == uid) return cloud::Ensured(each);
    }
    api::CloudServer server{"Machine", "m-" + uid, uid};
    server.request_uid = uid;
    server.launched = server.ready = true;
    server.node_name = "n" + std::to_string(servers.size() + 1);
    servers.push_back(server);
    return cloud::Ensured(server);
  }
  Result<Unit> Release(const api::CloudServer& server, std::stop_token) override {
    released.push_back(server.node_name);
    std::erase_if(servers, [&](const auto& each) { return each.uid == server.uid; });
    return Unit{};
  }
  cloud::Refusal Diagnose(const api::CloudServer&, std::stop_token) override { return {}; }

  std::vector<api::CloudServer> servers;
  std::vector<std::string> released;
};

class EndingsTest : public testing::Test {
 protected:
  EndingsTest() {
    api.Restart();
    Poll();
    api.slow_deletion = true;
  }

  void Poll() {
    const cloud::Source source = machines.source();
    auto events = runtime::AskAll("machines", std::get<cloud::Poll>(source), {});
    for (Event& event : *events) api.Push(std::move(event));
    api.Settle();
  }
  // On a server of the pool that is bought for it.
  void Run(const std::string& engine, api::Json spec = api::Json::object()) {
    api.AddPool("p", "8", 0, engine);
    api.AddTask("t", std::move(spec));
    api.Settle();
    Poll();
    if (engine == cloud::kKarpenter) {
      api.ProvideServer("n1");
    } else {
      api.AddNode("n1", "8");
    }
    api.Settle();
    Poll();
    ASSERT_TRUE(api.pods.contains("ns/t-1")) << Scale().status.message;
    api.SetPod("t-1", PodPhase::kRunning);
    api.Advance(seconds(5));
  }
  void Announce(const std::string& why, std::optional<Time> at = std::nullopt) {
    machines.servers.front().ending = why;
    machines.servers.front().ends_at = at;
    Poll();
    api.Advance(seconds(1));
  }
  bool Stopped(const std::string& pod = "t-1") const {
    const auto at = api.pods.find("ns/" + pod);
    return at == api.pods.end() || at->second.meta.deleted;
  }
  // The pod that was told to ends, whatever its program makes of that.
  void End(int64_t exit_code = 143) {
    api.SetPod("t-1", exit_code == 0 ? PodPhase::kSucceeded : PodPhase::kFailed, exit_code);
    api.Settle();
    if (api.pods.at("ns/t-1").meta.deleted) api.Remove(api.pods, "ns/t-1");
    api.Advance(seconds(1));
  }
  int Told(const std::string& reason) const {
    return static_cast<int>(std::count_if(
        api.notes.begin(), api.notes.end(),
        [&](const auto& note) { return note.kind == Kind::kTask && note.reason == reason; }));
  }
  api::ScaleRequest& Scale() { return api.scales.begin()->second; }
  void ForgetThatItWasReady() {
    const api::CloudServer& claim = api.claims.begin()->second;
    Scale().status = {};
    Scale().status.phase = ScalePhase::kProvisioning;
    Scale().status.backend_name = claim.name, Scale().status.backend_uid = claim.uid;
  }
  void ExpectNobodyGoesThereAfterARestart() {
    api.AddTask("u");
    api.Restart();
    Poll();
    api.Advance(seconds(1));
    EXPECT_FALSE(api.pods.contains("ns/u-1"));
    EXPECT_GE(Told("ServerEnding"), 1);  // and again where its node is gone by now
    EXPECT_TRUE(Stopped());
  }

  ApiModel api;
  FleetThatEnds& machines = api.engines.Add(std::make_unique<FleetThatEnds>());
};

TEST_F(EndingsTest, TasksAreToldWhoTakesTheirServerAwayAndUntilWhen) {
  Run("machines");
  const Time at = api.now + seconds(120);
  Announce("spot notice", at);
  const std::string server = api.ServerOf("t");
  EXPECT_THAT(api.Says("t"), HasSubstr("running on server " + server));
  EXPECT_THAT(api.Says("t"), HasSubstr("ends at " + FormatTime(at) + ": spot notice"));
  EXPECT_EQ(Told("ServerEnding"), 1);
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(Scale().status.phase, ScalePhase::kReleasing);
  EXPECT_THAT(Scale().status.message, HasSubstr("spot notice"));
  EXPECT_FALSE(Stopped()) << "it has time";
  api.Advance(seconds(60));
  api.Restart();
  Poll();
  api.Advance(seconds(5));
  EXPECT_EQ(Told("ServerEnding"), 1) << "once";
}

TEST_F(EndingsTest, NoNewTaskGoesThereFromTheFirstNotice) {
  Run("machines");
  Announce("spot notice", api.now + seconds(120));
  api.AddTask("u", {{"template", {{"spec", {{"tolerations", {{{"operator", "Exists"}}}}}}}}});
  api.Advance(seconds(1));
  EXPECT_FALSE(api.pods.contains("ns/u-1"));
  EXPECT_THAT(machines.servers, SizeIs(2)) << "a server of its own is bought";
  api.Restart();
  Poll();
  api.Advance(seconds(5));
  EXPECT_FALSE(api.pods.contains("ns/u-1")) << "nor after a restart";
}

// The leader before has registered it, and has not told of that in the purchase's status.
TEST_F(EndingsTest, NorWhereTheNextLeaderDoesNotKnowYetThatItWasReady) {
  Run(cloud::kKarpenter);
  ForgetThatItWasReady();
  api.claims.begin()->second.deleting = true;
  ExpectNobodyGoesThereAfterARestart();
}

TEST_F(EndingsTest, NorWhereItsEngineCallsThatFailed) {
  Run(cloud::kKarpenter);
  ForgetThatItWasReady();
  api.claims.begin()->second.error = api::CloudError::kTransient;
  ExpectNobodyGoesThereAfterARestart();
}

TEST_F(EndingsTest, NorWhereThatIsGone) {
  Run(cloud::kKarpenter);
  ForgetThatItWasReady();
  api.claims.clear();
  ExpectNobodyGoesThereAfterARestart();
}

TEST_F(EndingsTest, NorWhereThatIsTooLateForTheNextLeader) {
  Run(cloud::kKarpenter);
  ForgetThatItWasReady();
  Scale().status.requested_at = api.now - std::chrono::hours(1);
  api.claims.begin()->second.ready = false;
  ExpectNobodyGoesThereAfterARestart();
  EXPECT_THAT(Scale().status.message, HasSubstr("the server was not ready in time"));
  EXPECT_EQ(Scale().status.error, api::CloudError::kProvisionTimeout) << "for who leads next";
}

// The leader before has registered the machine that came after, and another is on its way by now.
TEST_F(EndingsTest, NorWhereTheNextLeaderKnowsOfTheMachineBeforeAlone) {
  Run(cloud::kKarpenter);
  Scale().status.backend_uid = "before", Scale().status.node_name = "node-before";
  api.claims.begin()->second.ready = false;
  ExpectNobodyGoesThereAfterARestart();
}

// They run there, so that nobody waits for the purchase any more.
TEST_F(EndingsTest, TheNextLeaderKeepsAServerOfWhichItWasNotToldThatItIsReady) {
  Run(cloud::kKarpenter);
  ForgetThatItWasReady();
  api.claims.begin()->second.ready = false;
  api.Restart();
  api.Advance(seconds(5));
  EXPECT_FALSE(Stopped()) << Scale().status.message;
  ASSERT_FALSE(api.claims.empty()) << Scale().status.message;
  api::CloudServer& claim = api.claims.begin()->second;
  claim.ready = true;
  api.Change(claim);
  api.Advance(seconds(5));
  EXPECT_EQ(Scale().status.phase, ScalePhase::kReady) << Scale().status.message;
  EXPECT_FALSE(Stopped());
  EXPECT_EQ(Told("ServerEnding"), 0);
}

// No status told of the purchase at all.
TEST_F(EndingsTest, TheNextLeaderEndsAPurchaseWhoseServerCameAndWent) {
  Run(cloud::kKarpenter);
  Scale().status = {};
  api.Remove(api.tasks, "ns/t");
  api.Remove(api.pods, "ns/t-1");
  api.Remove(api.nodes, "n1");
  api.claims.clear();
  api.Restart();
  api.Advance(std::chrono::minutes(5));
  EXPECT_EQ(Scale().status.phase, ScalePhase::kReleased) << Scale().status.message;
  EXPECT_TRUE(api.servers.empty());
}

// The status of what must not run twice comes before its pod, and the notice in the same moment.
TEST_F(EndingsTest, NorOneThatWasBoundBeforeItsPodWasCreated) {
  Run("machines");
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kPatchStatus && write.kind == Kind::kTask && write.name == "u";
  };
  api.AddTask("u", {{"retry", {{"lossLimit", 0}}}});
  api.Settle();
  ASSERT_FALSE(api.pods.contains("ns/u-1"));
  machines.servers.front().ending = "spot notice";
  api.Unblock();
  Poll();
  api.Advance(seconds(1));
  EXPECT_FALSE(api.pods.contains("ns/u-1")) << api.pods.at("ns/u-1").node_name;
  EXPECT_THAT(machines.servers, SizeIs(2)) << "a server of its own is bought: " << api.Says("u");
}

TEST_F(EndingsTest, PodsAreStoppedInTimeForTheirGracePeriod) {
  Run("machines");
  api.pods.at("ns/t-1").grace = seconds(50);
  api.SetPod("t-1", PodPhase::kRunning);
  Announce("maintenance", api.now + seconds(121));
  api.Advance(seconds(60));
  EXPECT_FALSE(Stopped());
  api.Advance(seconds(10));
  EXPECT_TRUE(Stopped());
  EXPECT_THAT(machines.released, IsEmpty()) << "it has its time to end";
  EXPECT_EQ((api.tries[{Verb::kDelete, Kind::kPod}]), 1);
}

TEST_F(EndingsTest, AtOnceWhereNothingIsSaidOfTheTime) {
  Run("machines");
  Announce("spot notice");
  EXPECT_TRUE(Stopped());
  EXPECT_THAT(machines.released, IsEmpty());
  End();
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

TEST_F(EndingsTest, ItIsALossAndNoRetryAndTheTaskRunsElsewhere) {
  Run("machines", {{"retry", {{"limit", 0}}}});
  Announce("spot notice");
  End();
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.Status("t").losses, 1);
  ASSERT_THAT(api.Status("t").attempts, SizeIs(1));
  EXPECT_EQ(api.Status("t").attempts[0].reason, "ServerEnding");
  EXPECT_THAT(api.Status("t").attempts[0].message, HasSubstr("spot notice"));
  Poll();
  EXPECT_EQ(api.Phase("t"), "Scaling");
  Poll();
  api.AddNode(machines.servers.back().node_name, "8");
  api.Advance(seconds(1));
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

TEST_F(EndingsTest, AReplacementIsOnlyBoughtIfItIsNeeded) {
  Run("machines");
  api.AddServer("local");
  api.Settle();
  Announce("spot notice");
  End();
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "local");
  EXPECT_THAT(machines.servers, IsEmpty());
}

TEST_F(EndingsTest, ATaskThatEndsInTimeHasEnded) {
  Run("machines");
  Announce("spot notice", api.now + seconds(120));
  End(0);
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_THAT(machines.released, ElementsAre("n1")) << "nobody needs it any more";
}

TEST_F(EndingsTest, OneThatFailsByItselfHasFailed) {
  Run("machines");
  Announce("spot notice", api.now + seconds(120));
  End(1);
  EXPECT_EQ(api.Phase("t"), "Failed");
}

TEST_F(EndingsTest, WhatMayNotBeLostHasTheWholeTimeAndFailsThen) {
  Run("machines", {{"retry", {{"lossLimit", 0}}}});
  Announce("spot notice", api.now + seconds(120));
  EXPECT_FALSE(Stopped());
  api.Advance(seconds(90));
  EXPECT_TRUE(Stopped());
  End();
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
  EXPECT_THAT(api.Status("t").result->message, HasSubstr("spot notice"));
}

TEST_F(EndingsTest, APodThatHasNotStartedIsTakenBackAtOnce) {
  Run("machines");
  api.AddTask("u");
  api.Settle();
  ASSERT_EQ(api.pods.at("ns/u-1").node_name, "n1");
  Announce("spot notice", api.now + seconds(600));
  EXPECT_TRUE(Stopped("u-1"));
  EXPECT_FALSE(Stopped("t-1"));
}

TEST_F(EndingsTest, ThatOneGetsAServerOfItsOwnWhileOthersUseUpTheTime) {
  Run("machines");
  api.AddTask("u");
  api.Settle();
  api.SetPod("u-1", PodPhase::kRunning);
  api.pods.at("ns/t-1").phase = PodPhase::kPending;
  api.Restart();
  Poll();
  Announce("spot notice", api.now + seconds(600));
  ASSERT_TRUE(Stopped("t-1"));
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(1));
  EXPECT_FALSE(Stopped("u-1"));
  EXPECT_THAT(machines.servers, SizeIs(2)) << Scale().status.message;
}

TEST_F(EndingsTest, AServerThatIsDownIsNotWaitedFor) {
  Run("machines");
  Announce("spot notice", api.now + seconds(600));
  api.nodes.at("n1").ready = api::NodeReady::kFalse;
  api.Change(api.nodes.at("n1"));
  api.Advance(seconds(1));
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

TEST_F(EndingsTest, NorOneWhosePodsDoNotEnd) {
  Run("machines");
  Announce("spot notice");
  api.Advance(seconds(80));
  EXPECT_THAT(machines.released, IsEmpty());
  api.Advance(seconds(20));
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

TEST_F(EndingsTest, NorBeyondItsEnd) {
  Run("machines");
  Announce("spot notice", api.now + seconds(40));
  api.Advance(seconds(41));
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

TEST_F(EndingsTest, ADeletedScaleRequestLetsItsTasksEndFirst) {
  Run("machines");
  Scale().finalizers = {api::kLeaseFinalizer};
  api.Change(Scale());
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  EXPECT_TRUE(Stopped());
  EXPECT_THAT(machines.released, IsEmpty());
  End();
  EXPECT_THAT(machines.released, ElementsAre("n1"));
  EXPECT_EQ(api.Status("t").losses, 1);
}

TEST_F(EndingsTest, ATaintOfTheEngineOnTheNodeSaysSoAsWell) {
  Run("machines");
  api.nodes.at("n1").taints.push_back({"machines/leaving", "", "NoSchedule"});
  api.Change(api.nodes.at("n1"));
  api.Settle();
  EXPECT_TRUE(Stopped());
  EXPECT_THAT(Scale().status.message, HasSubstr("node n1 has the taint machines/leaving"));
  End();
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

TEST_F(EndingsTest, TheServerStaysRegisteredUntilItsTasksAreGone) {
  Run("machines");
  const std::string server = api.ServerOf("t");
  Announce("spot notice", api.now + seconds(120));
  ASSERT_TRUE(api.servers.contains(server));
  EXPECT_EQ(api.servers.at(server).status.phase, "NotReady");
  EXPECT_EQ(api::FindCondition(api.servers.at(server).status.conditions, "Ready")->reason,
            "Ending");
  End(0);
  EXPECT_FALSE(api.servers.contains(server));
}

// Karpenter drains what is deleted, but leaves pods that must not be disrupted until its end.
TEST_F(EndingsTest, AClaimThatSomebodyDeletesLetsItsTasksRunUntilKarpenterEndsThem) {
  Run(cloud::kKarpenter);
  api::CloudServer& claim = api.claims.begin()->second;
  claim.deleting = true;
  claim.ends_at = api.now + seconds(600);
  api.Change(claim);
  api.Settle();
  EXPECT_THAT(api.Says("t"), HasSubstr("ends at " + FormatTime(*claim.ends_at)));
  EXPECT_THAT(api.Says("t"), HasSubstr("is being deleted, which Spillway had not asked for"));
  EXPECT_EQ(Told("ServerEnding"), 1);
  EXPECT_FALSE(Stopped());
  EXPECT_EQ(api.releases_asked, 0) << "it is being deleted already";
  // Its drain.
  api::Pod& pod = api.pods.at("ns/t-1");
  pod.disrupted = true;
  pod.meta.deleted = pod.asked_to_end = api.now;
  End();
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.Status("t").losses, 1);
  EXPECT_EQ(api.Status("t").attempts[0].reason, "ServerEnding");
  EXPECT_EQ(api.Phase("t"), "Scaling");
}

TEST_F(EndingsTest, AnEngineThatDrainsIsAskedAtOnce) {
  Run(cloud::kKarpenter);
  Scale().finalizers = {"example.org/kept"};
  api.Change(Scale());
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  EXPECT_EQ(api.releases_asked, 1);
  EXPECT_TRUE(Stopped());
}

// Two led at once: one gave the idle server back while the other bound a task to it.
class TwoLeadersTest : public EndingsTest {
 protected:
  // The server of pool "p" has run t and is being given back; a pod of u appears there.
  void BindToWhatIsGivenBack(const std::string& engine) {
    Run(engine);
    api.SetPod("t-1", PodPhase::kSucceeded);
    api.Settle();
    api::Pod pod = api.pods.at("ns/t-1");
    api.slow_release = true;
    api.Advance(seconds(600));
    ASSERT_EQ(Scale().status.phase, ScalePhase::kReleasing);
    ASSERT_THAT(api.servers, IsEmpty());
    api.AddTask("u");
    pod.meta.name = "u-1", pod.meta.uid = "uid-u-1";
    pod.meta.owners.front().name = "u", pod.meta.owners.front().uid = api.tasks.at("ns/u").meta.uid;
    pod.termination.reset();
    api.pods["ns/u-1"] = pod;
    api.SetPod("u-1", PodPhase::kRunning);
    api.Advance(seconds(1));
  }
};

TEST_F(TwoLeadersTest, TheTaskIsToldAndRunsElsewhereOnce) {
  BindToWhatIsGivenBack(cloud::kKarpenter);
  EXPECT_EQ(Told("ServerEnding"), 1);
  EXPECT_THAT(api.Says("u"), HasSubstr("the server ends: idle for"));
  EXPECT_TRUE(Stopped("u-1"));
  EXPECT_FALSE(api.pods.contains("ns/u-2")) << "not before the first has ended";
  api.Remove(api.pods, "ns/u-1");
  api.Advance(seconds(1));
  EXPECT_EQ(api.Status("u").losses, 1);
  EXPECT_EQ(api.Status("u").attempts[0].reason, "ServerEnding");
  EXPECT_EQ(api.Phase("u"), "Scaling");
  api.ProvideServer("n2");
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods.at("ns/u-2").node_name, "n2");
}

// Nothing holds a ScaleRequest of an engine whose servers the API server knows: it is gone at once.
class DeletedPurchaseTest : public EndingsTest {
 protected:
  void ExpectTold() {
    EXPECT_EQ(Told("ServerEnding"), 1);
    EXPECT_THAT(api.Says("t"), HasSubstr("the server ends: "));
    EXPECT_THAT(api.Says("t"), HasSubstr("is gone, and its server is given back"));
    EXPECT_TRUE(Stopped());
  }
  void ExpectLostOnce() {
    End();
    EXPECT_EQ(api.Status("t").losses, 1);
    EXPECT_EQ(api.Status("t").retries, 0);
    ASSERT_THAT(api.Status("t").attempts, SizeIs(1));
    EXPECT_EQ(api.Status("t").attempts[0].reason, "ServerEnding");
    EXPECT_EQ(api.Phase("t"), "Scaling");
  }
};

TEST_F(DeletedPurchaseTest, ItsTasksAreToldAndRunElsewhere) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  const std::string server = api.ServerOf("t");
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  EXPECT_EQ(api.releases_asked, 1) << "Karpenter drains";
  ExpectTold();
  api.Remove(api.servers, server);  // by garbage collection
  ExpectLostOnce();
}

TEST_F(DeletedPurchaseTest, AlsoWhereItsRegisteredServerIsGoneBeforeThat) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api.Remove(api.servers, api.ServerOf("t"));
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  ExpectTold();
  ExpectLostOnce();
}

TEST_F(DeletedPurchaseTest, AlsoWhereNoOperatorRanMeanwhile) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api.scales.clear();
  api.servers.clear();
  api.Restart();
  Poll();
  api.Advance(seconds(20));
  api.Resume(Kind::kScale);
  api.Advance(seconds(1));
  ExpectTold();
  ExpectLostOnce();
}

TEST_F(DeletedPurchaseTest, NoTaskGoesThereThoughNoneRanThereAndItIsStillRegistered) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Settle();
  ASSERT_EQ(api.Phase("t"), "Succeeded");
  api.DeleteScale(Scale().meta.name);
  api.AddTask("next");
  api.Settle();
  EXPECT_FALSE(api.pods.contains("ns/next-1"));
  EXPECT_EQ(api.releases_asked, 1);
}

TEST_F(DeletedPurchaseTest, NorWhereAnotherPurchaseHasItsNameByNow) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  const api::ScaleRequest deleted = Scale();
  api.DeleteScale(deleted.meta.name);
  api::ScaleRequest another = deleted;
  another.meta.uid = "another";
  another.status = {};
  api.scales[another.meta.name] = another;
  api.Change(api.scales[another.meta.name]);
  api.Settle();
  ExpectTold();
}

TEST_F(DeletedPurchaseTest, NorToAMachineThatItsEngineHadGivenBefore) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Settle();
  api::CloudServer& claim = api.claims.begin()->second;
  api.DeleteScale(Scale().meta.name);
  claim.node_name = "n2";
  api.Change(claim);
  api.AddTask("next");
  api.Settle();
  EXPECT_FALSE(api.pods.contains("ns/next-1"));
}

TEST_F(DeletedPurchaseTest, NorByALeaderThatIsNotSureYetThatItIsGone) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Settle();
  api.claims.begin()->second.node_name = "n2";
  api.scales.clear();
  api.AddTask("next");
  api.Restart();
  api.Settle();
  EXPECT_EQ(api.releases_asked, 1);
  EXPECT_FALSE(api.pods.contains("ns/next-1"));
}

TEST_F(DeletedPurchaseTest, NorIsThatGivenBackByOneWhileTasksRunOnTheMachineBefore) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api.claims.begin()->second.node_name = "n2";
  api.scales.clear();
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(api.releases_asked, 0);
  EXPECT_FALSE(Stopped());
}

TEST_F(DeletedPurchaseTest, ThoseThatRunOnAMachineBeforeAreToldAsWell) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  api::CloudServer& claim = api.claims.begin()->second;
  api.DeleteScale(Scale().meta.name);
  claim.node_name = "n2";
  api.Change(claim);
  api.Settle();
  ExpectTold();
}

TEST_F(DeletedPurchaseTest, WhatIsSeenToGoIsNotAskedBackAgainSinceTheAnswerGotLost) {
  api.slow_release = true;
  Run(cloud::kKarpenter);
  const api::CloudServer claim = api.claims.begin()->second;
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  ASSERT_EQ(api.releases_asked, 1);
  Outcome lost{Verb::kDelete, Kind::kCloudServer, claim.key(), claim.request_uid, {}, {}};
  lost.engine = cloud::kKarpenter;
  lost.error = Error{ErrorKind::kUnavailable, "the request timed out", {}, true};
  api.Push(lost);
  api.Advance(seconds(60));
  EXPECT_EQ(api.releases_asked, 1);
}

TEST_F(DeletedPurchaseTest, WhatNothingDrainsIsGivenBackWhenTheyHaveEnded) {
  Run("machines");
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  ExpectTold();
  EXPECT_THAT(machines.released, IsEmpty());
  End();
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

TEST_F(DeletedPurchaseTest, NorIsItKeptForPodsThatDoNotEnd) {
  Run("machines");
  api.DeleteScale(Scale().meta.name);
  api.Advance(seconds(80));
  EXPECT_THAT(machines.released, IsEmpty());
  api.Advance(seconds(20));
  EXPECT_THAT(machines.released, ElementsAre("n1"));
}

}  // namespace
}  // namespace spillway::core
