// An engine outside of the API server, whose machines' Nodes join by themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/runtime/feed.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::ScalePhase;
using cloud::Ensured;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// Leases by the uid of their ScaleRequest.
class Service : public cloud::Engine {
 public:
  api::EngineTraits traits() const override {
    api::EngineTraits out{"service", true};
    out.external = out.bare_nodes = true;
    return out;
  }
  cloud::Source source() override {
    return cloud::Poll{seconds(1),
                       [this](std::stop_token) -> Result<std::vector<api::CloudServer>> {
                         std::vector<api::CloudServer> out;
                         for (const auto& [key, server] : leases) out.push_back(server);
                         return out;
                       }};
  }
  Result<Ensured> Ensure(const std::string&, const std::string& uid, const api::ServerPool& pool,
                         std::stop_token) override {
    ++asked;
    asked_of = pool.spec.backend;
    if (refusal) return Ensured(*refusal);
    api::CloudServer server{"Lease", uid, uid};
    server.request_uid = uid;
    server.launched = true;
    leases[uid] = server;
    return Ensured(server);
  }
  Result<Unit> Release(const api::CloudServer& server, std::stop_token) override {
    released.push_back(server.request_uid);
    if (release_error) return *release_error;
    leases.erase(server.request_uid);
    return Unit{};
  }
  cloud::Refusal Diagnose(const api::CloudServer&, std::stop_token) override {
    return {api::CloudError::kInsufficientCapacity, "gone"};
  }

  std::map<std::string, api::CloudServer> leases;
  std::optional<cloud::Refusal> refusal;
  std::optional<Error> release_error;
  std::vector<std::string> released;
  Json asked_of;
  int asked = 0;
};

class ExternalTest : public testing::Test {
 protected:
  ExternalTest() {
    Restart();
    api.AddPool("p", "8", 0, "service");
    api.pools.at("p").spec.backend = {{"endpoint", "https://a"}};
    api.pools.at("p").spec.labels = {{"disk", "ssd"}};
    api.pools.at("p").spec.taints = {{"fast", "yes", "NoSchedule"}};
    api.Change(api.pools.at("p"));
    api.Settle();
  }

  void Restart() {
    api.Restart();
    Poll();
  }
  void Poll() {
    const cloud::Source source = service.source();
    auto events = runtime::AskAll("service", std::get<cloud::Poll>(source), {});
    for (Event& event : *events) api.Push(std::move(event));
    api.Settle();
  }
  void Buy(const std::string& task = "t") {
    api.AddTask(
        task,
        {{"placement", {{"policy", "CloudOnly"}}},
         {"template",
          {{"spec",
            {{"tolerations", {{{"operator", "Exists"}}}},
             {"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", "1"}}}}}}}}}}}}});
    api.Settle();
  }
  // The machine of the only lease runs.
  void Run(const std::string& node = "n") {
    api::CloudServer& server = service.leases.begin()->second;
    server.ready = true;
    server.node_name = node;
    server.provider_id = "x://" + node;
    Poll();
  }
  void Join(const std::string& name = "n", const std::string& provider_id = "x://n") {
    api.AddNode(name, "8");
    api.nodes.at(name).provider_id = provider_id;
    api.Change(api.nodes.at(name));
    api.Settle();
  }
  api::ScaleRequest& Scale() { return api.scales.begin()->second; }
  const api::ScaleStatus& Status() { return Scale().status; }

  ApiModel api;
  Service& service = api.engines.Add(std::make_unique<Service>());
};

TEST_F(ExternalTest, APurchaseIsHeldByAFinalizerAndSaysWhereItWasMade) {
  Buy();
  EXPECT_THAT(Scale().finalizers, ElementsAre(api::kLeaseFinalizer));
  EXPECT_EQ(Scale().engine, "service");
  EXPECT_EQ(Scale().backend["endpoint"], "https://a");
}

TEST_F(ExternalTest, APurchaseInsideTheClusterIsNot) {
  api.Remove(api.pools, "p");
  api.AddPool("k");
  Buy();
  EXPECT_THAT(Scale().finalizers, IsEmpty());
  EXPECT_TRUE(Scale().engine.empty());
}

