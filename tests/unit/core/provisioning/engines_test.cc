// Several engines at once, through the interface that each of them stands behind: one that is
// watched, one that is polled, and Karpenter.
#include "operator/core/provisioning/engines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/runtime/feed.h"
#include "operator/runtime/pod_body.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using cloud::Ensured;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// What both fakes do: servers by their key, made when they are asked for.
class Fake : public cloud::Engine {
 public:
  Result<Ensured> Ensure(const std::string&, const std::string& uid, const api::ServerPool& pool,
                         std::stop_token) override {
    ++asked;
    if (refusal) return Ensured(*refusal);
    api::CloudServer server{"Fake", "same", "fake-" + uid, ns_};
    server.request_uid = uid;
    server.pool = pool.meta.name;
    server.resource_version = ++version;
    servers[server.key()] = server;
    return Ensured(server);
  }
  Result<Unit> Release(const api::CloudServer& server, std::stop_token) override {
    servers.erase(server.key());
    ++released;
    return Unit{};
  }
  cloud::Refusal Diagnose(const api::CloudServer& server, std::stop_token) override {
    return {api::CloudError::kInsufficientCapacity, "no more " + server.engine};
  }

  std::map<std::string, api::CloudServer> servers;
  std::optional<cloud::Refusal> refusal;
  int asked = 0, released = 0;
  int64_t version = 100;

 protected:
  explicit Fake(std::string ns) : ns_(std::move(ns)) {}

 private:
  const std::string ns_;
};

class Machines : public Fake {
 public:
  Machines() : Fake("infra") {}
  api::EngineTraits traits() const override { return {"machines", false, {{"m/keep", "yes"}}}; }
  cloud::Source source() override {
    return cloud::Watch{{"machines.example", "v1", "machines"},
                        "infra",
                        [this](const Json& object, std::stop_token) -> Result<api::CloudServer> {
                          const auto at = servers.find(api::DecodeMeta(object).key());
                          if (at == servers.end()) return Invalid("not ours");
                          return at->second;
                        }};
  }
};

class Leases : public Fake {
 public:
  Leases() : Fake("") {}
  api::EngineTraits traits() const override { return {"leases", true, {{"l/keep", "yes"}}}; }
  cloud::Source source() override {
    return cloud::Poll{seconds(10),
                       [this](std::stop_token) -> Result<std::vector<api::CloudServer>> {
                         std::vector<api::CloudServer> out;
                         for (const auto& [key, server] : servers) out.push_back(server);
                         return out;
                       }};
  }
};

class EnginesTest : public testing::Test {
 protected:
  EnginesTest() {
    api.Restart();
    ListMachines();
    Poll();
  }

  void ListMachines() {
    std::set<std::string> keys;
    for (const auto& [key, server] : machines.servers) keys.insert(key);
    api.Push(Listed{Kind::kCloudServer, ++machines.version, std::move(keys), "machines"});
  }
  // A server for task t; that of leases would do as well.
  void BuyFromMachinesFirst(const std::string& cpu = "1") {
    api.AddPool("m", "8", 10, "machines");
    api.AddPool("l", "8", 0, "leases");
    api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}}}}, cpu);
    api.Settle();
  }
  // Another process leads, and its list of machines is older than the server of the task.
  void LeadWithAnOldList() {
    api.AddPool("m", "8", 0, "machines");
    AddTask("t", "m");
    api.Restart();
    api.Push(Listed{Kind::kCloudServer, 1, {}, "machines"});
    Poll();
  }
  // The watch tells of all machines, as the loop takes it.
  void TellMachines() {
    const cloud::Source source = machines.source();
    const auto feed = runtime::FeedOf(machines, std::get<cloud::Watch>(source), {});
    for (const auto& [key, server] : machines.servers) {
      const Json object{{"metadata", {{"name", server.name}, {"namespace", server.ns}}}};
      api.Push(runtime::Tell(feed, kube::WatchEvent::kUpsert, object).event);
    }
    api.Settle();
  }
  void Poll() {
    const cloud::Source source = leases.source();
    auto events = runtime::AskAll("leases", std::get<cloud::Poll>(source), {});
    for (Event& event : *events) api.Push(std::move(event));
    api.Settle();
  }
  void AddTask(const std::string& name, const std::string& pool) {
    api.AddTask(name, {{"placement", {{"policy", "CloudOnly"}, {"pools", {pool}}}}});
    api.Settle();
  }
  // The only server of the fake has a node that is ready.
  void Provide(Fake& engine, const std::string& node) {
    api.AddNode(node, "8");
    api::CloudServer& server = engine.servers.begin()->second;
    server.node_name = node;
    server.ready = server.launched = true;
    server.resource_version = ++engine.version;
  }
  const api::Condition& Available(const std::string& pool) {
    return *api::FindCondition(api.pools.at(pool).status.conditions, "Available");
  }
  const api::ScaleStatus& ScaleOf(const std::string& pool) {
    for (const auto& [name, scale] : api.scales) {
      if (scale.pool == pool) return scale.status;
    }
    throw std::out_of_range(pool);
  }

  ApiModel api;
  Machines& machines = api.engines.Add(std::make_unique<Machines>());
  Leases& leases = api.engines.Add(std::make_unique<Leases>());
};

