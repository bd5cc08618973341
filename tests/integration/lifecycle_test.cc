#include <signal.h>

#include <thread>

#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

using LifecycleTest = ClusterTest;

TEST_F(LifecycleTest, RetriesAndThenFails) {
  AddServer("a");
  AddTask("t", "1s", 75, {{"retry", {{"limit", 2}, {"backoffSeconds", 1}, {"onExitCodes", {75}}}}});
  ASSERT_TRUE(Reaches("t", "Failed", 60));
  EXPECT_EQ(Get("t")["status"]["attempts"].size(), 3u);
  EXPECT_EQ(At(Get("t"), "status.retries"), "2");
  EXPECT_EQ(Pods().size(), 3u);
}

TEST_F(LifecycleTest, ALostServerIsNoRetry) {
  AddServer("a", "2");
  AddServer("b", "4");
  AddTask("t", "5s");
  ASSERT_TRUE(Reaches("t", "Running"));
  ASSERT_EQ(At(Get("t"), "status.assignment.server"), ServerName("a"));
  cluster.Delete("/api/v1/nodes/" + ServerName("a"));
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.assignment.server"), ServerName("b"));
  EXPECT_EQ(At(Get("t"), "status.retries"), "");
  EXPECT_EQ(At(Get("t"), "status.attempts.0.reason"), "ServerLost");
}

TEST_F(LifecycleTest, ActiveDeadlineStopsIt) {
  AddServer("a");
  AddTask("t", "600s", 0, {{"activeDeadlineSeconds", 2}});
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.reason"), "DeadlineExceeded");
  EXPECT_TRUE(Eventually([&] { return Pods().empty(); }));
}

TEST_F(LifecycleTest, CancelStopsItForGood) {
  AddServer("a");
  AddTask("t", "600s");
  ASSERT_TRUE(Reaches("t", "Running"));
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"cancel", true}}}});
  ASSERT_TRUE(Reaches("t", "Cancelled"));
  EXPECT_TRUE(Eventually([&] { return Pods().empty(); }));
}

TEST_F(LifecycleTest, SuspendHoldsAndResumes) {
  AddServer("a");
  AddTask("t", "3s", 0, {{"suspend", true}});
  ASSERT_TRUE(Reaches("t", "Suspended"));
  EXPECT_TRUE(Pods().empty());
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"suspend", false}}}});
  ASSERT_TRUE(Reaches("t", "Running"));
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"suspend", true}}}});
  ASSERT_TRUE(Reaches("t", "Suspended"));
  EXPECT_TRUE(Eventually([&] { return Pods().empty(); }));
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"suspend", false}}}});
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

TEST_F(LifecycleTest, IsDeletedAfterItsTtl) {
  AddServer("a");
  AddTask("t", "1s", 0, {{"ttlSecondsAfterFinished", 1}});
  EXPECT_TRUE(Eventually([&] { return Get("t").is_null(); }));
}

TEST_F(LifecycleTest, DeletingItDeletesItsPod) {
  AddServer("a");
  AddTask("t", "600s");
  ASSERT_TRUE(Reaches("t", "Running"));
  cluster.Delete(TaskPath("t"));
  EXPECT_TRUE(Eventually([&] { return Pods().empty(); }));
  AddTask("t", "1s");
  EXPECT_TRUE(Reaches("t", "Succeeded")) << "the same name can be used again";
}

TEST_F(LifecycleTest, ApplyingItAgainDoesNotRunItAgain) {
  AddServer("a");
  const Json manifest = Task("t");
  ASSERT_EQ(cluster.Kubectl("apply -f -", manifest.dump()).first, 0);
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  const std::string version = At(Get("t"), "metadata.resourceVersion");
  const auto [code, text] = cluster.Kubectl("apply -f -", manifest.dump());
  EXPECT_EQ(code, 0);
  EXPECT_NE(text.find("unchanged"), std::string::npos);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_EQ(At(Get("t"), "metadata.resourceVersion"), version);
  EXPECT_EQ(Pods().size(), 1u);
}

