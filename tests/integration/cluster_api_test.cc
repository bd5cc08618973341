// Servers from the real core manager of Cluster API, whose machines hack/cluster.d/machines.py
// makes.
#include <signal.h>

#include <chrono>

#include "operator/base/time.h"
#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

constexpr char kRole[] = "/apis/rbac.authorization.k8s.io/v1/clusterroles/spillway";
constexpr char kNamespaced[] = "/apis/cluster.x-k8s.io/v1beta2/namespaces/cluster-api/";

class ClusterApiTest : public ClusterTest {
 protected:
  void SetUp() override {
    if (cluster.Get(std::string(kNamespaced) + "clusters/own").is_null())
      GTEST_SKIP() << "this cluster has no Cluster API: it could not be built";
    ClusterTest::SetUp();
  }
  void TearDown() override {
    if (ns.empty()) return;
    ClusterTest::TearDown();
    EXPECT_TRUE(Eventually(
        [&] { return Ours("machinesets").empty() && Ours("machines").empty() && Nodes().empty(); },
        60))
        << Ours("machinesets").dump(1) << Ours("machines").dump(1) << Nodes().dump(1);
  }

  // fault: the template of hack/cluster.d/cluster-api.sh.
  void AddMachinePool(const std::string& name, const std::string& fault = "none",
                      Json spec = Json::object(), const std::string& of = "own") {
    spec["backend"] = {{"karpenter", nullptr},
                       {"clusterAPI",
                        {{"namespace", "cluster-api"},
                         {"clusterName", of},
                         {"bootstrap", {{"dataSecretName", "none"}}},
                         {"infrastructureRef",
                          {{"apiGroup", "infrastructure.cluster.x-k8s.io"},
                           {"kind", "SimMachineTemplate"},
                           {"name", fault}}}}}};
    AddPool(name, spec);
  }
  Json Ours(const std::string& plural) {
    Json out = Json::array();
    for (const Json& each : cluster.List(kNamespaced + plural)) {
      if (each["metadata"]["labels"].value("spillway.dev/pool", "").starts_with(ns + "-"))
        out.push_back(each);
    }
    return out;
  }
  Json Nodes() {
    Json out = Json::array();
    for (const Json& node : cluster.List("/api/v1/nodes?labelSelector=spillway.dev%2Fpool")) {
      if (node["metadata"]["labels"]["spillway.dev/pool"].get<std::string>().starts_with(ns + "-"))
        out.push_back(node);
    }
    return out;
  }
  std::string Last(const std::string& field) {
    const Json scales = ScaleRequests();
    return scales.empty() ? "" : At(scales.back(), field);
  }
  // Of the purchase of that pool.
  std::string Of(const std::string& pool, const std::string& field) {
    for (const Json& scale : ScaleRequests()) {
      if (At(scale, "spec.poolName") == ServerName(pool)) return At(scale, field);
    }
    return "";
  }
  // Everything of the server is gone, and the purchase says so.
  bool GivenBack(const std::string& node) {
    return Eventually(
        [&] {
          return Ours("machinesets").empty() && Ours("machines").empty() &&
                 cluster.Get("/api/v1/nodes/" + node).is_null() &&
                 Last("status.phase") == "Released";
        },
        60);
  }
};

