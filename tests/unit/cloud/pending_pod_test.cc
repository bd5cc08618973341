// The engine against an API server that is played here.
#include "operator/cloud/pending_pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;
using testing::HasSubstr;
using testing::SizeIs;

api::ServerPool AutoscaledPool() {
  return *api::DecodeServerPool(Json::parse(R"({"metadata":{"name":"burst"},"spec":{
    "template":{"resources":{"cpu":"3","memory":"8Gi","example.com/gpu":"1"},
                "taints":[{"key":"k","value":"v","effect":"NoSchedule"}]},
    "backend":{"pendingPod":{"requirements":[{"key":"group","operator":"In","values":["burst"]}]}}}})"));
}

// Pods of one namespace, the Events there, and Nodes.
struct PodsApi : kube::Transport {
  std::map<std::string, Json> pods, nodes;
  Json events = Json::array();
  std::vector<std::string> writes;  // "POST name"
  std::optional<kube::Response> refusal;
  std::function<void(Json&)> admit = [](Json&) {};  // what admission changes
  bool no_events = false;
  int looks = 0, next_uid = 0;

  static kube::Response Of(int status, const Json& body) { return {status, body.dump(), {}}; }
  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    const std::string path = request.path.substr(0, request.path.find('?'));
    const std::string name = path.substr(path.rfind('/') + 1);
    if (path.find("/nodes/") != std::string::npos)
      return nodes.contains(name) ? Of(200, nodes[name]) : Of(404, {});
    if (name == "events") return no_events ? Of(500, {}) : Of(200, {{"items", events}});
    if (request.method == "POST") return Make(Json::parse(request.body));
    if (name == "pods") return ListOf();
    if (!pods.contains(name)) return Of(404, {});
    if (request.method == "GET") return Of(200, pods[name]);
    writes.push_back("DELETE " + name);
    pods.erase(name);
    return Of(200, Json::object());
  }
  kube::Response ListOf() {
    ++looks;
    Json items = Json::array();
    for (const auto& [name, pod] : pods) items.push_back(pod);
    return Of(200, {{"items", items}});
  }
  kube::Response Make(Json pod) {
    const std::string name = pod["metadata"]["name"];
    writes.push_back("POST " + name);
    if (refusal) return *refusal;
    if (pods.contains(name)) return Of(409, {{"reason", "AlreadyExists"}});
    pod["metadata"]["uid"] = "pod-" + std::to_string(++next_uid);
    admit(pod);
    pods[name] = pod;
    return Of(201, pod);
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return Invalid("");
  }
};

class PendingPodTest : public testing::Test {
 protected:
  Result<Ensured> Ask() { return engine.Ensure("r", "u", pool, {}); }
  std::vector<api::CloudServer> Look() {
    const Source source = engine.source();
    auto out = std::get<Poll>(source).list({});
    EXPECT_TRUE(out.ok()) << (out ? "" : out.error().message);
    return out ? *out : std::vector<api::CloudServer>{};
  }
  // kube-scheduler binds the placeholder.
  void Bind() {
    api.nodes["n"] = {{"metadata", {{"name", "n"}}}, {"spec", {{"providerID", "x://n"}}}};
    api.pods["spw-u"]["spec"]["nodeName"] = "n";
  }
  void Say(const std::string& reason, const std::string& message, int second = 0,
           const std::string& component = "cluster-autoscaler") {
    api.events.push_back({{"reason", reason},
                          {"message", message},
                          {"lastTimestamp", "2026-01-01T00:00:0" + std::to_string(second) + "Z"},
                          {"source", {{"component", component}}},
                          {"involvedObject", {{"name", "spw-u"}, {"uid", "pod-1"}}}});
  }

  PodsApi api;
  api::ServerPool pool = AutoscaledPool();
  PendingPod engine{api, "spillway"};
};

TEST_F(PendingPodTest, APlaceholderIsAsLargeAsAServerAndFitsOnlyNodesOfThePool) {
  ASSERT_TRUE(Ask().ok());
  const Json& pod = api.pods.at("spw-u");
  const Json& resources = pod["spec"]["containers"][0]["resources"];
  EXPECT_EQ(resources["requests"]["cpu"], "3");
  EXPECT_EQ(resources["limits"], (Json{{"example.com/gpu", "1"}}));
  EXPECT_EQ(pod["spec"]["tolerations"], Json::parse(R"([
    {"key":"k","operator":"Equal","value":"v","effect":"NoSchedule"},
    {"key":"spillway.dev/pool","operator":"Equal","value":"burst","effect":"NoSchedule"}])"));
  EXPECT_EQ(pod["spec"]["affinity"]["nodeAffinity"]
               ["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"],
            Json::parse(R"([{"matchExpressions":[
              {"key":"group","operator":"In","values":["burst"]}]}])"));
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["uid"], "u");
  EXPECT_EQ(pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"], "true");
}