TEST_F(LifecycleTest, ItsPodsGoAfterTheirTtlAndAppliedAgainItDoesNotRunAgain) {
  AddServer("a");
  Json manifest = Task("t");
  manifest["spec"]["podTTLSeconds"] = 1;
  ASSERT_EQ(cluster.Kubectl("apply -f -", manifest.dump()).first, 0);
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  EXPECT_TRUE(Eventually([&] { return Pods().empty(); }));
  const Json ended = Get("t");
  EXPECT_EQ(At(ended, "status.result.exitCode"), "0");
  EXPECT_EQ(At(ended, "status.result.output"), "output of t");
  const auto [code, text] = cluster.Kubectl("apply -f -", manifest.dump());
  EXPECT_EQ(code, 0);
  EXPECT_NE(text.find("unchanged"), std::string::npos);
  // Nor does an operator that sees it without its pod for the first time.
  spillway->Kill(SIGKILL);
  SetUpTestSuite();
  std::this_thread::sleep_for(std::chrono::seconds(2));
  EXPECT_TRUE(Pods().empty());
  EXPECT_EQ(At(Get("t"), "metadata.resourceVersion"), At(ended, "metadata.resourceVersion"));
}

TEST_F(LifecycleTest, ATemplateThatTheApiServerRefusesFailsWithItsMessage) {
  AddServer("a");
  AddTask("t", "1s", 0, {{"pod", {{"dnsPolicy", "None"}}}});
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.reason"), "InvalidTemplate");
  EXPECT_NE(At(Get("t"), "status.result.message").find("dnsConfig"), std::string::npos)
      << Get("t").dump(1);
}

TEST_F(LifecycleTest, AServiceAccountThatComesLaterOnlyHoldsItBack) {
  AddServer("a");
  AddTask("t", "1s", 0, {{"pod", {{"serviceAccountName", "builder"}}}});
  ASSERT_TRUE(Eventually([&] {
    return At(Get("t"), "status").find("serviceaccount \\\"builder\\\" not found") !=
           std::string::npos;
  })) << Get("t").dump(1);
  EXPECT_EQ(Phase("t"), "Pending");
  cluster.Create(
      "{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: " + ns + "}}");
  EXPECT_TRUE(Reaches("t", "Succeeded", 90));
}

TEST_F(LifecycleTest, AQuotaOnlyHoldsItBack) {
  AddServer("a");
  cluster.Create("{apiVersion: v1, kind: ResourceQuota, metadata: {name: none, namespace: " + ns +
                 "}, spec: {hard: {pods: \"0\"}}}");
  ASSERT_TRUE(Eventually([&] {
    return At(cluster.Get("/api/v1/namespaces/" + ns + "/resourcequotas/none"),
              "status.hard.pods") == "0";
  }));
  AddTask("t");
  ASSERT_TRUE(Eventually([&] {
    return At(Get("t"), "status").find("exceeded quota") != std::string::npos;
  })) << Get("t").dump(1);
  EXPECT_EQ(Phase("t"), "Pending");
  cluster.Delete("/api/v1/namespaces/" + ns + "/resourcequotas/none");
  EXPECT_TRUE(Reaches("t", "Succeeded", 60));
}

TEST_F(LifecycleTest, WritesEventsAndConditions) {
  AddServer("a");
  AddTask("t", "1s", 3, {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  ASSERT_TRUE(Reaches("t", "Failed"));
  bool retrying = false;
  for (const Json& event : cluster.List("/api/v1/namespaces/" + ns + "/events")) {
    retrying =
        retrying || (At(event, "reason") == "Retrying" && At(event, "involvedObject.name") == "t");
  }
  EXPECT_TRUE(retrying);
  EXPECT_EQ(cluster.Kubectl("-n " + ns + " wait --for=condition=Failed --timeout=5s tq/t").first,
            0);
}

TEST_F(LifecycleTest, TheDeadlineStopsWhileItIsSuspended) {
  AddServer("a");
  AddTask("t", "4s", 0, {{"activeDeadlineSeconds", 8}});
  ASSERT_TRUE(Reaches("t", "Running"));
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"suspend", true}}}});
  ASSERT_TRUE(Reaches("t", "Suspended"));
  std::this_thread::sleep_for(std::chrono::seconds(10));
  EXPECT_EQ(Phase("t"), "Suspended");
  cluster.MergePatch(TaskPath("t"), {{"spec", {{"suspend", false}}}});
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

}  // namespace
}  // namespace spillway::test
