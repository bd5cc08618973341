#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

using LocalTest = ClusterTest;

TEST_F(LocalTest, RunsATaskAndReportsItsEnd) {
  AddServer("a");
  AddTask("t", "1s", 0);
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  const Json task = Get("t");
  EXPECT_EQ(At(task, "status.result.exitCode"), "0");
  EXPECT_EQ(At(task, "status.result.output"), "output of t");
  EXPECT_EQ(At(task, "status.assignment.server"), ServerName("a"));
  EXPECT_EQ(At(task, "status.assignment.origin"), "Local");
  EXPECT_NE(At(task, "status.result.finishedAt"), "");
  const Json pods = Pods();
  ASSERT_EQ(pods.size(), 1u);
  EXPECT_EQ(At(pods[0], "metadata.name"), "t-1");
  EXPECT_EQ(At(pods[0], "metadata.ownerReferences.0.kind"), "TaskRequest");
}

TEST_F(LocalTest, ReportsAnErrorWithItsExitCode) {
  AddServer("a");
  AddTask("t", "1s", 42);
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.exitCode"), "42");
  EXPECT_EQ(At(Get("t"), "status.result.output"), "output of t");
}

TEST_F(LocalTest, NeverOvercommitsAServer) {
  AddServer("a", "3");
  for (int i = 0; i < 15; ++i) AddTask("t" + std::to_string(i), "1s");
  size_t most = 0;
  ASSERT_TRUE(Eventually(
      [&] {
        size_t active = 0, done = 0;
        for (const Json& pod : Pods()) {
          const std::string phase = At(pod, "status.phase");
          (phase == "Succeeded" ? done : active)++;
        }
        most = std::max(most, active);
        return done == 15;
      },
      60));
  EXPECT_LE(most, 3u);
  EXPECT_GE(most, 2u) << "it should have been used";
}

TEST_F(LocalTest, LeavesRoomForPodsOfOthers) {
  AddServer("a", "4");
  cluster.Create(
      FromYaml("{apiVersion: v1, kind: Pod, metadata: {name: foreign, namespace: " + ns +
               "}, spec: {nodeName: " + ServerName("a") +
               ", containers: [{name: c, image: x, resources: {requests: {cpu: 3500m}}}]}}"));
  ASSERT_TRUE(Eventually([&] {
    return At(cluster.Get("/api/v1/namespaces/" + ns + "/pods/foreign"), "status.phase") ==
           "Running";
  }));
  AddTask("t");
  ASSERT_TRUE(Eventually([&] { return At(Get("t"), "status.explanation.summary") != ""; }));
  EXPECT_NE(At(Get("t"), "status.explanation.servers").find("requests 1 cpu, 500m free"),
            std::string::npos)
      << Get("t").dump(1);
  cluster.Delete("/api/v1/namespaces/" + ns + "/pods/foreign");
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

TEST_F(LocalTest, ChoosesTheServerWithTheRightVersion) {
  AddServer("old", "4", {{"capabilities", {{"driver", "535.1"}}}});
  AddServer("new", "4", {{"capabilities", {{"driver", "550.54.15"}}}});
  AddTask("t", "1s", 0,
          {{"requirements",
            {{{"key", "driver"}, {"operator", "Version"}, {"values", {">=550.54 <600"}}}}}});
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  EXPECT_EQ(At(Get("t"), "status.assignment.server"), ServerName("new"));
}

TEST_F(LocalTest, ChoosesTheTightestFit) {
  AddServer("big", "16");
  AddServer("small", "2");
  AddTask("t");
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  EXPECT_EQ(At(Get("t"), "status.assignment.server"), ServerName("small"));
}

TEST_F(LocalTest, RespectsATaintUnlessItIsTolerated) {
  AddServer("a");
  cluster.MergePatch(
      "/api/v1/nodes/" + ServerName("a"),
      {{"spec", {{"taints", {{{"key", "dedicated"}, {"value", "x"}, {"effect", "NoSchedule"}}}}}}});
  ASSERT_TRUE(Eventually([&] {
    return At(cluster.Get("/api/v1/nodes/" + ServerName("a")), "spec.taints").find("dedicated") !=
           std::string::npos;
  }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  AddTask("no");
  AddTask("yes", "1s", 0,
          {{"pod", {{"tolerations", {{{"key", "dedicated"}, {"operator", "Exists"}}}}}}});
  EXPECT_TRUE(Reaches("yes", "Succeeded"));
  EXPECT_NE(At(Get("no"), "status.explanation.summary").find("untolerated taint dedicated"),
            std::string::npos)
      << Get("no").dump(1);
}

TEST_F(LocalTest, AnExclusiveTaskHasItsServerToItself) {
  AddServer("a", "8");
  AddTask("alone", "2s", 0, {{"exclusive", true}});
  ASSERT_TRUE(Reaches("alone", "Running"));
  AddTask("other", "1s");
  ASSERT_TRUE(Eventually([&] {
    return At(Get("other"), "status.explanation.summary").find("exclusive") != std::string::npos;
  }));
  EXPECT_TRUE(Reaches("other", "Succeeded"));
}

TEST_F(LocalTest, RespectsMaxTasksAndCordon) {
  AddServer("a", "8", {{"limits", {{"maxTasks", 1}}}});
  AddTask("one", "2s");
  AddTask("two", "1s");
  ASSERT_TRUE(Reaches("one", "Running"));
  ASSERT_TRUE(Eventually([&] {
    return At(Get("two"), "status.explanation.servers").find("runs 1 of at most 1 tasks") !=
           std::string::npos;
  }));
  cluster.MergePatch(ServerPath("a"), {{"spec", {{"cordoned", true}}}});
  ASSERT_TRUE(Reaches("one", "Succeeded"));
  ASSERT_TRUE(
      Eventually([&] { return At(cluster.Get(ServerPath("a")), "status.phase") == "Cordoned"; }));
  EXPECT_EQ(Phase("two"), "Pending");
  cluster.MergePatch(ServerPath("a"), {{"spec", {{"cordoned", false}}}});
  EXPECT_TRUE(Reaches("two", "Succeeded"));
}

}  // namespace
}  // namespace spillway::test
