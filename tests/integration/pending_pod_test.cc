// Servers from an autoscaler that answers pending pods: Karpenter with NodePools, and the real
// kube-scheduler.
#include <signal.h>

#include <chrono>
#include <functional>
#include <sstream>
#include <thread>

#include "operator/base/time.h"
#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

constexpr char kNodePools[] = "/apis/karpenter.sh/v1/nodepools/";
constexpr char kNodeClasses[] = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses/";
constexpr char kScaleRequests[] = "/apis/spillway.dev/v1alpha1/scalerequests/";
constexpr char kRole[] = "/apis/rbac.authorization.k8s.io/v1/clusterroles/spillway";
constexpr char kOwnPods[] = "/api/v1/namespaces/spillway-system/pods";

// What NodePools differ in here.
struct Scaled {
  std::string most_cpu = "100";
  std::string zone = {};  // empty: any
  std::string empty_for = "2s";
  std::string node_class = "default";
  Json labels = Json::object();
};

class PendingPodTest : public ClusterTest {
 protected:
  void TearDown() override {
    Restore();
    ClusterTest::TearDown();
    EXPECT_TRUE(Eventually([&] { return Holding().empty(); }, 60)) << Holding().dump(1);
    for (const std::string& name : node_pools_) cluster.Delete(kNodePools + name);
    if (!node_class_.empty()) cluster.Delete(kNodeClasses + node_class_);
    for (const std::string& name : node_pools_)
      EXPECT_TRUE(Eventually([&] { return NodesOf(name).empty(); }, 60)) << NodesOf(name).dump(1);
  }

  // A pool, and the NodePool of that name that it takes its servers from.
  void AddScaledPool(const std::string& name, Json spec = Json::object(), const Scaled& scaled = {},
                     const std::string& of = "") {
    AddNodePool(ServerName(name), scaled);
    spec["backend"] = {{"karpenter", nullptr},
                       {"pendingPod",
                        {{"requirements",
                          {{{"key", "karpenter.sh/nodepool"},
                            {"operator", "In"},
                            {"values", Json::array({ServerName(of.empty() ? name : of)})}}}}}}};
    AddPool(name, spec);
  }
  void AddNodePool(const std::string& name, const Scaled& scaled) {
    Json pool = Json::parse(R"({
      "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {},
      "spec": {
        "disruption": {"consolidationPolicy": "WhenEmptyOrUnderutilized"},
        "template": {"metadata": {}, "spec": {
          "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass"},
          "expireAfter": "Never",
          "requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c-4x-amd64-linux"]},
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}]}}}})");
    pool["metadata"]["name"] = name;
    Json& spec = pool["spec"];
    spec["limits"] = {{"cpu", scaled.most_cpu}};
    spec["disruption"]["consolidateAfter"] = scaled.empty_for;
    Json& node = spec["template"]["spec"];
    node["nodeClassRef"]["name"] = scaled.node_class;
    node["taints"] = Json::array(
        {Json{{"key", "spillway.dev/pool"}, {"value", name}, {"effect", "NoSchedule"}}});
    spec["template"]["metadata"]["labels"] = scaled.labels;
    if (!scaled.zone.empty())
      node["requirements"].push_back({{"key", "topology.kubernetes.io/zone"},
                                      {"operator", "In"},
                                      {"values", Json::array({scaled.zone})}});
    cluster.Create(pool);
    node_pools_.push_back(name);
    EXPECT_TRUE(Eventually([&] {
      const Json made = cluster.Get(kNodePools + name);
      return Condition(made, "Ready") == "True";
    }));
  }
  // A node class whose nodes take this long to appear.
  std::string SlowClass(const std::string& delay) {
    node_class_ = ns + "-slow";
    cluster.Create({{"apiVersion", "karpenter.kwok.sh/v1alpha1"},
                    {"kind", "KWOKNodeClass"},
                    {"metadata", {{"name", node_class_}}},
                    {"spec", {{"nodeRegistrationDelay", delay}}}});
    return node_class_;
  }
  // The operator loses the rules that lose says, until the test ends or they are restored.
  void Restrict(const std::function<bool(const Json&)>& lose) {
    rules_ = cluster.Get(kRole)["rules"];
    Json kept = Json::array();
    for (const Json& rule : rules_) {
      if (!lose(rule)) kept.push_back(rule);
    }
    cluster.MergePatch(kRole, {{"rules", kept}});
  }
  void Restore() {
    if (!rules_.is_null()) cluster.MergePatch(kRole, {{"rules", rules_}});
    rules_ = nullptr;
  }

  static std::string Condition(const Json& object, const std::string& type) {
    if (!object.contains("status") || !object["status"].contains("conditions")) return "";
    for (const Json& condition : object["status"]["conditions"]) {
      if (condition["type"] == type) return condition["status"];
    }
    return "";
  }
  // Placeholders and keepers of this test's pools.
  Json Holding() {
    Json out = Json::array();
    for (const Json& pod : cluster.List(kOwnPods)) {
      if (pod["metadata"].contains("labels") &&
          pod["metadata"]["labels"].value("spillway.dev/pool", "").starts_with(ns + "-"))
        out.push_back(pod);
    }
    return out;
  }
  Json NodesOf(const std::string& node_pool) {
    return cluster.List("/api/v1/nodes?labelSelector=karpenter.sh%2Fnodepool%3D" + node_pool);
  }
  // Of the purchase of that pool that was made last.
  std::string Of(const std::string& pool, const std::string& field) {
    std::string out;
    for (const Json& scale : ScaleRequests()) {
      if (At(scale, "spec.poolName") == ServerName(pool)) out = At(scale, field);
    }
    return out;
  }
  // The autoscaler has taken the node away, and the purchase says so.
  bool GivenBack(const std::string& pool, const std::string& node) {
    return Eventually(
        [&] {
          return Holding().empty() && cluster.Get("/api/v1/nodes/" + node).is_null() &&
                 Of(pool, "status.phase") == "Released";
        },
        120);
  }

 private:
  std::vector<std::string> node_pools_;
  std::string node_class_;
  Json rules_;
};

