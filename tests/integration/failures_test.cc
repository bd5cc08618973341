// Each kind of failure of each engine, at the engine itself, ends in the same fields; and pools of
// different engines fail over into each other. See the table in docs/behaviour.md, "Purchases".
#include <chrono>
#include <functional>
#include <thread>

#include "operator/base/time.h"
#include "tests/integration/cloud_service.h"

namespace spillway::test {
namespace {

constexpr char kClaims[] = "/apis/karpenter.sh/v1/nodeclaims/";
constexpr char kNodePools[] = "/apis/karpenter.sh/v1/nodepools/";
constexpr char kNodeClasses[] = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses/";
constexpr char kMachineSets[] = "/apis/cluster.x-k8s.io/v1beta2/namespaces/cluster-api/machinesets";
constexpr char kWebhooks[] =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/";
constexpr char kRole[] = "/apis/rbac.authorization.k8s.io/v1/clusterroles/spillway";
constexpr char kOwnPods[] = "/api/v1/namespaces/spillway-system/pods";

class FailuresTest : public ClusterTest {
 protected:
  static void SetUpTestSuite() {
    static Cluster of_suite;
    service = std::make_unique<CloudService>(of_suite);
    ClusterTest::SetUpTestSuite();
  }
  static void TearDownTestSuite() {
    ClusterTest::TearDownTestSuite();
    service.reset();
  }
  void SetUp() override {
    if (cluster.Get("/apis/cluster.x-k8s.io/v1beta2/namespaces/cluster-api/clusters/own").is_null())
      GTEST_SKIP() << "this cluster has no Cluster API: it could not be built";
    ClusterTest::SetUp();
  }
  void TearDown() override {
    if (ns.empty()) return;
    service->SetFaults(Json::array());
    if (!rules_.is_null()) cluster.MergePatch(kRole, {{"rules", rules_}});
    for (const std::string& path : made_) cluster.Delete(path);
    // With the operator, while it still may.
    for (const Json& task :
         cluster.List("/apis/spillway.dev/v1alpha1/namespaces/" + ns + "/taskrequests"))
      cluster.Delete(TaskPath(At(task, "metadata.name")));
    EXPECT_TRUE(Eventually([&] { return AllReleased(); }, 90)) << ScaleRequests().dump(1);
    ClusterTest::TearDown();
  }
  bool AllReleased() {
    for (const Json& scale : ScaleRequests()) {
      const std::string phase = At(scale, "status.phase");
      if ((phase != "Released" && phase != "Failed") || !At(scale, "metadata.finalizers").empty())
        return false;
    }
    return true;
  }

