#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

class QueueingTest : public ClusterTest {
 protected:
  void AddClass(const std::string& name, int64_t value) {
    cluster.Create({{"apiVersion", "scheduling.k8s.io/v1"},
                    {"kind", "PriorityClass"},
                    {"metadata", {{"name", name}}},
                    {"value", value}});
  }
  void DeleteClass(const std::string& name) {
    cluster.Delete("/apis/scheduling.k8s.io/v1/priorityclasses/" + name);
  }
};

TEST_F(QueueingTest, APriorityClassOrdersTheQueueAndIsThePods) {
  const std::string name = ns + "-urgent";
  AddServer("a", "1");
  AddTask("first", "2s");
  ASSERT_TRUE(Reaches("first", "Running"));
  AddTask("low", "1s", 0, {{"priority", 5}});
  AddTask("high", "1s", 0, {{"priorityClassName", name}});
  ASSERT_TRUE(Eventually([&] {
    return At(Get("high"), "status.conditions").find("PriorityClass " + name + " does not exist") !=
           std::string::npos;
  })) << Get("high").dump(1);
  AddClass(name, 1000);
  ASSERT_TRUE(Reaches("low", "Succeeded"));
  EXPECT_LE(At(Get("high"), "status.result.finishedAt"), At(Get("low"), "status.result.startedAt"));
  for (const Json& pod : Pods()) {
    if (At(pod, "metadata.name") != "high-1") continue;
    EXPECT_EQ(At(pod, "spec.priority"), "1000") << pod.dump(1);
  }
  DeleteClass(name);
}

TEST_F(QueueingTest, PriorityAndClassAreNotSetBoth) {
  Json task = Task("t");
  task["spec"]["priority"] = 1;
  task["spec"]["priorityClassName"] = "some";
  const auto [code, text] = cluster.Kubectl("create -f -", task.dump());
  EXPECT_NE(code, 0);
  EXPECT_NE(text.find("set priority or priorityClassName, not both"), std::string::npos) << text;
}

TEST_F(QueueingTest, AGroupStartsWhenAllHaveRoom) {
  const Json group{{"group", {{"name", "g"}, {"size", 3}}},
                   {"placement", {{"policy", "LocalOnly"}}}};
  AddServer("a", "2");
  AddTask("m0", "3s", 0, group);
  AddTask("m1", "3s", 0, group);
  AddTask("m2", "3s", 0, group);
  ASSERT_TRUE(Eventually([&] {
    return At(Get("m0"), "status.explanation.summary").find("1 of them have none") !=
           std::string::npos;
  })) << Get("m0").dump(1);
  EXPECT_TRUE(Pods().empty());
  AddServer("b", "2");
  for (const char* name : {"m0", "m1", "m2"}) EXPECT_TRUE(Reaches(name, "Succeeded"));
}

TEST_F(QueueingTest, ALowerPriorityGivesWayAndRunsAgain) {
  AddServer("a", "1");
  const Json local{{"placement", {{"policy", "LocalOnly"}}}};
  AddTask("low", "20s", 0, local);
  ASSERT_TRUE(Reaches("low", "Running"));
  Json spec = local;
  spec["priority"] = 10;
  spec["preemption"] = "Allowed";
  AddTask("urgent", "1s", 0, spec);
  ASSERT_TRUE(Reaches("urgent", "Succeeded", 60));
  ASSERT_TRUE(Eventually([&] { return At(Get("low"), "status.assignment.attempt") == "2"; }))
      << Get("low").dump(1);
  EXPECT_EQ(At(Get("low"), "status.attempts.0.reason"), "Preempted") << Get("low").dump(1);
  EXPECT_EQ(At(Get("low"), "status.retries"), "");
}

TEST_F(QueueingTest, ALargeTaskIsNotPassedForEver) {
  AddServer("a", "2");
  const Json local{{"placement", {{"policy", "LocalOnly"}}}};
  AddTask("small0", "10s", 0, local);  // so that the two cpus are never free at one moment
  AddTask("small1", "20s", 0, local);
  ASSERT_TRUE(Reaches("small0", "Running"));
  Json large = local;
  large["cpu"] = "2";
  AddTask("large", "1s", 0, large);
  for (int i = 2; i < 12; ++i) AddTask("small" + std::to_string(i), "20s", 0, local);
  EXPECT_TRUE(Reaches("large", "Succeeded", 120)) << Get("large").dump(1);
  EXPECT_NE(Phase("small9"), "Succeeded");
}

// A claim of a class that binds when its first pod has a node.
TEST_F(QueueingTest, AClaimThatWaitsForItsPodIsBoundOnTheServer) {
  const std::string name = ns + "-local";
  AddServer("a", "2");
  cluster.MergePatch("/api/v1/nodes/" + ServerName("a"),
                     {{"metadata", {{"labels", {{"kubernetes.io/hostname", ServerName("a")}}}}}});
  cluster.Create({{"apiVersion", "storage.k8s.io/v1"},
                  {"kind", "StorageClass"},
                  {"metadata", {{"name", name}}},
                  {"provisioner", "kubernetes.io/no-provisioner"},
                  {"volumeBindingMode", "WaitForFirstConsumer"}});
  const Json on_a{
      {"key", "kubernetes.io/hostname"}, {"operator", "In"}, {"values", {ServerName("a")}}};
  cluster.Create({{"apiVersion", "v1"},
                  {"kind", "PersistentVolume"},
                  {"metadata", {{"name", name}}},
                  {"spec",
                   {{"capacity", {{"storage", "1Gi"}}},
                    {"accessModes", {"ReadWriteOnce"}},
                    {"storageClassName", name},
                    {"local", {{"path", "/data"}}},
                    {"nodeAffinity",
                     {{"required", {{"nodeSelectorTerms", {{{"matchExpressions", {on_a}}}}}}}}}}}});
  cluster.Create({{"apiVersion", "v1"},
                  {"kind", "PersistentVolumeClaim"},
                  {"metadata", {{"name", "data"}, {"namespace", ns}}},
                  {"spec",
                   {{"accessModes", {"ReadWriteOnce"}},
                    {"storageClassName", name},
                    {"resources", {{"requests", {{"storage", "1Gi"}}}}}}}});
  AddTask("t", "1s", 0,
          {{"pod",
            {{"volumes", {{{"name", "v"}, {"persistentVolumeClaim", {{"claimName", "data"}}}}}}}}});
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  EXPECT_EQ(At(Get("t"), "status.assignment.nodeName"), ServerName("a"));
  const Json claim = cluster.Get("/api/v1/namespaces/" + ns + "/persistentvolumeclaims/data");
  EXPECT_EQ(At(claim, "status.phase"), "Bound");
  cluster.Delete("/api/v1/persistentvolumes/" + name);
  cluster.Delete("/apis/storage.k8s.io/v1/storageclasses/" + name);
}

}  // namespace
}  // namespace spillway::test
