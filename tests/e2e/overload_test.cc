// The overload guard on the real kubelet, with what metrics-server measures.
#include <thread>

#include "operator/base/quantity.h"
#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

class OverloadTest : public ClusterTest {
 protected:
  void SetUp() override {
    ClusterTest::SetUp();
    if (cluster.Get("/apis/metrics.k8s.io/v1beta1/nodes/local-1").is_null())
      GTEST_SKIP() << "the cluster has no kubelet or no metrics-server";
  }
  void TearDown() override {
    cluster.Delete(ServerPath("real"));
    ClusterTest::TearDown();
    EXPECT_TRUE(Eventually([&] { return Pods().empty(); }, 90));
  }
  void Register(int cpu_percent) {
    cluster.Create("{apiVersion: spillway.dev/v1alpha1, kind: RegisteredServer, metadata: {name: " +
                   ServerName("real") + "}, spec: {nodeName: local-1, capabilities: {test: " + ns +
                   "}, metricsPolicy: Require, limits: {cpuUtilizationPercent: " +
                   std::to_string(cpu_percent) + "}}}");
  }
  bool ServerReaches(const std::string& phase) {
    return Eventually([&] { return At(cluster.Get(ServerPath("real")), "status.phase") == phase; },
                      90);
  }
  // Uses every cpu of the machine, and requests none.
  void Burn() {
    const auto loops = std::thread::hardware_concurrency();
    std::string script;
    for (unsigned i = 0; i < loops; ++i) script += "while :; do :; done & ";
    cluster.Create(Json{{"apiVersion", "v1"},
                        {"kind", "Pod"},
                        {"metadata", {{"name", "burn"}, {"namespace", ns}}},
                        {"spec",
                         {{"nodeName", "local-1"},
                          {"terminationGracePeriodSeconds", 0},
                          {"containers",
                           {{{"name", "burn"},
                             {"image", "docker.io/local/busybox:1"},
                             {"imagePullPolicy", "Never"},
                             {"command", {"sh", "-c", script + "wait"}}}}}}}});
  }
  void Submit(const std::string& name, const std::string& cpu) {
    Json task = Task(name);
    Json& container = task["spec"]["template"]["spec"]["containers"][0];
    container["command"] = {"sleep", "600"};
    container["resources"]["requests"]["cpu"] = cpu;
    task["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0;
    task["spec"]["template"]["metadata"].erase("annotations");
    task["spec"]["placement"]["policy"] = "LocalOnly";
    cluster.Create(task);
  }
};

TEST_F(OverloadTest, ALoadedNodeIsOverloadedUntilTheLoadIsGone) {
  Register(80);
  ASSERT_TRUE(ServerReaches("Ready")) << cluster.Get(ServerPath("real")).dump(1);
  Burn();
  ASSERT_TRUE(ServerReaches("Overloaded")) << cluster.Get(ServerPath("real")).dump(1);
  Submit("t", "10m");
  EXPECT_TRUE(Eventually([&] {
    return At(Get("t"), "status.explanation.summary").find("1 overloaded") != std::string::npos;
  })) << Get("t").dump(1);
  EXPECT_EQ(At(Get("t"), "status.assignment"), "");
  cluster.Delete("/api/v1/namespaces/" + ns + "/pods/burn");
  ASSERT_TRUE(ServerReaches("Ready")) << cluster.Get(ServerPath("real")).dump(1);
  EXPECT_TRUE(Reaches("t", "Running", 60));
}

TEST_F(OverloadTest, ABurstBetweenTwoMeasurementsStaysWithinTheLimit) {
  constexpr int kPercent = 60, kTasks = 60;
  Register(kPercent);
  ASSERT_TRUE(ServerReaches("Ready"));
  for (int i = 0; i < kTasks; ++i) Submit("t" + std::to_string(i), "100m");
  const Json node = cluster.Get("/api/v1/nodes/local-1");
  const int64_t total = *ParseQuantity(At(node, "status.allocatable.cpu"), Scale::kMilli);
  EXPECT_TRUE(Eventually([&] { return !Pods().empty(); }));
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const auto bound = static_cast<int64_t>(Pods().size());
  EXPECT_GT(bound, 0);
  EXPECT_LT(bound * 100 * 100, kPercent * total) << "something else is measured there as well";
  EXPECT_TRUE(Eventually([&] {
    return At(Get("t" + std::to_string(kTasks - 1)), "status.explanation.summary")
               .find("1 overloaded") != std::string::npos;
  })) << Get("t59").dump(1);
}

}  // namespace
}  // namespace spillway::test