  void AddMachinePool(const std::string& name, const std::string& fault,
                      Json spec = Json::object()) {
    spec["backend"] = {{"karpenter", nullptr},
                       {"clusterAPI",
                        {{"namespace", "cluster-api"},
                         {"clusterName", "own"},
                         {"bootstrap", {{"dataSecretName", "none"}}},
                         {"infrastructureRef",
                          {{"apiGroup", "infrastructure.cluster.x-k8s.io"},
                           {"kind", "SimMachineTemplate"},
                           {"name", fault}}}}}};
    AddPool(name, spec);
  }
  void AddRestPool(const std::string& name, Json spec = Json::object(), const Json& more = {}) {
    Json rest = service->Backend();
    if (!more.is_null()) rest.merge_patch(more);
    spec["backend"] = {{"karpenter", nullptr}, {"rest", rest}};
    AddPool(name, spec);
  }
  // of: the NodePool that it takes its servers from.
  void AddPodPool(const std::string& name, const std::string& of, Json spec = Json::object()) {
    spec["backend"] = {{"karpenter", nullptr},
                       {"pendingPod",
                        {{"requirements",
                          {{{"key", "karpenter.sh/nodepool"},
                            {"operator", "In"},
                            {"values", Json::array({of})}}}}}}};
    AddPool(name, spec);
  }
  std::string MakeNodePool(const std::string& node_class = "default") {
    const std::string name = ns + "-scaled";
    Json pool = Json::parse(R"({
      "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {},
      "spec": {"disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "2s"},
        "template": {"spec": {
          "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass"},
          "expireAfter": "Never",
          "requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c-4x-amd64-linux"]},
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}]}}}})");
    pool["metadata"]["name"] = name;
    pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] = node_class;
    cluster.Create(pool);
    made_.push_back(kNodePools + name);
    return name;
  }
  // A node class whose nodes appear much later.
  std::string SlowClass() {
    const std::string name = ns + "-slow";
    cluster.Create({{"apiVersion", "karpenter.kwok.sh/v1alpha1"},
                    {"kind", "KWOKNodeClass"},
                    {"metadata", {{"name", name}}},
                    {"spec", {{"nodeRegistrationDelay", "600s"}}}});
    made_.push_back(kNodeClasses + name);
    return name;
  }
  // The operator loses its rights on the resource, but for looking.
  void Forbid(const std::string& resource) {
    rules_ = cluster.Get(kRole)["rules"];
    Json changed = rules_;
    for (Json& rule : changed) {
      if (rule["resources"].dump().find('"' + resource + '"') == std::string::npos) continue;
      std::erase_if(rule["verbs"].get_ref<Json::array_t&>(),
                    [](const Json& verb) { return verb == "create"; });
    }
    cluster.MergePatch(kRole, {{"rules", changed}});
  }
  // Nobody answers who must be asked whether such an object may be created.
  void Block(const std::string& group, const std::string& version, const std::string& resource) {
    cluster.Create(
        {{"apiVersion", "admissionregistration.k8s.io/v1"},
         {"kind", "ValidatingWebhookConfiguration"},
         {"metadata", {{"name", ns}}},
         {"webhooks",
          {{{"name", "nobody.example.org"},
            {"clientConfig", {{"url", "https://127.0.0.1:1/"}}},
            {"rules",
             {{{"apiGroups", Json::array({group})},
               {"apiVersions", Json::array({version})},
               {"operations", {"CREATE"}},
               {"resources", Json::array({resource})}}}},
            {"matchConditions",
             {{{"name", "ours"}, {"expression", "object.metadata.name.startsWith('spw-')"}}}},
            {"failurePolicy", "Fail"},
            {"sideEffects", "None"},
            {"timeoutSeconds", 1},
            {"admissionReviewVersions", {"v1"}}}}}});
    made_.push_back(kWebhooks + ns);
  }
  void Unblock() { cluster.Delete(kWebhooks + ns); }
  // Somebody says that of an object of ours.
  void Say(const Json& object, const std::string& kind, const std::string& reason,
           const std::string& message, const std::string& by) {
    const std::string of = At(object, "metadata.namespace");
    cluster.Create(
        {{"apiVersion", "v1"},
         {"kind", "Event"},
         {"metadata", {{"generateName", "spw-"}, {"namespace", of.empty() ? "default" : of}}},
         {"involvedObject",
          {{"kind", kind},
           {"namespace", of},
           {"name", object["metadata"]["name"]},
           {"uid", object["metadata"]["uid"]}}},
         {"reason", reason},
         {"message", message},
         {"type", "Warning"},
         {"source", {{"component", by}}},
         {"lastTimestamp",
          FormatTime(std::chrono::floor<Duration>(std::chrono::system_clock::now()) +
                     std::chrono::seconds(1))}});
  }
  // As an autoscaler does, until it was heard: the cluster's Karpenter may speak in between, and
  // the last word counts.
  void RepeatOfPlaceholder(const std::string& pool, const std::string& message) {
    EXPECT_TRUE(Eventually(
        [&] {
          if (Of(pool, "status.phase") == "Failed") return true;
          const std::string name = "spw-" + Of(pool, "metadata.uid");
          for (const Json& pod : cluster.List(kOwnPods)) {
            if (At(pod, "metadata.name") == name)
              Say(pod, "Pod", "FailedScaleUp", message, "cluster-autoscaler");
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(500));
          return false;
        },
        40));
  }
  // Of the purchase of that pool.
  std::string Of(const std::string& pool, const std::string& field) {
    for (const Json& scale : ScaleRequests()) {
      if (At(scale, "spec.poolName") == ServerName(pool)) return At(scale, field);
    }
    return "";
  }
  // The purchase has failed for that, the pool says so, and nothing else was asked of it.
  void ExpectFailed(const std::string& pool, const std::string& error) {
    ASSERT_TRUE(Eventually([&] { return Of(pool, "status.phase") == "Failed"; }, 40))
        << ScaleRequests().dump(1);
    EXPECT_EQ(Of(pool, "status.errorClass"), error) << Of(pool, "status.message");
    EXPECT_NE(Of(pool, "status.message"), "");
    EXPECT_NE(Of(pool, "status.finishedAt"), "");
    EXPECT_TRUE(Eventually([&] {
      const Json object =
          cluster.Get("/apis/spillway.dev/v1alpha1/serverpools/" + ServerName(pool));
      return At(object, "status.conditions").find(error) != std::string::npos;
    }));
    EXPECT_TRUE(Reaches("t", "Pending"));
  }
  // It is asked again until it can be had, and says meanwhile why not.
  void ExpectAskedAgain(const std::string& pool, const std::string& words,
                        const std::function<void()>& repair) {
    ASSERT_TRUE(
        Eventually([&] { return Of(pool, "status.message").find(words) != std::string::npos; }, 40))
        << ScaleRequests().dump(1);
    EXPECT_EQ(Of(pool, "status.phase"), "Requested");
    EXPECT_EQ(Of(pool, "status.errorClass"), "");
    repair();
    EXPECT_TRUE(Reaches("t", "Succeeded", 120)) << ScaleRequests().dump(1);
    EXPECT_EQ(ScaleRequests().size(), 1u);
  }
  // Of each other pool before it, the failure, and how soon after that the next was asked.
  void ExpectNext(const std::string& before, const std::string& error, const std::string& next) {
    EXPECT_EQ(Of(before, "status.errorClass"), error) << ScaleRequests().dump(1);
    const auto failed = ParseTime(Of(before, "status.finishedAt")),
               asked = ParseTime(Of(next, "metadata.creationTimestamp"));
    ASSERT_TRUE(failed && asked) << before << " " << next << ScaleRequests().dump(1);
    EXPECT_LE(*asked - *failed, std::chrono::seconds(2)) << before << " -> " << next;
  }

  static std::unique_ptr<CloudService> service;

 private:
  std::vector<std::string> made_;  // paths
  Json rules_;
};
std::unique_ptr<CloudService> FailuresTest::service;

