#include "operator/cloud/cluster_api.h"

#include <gtest/gtest.h>

#include <deque>

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;

api::ServerPool MachinePool() {
  return *api::DecodeServerPool(Json::parse(R"({"metadata":{"name":"spot"},"spec":{
    "template":{"resources":{"cpu":"2","memory":"4Gi"},"labels":{"disk":"ssd"}},
    "backend":{"clusterAPI":{"namespace":"infra","clusterName":"prod","version":"v1.36.3",
      "infrastructureRef":{"apiGroup":"g","kind":"KTemplate","name":"small"},
      "bootstrap":{"dataSecretName":"join"}}}}})"));
}

Json SetOf(const std::string& uid) {
  Json set = MachineSetBody("r", uid, MachinePool());
  set["metadata"]["uid"] = "set-" + uid;
  return set;
}

Json MachineOf(const std::string& uid, const std::string& name, int second = 0) {
  return {{"metadata",
           {{"name", name},
            {"namespace", "infra"},
            {"uid", name},
            {"creationTimestamp", "2026-01-01T00:00:0" + std::to_string(second) + "Z"},
            {"ownerReferences",
             {{{"apiVersion", "cluster.x-k8s.io/v1beta2"},
               {"kind", "MachineSet"},
               {"name", "spw-" + uid},
               {"uid", "set-" + uid},
               {"controller", true}}}}}},
          {"spec", Json::object()},
          {"status", Json::object()}};
}

void SetReady(Json& machine, const std::string& node) {
  machine["spec"]["providerID"] = "sim://" + node;
  machine["status"]["nodeRef"] = {{"name", node}};
  machine["status"]["conditions"] = {{{"type", "Ready"}, {"status", "True"}}};
}

api::CloudServer Decoded(const Json& set, const std::vector<Json>& machines) {
  std::vector<const Json*> all;
  for (const Json& machine : machines) all.push_back(&machine);
  return *DecodeMachineSet(set, all);
}

api::CloudServer Refused(const Json& condition) {
  Json machine = MachineOf("u", "m");
  machine["status"]["conditions"] = Json::array({condition});
  return Decoded(SetOf("u"), {machine});
}

TEST(MachineSetTest, IsNamedAfterTheRequestAndHasOneMachine) {
  const Json set = MachineSetBody("r", "u", MachinePool());
  EXPECT_EQ(set["metadata"]["name"], "spw-u");
  EXPECT_EQ(set["metadata"]["namespace"], "infra");
  EXPECT_EQ(set["metadata"]["ownerReferences"][0]["uid"], "u");
  EXPECT_EQ(set["spec"]["replicas"], 1);
  EXPECT_EQ(set["spec"]["selector"]["matchLabels"].size(), 1u);
  const Json& machine = set["spec"]["template"]["spec"];
  EXPECT_EQ(machine["clusterName"], "prod");
  EXPECT_EQ(machine["infrastructureRef"]["name"], "small");
  EXPECT_EQ(machine["bootstrap"]["dataSecretName"], "join");
  EXPECT_EQ(machine["version"], "v1.36.3");
  EXPECT_FALSE(machine.contains("failureDomain"));
  EXPECT_FALSE(machine.contains("taints")) << "refused without a feature gate";
}

TEST(MachineSetTest, IsReadyOnlyWithNodeAndProviderId) {
  Json machine = MachineOf("u", "m");
  SetReady(machine, "n");
  EXPECT_TRUE(Decoded(SetOf("u"), {machine}).ready);
  EXPECT_EQ(Decoded(SetOf("u"), {machine}).node_name, "n");
  EXPECT_EQ(Decoded(SetOf("u"), {machine}).provider_id, "sim://n");
  Json early = machine;
  early["status"].erase("nodeRef");
  EXPECT_FALSE(Decoded(SetOf("u"), {early}).ready);
  early = machine;
  early["spec"].erase("providerID");
  EXPECT_FALSE(Decoded(SetOf("u"), {early}).ready);
  early = machine;
  early["status"]["conditions"][0]["status"] = "False";
  EXPECT_FALSE(Decoded(SetOf("u"), {early}).ready);
}

TEST(MachineSetTest, ADyingMachineSaysNothingOfItsSuccessor) {
  Json dying = MachineOf("u", "m-1");
  SetReady(dying, "n-1");
  dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z";
  EXPECT_FALSE(Decoded(SetOf("u"), {dying}).ready);
  EXPECT_EQ(Decoded(SetOf("u"), {dying}).node_name, "");
  Json successor = MachineOf("u", "m-2", 5);
  SetReady(successor, "n-2");
  EXPECT_EQ(Decoded(SetOf("u"), {dying, successor}).node_name, "n-2");
}