TEST_F(ExternalTest, ItIsAskedWhereItWasBoughtThoughThePoolHasMovedOn) {
  service.refusal = cloud::Refusal{api::CloudError::kTransient, "busy"};
  Buy();
  api.pools.at("p").spec.backend = {{"endpoint", "https://b"}};
  api.Change(api.pools.at("p"));
  api.Advance(seconds(5));
  EXPECT_GT(service.asked, 1);
  EXPECT_EQ(service.asked_of["endpoint"], "https://a");
}

TEST_F(ExternalTest, TheFinalizerGoesWhenTheServerWasGivenBack) {
  Buy();
  Run();
  Join();
  api.Advance(seconds(1));
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(330));
  EXPECT_THAT(service.released, SizeIs(1));
  EXPECT_THAT(Scale().finalizers, SizeIs(1)) << "the lease is still listed";
  Poll();
  api.Advance(seconds(1));
  EXPECT_EQ(Status().phase, ScalePhase::kReleased);
  EXPECT_THAT(Scale().finalizers, IsEmpty());
  EXPECT_EQ((api.tries[{Verb::kPatch, Kind::kScale}]), 1);
}

TEST_F(ExternalTest, ADeletedScaleRequestGivesItsServerBackAndGoes) {
  Buy();
  Run();
  Join();
  api.Advance(seconds(1));
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  EXPECT_THAT(service.released, SizeIs(1));
  EXPECT_THAT(api.scales, SizeIs(1));
  const std::string name = Scale().meta.name;
  Poll();
  api.Advance(seconds(1));
  EXPECT_FALSE(api.scales.contains(name));
}

TEST_F(ExternalTest, OfOneThatNothingIsSeenOfTheEngineIsAskedBeforeTheFinalizerGoes) {
  service.refusal = cloud::Refusal{api::CloudError::kTransient, "no answer"};
  Buy();
  const std::string uid = Scale().meta.uid, name = Scale().meta.name;
  service.release_error = Error{ErrorKind::kInvalid, "no answer either"};
  api.DeleteScale(name);
  api.Settle();
  EXPECT_THAT(service.released, ElementsAre(uid));
  EXPECT_TRUE(api.scales.contains(name)) << "it may have been bought";
  service.release_error.reset();
  api.Advance(seconds(5));
  EXPECT_FALSE(api.scales.contains(name));
}

TEST_F(ExternalTest, NothingIsGivenUpWhileTheEngineHasNotSaidWhatItHas) {
  Buy();
  const std::string name = Scale().meta.name, uid = Scale().meta.uid;
  api.Restart();
  api.DeleteScale(name);
  api.Advance(seconds(60));
  EXPECT_TRUE(api.scales.contains(name));
  Poll();
  Poll();
  api.Advance(seconds(1));
  EXPECT_FALSE(api.scales.contains(name));
  EXPECT_FALSE(service.leases.contains(uid));
}

TEST_F(ExternalTest, AFailedPurchaseIsGivenBackAsWell) {
  service.refusal = cloud::Refusal{api::CloudError::kInvalidRequest, "no such offer"};
  Buy();
  EXPECT_EQ(Status().phase, ScalePhase::kFailed);
  EXPECT_THAT(service.released, SizeIs(1));
  EXPECT_THAT(Scale().finalizers, IsEmpty());
  Restart();
  api.Advance(seconds(60));
  EXPECT_THAT(service.released, SizeIs(1)) << "once";
}

TEST_F(ExternalTest, AMachineThatRunsWaitsForItsNode) {
  Buy();
  Run();
  EXPECT_EQ(Status().phase, ScalePhase::kProvisioning);
  EXPECT_EQ(Status().message, "its machine runs; waiting for Node n");
  Join("n", "x://other");
  EXPECT_THAT(Status().message, HasSubstr("\"x://other\", and not \"x://n\""));
  api.nodes.at("n").provider_id = "x://n";
  api.nodes.at("n").ready = api::NodeReady::kFalse;
  api.nodes.at("n").ready_message = "cni plugin not initialized";
  api.Change(api.nodes.at("n"));
  api.Settle();
  EXPECT_EQ(Status().message, "waiting for Node n to be ready: cni plugin not initialized");
  EXPECT_THAT(api.servers, IsEmpty());
  api.nodes.at("n").ready = api::NodeReady::kTrue;
  api.Change(api.nodes.at("n"));
  api.Advance(seconds(1));
  EXPECT_EQ(Status().phase, ScalePhase::kReady);
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "n");
}