// Capacity, and the time that runs out: CloudTest.
TEST_F(FailuresTest, KarpenterQuotaExceeded) {
  AddPool("p", Json::object(), SlowClass());
  AddTask("t", "1s");
  ASSERT_TRUE(Eventually([&] { return NodeClaims().size() == 1; }));
  const Json claim = NodeClaims()[0];
  Say(claim, "NodeClaim", "LaunchFailed", "VcpuLimitExceeded: more than 32 vCPU are requested",
      "karpenter");
  cluster.Delete(kClaims + At(claim, "metadata.name"));
  ExpectFailed("p", "QuotaExceeded");
}

TEST_F(FailuresTest, KarpenterInvalidRequest) {
  AddPool("p",
          {{"backend",
            {{"karpenter",
              {{"requirements",
                {{{"key", "kubernetes.io/hostname"}, {"operator", "In"}, {"values", {"x"}}}}}}}}}});
  AddTask("t", "1s");
  ExpectFailed("p", "InvalidRequest");
}

TEST_F(FailuresTest, KarpenterTransient) {
  Block("karpenter.sh", "v1", "nodeclaims");
  AddPool("p");
  AddTask("t", "1s");
  ExpectAskedAgain("p", "failed calling webhook", [&] { Unblock(); });
}

TEST_F(FailuresTest, KarpenterUnauthenticated) {
  Forbid("nodeclaims");
  AddPool("p");
  AddTask("t", "1s");
  ExpectFailed("p", "Unauthenticated");
}

// The others: ClusterApiTest.
TEST_F(FailuresTest, ClusterApiTransient) {
  AddMachinePool("p", "silence");
  AddTask("t", "1s");
  Json ours;
  ASSERT_TRUE(Eventually([&] {
    for (const Json& set : cluster.List(kMachineSets)) {
      if (set["metadata"]["labels"].value("spillway.dev/pool", "") == ServerName("p")) ours = set;
    }
    return !ours.is_null() && Of("p", "status.phase") == "Provisioning";
  })) << ScaleRequests().dump(1);
  cluster.Delete(kMachineSets + ("/" + At(ours, "metadata.name")));
  ExpectFailed("p", "Transient");
}