// When the operator's write of a pod of its own was answered, or was received; as text.
std::string Written(const std::string& verb, const std::string& pod, const std::string& when) {
  std::istringstream lines(ReadAll(Env("SPILLWAY_TEST_DIR") + "/log/audit.log"));
  for (std::string line; std::getline(lines, line);) {
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_discarded() && At(entry, "verb") == verb &&
        At(entry, "objectRef.resource") == "pods" && At(entry, "objectRef.name") == pod)
      return At(entry, when);
  }
  return "";
}

TEST_F(PendingPodTest, ATaskRunsOnTheNodeThatAPlaceholderHasBroughtAndAllOfItGoes) {
  AddScaledPool("pool", {{"template", {{"labels", {{"disk", "ssd"}}}}}});
  AddTask("t", "4s", 3);
  ASSERT_TRUE(Reaches("t", "Running", 90)) << ScaleRequests().dump(1);
  const std::string placeholder = "spw-" + Of("pool", "metadata.uid");
  ASSERT_EQ(Holding().size(), 1u);
  EXPECT_EQ(At(Holding()[0], "metadata.name"), placeholder + "-keeper");
  const std::string name = At(Get("t"), "status.assignment.nodeName");
  const Json node = cluster.Get("/api/v1/nodes/" + name);
  EXPECT_EQ(node["metadata"]["labels"].value("disk", ""), "ssd");
  EXPECT_EQ(node["metadata"]["labels"].value("spillway.dev/pool", ""), ServerName("pool"));
  EXPECT_NE(At(node, "spec.taints").find("spillway.dev/pool"), std::string::npos);
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.exitCode"), "3");
  EXPECT_TRUE(Eventually([&] {
    return Of("pool", "status.message").find("take node " + name + " away") != std::string::npos;
  })) << ScaleRequests().dump(1);
  EXPECT_TRUE(GivenBack("pool", name)) << ScaleRequests().dump(1);
  std::this_thread::sleep_for(std::chrono::seconds(3));  // the audit log is written in batches
  const std::string held = Written("create", placeholder + "-keeper", "stageTimestamp"),
                    gone = Written("delete", placeholder, "requestReceivedTimestamp");
  EXPECT_TRUE(!held.empty() && held <= gone) << held << " " << gone;
}