TEST_F(ClusterApiTest, ATaskRunsOnAMachineThatIsGivenBack) {
  AddMachinePool("pool", "none", {{"template", {{"labels", {{"disk", "ssd"}}}}}});
  AddTask("t", "3s", 3);
  ASSERT_TRUE(Reaches("t", "Running", 60)) << ScaleRequests().dump(1);
  ASSERT_EQ(Ours("machinesets").size(), 1u);
  EXPECT_EQ(At(Ours("machinesets")[0], "metadata.name"), "spw-" + Last("metadata.uid"));
  const std::string name = At(Get("t"), "status.assignment.nodeName");
  const Json node = cluster.Get("/api/v1/nodes/" + name);
  EXPECT_EQ(At(Ours("machines")[0], "status.nodeRef.name"), name);
  EXPECT_EQ(At(node, "spec.providerID"), Last("status.providerID"));
  EXPECT_EQ(node["metadata"]["labels"].value("disk", ""), "ssd");
  EXPECT_EQ(node["metadata"]["labels"].value("spillway.dev/pool", ""), ServerName("pool"));
  EXPECT_NE(At(node, "spec.taints").find("spillway.dev/pool"), std::string::npos);
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.exitCode"), "3");
  EXPECT_TRUE(GivenBack(name)) << ScaleRequests().dump(1);
}

TEST_F(ClusterApiTest, EachKindOfFailureLeadsToTheNextPoolAtOnce) {
  AddMachinePool("a", "capacity", {{"priority", 50}});
  AddMachinePool("b", "quota", {{"priority", 40}});
  AddMachinePool("c", "class", {{"priority", 30}});
  AddMachinePool("d", "there-is-no-such-template", {{"priority", 20}});
  AddMachinePool("e", "credentials", {{"priority", 10}});
  AddMachinePool("f");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 90)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("f"));
  EXPECT_EQ(Of("a", "status.errorClass"), "InsufficientCapacity");
  EXPECT_NE(Of("a", "status.message").find("no capacity of this type"), std::string::npos);
  EXPECT_EQ(Of("b", "status.errorClass"), "QuotaExceeded");
  EXPECT_EQ(Of("c", "status.errorClass"), "InvalidRequest");
  EXPECT_EQ(Of("d", "status.errorClass"), "InvalidRequest");
  EXPECT_EQ(Of("e", "status.errorClass"), "Unauthenticated");
  const auto failed = ParseTime(Of("a", "status.finishedAt")),
             next = ParseTime(Of("b", "metadata.creationTimestamp"));
  ASSERT_TRUE(failed && next);
  EXPECT_LE(*next - *failed, std::chrono::seconds(2));
}

TEST_F(ClusterApiTest, WhatNeverGetsItsNodeTimesOut) {
  AddMachinePool("silent", "silence", {{"priority", 20}, {"provisionTimeoutSeconds", 4}});
  AddMachinePool("nodeless", "nodeless", {{"priority", 10}, {"provisionTimeoutSeconds", 4}});
  AddMachinePool("works");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 90)) << ScaleRequests().dump(1);
  EXPECT_EQ(Of("silent", "status.errorClass"), "ProvisionTimeout");
  EXPECT_EQ(Of("nodeless", "status.errorClass"), "ProvisionTimeout");
}

