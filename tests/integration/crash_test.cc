#include <signal.h>

#include <random>
#include <thread>

#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

constexpr char kRole[] = "/apis/rbac.authorization.k8s.io/v1/clusterroles/spillway";

class CrashTest : public ClusterTest {
 protected:
  static void SetUpTestSuite() {}
  static void TearDownTestSuite() {}

  void Start() {
    spillway = std::make_unique<Operator>();
    spillway->WaitUntilReady();
  }
  void TearDown() override {
    if (!rules_.is_null()) AllowStatuses();
    if (!spillway) Start();
    ClusterTest::TearDown();
    spillway.reset();
  }
  // From here on the operator may create but cannot record: what a crash in between leaves behind.
  void ForbidStatuses() {
    rules_ = cluster.Get(kRole)["rules"];
    Json kept = Json::array();
    for (const Json& rule : rules_) {
      if (rule["resources"].dump().find("/status") == std::string::npos) kept.push_back(rule);
    }
    cluster.MergePatch(kRole, {{"rules", kept}});
  }
  void AllowStatuses() { cluster.MergePatch(kRole, {{"rules", std::exchange(rules_, nullptr)}}); }

 private:
  Json rules_;
};

TEST_F(CrashTest, BetweenPodCreationAndStatusWriteNothingRunsTwice) {
  Start();
  AddServer("a");
  ForbidStatuses();
  AddTask("t", "6s");
  ASSERT_TRUE(Eventually([&] { return Pods().size() == 1; }));
  ASSERT_EQ(At(Get("t"), "status.phase"), "");
  spillway->Kill(SIGKILL);
  AllowStatuses();
  Start();
  ASSERT_TRUE(Reaches("t", "Running"));
  EXPECT_EQ(At(Get("t"), "status.assignment.podName"), "t-1");
  ASSERT_TRUE(Reaches("t", "Succeeded"));
  EXPECT_EQ(Pods().size(), 1u);
}

TEST_F(CrashTest, BetweenPurchaseAndRecordNothingIsBoughtTwice) {
  Start();
  AddPool("pool");
  ForbidStatuses();
  AddTask("t", "3s");
  ASSERT_TRUE(Eventually([&] { return NodeClaims().size() == 1; }));
  const std::string uid = At(NodeClaims()[0], "metadata.uid");
  spillway->Kill(SIGKILL);
  ASSERT_EQ(At(ScaleRequests()[0], "status.phase"), "");
  AllowStatuses();
  Start();
  ASSERT_TRUE(Reaches("t", "Running", 60));
  ASSERT_EQ(NodeClaims().size(), 1u);
  EXPECT_EQ(At(NodeClaims()[0], "metadata.uid"), uid);
  EXPECT_EQ(ScaleRequests().size(), 1u);
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

TEST_F(CrashTest, BetweenRequestAndPurchaseTheServerIsBoughtOnce) {
  AddPool("pool");
  const Json task = AddTask("t", "1s");
  const std::string uid = At(task, "metadata.uid");
  // What a process leaves behind that ended right after it had made the request.
  cluster.Create(Json{{"apiVersion", "spillway.dev/v1alpha1"},
                      {"kind", "ScaleRequest"},
                      {"metadata", {{"name", "spw-" + uid + "-1"}}},
                      {"spec",
                       {{"poolName", ServerName("pool")},
                        {"forTasks", {{{"namespace", ns}, {"name", "t"}, {"uid", uid}}}}}}});
  Start();
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(ScaleRequests().size(), 1u);
  EXPECT_EQ(At(Get("t"), "status.assignment.scaleRequest"), "spw-" + uid + "-1");
}

TEST_F(CrashTest, KilledAtAnyMomentEachTaskRunsExactlyOnce) {
  Start();
  AddServer("a", "8");
  constexpr int kTasks = 40;
  for (int i = 0; i < kTasks; ++i) AddTask("t" + std::to_string(i), "1s");
  std::mt19937 random(7);
  for (int i = 0; i < 8; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 900));
    spillway->Kill(SIGKILL);
    spillway = std::make_unique<Operator>();
  }
  for (int i = 0; i < kTasks; ++i) ASSERT_TRUE(Reaches("t" + std::to_string(i), "Succeeded", 90));
  EXPECT_EQ(Pods().size(), static_cast<size_t>(kTasks));
  for (int i = 0; i < kTasks; ++i)
    EXPECT_EQ(At(Get("t" + std::to_string(i)), "status.assignment.attempt"), "1");
}

TEST_F(CrashTest, AnotherLeaderTakesOver) {
  const std::vector<std::string> elect{"--leader-elect", "--leader-election-id", ns};
  Operator first(elect);
  first.WaitUntilReady();
  spillway = std::make_unique<Operator>(elect);
  AddServer("a");
  std::this_thread::sleep_for(std::chrono::seconds(3));
  EXPECT_EQ(spillway->log().find("became the leader"), std::string::npos) << "one leads at a time";
  first.Kill(SIGKILL);
  spillway->WaitUntilReady();
  AddTask("t");
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

}  // namespace
}  // namespace spillway::test