TEST(MachineSetTest, AMachineWithANodeThatIsDeletedEndsTheServerUnlessItsSuccessorIsThere) {
  Json dying = MachineOf("u", "m-1");
  dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z";
  EXPECT_EQ(Decoded(SetOf("u"), {dying}).ending, "") << "nothing ran there";
  SetReady(dying, "n-1");
  EXPECT_EQ(Decoded(SetOf("u"), {dying}).ending, "Machine infra/m-1 is being deleted");
  Json successor = MachineOf("u", "m-2", 5);
  EXPECT_EQ(Decoded(SetOf("u"), {dying, successor}).ending, "Machine infra/m-1 is being deleted");
  SetReady(successor, "n-2");
  EXPECT_EQ(Decoded(SetOf("u"), {dying, successor}).ending, "");
  successor["status"]["conditions"][0]["status"] = "False";
  EXPECT_EQ(Decoded(SetOf("u"), {dying, successor}).ending, "") << "that is its server by now";
}

TEST(MachineSetTest, OfTwoMachinesTheOlderOneStaysTheServer) {
  Json first = MachineOf("u", "m-2"), second = MachineOf("u", "m-1", 5);
  SetReady(first, "n-first");
  SetReady(second, "n-second");
  EXPECT_EQ(Decoded(SetOf("u"), {second, first}).node_name, "n-first");
}

TEST(MachineSetTest, MachinesOfOthersAreNotItsOwn) {
  Json machine = MachineOf("another", "m");
  SetReady(machine, "n");
  EXPECT_FALSE(Decoded(SetOf("u"), {machine}).ready);
}

TEST(MachineSetTest, OfSomeoneElseIsIgnored) {
  Json foreign = SetOf("u");
  foreign["metadata"]["ownerReferences"][0]["kind"] = "MachineDeployment";
  EXPECT_FALSE(DecodeMachineSet(foreign, {}).ok());
  Json renamed = SetOf("u");
  renamed["metadata"]["name"] = "other";
  EXPECT_FALSE(DecodeMachineSet(renamed, {}).ok());
}

// Cluster API adds the Cluster as an owner, so the garbage collector only takes ours away.
TEST(MachineSetTest, StaysOursWhenTheGarbageCollectorHasTakenItsOwnerAway) {
  Json orphan = SetOf("u");
  orphan["metadata"].erase("ownerReferences");
  const auto server = DecodeMachineSet(orphan, {});
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(server->request_uid, "u");
}

TEST(MachineSetTest, TheProvidersReasonIsTheClass) {
  const auto of = [](const char* reason, const char* message) {
    return Refused({{"type", "InfrastructureReady"},
                    {"status", "False"},
                    {"reason", reason},
                    {"message", message}});
  };
  EXPECT_EQ(of("InsufficientInstanceCapacity", "none").error, CloudError::kInsufficientCapacity);
  EXPECT_EQ(of("Failed", "vCPU quota reached").error, CloudError::kQuotaExceeded);
  EXPECT_EQ(of("InvalidConfiguration", "x").error, CloudError::kInvalidRequest);
  EXPECT_EQ(of("UnauthorizedOperation", "x").error, CloudError::kUnauthenticated);
  const auto booting = of("InstanceProvisionStarted", "booting");
  EXPECT_EQ(booting.error, CloudError::kNone);
  EXPECT_EQ(booting.message, "InstanceProvisionStarted: booting");
}

TEST(MachineSetTest, ABusyProviderIsNotOverQuota) {
  EXPECT_EQ(ClassOfWords("RequestLimitExceeded: slow down"), CloudError::kNone);
  EXPECT_EQ(ClassOfWords("API rate limit exceeded"), CloudError::kNone);
  EXPECT_EQ(ClassOfWords("VcpuLimitExceeded"), CloudError::kQuotaExceeded);
}

TEST(MachineSetTest, AFinalFailureIsOfItsKind) {
  const auto of = [](const char* reason, const char* message) {
    Json machine = MachineOf("u", "m");
    machine["status"]["deprecated"]["v1beta1"] = {{"failureReason", reason},
                                                  {"failureMessage", message}};
    return Decoded(SetOf("u"), {machine}).error;
  };
  EXPECT_EQ(of("InsufficientResources", "x"), CloudError::kInsufficientCapacity);
  EXPECT_EQ(of("InsufficientResources", "quota reached"), CloudError::kQuotaExceeded);
  EXPECT_EQ(of("InvalidConfiguration", "x"), CloudError::kInvalidRequest);
  EXPECT_EQ(of("CreateError", "the wind blew"), CloudError::kTransient);
  EXPECT_EQ(of("CreateError", "AuthFailure"), CloudError::kUnauthenticated);
}