TEST_F(EnginesTest, EachPoolIsServedByItsOwnAndTasksRunOnBoth) {
  api.AddPool("m", "8", 0, "machines");
  api.AddPool("l", "8", 0, "leases");
  AddTask("on-machine", "m");
  AddTask("on-lease", "l");
  EXPECT_EQ(machines.asked, 1);
  EXPECT_EQ(leases.asked, 1);
  EXPECT_EQ(api.claims_made, 0) << "nobody asks Karpenter";
  Provide(machines, "node-m");
  Provide(leases, "node-l");
  TellMachines();
  Poll();
  api.Advance(seconds(1));
  ASSERT_THAT(api.pods, SizeIs(2));
  EXPECT_EQ(api.pods.at("ns/on-machine-1").node_name, "node-m");
  EXPECT_EQ(api.pods.at("ns/on-lease-1").node_name, "node-l");
  EXPECT_EQ(ScaleOf("m").backend_engine, "machines");
  EXPECT_EQ(ScaleOf("m").backend_ns, "infra");
  EXPECT_EQ(ScaleOf("l").backend_engine, "leases");
}

TEST_F(EnginesTest, APodCarriesWhatTheEngineOfItsServerWants) {
  api::StringMap annotations;
  api.mutate = [&](Json& pod) { annotations = api::GetStringMap(pod["metadata"], "annotations"); };
  api.AddPool("m", "8", 0, "machines");
  AddTask("t", "m");
  Provide(machines, "node-m");
  TellMachines();
  api.Advance(seconds(1));
  EXPECT_THAT(annotations, ElementsAre(std::pair("m/keep", "yes")));
  api.AddServer("local");
  api.AddTask("local");
  api.Settle();
  EXPECT_THAT(annotations, IsEmpty());
}

TEST_F(EnginesTest, AListOfOneEngineSaysNothingOfWhatAnotherHasUnderTheSameName) {
  api.AddPool("m", "8", 0, "machines");
  api.AddPool("l", "8", 0, "leases");
  AddTask("on-machine", "m");
  AddTask("on-lease", "l");
  leases.servers.clear();
  Poll();
  api.Settle();
  EXPECT_EQ(ScaleOf("l").error, api::CloudError::kInsufficientCapacity);
  EXPECT_EQ(ScaleOf("l").message, "no more leases");
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kProvisioning);
  api.Push(Gone{Kind::kCloudServer, "infra/same", "", ++machines.version, "machines"});
  api.Settle();
  EXPECT_EQ(ScaleOf("m").error, api::CloudError::kInsufficientCapacity);
}

TEST_F(EnginesTest, AnIdleServerIsGivenBackToItsOwn) {
  api.AddPool("l", "8", 0, "leases");
  AddTask("t", "l");
  Provide(leases, "node-l");
  Poll();
  api.Advance(seconds(1));
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(400));
  EXPECT_GE(leases.released, 1);
  EXPECT_EQ(machines.released, 0);
  api.Remove(api.nodes, "node-l");
  Poll();
  api.Advance(seconds(1));
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kReleased);
}

