// Servers from a cloud service, with the reference service.
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/integration/cloud_service.h"

namespace spillway::test {
namespace {

constexpr char kOperatorRole[] = "/apis/rbac.authorization.k8s.io/v1/clusterroles/spillway";
constexpr char kScales[] = "/apis/spillway.dev/v1alpha1/scalerequests/";

class RestTest : public ClusterTest {
 protected:
  static void SetUpTestSuite() {
    service = std::make_unique<CloudService>(cluster_of_suite());
    ClusterTest::SetUpTestSuite();
  }
  static void TearDownTestSuite() {
    ClusterTest::TearDownTestSuite();
    service.reset();
    // Nobody is left who would take the finalizers off, and the CRD could not be deleted.
    const Json scales = cluster_of_suite().Get("/apis/spillway.dev/v1alpha1/scalerequests");
    for (const Json& scale : scales["items"]) {
      if (scale["metadata"].contains("finalizers"))
        cluster_of_suite().MergePatch(kScales + scale["metadata"]["name"].get<std::string>(),
                                      {{"metadata", {{"finalizers", nullptr}}}});
    }
  }
  static Cluster& cluster_of_suite() {
    static Cluster cluster;
    return cluster;
  }
  void TearDown() override {
    service->SetFaults(Json::array());
    ClusterTest::TearDown();
    EXPECT_TRUE(Eventually([&] { return Leases().empty(); }, 60))
        << Leases().dump(1) << ScaleRequests().dump(1) << service->log();
  }

  void AddRestPool(const std::string& name, Json spec = Json::object(),
                   const std::string& offer = "small") {
    spec["backend"] = {{"karpenter", nullptr}, {"rest", service->Backend(offer)}};
    AddPool(name, spec);
  }
  // Of this test's pools.
  Json Leases() {
    Json out = Json::array();
    for (const Json& lease : service->Leases()) {
      if (!lease.is_object() || At(lease, "pool").starts_with(ns + "-")) out.push_back(lease);
    }
    return out;
  }
  std::string Last(const std::string& field) {
    const Json scales = ScaleRequests();
    return scales.empty() ? "" : At(scales.back(), field);
  }