TEST(MachineSetTest, WhatIsSaidOfAMachineThatRunsIsNoRefusal) {
  Json machine = MachineOf("u", "m");
  SetReady(machine, "n");
  machine["status"]["conditions"] = {
      {{"type", "Ready"}, {"status", "False"}},
      {{"type", "InfrastructureReady"}, {"status", "False"}, {"reason", "InsufficientCapacity"}}};
  EXPECT_EQ(Decoded(SetOf("u"), {machine}).error, CloudError::kNone);
}

TEST(MachineSetTest, AMachineThatTheCloudHasEndedCanBeUsedNoMore) {
  Json machine = MachineOf("u", "m");
  SetReady(machine, "n");
  machine["status"]["conditions"].push_back({{"type", "InfrastructureReady"},
                                             {"status", "False"},
                                             {"reason", "InstanceTerminated"},
                                             {"message", "by the cloud"}});
  const auto server = Decoded(SetOf("u"), {machine});
  EXPECT_EQ(server.error, CloudError::kTransient);
  EXPECT_EQ(server.message, "InstanceTerminated: by the cloud");
}

// Of a machine with a Node; node_ready: as Cluster API sees that, null: it says nothing.
api::CloudServer Running(const char* reason, const char* message, const char* node_ready) {
  Json machine = MachineOf("u", "m");
  SetReady(machine, "n");
  Json& conditions = machine["status"]["conditions"];
  conditions = {{{"type", "Ready"}, {"status", "False"}},
                {{"type", "InfrastructureReady"},
                 {"status", "False"},
                 {"reason", reason},
                 {"message", message}}};
  if (node_ready != nullptr) conditions.push_back({{"type", "NodeReady"}, {"status", node_ready}});
  return Decoded(SetOf("u"), {machine});
}

TEST(MachineSetTest, WhatIsMissingBesideAMachineThatRunsDoesNotEndIt) {
  for (const char* message : {"security group sg-1 does not exist", "subnet has been deleted",
                              "load balancer target terminated"}) {
    EXPECT_EQ(Running("NotReady", message, "True").error, CloudError::kNone) << message;
    EXPECT_EQ(Running("NotReady", message, nullptr).error, CloudError::kNone) << message;
    EXPECT_EQ(Running("NotReady", message, "True").node_name, "n");
  }
  EXPECT_EQ(Running("InstanceHasNonExistingPlacementGroup", "it does not exist", "True").error,
            CloudError::kNone);
}

TEST(MachineSetTest, WordsOfAnEndCountOnceItsNodeIsSilent) {
  for (const char* node : {"False", "Unknown"})
    EXPECT_EQ(Running("NotReady", "the VM has been deleted", node).error, CloudError::kTransient);
}

TEST(MachineSetTest, AReasonThatTellsOfTheMachineItselfEndsItAtOnce) {
  for (const char* reason :
       {"InstanceTerminated", "InstanceDeleted", "InstanceNotFound", "ContainerDeleted", "Deleted"})
    EXPECT_EQ(Running(reason, "", "True").error, CloudError::kTransient) << reason;
}

TEST(MachineSetTest, ATemplateThatIsMissingIsInvalid) {
  Json set = SetOf("u");
  set["status"]["conditions"] = {
      {{"type", "ScalingUp"},
       {"status", "True"},
       {"message",
        "Scaling up from 0 to 1 replicas is blocked because:\n* KTemplate does not exist"}}};
  EXPECT_EQ(Decoded(set, {}).error, CloudError::kInvalidRequest);
  set["status"]["conditions"][0]["message"] = "Scaling up from 0 to 1 replicas";
  EXPECT_EQ(Decoded(set, {}).error, CloudError::kNone);
}

// Answers requests in order, and remembers them.
struct QueuedTransport : kube::Transport {
  std::deque<kube::Response> answers;
  std::vector<std::string> asked;
  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    asked.push_back(request.method + " " + request.path.substr(0, request.path.find('?')));
    if (answers.empty()) return Invalid("unexpected");
    const kube::Response answer = answers.front();
    answers.pop_front();
    return answer;
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return Invalid("");
  }
};

constexpr char kSets[] = "/apis/cluster.x-k8s.io/v1beta2/namespaces/infra/machinesets";
constexpr char kAllSets[] = "GET /apis/cluster.x-k8s.io/v1beta2/machinesets";

TEST(ClusterApiTest, AskingTwiceIsOneMachineSet) {
  QueuedTransport transport;
  transport.answers = {{409, R"({"reason":"AlreadyExists"})", {}}, {200, SetOf("u").dump(), {}}};
  const auto ensured = ClusterApi(transport).Ensure("r", "u", MachinePool(), {});
  ASSERT_TRUE(ensured.ok());
  EXPECT_EQ(std::get<api::CloudServer>(*ensured).uid, "set-u");
  EXPECT_EQ(transport.asked, (std::vector<std::string>{std::string("POST ") + kSets,
                                                       std::string("GET ") + kSets + "/spw-u"}));
}