TEST_F(PendingPodTest, AskedTwiceItIsOnePlaceholder) {
  ASSERT_TRUE(Ask().ok());
  const auto again = Ask();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(std::get<api::CloudServer>(*again).uid, "pod-1");
  EXPECT_THAT(api.pods, SizeIs(1));
}

TEST_F(PendingPodTest, TheKeeperIsThereBeforeThePlaceholderGoes) {
  ASSERT_TRUE(Ask().ok());
  EXPECT_FALSE(Look().at(0).ready);
  Bind();
  const auto servers = Look();
  EXPECT_EQ(api.writes,
            (std::vector<std::string>{"POST spw-u", "POST spw-u-keeper", "DELETE spw-u"}));
  ASSERT_THAT(servers, SizeIs(1));
  EXPECT_TRUE(servers[0].ready && servers[0].launched);
  EXPECT_EQ(servers[0].node_name, "n");
  EXPECT_EQ(servers[0].provider_id, "x://n");
  EXPECT_EQ(servers[0].pool, "burst");
  EXPECT_EQ(api.pods.at("spw-u-keeper")["spec"]["nodeName"], "n");
  EXPECT_EQ(api.pods.at("spw-u-keeper")["spec"]["containers"][0]["resources"],
            Json::parse(R"({"requests":{"cpu":"0","memory":"0"}})"));
}

TEST_F(PendingPodTest, AfterACrashInBetweenThePlaceholderGoesAndNoOtherIsMade) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  const Json placeholder = api.pods["spw-u"];
  (void)Look();
  api.pods["spw-u"] = placeholder;
  PendingPod restarted(api, "spillway");
  const Source source = restarted.source();
  EXPECT_TRUE(std::get<Poll>(source).list({})->at(0).ready);
  EXPECT_FALSE(api.pods.contains("spw-u"));
  EXPECT_EQ(std::get<api::CloudServer>(*restarted.Ensure("r", "u", AutoscaledPool(), {})).node_name,
            "n");
  EXPECT_FALSE(api.pods.contains("spw-u"));
}

TEST_F(PendingPodTest, AKeeperThatWasEvictedIsMadeAgainAndTheServerStays) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  (void)Look();
  api.pods["spw-u-keeper"]["status"] = {{"phase", "Failed"}, {"reason", "Evicted"}};
  EXPECT_TRUE(Look().at(0).ready);
  EXPECT_FALSE(api.pods.at("spw-u-keeper-2").contains("status"));
  EXPECT_EQ(api.writes.back(), "DELETE spw-u-keeper") << "once the other is there";
  EXPECT_EQ(Look().at(0).provider_id, "x://n");
}

TEST_F(PendingPodTest, AKeeperThatCannotBeMadeAgainEndsNothing) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  const auto before = Look();
  api.pods["spw-u-keeper"]["status"] = {{"phase", "Failed"}, {"reason", "Evicted"}};
  api.refusal = PodsApi::Of(403, {{"message", "exceeded quota: q"}});
  for (int i = 0; i < 3; ++i) {
    const auto servers = Look();
    ASSERT_THAT(servers, SizeIs(1));
    EXPECT_TRUE(servers[0].ready);
    EXPECT_EQ(servers[0].uid, before.at(0).uid);
  }
  PendingPod restarted(api, "spillway");
  api.refusal.reset();
  const Source source = restarted.source();
  const auto servers = *std::get<Poll>(source).list({});
  EXPECT_TRUE(servers.at(0).ready);
  EXPECT_EQ(servers[0].key(), before[0].key()) << "it is the same server";
  EXPECT_THAT(api.pods, SizeIs(1));
  EXPECT_FALSE(api.pods.begin()->second.contains("status"));
}

TEST_F(PendingPodTest, AKeeperThatWasMadeAgainIsFoundAndReleased) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  (void)Look();
  api.pods["spw-u-keeper"]["status"] = {{"phase", "Failed"}, {"reason", "Evicted"}};
  const auto servers = Look();
  ASSERT_FALSE(api.pods.contains("spw-u-keeper"));
  EXPECT_EQ(std::get<api::CloudServer>(*Ask()).uid, servers.at(0).uid);
  EXPECT_THAT(api.pods, SizeIs(1)) << "no placeholder";
  ASSERT_TRUE(engine.Release(servers[0], {}).ok());
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(PendingPodTest, AKeeperWhoseSuccessorIsThereIsTakenAwayLater) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  (void)Look();
  const Json first = api.pods["spw-u-keeper"];
  for (const char* ended : {"spw-u-keeper", "spw-u-keeper-2"}) {
    api.pods.clear();
    for (const char* name : {"spw-u-keeper", "spw-u-keeper-2"}) {
      api.pods[name] = first;
      api.pods[name]["metadata"]["name"] = api.pods[name]["metadata"]["uid"] = name;
    }
    api.pods[ended]["status"] = {{"phase", "Failed"}};
    const auto servers = Look();
    ASSERT_THAT(servers, SizeIs(1));
    EXPECT_NE(servers[0].uid, ended);
    EXPECT_FALSE(api.pods.contains(ended));
    EXPECT_THAT(api.pods, SizeIs(1));
  }
}