TEST_F(PendingPodTest, EachRefusalLeadsToTheNextPoolAtOnce) {
  AddScaledPool("a", {{"priority", 30}}, {.most_cpu = "1"});
  AddScaledPool("b", {{"priority", 20}}, {.zone = "nowhere"});
  AddScaledPool("c", {{"priority", 10}}, {}, "no-such-pool");
  AddScaledPool("d");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 120)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("d"));
  EXPECT_EQ(Of("a", "status.errorClass"), "QuotaExceeded");
  EXPECT_EQ(Of("b", "status.errorClass"), "InvalidRequest");
  EXPECT_EQ(Of("c", "status.errorClass"), "InvalidRequest");
  EXPECT_NE(Of("a", "status.message").find("exceed limits"), std::string::npos)
      << ScaleRequests().dump(1);
  const auto failed = ParseTime(Of("a", "status.finishedAt")),
             next = ParseTime(Of("b", "metadata.creationTimestamp"));
  ASSERT_TRUE(failed && next);
  EXPECT_LE(*next - *failed, std::chrono::seconds(2));
}

// In the words of Cluster Autoscaler, which cannot be run here.
TEST_F(PendingPodTest, WithoutCapacityTheNextPoolIsAskedAtOnce) {
  AddScaledPool("first", {{"priority", 10}}, {.node_class = SlowClass("60s")});
  AddTask("t", "1s");
  ASSERT_TRUE(Eventually([&] {
    return Of("first", "status.message").find("nodeclaim/") != std::string::npos;
  })) << ScaleRequests().dump(1);
  AddScaledPool("second");
  ASSERT_EQ(Holding().size(), 1u);
  const Json placeholder = Holding()[0];
  cluster.Create(
      {{"apiVersion", "v1"},
       {"kind", "Event"},
       {"metadata", {{"generateName", "spw-"}, {"namespace", "spillway-system"}}},
       {"involvedObject",
        {{"kind", "Pod"},
         {"namespace", "spillway-system"},
         {"name", placeholder["metadata"]["name"]},
         {"uid", placeholder["metadata"]["uid"]}}},
       {"reason", "NotTriggerScaleUp"},
       {"message", "pod didn't trigger scale-up: 1 in backoff after failed scale-up"},
       {"type", "Normal"},
       {"source", {{"component", "cluster-autoscaler"}}},
       {"lastTimestamp", FormatTime(std::chrono::floor<Duration>(std::chrono::system_clock::now()) +
                                    std::chrono::seconds(1))}});
  ASSERT_TRUE(Reaches("t", "Succeeded", 60)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("second"));
  EXPECT_EQ(Of("first", "status.errorClass"), "InsufficientCapacity");
}

TEST_F(PendingPodTest, ANodeThatDoesNotComeInTimeIsGivenUp) {
  AddScaledPool("slow", {{"priority", 10}, {"provisionTimeoutSeconds", 6}},
                {.node_class = SlowClass("60s")});
  AddScaledPool("works");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 90)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("works"));
  EXPECT_EQ(Of("slow", "status.errorClass"), "ProvisionTimeout");
  EXPECT_NE(Of("slow", "status.message").find("nodeclaim/"), std::string::npos)
      << "the autoscaler's last word: " << Of("slow", "status.message");
}