TEST_F(EnginesTest, APoolOfAnUnknownEngineSaysSoAndIsNeverBoughtFrom) {
  api.AddPool("p", "8", 0, "moonbase");
  api.pools.at("p").spec.min_servers = 1;
  api.Change(api.pools.at("p"));
  AddTask("t", "p");
  api.Advance(seconds(60));
  EXPECT_THAT(api.scales, IsEmpty());
  EXPECT_EQ(Available("p").status, "False");
  EXPECT_EQ(Available("p").reason, "UnknownEngine");
  EXPECT_THAT(Available("p").message.str(),
              HasSubstr("engine moonbase, which this version of the operator does not have; it "
                        "has: karpenter, leases, machines. Name one of these"));
  const auto* stalled = api::FindCondition(api.pools.at("p").status.conditions, "Stalled");
  EXPECT_EQ(stalled->status, "True");
  EXPECT_THAT(api.Status("t").explanation->summary, HasSubstr("no such engine"));
}

TEST_F(EnginesTest, APoolWithoutOneEngineSaysSo) {
  api.AddPool("p", "8", 0, "");
  api.Settle();
  EXPECT_THAT(Available("p").message.str(), HasSubstr("does not name exactly one engine"));
}

TEST_F(EnginesTest, OneThatIsPolledAndSilentHoldsNothingButItsOwnPools) {
  ApiModel other;
  Leases& silent = other.engines.Add(std::make_unique<Leases>());
  other.Restart();
  other.AddPool("l", "8", 0, "leases");
  other.AddServer("s");
  other.AddTask("local");
  other.AddTask("bought", {{"placement", {{"policy", "CloudOnly"}}}});
  other.Advance(seconds(5));
  EXPECT_EQ(other.ServerOf("local"), "s");
  EXPECT_EQ(silent.asked, 0);
  const auto* available = api::FindCondition(other.pools.at("l").status.conditions, "Available");
  EXPECT_EQ(available->reason, "EngineSilent");
  other.Push(Listed{Kind::kCloudServer, 1, {}, "leases"});
  other.Settle();
  EXPECT_EQ(silent.asked, 1);
}

TEST_F(EnginesTest, OneThatIsWatchedIsWaitedFor) {
  api.Restart();
  api.AddServer("s");
  api.AddTask("t");
  api.Settle();
  EXPECT_THAT(api.pods, IsEmpty());
  ListMachines();
  api.Settle();
  EXPECT_THAT(api.pods, SizeIs(1));
}

TEST_F(EnginesTest, OneThatIsWatchedAndCannotBeListedHoldsOnlyItsOwnPoolsAfterAWhile) {
  api.Restart();
  api.AddPool("m", "8", 0, "machines");
  api.AddServer("s");
  api.AddTask("local");
  api.AddTask("bought", {{"placement", {{"policy", "CloudOnly"}, {"pools", {"m"}}}}});
  api.Push(Behind{Kind::kCloudServer, "machines"});
  api.Advance(kFresh - seconds(5));
  EXPECT_THAT(api.pods, IsEmpty()) << "it may still be heard of";
  api.Advance(seconds(10));
  EXPECT_EQ(api.ServerOf("local"), "s");
  EXPECT_EQ(machines.asked, 0);
  EXPECT_EQ(Available("m").reason, "EngineSilent");
  ListMachines();
  api.Settle();
  EXPECT_EQ(machines.asked, 1);
}

TEST_F(EnginesTest, OneThatIsWatchedAndWhoseListsBreakOffIsNotWaitedForWithoutEnd) {
  AddTask("t", "m");
  api.AddPool("m", "8", 0, "machines");
  api.Settle();
  api::CloudServer server = machines.servers.begin()->second;
  server.engine = "machines";
  api.Restart();
  api.AddServer("s");
  api.AddTask("local");
  for (int i = 0; i < 8; ++i) {
    api.Push(Behind{Kind::kCloudServer, "machines"});
    api.Push(Seen{server, true});
    api.Advance(seconds(15));
  }
  EXPECT_EQ(api.ServerOf("local"), "s");
}

