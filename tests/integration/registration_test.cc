#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

using RegistrationTest = ClusterTest;

TEST_F(RegistrationTest, ALabelOnTheNodeRegistersIt) {
  AddNode("n", "4", {{"spillway.dev/register", "true"}, {"test", ns}});
  ASSERT_TRUE(
      Eventually([&] { return At(cluster.Get(ServerPath("n")), "status.phase") == "Ready"; }));
  EXPECT_EQ(At(cluster.Get(ServerPath("n")), "metadata.ownerReferences.0.kind"), "Node");
  AddTask("t");
  EXPECT_TRUE(Reaches("t", "Succeeded")) << "a label of the node counts as a capability";
  cluster.MergePatch("/api/v1/nodes/" + ServerName("n"),
                     {{"metadata", {{"labels", {{"spillway.dev/register", nullptr}}}}}});
  EXPECT_TRUE(Eventually([&] { return cluster.Get(ServerPath("n")).is_null(); }));
}

TEST_F(RegistrationTest, ReportsRoomTasksAndHeartbeat) {
  AddServer("a", "4");
  AddTask("t", "600s");
  ASSERT_TRUE(Reaches("t", "Running"));
  EXPECT_TRUE(Eventually([&] {
    const Json server = cluster.Get(ServerPath("a"));
    return At(server, "status.tasks") == "1" && At(server, "status.allocated.cpu") == "1" &&
           At(server, "status.allocatable.cpu") == "4" &&
           At(server, "status.lastHeartbeatTime") != "";
  })) << cluster.Get(ServerPath("a")).dump(1);
}

TEST_F(RegistrationTest, AServerWithoutNodeSaysSo) {
  cluster.Create("{apiVersion: spillway.dev/v1alpha1, kind: RegisteredServer, metadata: {name: " +
                 ServerName("x") + "}, spec: {nodeName: " + ServerName("x") + "}}");
  ASSERT_TRUE(
      Eventually([&] { return At(cluster.Get(ServerPath("x")), "status.phase") == "NotReady"; }));
  EXPECT_NE(At(cluster.Get(ServerPath("x")), "status.conditions").find("does not exist"),
            std::string::npos);
  cluster.Delete(ServerPath("x"));
}

TEST_F(RegistrationTest, ANodeThatStopsItsHeartbeatTakesNoTasks) {
  // Not simulated by kwok: Ready once, by our own hand, and never renewed.
  cluster.Create(
      Json{{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", ServerName("n")}}}});
  const std::string now =
      FormatTime(std::chrono::floor<Duration>(std::chrono::system_clock::now()));
  cluster.MergePatch("/api/v1/nodes/" + ServerName("n") + "/status",
                     {{"status",
                       {{"allocatable", {{"cpu", "4"}, {"memory", "1Gi"}, {"pods", "10"}}},
                        {"conditions",
                         {{{"type", "Ready"},
                           {"status", "False"},
                           {"reason", "KubeletNotReady"},
                           {"message", "the disk is full"},
                           {"lastHeartbeatTime", now},
                           {"lastTransitionTime", now}}}}}}});
  cluster.Create(Json{{"apiVersion", "spillway.dev/v1alpha1"},
                      {"kind", "RegisteredServer"},
                      {"metadata", {{"name", ServerName("n")}}},
                      {"spec", {{"nodeName", ServerName("n")}, {"capabilities", {{"test", ns}}}}}});
  ASSERT_TRUE(
      Eventually([&] { return At(cluster.Get(ServerPath("n")), "status.phase") == "NotReady"; }));
  EXPECT_NE(At(cluster.Get(ServerPath("n")), "status.conditions").find("the disk is full"),
            std::string::npos);
  AddTask("t");
  ASSERT_TRUE(Reaches("t", "Pending"));
  EXPECT_NE(At(Get("t"), "status.explanation.servers").find("the disk is full"), std::string::npos);
  cluster.Delete(ServerPath("n"));
  cluster.Delete("/api/v1/nodes/" + ServerName("n"));
}

}  // namespace
}  // namespace spillway::test
