// On the real kubelet of the cluster, where it has one.
#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

class KubeletTest : public ClusterTest {
 protected:
  void SetUp() override {
    ClusterTest::SetUp();
    if (cluster.Get("/api/v1/nodes/local-1").is_null())
      GTEST_SKIP() << "the cluster has no kubelet (no root or no containerd)";
    cluster.Create("{apiVersion: spillway.dev/v1alpha1, kind: RegisteredServer, metadata: {name: " +
                   ServerName("real") + "}, spec: {nodeName: local-1, capabilities: {test: " + ns +
                   "}}}");
    ASSERT_TRUE(Eventually(
        [&] { return At(cluster.Get(ServerPath("real")), "status.phase") == "Ready"; }, 60));
  }
  void TearDown() override {
    cluster.Delete(ServerPath("real"));
    ClusterTest::TearDown();
    EXPECT_TRUE(Eventually([&] { return Pods().empty(); }, 60));
  }
  void Run(const std::string& name, const std::string& script, const Json& spec = Json::object()) {
    Json task = Task(name);
    Json& container = task["spec"]["template"]["spec"]["containers"][0];
    container["command"] = {"sh", "-c", script};
    container["resources"]["requests"]["cpu"] = "100m";
    task["spec"]["template"]["metadata"].erase("annotations");
    task["spec"].merge_patch(spec);
    cluster.Create(task);
  }
};

TEST_F(KubeletTest, ReportsARealOutput) {
  Run("t", "echo \"sum $((40 + 2)) on $(uname -s)\" > /dev/termination-log");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.result.output"), "sum 42 on Linux\n");
  EXPECT_EQ(At(Get("t"), "status.assignment.nodeName"), "local-1");
}

TEST_F(KubeletTest, ReportsARealExitCode) {
  Run("t", "echo broken > /dev/termination-log; exit 7");
  ASSERT_TRUE(Reaches("t", "Failed", 60));
  EXPECT_EQ(At(Get("t"), "status.result.exitCode"), "7");
  EXPECT_EQ(At(Get("t"), "status.result.output"), "broken\n");
}

TEST_F(KubeletTest, ReportsASignal) {
  Run("t", "sleep 60 & p=$!; kill -TERM $p; wait $p; exit $?");
  ASSERT_TRUE(Reaches("t", "Failed", 60));
  EXPECT_EQ(At(Get("t"), "status.result.exitCode"), "143");
}

TEST_F(KubeletTest, RetriesUntilItSucceeds) {
  Run("t", "case $HOSTNAME in t-1) exit 75;; *) echo second > /dev/termination-log;; esac",
      {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.result.output"), "second\n");
  EXPECT_EQ(At(Get("t"), "status.attempts.0.exitCode"), "75");
}

TEST_F(KubeletTest, SaysThatTheImageCannotBePulled) {
  Run("t", "true",
      {{"template",
        {{"spec",
          {{"containers",
            {{{"name", "task"},
              {"image", "docker.io/local/busybox:1"},
              {"imagePullPolicy", "Never"}}}}}}}}});
  Run("u", "true",
      {{"template",
        {{"spec",
          {{"containers",
            {{{"name", "task"},
              {"image", "docker.io/local/missing:1"},
              {"imagePullPolicy", "Never"}}}}}}}}});
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_TRUE(Eventually(
      [&] {
        return At(Get("u"), "status.conditions").find("ErrImageNeverPull") != std::string::npos;
      },
      60))
      << Get("u").dump(1);
}

TEST_F(KubeletTest, CancelStopsARunningProcess) {
  Run("t", "trap 'exit 0' TERM; sleep 600 & wait");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"cancel", true}}}});
  ASSERT_TRUE(Reaches("t", "Cancelled"));
  EXPECT_TRUE(Eventually([&] { return Pods().empty(); }, 60));
}

}  // namespace
}  // namespace spillway::test