TEST_F(EnginesTest, AServerThatIsFullIsNotPromisedWhileItsEngineCannotBeListed) {
  BuyFromMachinesFirst("7");
  Provide(machines, "n");
  TellMachines();
  api.Advance(seconds(5));
  ASSERT_TRUE(api.pods.contains("ns/t-1")) << api.Says("t");
  api.Restart();
  Poll();
  api.Push(Behind{Kind::kCloudServer, "machines"});
  api.Advance(kFresh + seconds(10));
  api.AddTask("u", {{"placement", {{"policy", "CloudOnly"}}}}, "7");
  api.Advance(seconds(10));
  EXPECT_EQ(leases.asked, 1) << api.Says("u");
}

TEST_F(EnginesTest, AfterARestartAPurchaseWhoseEngineCannotBeListedIsKeptAndMadeOnce) {
  api.AddPool("m", "8", 0, "machines");
  AddTask("t", "m");
  ASSERT_EQ(machines.asked, 1);
  TellMachines();
  api.Restart();
  Poll();
  api.Push(Behind{Kind::kCloudServer, "machines"});
  api.Advance(kFresh + seconds(60));
  EXPECT_EQ(machines.asked, 1);
  EXPECT_THAT(machines.servers, SizeIs(1));
  EXPECT_THAT(api.scales, SizeIs(1));
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kProvisioning);
  Provide(machines, "n");
  TellMachines();
  ListMachines();
  api.Settle();
  EXPECT_EQ(machines.asked, 1);
  EXPECT_EQ(machines.released, 0);
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kReady);
}

TEST_F(EnginesTest, ToHearOfOneThatIsPolledSaysNothingOfTheApiServer) {
  api.silent = true;
  const Time before = api.world().news;
  for (int i = 0; i < 10; ++i) {
    api.now += seconds(5);
    Poll();
  }
  EXPECT_EQ(api.world().news, before);
}

TEST_F(EnginesTest, ARefusalIsTakenInTheEnginesOwnWordsAndTheNextPoolIsAsked) {
  api.AddPool("l", "8", 2, "leases");
  api.AddPool("m", "8", 1, "machines");
  leases.refusal = cloud::Refusal{api::CloudError::kQuotaExceeded, "4 of 4 leases used"};
  api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}}}});
  api.Settle();
  EXPECT_EQ(ScaleOf("l").error, api::CloudError::kQuotaExceeded);
  EXPECT_EQ(ScaleOf("l").message, "4 of 4 leases used");
  EXPECT_EQ(machines.asked, 1);
}

TEST_F(EnginesTest, AServerThatItsEngineCallsFailedIsGivenBackAndThePurchaseFails) {
  api.AddPool("l", "8", 0, "leases");
  AddTask("t", "l");
  api::CloudServer& server = leases.servers.begin()->second;
  server.error = api::CloudError::kInsufficientCapacity;
  server.message = "zone b is full";
  Poll();
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kFailed);
  EXPECT_EQ(ScaleOf("l").message, "zone b is full");
  EXPECT_EQ(leases.released, 1);
}

TEST_F(EnginesTest, APurchaseOfAnEngineThatIsNoLongerThereIsLeftAlone) {
  api.AddPool("l", "8", 0, "leases");
  AddTask("t", "l");
  Provide(leases, "node-l");
  Poll();
  api.Advance(seconds(1));
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Settle();
  api.engines = {};
  api.Restart();
  api.Advance(seconds(120));
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kReady);
  EXPECT_THAT(ScaleOf("l").message, HasSubstr("does not have its engine leases"));
  EXPECT_EQ(api.Phase("t"), "Running");
}