TEST_F(ExternalTest, AMachineWhoseNodeNeverJoinsTimesOutAndIsGivenBack) {
  Buy();
  Run();
  api.Advance(seconds(901));
  const api::ScaleStatus& status = Status();
  EXPECT_EQ(status.phase, ScalePhase::kFailed);
  EXPECT_EQ(status.error, api::CloudError::kProvisionTimeout);
  EXPECT_THAT(status.message, HasSubstr("last: its machine runs; waiting for Node n"));
  EXPECT_THAT(service.released, SizeIs(1));
}

TEST_F(ExternalTest, ANodeOfAnotherServerIsNotTaken) {
  api.AddServer("n");
  api.nodes.at("n").provider_id = "x://n";
  api.Change(api.nodes.at("n"));
  Buy();
  Run();
  EXPECT_THAT(Status().message, HasSubstr("is registered as n already"));
}

TEST_F(ExternalTest, ANodeGetsTheLabelsAndTaintsThatItLacksBeforeItsFirstTask) {
  bool first = true;
  api.refuse = [&](const Write& write) -> std::optional<Error> {
    if (write.kind == Kind::kServer && write.verb == Verb::kCreate && std::exchange(first, false)) {
      EXPECT_EQ(api.nodes.at("n").meta.labels.at("disk"), "ssd");
      EXPECT_THAT(api.nodes.at("n").taints, SizeIs(3));
    }
    return std::nullopt;
  };
  Buy();
  Run();
  api.AddNode("n", "8");
  api.nodes.at("n").provider_id = "x://n";
  api.nodes.at("n").taints = {{"node.cloudprovider/other", "", "PreferNoSchedule"}};
  api.Change(api.nodes.at("n"));
  api.Advance(seconds(1));
  EXPECT_FALSE(first);
  EXPECT_EQ(api.nodes.at("n").meta.labels.at("spillway.dev/pool"), "p");
  EXPECT_EQ((api.tries[{Verb::kPatch, Kind::kNode}]), 1);
  EXPECT_EQ(Status().phase, ScalePhase::kReady);
}

TEST_F(ExternalTest, ANodeThatLacksNothingIsNotWrittenTo) {
  Buy();
  Run();
  api.AddNode("n", "8");
  api::Node& node = api.nodes.at("n");
  node.provider_id = "x://n";
  node.meta.labels = {{"spillway.dev/pool", "p"}, {"disk", "ssd"}};
  node.taints = {{"spillway.dev/pool", "p", "NoSchedule"}, {"fast", "yes", "NoSchedule"}};
  api.Change(node);
  api.Advance(seconds(1));
  EXPECT_EQ((api.tries[{Verb::kPatch, Kind::kNode}]), 0);
  EXPECT_EQ(Status().phase, ScalePhase::kReady);
}

TEST_F(ExternalTest, ANodeThatMayNotBeWrittenToIsTriedAgainAndSaysSo) {
  api.refuse = Denies(Verb::kPatch, Kind::kNode, Error{ErrorKind::kForbidden, "nodes: no"});
  Buy();
  Run();
  Join();
  api.Advance(seconds(10));
  EXPECT_GT((api.tries[{Verb::kPatch, Kind::kNode}]), 2);
  EXPECT_THAT(api.servers, IsEmpty());
  EXPECT_THAT(api.notes, Contains(testing::Field(&Note::reason, "NodeRefused")));
  api.refuse = nullptr;
  api.Advance(seconds(20));
  EXPECT_EQ(Status().phase, ScalePhase::kReady);
}

TEST_F(ExternalTest, TheNodeThatItsServerLeftBehindIsDeleted) {
  Buy();
  Run();
  Join();
  api.Advance(seconds(1));
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(400));
  EXPECT_THAT(api.nodes, SizeIs(1));
  Poll();
  api.Advance(seconds(1));
  EXPECT_THAT(api.nodes, IsEmpty());
  EXPECT_EQ(Status().phase, ScalePhase::kReleased);
}

TEST_F(ExternalTest, ANodeThatJoinsOnceMoreIsDeletedOnceMore) {
  Buy();
  Run();
  Join();
  api.Advance(seconds(1));
  api.refuse = Denies(Verb::kDelete, Kind::kNode, Error{ErrorKind::kNotFound, "just gone"});
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  Poll();
  EXPECT_THAT(api.nodes, SizeIs(1));
  api.refuse = nullptr;
  api.Remove(api.nodes, "n");
  Join();
  api.Advance(seconds(1));
  EXPECT_THAT(api.nodes, IsEmpty());
}