TEST_F(PendingPodTest, AProviderIDThatTheNodeGetsLaterIsTold) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  api.nodes["n"]["spec"].erase("providerID");
  EXPECT_EQ(Look().at(0).provider_id, "");
  api.nodes["n"]["spec"]["providerID"] = "x://n";
  EXPECT_EQ(Look().at(0).provider_id, "x://n");
}

TEST_F(PendingPodTest, ReleaseTakesWhateverIsThere) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  const auto servers = Look();
  ASSERT_TRUE(engine.Release(servers.at(0), {}).ok());
  EXPECT_TRUE(api.pods.empty());
  EXPECT_TRUE(engine.Release(servers.at(0), {}).ok());
}

TEST_F(PendingPodTest, PodsOfOthersAreNeitherSeenNorDeleted) {
  api.pods["spw-u"] = {{"metadata", {{"name", "spw-u"}, {"uid", "theirs"}}}};
  EXPECT_THAT(Look(), SizeIs(0));
  api::CloudServer server;
  server.request_uid = "u";
  EXPECT_TRUE(engine.Release(server, {}).ok());
  EXPECT_TRUE(api.pods.contains("spw-u"));
}

TEST_F(PendingPodTest, ItSaysWhatItWaitsForAndWhoHasAnswered) {
  ASSERT_TRUE(Ask().ok());
  EXPECT_THAT(Look().at(0).message, HasSubstr("no autoscaler has answered"));
  EXPECT_FALSE(Look().at(0).launched);
  Say("FailedScheduling", "0/3 nodes are available", 1, "default-scheduler");
  EXPECT_EQ(Look().at(0).error, CloudError::kNone) << "that is why an autoscaler is asked";
  Say("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 in backoff after failed scale-up", 2);
  EXPECT_EQ(Look().at(0).error, CloudError::kInsufficientCapacity);
  Say("TriggeredScaleUp", "pod triggered scale-up: [{g 1->2 (max: 5)}]", 3);
  const auto server = Look().at(0);
  EXPECT_EQ(server.error, CloudError::kNone);
  EXPECT_TRUE(server.launched);
  EXPECT_THAT(server.message, HasSubstr("1->2"));
}

TEST_F(PendingPodTest, WithoutTheEventsTheServersAreToldNevertheless) {
  ASSERT_TRUE(Ask().ok());
  api.no_events = true;
  EXPECT_THAT(Look(), SizeIs(1));
}

TEST_F(PendingPodTest, APlaceholderThatComesWithoutItsMarksIsTakenBackAndSaysSo) {
  api.admit = [](Json& pod) { pod["metadata"].erase("labels"); };
  const auto answer = Ask();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(std::get<Refusal>(*answer).error, CloudError::kInvalidRequest);
  EXPECT_THAT(std::get<Refusal>(*answer).message, HasSubstr("owner reference and label"));
  EXPECT_THAT(api.pods, SizeIs(0));
}

TEST_F(PendingPodTest, WhereNoKeeperCanBeMadeThePlaceholderStaysAndTheServerWaits) {
  ASSERT_TRUE(Ask().ok());
  Bind();
  api.refusal = PodsApi::Of(403, {{"message", "denied by a policy"}});
  const auto servers = Look();
  ASSERT_THAT(servers, SizeIs(1));
  EXPECT_FALSE(servers[0].ready);
  EXPECT_THAT(servers[0].message, HasSubstr("denied by a policy"));
  EXPECT_TRUE(api.pods.contains("spw-u"));
  api.refusal.reset();
  EXPECT_TRUE(Look().at(0).ready);
}

TEST_F(PendingPodTest, WhereAPodMayNotBeMadeAtAllThatIsAFaultOfCredentials) {
  api.refusal = PodsApi::Of(
      403, {{"message", "pods is forbidden: User \"x\" cannot create resource \"pods\""}});
  const auto answer = Ask();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, ErrorKind::kForbidden);
}

TEST_F(PendingPodTest, AFullNamespaceIsAQuotaAndNoFaultOfCredentials) {
  api.refusal = PodsApi::Of(403, {{"message", "pods \"spw-u\" is forbidden: exceeded quota: q"}});
  const auto answer = Ask();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(std::get<Refusal>(*answer).error, CloudError::kQuotaExceeded);
}