// The list was begun before the lease was made, and comes after the word of who has made it.
TEST_F(EnginesTest, WhatAnotherLeaderHasBoughtIsNotGoneByAListThatMayBeOlder) {
  api.AddPool("l", "8", 0, "leases");
  AddTask("t", "l");
  api.Restart();
  ListMachines();
  const auto made = std::exchange(leases.servers, {});
  Poll();
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kProvisioning);
  leases.servers = made;
  Poll();
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kProvisioning);
  EXPECT_EQ(leases.released, 0);
  leases.servers.clear();
  Poll();
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kFailed) << "it was seen, and is gone";
}

TEST_F(EnginesTest, WhatAnotherLeaderHasBoughtIsGoneByLaterLists) {
  api.AddPool("l", "8", 0, "leases");
  AddTask("t", "l");
  api.Restart();
  ListMachines();
  leases.servers.clear();
  Poll();
  api.Advance(seconds(11));
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kProvisioning) << "that list may be old";
  Poll();
  EXPECT_EQ(ScaleOf("l").phase, api::ScalePhase::kFailed);
}

TEST_F(EnginesTest, WhatAnotherLeaderHasBoughtIsNotGoneByAWatchThatIsBehind) {
  LeadWithAnOldList();
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kProvisioning);
  api.Push(Bookmark{Kind::kCloudServer, 1'000'000, "machines"});
  api.Settle();
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kFailed);
}

TEST_F(EnginesTest, NorByOneThatHasSaidNothingSince) {
  LeadWithAnOldList();
  api.Advance(seconds(140));
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kProvisioning) << "others are heard of alone";
  api.Push(Bookmark{Kind::kCloudServer, 2, "machines"});
  api.Settle();
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kProvisioning) << "more of what it missed comes";
  api.Advance(seconds(20));
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kFailed);
}

// Once its server would have come, another is bought, though nothing is seen of that.
TEST_F(EnginesTest, AfterARestartATaskWaitsNoLongerForAnEngineThatCannotBeListed) {
  BuyFromMachinesFirst();
  ASSERT_EQ(ScaleOf("m").phase, api::ScalePhase::kProvisioning);
  api.Advance(seconds(600));
  api.Restart();
  Poll();
  api.Push(Behind{Kind::kCloudServer, "machines"});
  api.Advance(seconds(290));
  EXPECT_EQ(leases.asked, 0);
  api.Advance(seconds(30));
  EXPECT_EQ(leases.asked, 1) << api.Says("t");
}

TEST_F(EnginesTest, NorIsAPurchaseThatWasWithdrawnWhileThatWasAskedKeptForIt) {
  api.AddPool("m", "8", 0, "machines");
  AddTask("t", "m");
  api::ScaleStatus& told = api.scales.begin()->second.status;
  told.phase = api::ScalePhase::kReleasing;
  told.backend_name.clear();
  api.tasks.clear();
  api.Restart();
  Poll();
  api.Push(Behind{Kind::kCloudServer, "machines"});
  api.Advance(seconds(890));
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kReleasing);
  api.Advance(seconds(20));
  EXPECT_EQ(ScaleOf("m").phase, api::ScalePhase::kReleased);
}

TEST_F(EnginesTest, NorForOneThatIsSilentSinceItsFirstList) {
  BuyFromMachinesFirst();
  api.Restart();
  api.Push(Listed{Kind::kCloudServer, 1, {}, "machines"});
  Poll();
  api.Push(Behind{Kind::kCloudServer, "machines"});
  api.Advance(seconds(880));
  EXPECT_EQ(leases.asked, 0);
  api.Advance(seconds(40));
  EXPECT_EQ(leases.asked, 1) << api.Says("t");
}

TEST_F(EnginesTest, WhatAnotherEngineHasForTheRequestIsGivenBack) {
  api.AddPool("m", "8", 0, "machines");
  AddTask("t", "m");
  api::CloudServer stray = machines.servers.begin()->second;
  stray.ns.clear();
  leases.servers[stray.key()] = stray;
  Poll();
  EXPECT_EQ(leases.released, 1);
  EXPECT_EQ(machines.released, 0);
}

}  // namespace
}  // namespace spillway::core