  static std::unique_ptr<CloudService> service;
};
std::unique_ptr<CloudService> RestTest::service;

TEST_F(RestTest, ATaskRunsOnALeasedServerThatIsGivenBack) {
  AddRestPool("pool", {{"template", {{"labels", {{"disk", "ssd"}}}}}});
  AddTask("t", "4s", 3);
  ASSERT_TRUE(Reaches("t", "Running", 60));
  ASSERT_EQ(Leases().size(), 1u);
  EXPECT_EQ(At(Leases()[0], "id"), Last("metadata.uid"));
  const std::string node = At(Get("t"), "status.assignment.nodeName");
  const Json object = cluster.Get("/api/v1/nodes/" + node);
  EXPECT_NE(At(object, "spec.taints").find("spillway.dev/pool"), std::string::npos);
  EXPECT_EQ(object["metadata"]["labels"]["disk"], "ssd");
  EXPECT_EQ(At(object, "spec.providerID"), Last("status.providerID"));
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.exitCode"), "3");
  EXPECT_TRUE(Eventually(
      [&] {
        return Leases().empty() && cluster.Get("/api/v1/nodes/" + node).is_null() &&
               Last("status.phase") == "Released" && Last("metadata.finalizers").empty();
      },
      60))
      << ScaleRequests().dump(1);
}

TEST_F(RestTest, ANodeThatJoinsBareIsLabelledAndTaintedBeforeItsFirstTask) {
  AddRestPool("pool", {{"template", {{"labels", {{"disk", "ssd"}}}}}}, "bare");
  AddTask("t", "3s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const Json node = cluster.Get("/api/v1/nodes/" + At(Get("t"), "status.assignment.nodeName"));
  EXPECT_EQ(node["metadata"]["labels"]["disk"], "ssd");
  EXPECT_EQ(node["metadata"]["labels"]["spillway.dev/pool"], ServerName("pool"));
  EXPECT_NE(At(node, "spec.taints").find("spillway.dev/pool"), std::string::npos);
}

TEST_F(RestTest, AServiceThatIsBusyIsAskedAgainWhenItSays) {
  service->SetFaults({{{"method", "PUT"},
                       {"path", "^/v1/leases/"},
                       {"times", 1},
                       {"answer",
                        {{"status", 429},
                         {"retryAfterSeconds", 5},
                         {"class", "Transient"},
                         {"code", "Busy"},
                         {"message", "the desk is busy"}}}}});
  AddRestPool("pool");
  const auto begin = std::chrono::steady_clock::now();
  AddTask("t", "1s");
  ASSERT_TRUE(Eventually([&] {
    return Last("status.message").find("the desk is busy") != std::string::npos;
  })) << ScaleRequests().dump(1);
  ASSERT_TRUE(Eventually([&] { return Leases().size() == 1; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(ScaleRequests().size(), 1u);
}

TEST_F(RestTest, OverQuotaIsNoFaultOfCredentialsAndHoldsThePool) {
  service->SetFaults({{{"method", "PUT"},
                       {"path", "^/v1/leases/"},
                       {"answer",
                        {{"status", 403},
                         {"class", "QuotaExceeded"},
                         {"code", "Quota"},
                         {"message", "10 of 10 machines"}}}}});
  AddRestPool("pool");
  AddTask("t", "1s");
  ASSERT_TRUE(Eventually([&] { return Last("status.errorClass") == "QuotaExceeded"; }))
      << ScaleRequests().dump(1);
  EXPECT_EQ(Last("status.message"), "10 of 10 machines");
  ASSERT_TRUE(Eventually([&] { return Last("metadata.finalizers").empty(); }));
  const Json pool = cluster.Get("/apis/spillway.dev/v1alpha1/serverpools/" + ServerName("pool"));
  EXPECT_NE(At(pool, "status.conditions").find("QuotaExceeded"), std::string::npos);
  EXPECT_TRUE(Reaches("t", "Pending"));
}

TEST_F(RestTest, ALostAnswerIsOneLease) {
  service->SetFaults(
      {{{"method", "PUT"}, {"path", "^/v1/leases/"}, {"times", 2}, {"drop", "after"}}});
  AddRestPool("pool");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(ScaleRequests().size(), 1u);
}

TEST_F(RestTest, AnOperatorThatIsKilledBetweenTheLeaseAndItsRecordHasOneLease) {
  AddRestPool("pool");
  const Json rules = cluster.Get(kOperatorRole)["rules"];
  Json kept = Json::array();
  for (const Json& rule : rules) {
    if (rule["resources"].dump().find("/status") == std::string::npos) kept.push_back(rule);
  }
  cluster.MergePatch(kOperatorRole, {{"rules", kept}});
  AddTask("t", "3s");
  const bool leased = Eventually([&] { return Leases().size() == 1; });
  spillway->Kill(SIGKILL);
  cluster.MergePatch(kOperatorRole, {{"rules", rules}});
  ASSERT_TRUE(leased);
  const std::string id = At(Leases()[0], "id");
  ASSERT_EQ(Last("status.phase"), "");
  ClusterTest::SetUpTestSuite();
  ASSERT_TRUE(Reaches("t", "Running", 60));
  ASSERT_EQ(Leases().size(), 1u);
  EXPECT_EQ(At(Leases()[0], "id"), id);
  EXPECT_EQ(ScaleRequests().size(), 1u);
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

TEST_F(RestTest, WithoutCapacityAtKarpenterALeaseIsAskedForAtOnce) {
  AddPool("first", {{"priority", 10}}, "there-is-no-such-class");
  AddRestPool("second");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("second"));
  std::string failed, bought;
  for (const Json& scale : ScaleRequests()) {
    if (At(scale, "spec.poolName") == ServerName("first")) failed = At(scale, "status.finishedAt");
    if (At(scale, "spec.poolName") == ServerName("second"))
      bought = At(scale, "metadata.creationTimestamp");
  }
  const auto failed_at = ParseTime(failed), bought_at = ParseTime(bought);
  ASSERT_TRUE(failed_at && bought_at) << failed << " " << bought;
  EXPECT_LE(*bought_at - *failed_at, std::chrono::seconds(2));
}

TEST_F(RestTest, ALeaseThatFailsLaterIsOfItsClassToo) {
  service->SetFaults({{{"method", "PUT"},
                       {"path", "^/v1/leases/"},
                       {"times", 1},
                       {"lease",
                        {{"class", "InsufficientCapacity"},
                         {"code", "NoCapacity"},
                         {"message", "the rack is full"}}}}});
  AddRestPool("first", {{"priority", 10}});
  AddRestPool("second");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("second"));
  bool said = false;
  for (const Json& scale : ScaleRequests())
    said = said || At(scale, "status.message") == "the rack is full";
  EXPECT_TRUE(said) << ScaleRequests().dump(1);
}

TEST_F(RestTest, ADeletedScaleRequestGivesItsLeaseBack) {
  AddRestPool("pool");
  AddTask("t", "60s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string name = Last("metadata.name");
  const std::string id = At(Leases()[0], "id");
  cluster.Delete(kScales + name);
  EXPECT_TRUE(Eventually(
      [&] {
        for (const Json& lease : Leases()) {
          if (At(lease, "id") == id) return false;
        }
        return cluster.Get(kScales + name).is_null();
      },
      60))
      << ScaleRequests().dump(1);
  cluster.Delete(TaskPath("t"));
}

TEST_F(RestTest, AServiceThatIsDownLosesNoServerOverARestartOfTheOperator) {
  AddRestPool("pool");
  AddTask("t", "15s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  service->Stop();
  spillway->Kill(SIGKILL);
  ClusterTest::SetUpTestSuite();
  std::this_thread::sleep_for(std::chrono::seconds(5));
  EXPECT_EQ(Last("status.phase"), "Ready") << ScaleRequests().dump(1);
  service->Start();
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.attempts").find("ServerLost"), std::string::npos);
}

TEST_F(RestTest, ATokenThatIsReplacedIsReadAgain) {
  AddRestPool("pool");
  service->ReplaceToken("another-token-of-the-tests");
  service->PutSecret("another-token-of-the-tests");
  service->Stop();
  service->Start();
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(spillway->log().find("another-token"), std::string::npos);
}

TEST_F(RestTest, AMachineThatIsTakenAwayLetsItsTasksRunWhileThereIsTimeAndStopsThemThen) {
  AddRestPool("pool");
  AddTask("short", "12s");
  AddTask("long", "600s");
  ASSERT_TRUE(Reaches("short", "Running", 60) && Reaches("long", "Running"));
  ASSERT_EQ(Leases().size(), 1u);
  const std::string id = At(Leases()[0], "id"),
                    server = At(Get("long"), "status.assignment.server");
  service->TakeAway(id, 50, "maintenance of rack 4");
  ASSERT_TRUE(Eventually([&] { return !Events("long", "ServerEnding").empty(); })) << Get("long");
  const std::string told = Events("long", "ServerEnding")[0];
  EXPECT_NE(told.find("takes the machine away: maintenance of rack 4"), std::string::npos) << told;
  EXPECT_NE(told.find("the server ends at 20"), std::string::npos) << told;
  EXPECT_NE(At(Get("long"), "status.conditions").find(told), std::string::npos);
  EXPECT_EQ(Phase("long"), "Running");
  ASSERT_TRUE(Reaches("short", "Succeeded"));
  EXPECT_EQ(At(Get("short"), "status.attempts").find("ServerEnding"), std::string::npos);
  // 50 s less a grace period of 30 s and 5 s.
  ASSERT_TRUE(Eventually([&] { return At(Get("long"), "status.losses") == "1"; }, 60));
  const Json task = Get("long");
  EXPECT_EQ(task["status"]["attempts"][0]["reason"], "ServerEnding") << task;
  EXPECT_EQ(At(task, "status.retries"), "");
  EXPECT_TRUE(Reaches("long", "Running", 60)) << Get("long");
  EXPECT_NE(At(Get("long"), "status.assignment.server"), server);
  EXPECT_TRUE(Eventually([&] { return Leases().size() == 1 && At(Leases()[0], "id") != id; }, 60))
      << Leases().dump(1);
  cluster.Delete(TaskPath("long"));
}

TEST_F(RestTest, AMachineThatVanishesIsReplacedForTheTask) {
  AddRestPool("pool");
  AddTask("t", "8s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string id = At(Leases()[0], "id");
  service->SetFaults({{{"path", "^/v1/leases/" + id}, {"times", 1}, {"forget", true}}});
  cluster.Delete("/api/v1/nodes/" + At(Get("t"), "status.assignment.nodeName"));
  ASSERT_TRUE(Reaches("t", "Succeeded", 120));
  EXPECT_EQ(At(Get("t"), "status.retries"), "");
}

}  // namespace
}  // namespace spillway::test