TEST_F(ClusterApiTest, AnOperatorThatIsKilledAfterTheCreationHasOneMachineSet) {
  AddMachinePool("pool");
  const Json rules = cluster.Get(kRole)["rules"];
  Json kept = Json::array();
  for (const Json& rule : rules) {
    if (rule["resources"].dump().find("/status") == std::string::npos) kept.push_back(rule);
  }
  cluster.MergePatch(kRole, {{"rules", kept}});
  AddTask("t", "3s");
  const bool made = Eventually([&] { return Ours("machinesets").size() == 1; });
  spillway->Kill(SIGKILL);
  cluster.MergePatch(kRole, {{"rules", rules}});
  ASSERT_TRUE(made);
  const std::string uid = At(Ours("machinesets")[0], "metadata.uid");
  ASSERT_EQ(Last("status.phase"), "");
  ClusterTest::SetUpTestSuite();
  ASSERT_TRUE(Reaches("t", "Running", 60));
  ASSERT_EQ(Ours("machinesets").size(), 1u);
  EXPECT_EQ(At(Ours("machinesets")[0], "metadata.uid"), uid);
  EXPECT_EQ(ScaleRequests().size(), 1u);
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

TEST_F(ClusterApiTest, TheMachineSetOfAScaleRequestThatWasDeletedIsGivenBack) {
  AddMachinePool("pool");
  AddTask("t", "60s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string uid = At(Ours("machinesets")[0], "metadata.uid");
  spillway->Kill(SIGKILL);
  cluster.Delete("/apis/spillway.dev/v1alpha1/scalerequests/" + Last("metadata.name"));
  ClusterTest::SetUpTestSuite();
  cluster.Delete(TaskPath("t"));
  EXPECT_TRUE(Eventually(
      [&] {
        for (const Json& set : Ours("machinesets")) {
          if (At(set, "metadata.uid") == uid) return false;
        }
        return true;
      },
      60));
}

TEST_F(ClusterApiTest, AMachineThatIsDeletedByHandIsReplacedForTheTaskAndNothingIsLeft) {
  AddMachinePool("pool");
  AddTask("t", "8s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string machine = At(Ours("machines")[0], "metadata.name");
  cluster.Delete(kNamespaced + ("machines/" + machine));
  ASSERT_TRUE(Reaches("t", "Succeeded", 120)) << ScaleRequests().dump(1);
  EXPECT_EQ(At(Get("t"), "status.retries"), "");
  EXPECT_EQ(At(Get("t"), "status.losses"), "1");
  const std::string node = At(Get("t"), "status.assignment.nodeName");
  EXPECT_TRUE(GivenBack(node)) << ScaleRequests().dump(1) << Nodes().dump(1);
}

// Its drain takes longer than in the test before.
TEST_F(ClusterApiTest, AMachineThatIsAboutToGoTellsItsTaskWhichRunsElsewhere) {
  AddMachinePool("pool");
  AddTask("t", "600s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string machine = At(Ours("machines")[0], "metadata.name");
  const std::string path = kNamespaced + ("machines/" + machine);
  const std::string hook = "pre-drain.delete.hook.machine.cluster.x-k8s.io/test";
  cluster.MergePatch(path, {{"metadata", {{"annotations", {{hook, "wait"}}}}}});
  cluster.Delete(path);
  EXPECT_TRUE(Eventually([&] { return At(Get("t"), "status.losses") == "1"; })) << Get("t");
  cluster.MergePatch(path, {{"metadata", {{"annotations", {{hook, nullptr}}}}}});
  const Json task = Get("t");
  EXPECT_EQ(task["status"]["attempts"][0]["reason"], "ServerEnding") << task;
  EXPECT_NE(
      At(task, "status.attempts").find("Machine cluster-api/" + machine + " is being deleted"),
      std::string::npos)
      << task;
  EXPECT_EQ(At(task, "status.retries"), "");
  EXPECT_FALSE(Events("t", "ServerEnding").empty());
  EXPECT_TRUE(Reaches("t", "Running", 60)) << ScaleRequests().dump(1);
  cluster.Delete(TaskPath("t"));
}

TEST_F(ClusterApiTest, AMachineThatDiesIsGivenBackAndItsTaskRunsElsewhere) {
  AddMachinePool("first", "dies", {{"priority", 10}, {"maxServers", 1}});
  AddTask("t", "8s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string node = At(Get("t"), "status.assignment.nodeName");
  AddMachinePool("second", "none", {{"priority", 20}});
  ASSERT_TRUE(Reaches("t", "Succeeded", 120)) << ScaleRequests().dump(1);
  EXPECT_NE(At(Get("t"), "status.assignment.nodeName"), node);
  EXPECT_EQ(At(Get("t"), "status.retries"), "");
}

TEST_F(ClusterApiTest, WithoutAMachineOfTheControlPlaneTheNodeIsRemovedNevertheless) {
  AddMachinePool("pool", "none", Json::object(), "bare");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60)) << ScaleRequests().dump(1);
  EXPECT_TRUE(GivenBack(At(Get("t"), "status.assignment.nodeName"))) << Nodes().dump(1);
}

}  // namespace
}  // namespace spillway::test