TEST_F(PendingPodTest, APlaceholderThatIsGoneIsToldWithTheLastWord) {
  Say("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached");
  api::CloudServer last;
  last.name = "spw-u";
  last.uid = "pod-1";
  const Refusal why = engine.Diagnose(last, {});
  EXPECT_EQ(why.error, CloudError::kQuotaExceeded);
  EXPECT_THAT(why.message, HasSubstr("max node group size reached"));
}

TEST_F(PendingPodTest, WithNothingToDoItDoesNotLookAllTheTime) {
  engine.Heed({});
  (void)Look();
  (void)Look();
  EXPECT_EQ(api.looks, 1);
  ASSERT_TRUE(Ask().ok());
  EXPECT_THAT(Look(), SizeIs(1));
}

TEST(PlaceholderEventTest, IsOneOfTheFiveKindsOfFailure) {
  const auto read = [](const char* reason, const char* message, const char* by = "") {
    const auto verdict =
        ReadEvent({{"reason", reason}, {"message", message}, {"source", {{"component", by}}}});
    return verdict ? verdict->error : CloudError::kNone;
  };
  EXPECT_EQ(read("NotTriggerScaleUp",
                 "1 node(s) didn't match selector, 1 max node group size "
                 "reached"),
            CloudError::kQuotaExceeded);
  EXPECT_EQ(read("NotTriggerScaleUp", "2 Insufficient cpu"), CloudError::kInvalidRequest);
  EXPECT_EQ(read("FailedScaleUp", "Node scale up in zones b failed: GCE out of resources."),
            CloudError::kInsufficientCapacity);
  EXPECT_EQ(read("FailedScaleUp", "GCE quota exceeded"), CloudError::kQuotaExceeded);
  EXPECT_EQ(read("FailedScaleUp", "Required 'x' permission"), CloudError::kUnauthenticated);
  EXPECT_EQ(read("FailedScaleUp", "Internal error"), CloudError::kTransient);
  EXPECT_EQ(read("FailedScheduling",
                 "Failed to schedule pod, all available instance types exceed limits for nodepool",
                 "karpenter"),
            CloudError::kQuotaExceeded);
  EXPECT_EQ(read("FailedScheduling",
                 "Failed to schedule pod, no instance type has the required offering"),
            CloudError::kInsufficientCapacity);
  EXPECT_EQ(read("FailedScheduling",
                 "Failed to schedule pod, no instance type met the scheduling requirements or had "
                 "a required offering"),
            CloudError::kInsufficientCapacity);
  EXPECT_EQ(read("FailedScheduling",
                 "Failed to schedule pod, no instance type which met the scheduling requirements "
                 "and the required offering had the required resources"),
            CloudError::kInvalidRequest)
      << "it is too large";
  EXPECT_EQ(read("FailedScheduling", "Failed to schedule pod, incompatible requirements"),
            CloudError::kInvalidRequest);
  EXPECT_EQ(read("FailedScheduling", "0/1 nodes are available", "default-scheduler"),
            CloudError::kNone);
}

TEST(PlaceholderEventTest, OfKarpenterCountsWhatItSaysOfThePoolsOwnNodePools) {
  const auto read = [](const std::string& message, const std::vector<std::string>& node_pools) {
    return ReadEvent({{"reason", "FailedScheduling"}, {"message", message}}, node_pools)->error;
  };
  const std::string said =
      "Failed to schedule pod, incompatible requirements, key karpenter.sh/nodepool, "
      "karpenter.sh/nodepool In [Own] not in karpenter.sh/nodepool In [other]; all available "
      "instance types exceed limits for nodepool (NodePool=full)";
  EXPECT_EQ(read(said, {"Own"}), CloudError::kInvalidRequest) << "another one is full";
  EXPECT_EQ(read(said, {"Own", "full"}), CloudError::kQuotaExceeded);
  EXPECT_EQ(read(said, {}), CloudError::kQuotaExceeded) << "it may be meant";
  EXPECT_EQ(read("Failed to schedule pod, node limits have been exhausted for nodepool "
                 "(NodePool=own)",
                 {"own"}),
            CloudError::kQuotaExceeded);
}

TEST_F(PendingPodTest, ANodePoolThatThePoolDoesNotNameMayBeFull) {
  pool.spec.requirements = {{"karpenter.sh/nodepool", "In", {"own"}}};
  ASSERT_TRUE(Ask().ok());
  Say("FailedScheduling",
      "Failed to schedule pod, all available instance types exceed limits for nodepool "
      "(NodePool=other)",
      1, "karpenter");
  EXPECT_EQ(Look().at(0).error, CloudError::kInvalidRequest);
  Say("FailedScheduling",
      "Failed to schedule pod, all available instance types exceed limits for nodepool "
      "(NodePool=own)",
      2, "karpenter");
  EXPECT_EQ(Look().at(0).error, CloudError::kQuotaExceeded);
}

}  // namespace
}  // namespace spillway::cloud