TEST_F(FailuresTest, ClusterApiTransientWithoutAnAnswer) {
  Block("cluster.x-k8s.io", "v1beta2", "machinesets");
  AddMachinePool("p", "none");
  AddTask("t", "1s");
  ExpectAskedAgain("p", "failed calling webhook", [&] { Unblock(); });
}

TEST_F(FailuresTest, ClusterApiUnauthenticatedByTheApiServer) {
  Forbid("machinesets");
  AddMachinePool("p", "none");
  AddTask("t", "1s");
  ExpectFailed("p", "Unauthenticated");
}

// Capacity, quota, an invalid request, the time that runs out: PendingPodTest.
TEST_F(FailuresTest, PendingPodTransient) {
  AddPodPool("p", MakeNodePool(SlowClass()));
  AddTask("t", "1s");
  RepeatOfPlaceholder("p", "could not reach the cloud: i/o timeout");
  ExpectFailed("p", "Transient");
}

TEST_F(FailuresTest, PendingPodUnauthenticated) {
  AddPodPool("p", MakeNodePool(SlowClass()));
  AddTask("t", "1s");
  RepeatOfPlaceholder("p", "403: Required 'compute.instances.create' permission");
  ExpectFailed("p", "Unauthenticated");
}

// Capacity and quota: RestTest; what is transient is asked again there.
TEST_F(FailuresTest, RestInvalidRequest) {
  AddRestPool("p", Json::object(), {{"offerId", "there-is-no-such-offer"}});
  AddTask("t", "1s");
  ExpectFailed("p", "InvalidRequest");
}

TEST_F(FailuresTest, RestUnauthenticated) {
  service->SetFaults({{{"method", "PUT"},
                       {"path", "^/v1/leases/"},
                       {"answer",
                        {{"status", 403},
                         {"class", "Unauthenticated"},
                         {"code", "Revoked"},
                         {"message", "this token was revoked"}}}}});
  AddRestPool("p");
  AddTask("t", "1s");
  ExpectFailed("p", "Unauthenticated");
}

TEST_F(FailuresTest, RestTransientOfALease) {
  service->SetFaults(
      {{{"method", "PUT"},
        {"path", "^/v1/leases/"},
        {"lease", {{"class", "Transient"}, {"code", "Moved"}, {"message", "the host died"}}}}});
  AddRestPool("p");
  AddTask("t", "1s");
  ExpectFailed("p", "Transient");
}

TEST_F(FailuresTest, RestProvisionTimeout) {
  service->SetFaults({{{"method", "PUT"}, {"path", "^/v1/leases/"}, {"lease", "stall"}}});
  AddRestPool("p", {{"provisionTimeoutSeconds", 6}});
  AddTask("t", "1s");
  ExpectFailed("p", "ProvisionTimeout");
}

TEST_F(FailuresTest, PoolsOfDifferentEnginesFailOverIntoEachOtherAtOnce) {
  service->SetFaults({{{"method", "PUT"},
                       {"path", "^/v1/leases/"},
                       {"times", 1},
                       {"answer",
                        {{"status", 403},
                         {"class", "QuotaExceeded"},
                         {"code", "Quota"},
                         {"message", "3 of 3 machines"}}}}});
  const std::string scaled = MakeNodePool();
  AddPool("a", {{"priority", 60}}, "there-is-no-such-class");  // Karpenter
  AddMachinePool("b", "quota", {{"priority", 50}});
  AddRestPool("c", {{"priority", 40}});
  AddPodPool("d", "there-is-no-such-pool", {{"priority", 30}});
  AddMachinePool("e", "credentials", {{"priority", 20}});
  AddPodPool("f", scaled, {{"priority", 10}});
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 120)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("f"));
  ExpectNext("a", "InsufficientCapacity", "b");
  ExpectNext("b", "QuotaExceeded", "c");
  ExpectNext("c", "QuotaExceeded", "d");
  ExpectNext("d", "InvalidRequest", "e");
  ExpectNext("e", "Unauthenticated", "f");
  EXPECT_EQ(ScaleRequests().size(), 6u);
}

}  // namespace
}  // namespace spillway::test