TEST_F(PendingPodTest, ANodeThatTheAutoscalerTakesAwaySendsItsTaskElsewhere) {
  AddScaledPool("pool");
  AddTask("t", "600s");
  ASSERT_TRUE(Reaches("t", "Running", 90)) << ScaleRequests().dump(1);
  const std::string node = At(Get("t"), "status.assignment.nodeName");
  for (const Json& claim : cluster.List("/apis/karpenter.sh/v1/nodeclaims")) {
    if (At(claim, "status.nodeName") == node)
      cluster.Delete("/apis/karpenter.sh/v1/nodeclaims/" + At(claim, "metadata.name"));
  }
  ASSERT_TRUE(Eventually([&] { return At(Get("t"), "status.losses") == "1"; }, 60)) << Get("t");
  const Json task = Get("t");
  EXPECT_EQ(task["status"]["attempts"][0]["reason"], "ServerEnding") << task;
  EXPECT_NE(At(task, "status.attempts").find("karpenter.sh/disrupted"), std::string::npos) << task;
  EXPECT_EQ(At(task, "status.retries"), "");
  EXPECT_FALSE(Events("t", "ServerEnding").empty());
  ASSERT_TRUE(Reaches("t", "Running", 90)) << ScaleRequests().dump(1);
  EXPECT_NE(At(Get("t"), "status.assignment.nodeName"), node);
  EXPECT_TRUE(Eventually([&] { return cluster.Get("/api/v1/nodes/" + node).is_null(); }, 60));
  cluster.Delete(TaskPath("t"));
}

TEST_F(PendingPodTest, AnOperatorThatIsKilledBetweenThePlaceholderAndItsRecordHasOne) {
  AddScaledPool("pool");
  Restrict([](const Json& rule) {
    return rule["resources"].dump().find("/status") != std::string::npos;
  });
  AddTask("t", "3s");
  const bool made = Eventually([&] { return Holding().size() == 1; });
  spillway->Kill(SIGKILL);
  Restore();
  ASSERT_TRUE(made);
  ClusterTest::SetUpTestSuite();
  ASSERT_TRUE(Reaches("t", "Running", 90));
  EXPECT_EQ(Holding().size(), 1u);
  EXPECT_EQ(ScaleRequests().size(), 1u);
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

TEST_F(PendingPodTest, TheServerOfAScaleRequestThatWasDeletedGoes) {
  AddScaledPool("pool");
  AddTask("t", "60s");
  ASSERT_TRUE(Reaches("t", "Running", 90)) << ScaleRequests().dump(1);
  const std::string node = At(Get("t"), "status.assignment.nodeName");
  spillway->Kill(SIGKILL);
  cluster.Delete(kScaleRequests + Of("pool", "metadata.name"));
  cluster.Delete(TaskPath("t"));
  ClusterTest::SetUpTestSuite();
  EXPECT_TRUE(Eventually(
      [&] { return Holding().empty() && cluster.Get("/api/v1/nodes/" + node).is_null(); }, 90))
      << Holding().dump(1);
}

TEST_F(PendingPodTest, ANodeThatCarriesEverythingByItselfNeedsNoRightsOnNodes) {
  Restrict([](const Json& rule) {
    return rule["resources"] == Json::array({"nodes"}) &&
           rule["verbs"].dump().find("patch") != std::string::npos;
  });
  AddScaledPool("pool", Json::object(), {.labels = {{"spillway.dev/pool", ServerName("pool")}}});
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 90)) << ScaleRequests().dump(1);
  EXPECT_TRUE(GivenBack("pool", At(Get("t"), "status.assignment.nodeName")))
      << ScaleRequests().dump(1);
}

TEST_F(PendingPodTest, ANodeThatIsLeftIsHadAgain) {
  AddScaledPool("pool", {{"maxServers", 1}}, {.empty_for = "300s"});
  AddTask("first", "1s");
  ASSERT_TRUE(Reaches("first", "Succeeded", 90)) << ScaleRequests().dump(1);
  ASSERT_TRUE(Eventually([&] { return Of("pool", "status.phase") == "Releasing"; }));
  ASSERT_TRUE(Eventually([&] { return Holding().empty(); }));
  AddTask("next", "4s");
  ASSERT_TRUE(Reaches("next", "Running", 60)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("next"), "status.assignment.nodeName"),
            At(Get("first"), "status.assignment.nodeName"));
  EXPECT_TRUE(Eventually([&] {
    int released = 0;
    for (const Json& scale : ScaleRequests()) released += At(scale, "status.phase") == "Released";
    return released == 1;
  })) << ScaleRequests().dump(1);
  ASSERT_TRUE(Reaches("next", "Succeeded"));
}

}  // namespace
}  // namespace spillway::test