TEST(ClusterApiTest, WhatItsWebhookDeniesIsAnInvalidPool) {
  QueuedTransport transport;
  transport.answers = {
      {403, R"({"message":"admission webhook \"x\" denied the request: bad version"})", {}}};
  const auto ensured = ClusterApi(transport).Ensure("r", "u", MachinePool(), {});
  ASSERT_TRUE(ensured.ok());
  EXPECT_EQ(std::get<Refusal>(*ensured).error, CloudError::kInvalidRequest);
}

TEST(ClusterApiTest, SaysWhenItIsNotInstalled) {
  QueuedTransport transport;
  transport.answers = {{404, R"({"message":"could not find the requested resource"})", {}}};
  const auto ensured = ClusterApi(transport).Ensure("r", "u", MachinePool(), {});
  ASSERT_FALSE(ensured.ok());
  EXPECT_EQ(ensured.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(ensured.error().message.find("not installed"), std::string::npos);
}

TEST(ClusterApiTest, TakesBackAMachineSetThatAPolicyHasTakenOurMarksFrom) {
  QueuedTransport transport;
  Json set = SetOf("u");
  set["metadata"].erase("ownerReferences");
  set["spec"].erase("selector");
  transport.answers = {{201, set.dump(), {}}, {200, "{}", {}}};
  const auto ensured = ClusterApi(transport).Ensure("r", "u", MachinePool(), {});
  ASSERT_TRUE(ensured.ok());
  EXPECT_EQ(std::get<Refusal>(*ensured).error, CloudError::kInvalidRequest);
  EXPECT_EQ(transport.asked.back(), std::string("DELETE ") + kSets + "/spw-u");
}

TEST(ClusterApiTest, ListsEachMachineSetWithItsMachine) {
  QueuedTransport transport;
  Json machine = MachineOf("u", "m");
  SetReady(machine, "n");
  transport.answers = {{200, Json{{"items", Json::array({SetOf("u"), SetOf("v")})}}.dump(), {}},
                       {200, Json{{"items", Json::array({machine})}}.dump(), {}}};
  ClusterApi engine(transport);
  const auto servers = std::get<Poll>(engine.source()).list({});
  ASSERT_TRUE(servers.ok());
  ASSERT_EQ(servers->size(), 2u);
  EXPECT_EQ((*servers)[0].node_name, "n");
  EXPECT_EQ((*servers)[1].node_name, "");
}

TEST(ClusterApiTest, WhatIsInUseIsAskedForLessOftenUntilSomethingIsAskedFor) {
  QueuedTransport transport;
  transport.answers = {{200, R"({"items":[]})", {}}};
  ClusterApi engine(transport);
  const auto list = std::get<Poll>(engine.source()).list;
  EXPECT_TRUE(list({}).ok());
  EXPECT_TRUE(list({}).ok());
  EXPECT_EQ(transport.asked, (std::vector<std::string>{kAllSets}));
  transport.answers = {{201, SetOf("u").dump(), {}},
                       {200, Json{{"items", Json::array({SetOf("u")})}}.dump(), {}},
                       {200, R"({"items":[]})", {}}};
  ASSERT_TRUE(engine.Ensure("r", "u", MachinePool(), {}).ok());
  const auto servers = list({});
  ASSERT_TRUE(servers.ok());
  EXPECT_EQ(servers->size(), 1u) << "what was just made must not be missing";
}

TEST(ClusterApiTest, WhereItIsNotInstalledThereIsNothingUnlessSomethingWasBought) {
  QueuedTransport transport;
  const kube::Response missing{404, R"({"message":"not found"})", {}};
  ClusterApi engine(transport);
  const auto list = std::get<Poll>(engine.source()).list;
  transport.answers = {missing, missing};
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_FALSE(list(stopped.get_token()).ok()) << "nobody has said what was bought";
  engine.Heed({});
  EXPECT_TRUE(list({}).ok());
  api::ScaleRequest request;
  request.status.backend_name = "spw-u";
  engine.Heed({{}, {request}});
  transport.answers = {missing};
  ClusterApi other(transport);
  other.Heed({{}, {request}});
  EXPECT_FALSE(std::get<Poll>(other.source()).list({}).ok());
}

TEST(ClusterApiTest, AReleaseOfWhatIsGoneIsDone) {
  QueuedTransport transport;
  api::CloudServer server;
  server.ns = "infra", server.name = "spw-u", server.uid = "mine";
  transport.answers = {{404, R"({"details":{"name":"spw-u"}})", {}}};
  EXPECT_TRUE(ClusterApi(transport).Release(server, {}).ok());
  transport.answers = {{409, R"({"reason":"Conflict"})", {}},
                       {200, R"({"metadata":{"name":"spw-u","uid":"another"}})", {}}};
  EXPECT_TRUE(ClusterApi(transport).Release(server, {}).ok());
}

}  // namespace
}  // namespace spillway::cloud