TEST_F(ExternalTest, ANodeThatIsRegisteredAsAnotherServerIsNotDeleted) {
  Buy();
  Run();
  api.Advance(seconds(890));
  api.AddServer("n");
  api.nodes.at("n").provider_id = "x://n";
  api.Change(api.nodes.at("n"));
  api.Advance(seconds(60));
  Poll();
  EXPECT_EQ(Status().phase, ScalePhase::kFailed);
  EXPECT_TRUE(api.nodes.contains("n"));
  EXPECT_EQ((api.tries[{Verb::kDelete, Kind::kNode}]), 0);
  EXPECT_THAT(Scale().finalizers, IsEmpty());
}

TEST_F(ExternalTest, NorIsOneThatWasNeverMadeThePools) {
  Buy();
  Run();
  api.Advance(seconds(901));
  ASSERT_EQ(Status().phase, ScalePhase::kFailed);
  Join();
  api.Advance(seconds(60));
  EXPECT_TRUE(api.nodes.contains("n"));
}

TEST_F(ExternalTest, ANodeThatIsAnotherMachinesByNowStays) {
  Buy();
  Run();
  Join();
  api.Advance(seconds(1));
  api.nodes.at("n").provider_id = "x://next";
  api.Change(api.nodes.at("n"));
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  Poll();
  api.Advance(seconds(1));
  EXPECT_THAT(api.nodes, SizeIs(1));
}

TEST_F(ExternalTest, TheEngineIsAskedAgainNotBeforeItsTime) {
  service.refusal = cloud::Refusal{api::CloudError::kTransient, "slow down", seconds(30)};
  Buy();
  api.Advance(seconds(29));
  EXPECT_EQ(service.asked, 1);
  api.Advance(seconds(2));
  EXPECT_EQ(service.asked, 2);
}

TEST_F(ExternalTest, ThePoolIsHeldForAsLongAsTheEngineSays) {
  service.refusal = cloud::Refusal{api::CloudError::kInsufficientCapacity, "full", seconds(300)};
  Buy();
  api.Advance(seconds(290));
  EXPECT_EQ(service.asked, 1);
  api.Advance(seconds(20));
  EXPECT_EQ(service.asked, 2);
}

TEST_F(ExternalTest, AnAnswerThatComesLateDoesNotOpenAWithdrawnPurchaseAgain) {
  service.refusal = cloud::Refusal{api::CloudError::kTransient, "busy"};
  Buy();
  Scale();
  api.Remove(api.tasks, "ns/t");
  api.Settle();
  api.Push(Outcome{Verb::kCreate,
                   Kind::kCloudServer,
                   "",
                   Scale().meta.uid,
                   Error{ErrorKind::kInvalid, "busy"},
                   {},
                   "service",
                   api::CloudError::kTransient});
  api.Settle();
  api.Advance(seconds(10));
  EXPECT_EQ(Status().phase, ScalePhase::kReleased);
  EXPECT_EQ(service.asked, 1);
}

TEST_F(ExternalTest, AForgottenServerIsAskedBackOnceThoughItIsToldOfAgainAndAgain) {
  api::CloudServer stray{"Lease", "nobody", "nobody"};
  stray.request_uid = "nobody";
  service.leases["nobody"] = stray;
  service.release_error = Error{ErrorKind::kInvalid, "later"};
  Poll();
  EXPECT_THAT(service.released, SizeIs(1));
  for (int i = 0; i < 10; ++i) {
    api.Advance(seconds(1));
    Poll();
  }
  EXPECT_THAT(service.released, SizeIs(1));
  service.release_error.reset();
  api.Advance(seconds(30));
  EXPECT_THAT(service.leases, IsEmpty());
}

// As an autoscaler: inside the cluster, and it takes the Node away when it likes.
class Autoscaler : public Service {
 public:
  api::EngineTraits traits() const override {
    api::EngineTraits out{"service", true};
    out.bare_nodes = out.removes_nodes = true;
    return out;
  }
};

class AutoscalerTest : public ExternalTest {
 protected:
  AutoscalerTest() {
    scaler = &api.engines.Add(std::make_unique<Autoscaler>());
    api.Restart();
    Look();
  }
  void Look() {
    const cloud::Source source = scaler->source();
    auto events = runtime::AskAll("service", std::get<cloud::Poll>(source), {});
    for (Event& event : *events) api.Push(std::move(event));
    api.Settle();
  }
  static void Serve(api::CloudServer& server, const std::string& provider_id) {
    server.ready = true;
    server.node_name = "n";
    server.provider_id = provider_id;
  }
  // Bought, used, and given back, but for the Node.
  void LeaveNode(const std::string& provider_id = "x://n") {
    Buy();
    Serve(scaler->leases.begin()->second, provider_id);
    Look();
    Join("n", provider_id);
    api.Advance(seconds(1));
    api.SetPod("t-1", api::PodPhase::kSucceeded);
    api.Advance(seconds(330));
    Look();
    api.Advance(seconds(1));
  }

  Autoscaler* scaler = nullptr;
};

TEST_F(AutoscalerTest, TheNodeIsLeftToTheEngineAndThePurchaseSaysWhatItWaitsFor) {
  LeaveNode();
  EXPECT_THAT(scaler->released, SizeIs(1));
  EXPECT_TRUE(api.nodes.contains("n"));
  EXPECT_EQ(Status().phase, ScalePhase::kReleasing);
  EXPECT_THAT(Status().message, HasSubstr("waiting for its engine to take node n away"));
  api.Advance(seconds(600));
  EXPECT_TRUE(api.nodes.contains("n"));
  EXPECT_EQ(Status().phase, ScalePhase::kReleasing);
  api.Remove(api.nodes, "n");
  api.Advance(seconds(1));
  EXPECT_EQ(Status().phase, ScalePhase::kReleased);
  EXPECT_THAT(Status().message, HasSubstr("given back: idle for"));
  EXPECT_THAT(Status().message, Not(HasSubstr("waiting for")));
}

TEST_F(AutoscalerTest, ANodeWithoutAProviderIDIsWaitedForAsWell) {
  LeaveNode("");
  EXPECT_EQ(Status().phase, ScalePhase::kReleasing);
  EXPECT_TRUE(api.nodes.contains("n"));
}

TEST_F(AutoscalerTest, TheNextPurchaseThatGetsTheNodeEndsTheOneThatLeftIt) {
  LeaveNode();
  const std::string first = Scale().meta.name;
  Buy("next");
  ASSERT_THAT(scaler->leases, SizeIs(1));
  Serve(scaler->leases.begin()->second, "x://n");
  Look();
  api.Advance(seconds(1));
  EXPECT_EQ(api.scales.at(first).status.phase, ScalePhase::kReleased);
  EXPECT_EQ(api.pods.at("ns/next-1").node_name, "n");
}

TEST_F(AutoscalerTest, ANodeThatIsRegisteredByHandIsNotWaitedFor) {
  Buy();
  api.AddServer("n");
  api.nodes.at("n").provider_id = "x://n";
  api.Change(api.nodes.at("n"));
  Serve(scaler->leases.begin()->second, "x://n");
  Look();
  EXPECT_THAT(Status().message, HasSubstr("is registered as n already"));
  api.DeleteScale(Scale().meta.name);
  api.Settle();
  Look();
  api.Advance(seconds(1));
  EXPECT_TRUE(api.nodes.contains("n"));
  for (const auto& [name, scale] : api.scales)
    EXPECT_NE(scale.status.phase, ScalePhase::kReleasing) << name;
}

TEST_F(AutoscalerTest, NorIsOneThatWasNeverMadeThePools) {
  Buy();
  Serve(scaler->leases.begin()->second, "x://n");
  Join();
  api.nodes.at("n").ready = api::NodeReady::kFalse;
  api.Change(api.nodes.at("n"));
  Look();
  EXPECT_EQ(Status().phase, ScalePhase::kProvisioning);
  api.Remove(api.tasks, "ns/t");
  api.Settle();
  Look();
  api.Advance(seconds(1));
  EXPECT_EQ(Status().phase, ScalePhase::kReleased) << Status().message;
}

TEST_F(AutoscalerTest, ANodeThatIsLeftTakesUpNoPlaceInItsPool) {
  api.pools.at("p").spec.max_servers = 1;
  api.Change(api.pools.at("p"));
  LeaveNode();
  Buy("next");
  EXPECT_THAT(scaler->leases, SizeIs(1)) << "it may be had again";
}

}  // namespace
}  // namespace spillway::core
