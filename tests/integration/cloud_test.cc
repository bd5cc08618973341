#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

class CloudTest : public ClusterTest {
 protected:
  // A node class whose nodes take this long to appear, so that a purchase can be watched.
  std::string SlowClass(const std::string& delay) {
    const std::string name = ns + "-slow";
    cluster.Create(
        "{apiVersion: karpenter.kwok.sh/v1alpha1, kind: KWOKNodeClass, metadata: {name: " + name +
        "}, spec: {nodeRegistrationDelay: " + delay + "}}");
    slow_ = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses/" + name;
    return name;
  }
  void TearDown() override {
    ClusterTest::TearDown();
    if (!slow_.empty()) cluster.Delete(slow_);
  }
  std::string Phases(const std::string& pool) {
    std::string out;
    for (const Json& scale : ScaleRequests()) {
      if (At(scale, "spec.poolName") == ServerName(pool)) out += At(scale, "status.phase") + " ";
    }
    return out;
  }
  std::string slow_;
};

TEST_F(CloudTest, TheOverflowRunsOnABoughtServerThatIsReleased) {
  AddServer("local", "2");
  AddPool("pool");
  for (int i = 0; i < 5; ++i) AddTask("t" + std::to_string(i), "4s");
  size_t claims = 0;
  ASSERT_TRUE(Eventually(
      [&] {
        claims = std::max(claims, NodeClaims().size());
        for (int i = 0; i < 5; ++i) {
          if (Phase("t" + std::to_string(i)) != "Succeeded") return false;
        }
        return true;
      },
      90));
  EXPECT_EQ(claims, 1u) << "one server takes all three";
  int cloud = 0;
  for (int i = 0; i < 5; ++i) {
    const Json task = Get("t" + std::to_string(i));
    if (At(task, "status.assignment.origin") != "Cloud") continue;
    ++cloud;
    EXPECT_EQ(At(task, "status.assignment.pool"), ServerName("pool"));
    EXPECT_NE(At(task, "status.assignment.scaleRequest"), "");
    EXPECT_NE(At(task, "status.result.cost"), "");
  }
  EXPECT_EQ(cloud, 3);
  EXPECT_TRUE(Eventually([&] { return NodeClaims().empty() && Phases("pool") == "Released "; }, 60))
      << ScaleRequests().dump(1);
  EXPECT_NE(At(ScaleRequests()[0], "status.costSoFar"), "");
}

TEST_F(CloudTest, WithoutCapacityTheNextPoolIsAskedAtOnce) {
  AddPool("first", {{"priority", 10}}, "there-is-no-such-class");
  AddPool("second");
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(At(Get("t"), "status.assignment.pool"), ServerName("second"));
  EXPECT_EQ(Phases("first"), "Failed ");
  const Json pool = cluster.Get("/apis/spillway.dev/v1alpha1/serverpools/" + ServerName("first"));
  EXPECT_NE(At(pool, "status.conditions").find("InsufficientCapacity"), std::string::npos)
      << pool.dump(1);
}

TEST_F(CloudTest, DeletingTheTaskWithdrawsThePurchase) {
  AddPool("pool", Json::object(), SlowClass("60s"));
  AddTask("t");
  ASSERT_TRUE(Reaches("t", "Scaling"));
  ASSERT_TRUE(Eventually([&] { return NodeClaims().size() == 1; }));
  cluster.Delete(TaskPath("t"));
  EXPECT_TRUE(Eventually([&] { return NodeClaims().empty() && Phases("pool") == "Released "; }, 60))
      << ScaleRequests().dump(1);
}

TEST_F(CloudTest, ALocalServerThatFreesUpWithdrawsThePurchase) {
  AddServer("local", "1");
  AddTask("first", "4s");
  ASSERT_TRUE(Reaches("first", "Running"));
  AddPool("pool", Json::object(), SlowClass("60s"));
  AddTask("second", "1s");
  ASSERT_TRUE(Reaches("second", "Scaling"));
  ASSERT_TRUE(Reaches("second", "Succeeded", 60));
  EXPECT_EQ(At(Get("second"), "status.assignment.origin"), "Local");
  EXPECT_TRUE(Eventually([&] { return NodeClaims().empty(); }, 60));
}

TEST_F(CloudTest, WaitsForBurstAfterSeconds) {
  AddPool("pool");
  AddTask("t", "1s", 0, {{"placement", {{"burstAfterSeconds", 3}}}});
  ASSERT_TRUE(Reaches("t", "Pending"));
  EXPECT_TRUE(ScaleRequests().empty());
  EXPECT_NE(At(Get("t"), "status.explanation.summary").find("may be bought at"), std::string::npos);
  EXPECT_TRUE(Reaches("t", "Succeeded", 60));
}

TEST_F(CloudTest, StaysUnderMaxServers) {
  AddPool("pool", {{"maxServers", 1}});
  for (int i = 0; i < 5; ++i) AddTask("t" + std::to_string(i), "2s");
  size_t most = 0;
  ASSERT_TRUE(Eventually(
      [&] {
        most = std::max(most, NodeClaims().size());
        for (int i = 0; i < 5; ++i) {
          if (Phase("t" + std::to_string(i)) != "Succeeded") return false;
        }
        return true;
      },
      90));
  EXPECT_EQ(most, 1u);
}

TEST_F(CloudTest, MinServersAreKeptAndGivenBackWithTheirPool) {
  AddPool("pool", {{"minServers", 1}});
  ASSERT_TRUE(
      Eventually([&] { return NodeClaims().size() == 1 && Phases("pool") == "Ready "; }, 60))
      << ScaleRequests().dump(1);
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Succeeded", 60));
  EXPECT_EQ(ScaleRequests().size(), 1u) << "the task runs on the server that is there";
}

TEST_F(CloudTest, AServerThatIsLateIsGivenBack) {
  AddPool("pool", {{"provisionTimeoutSeconds", 3}}, SlowClass("120s"));
  AddTask("t");
  ASSERT_TRUE(Eventually([&] { return Phases("pool") == "Failed "; }, 30))
      << ScaleRequests().dump(1);
  EXPECT_EQ(At(ScaleRequests()[0], "status.errorClass"), "ProvisionTimeout");
  EXPECT_TRUE(Eventually([&] { return NodeClaims().empty(); }, 60));
  EXPECT_TRUE(Reaches("t", "Pending"));
}

// Karpenter drains its node, and leaves our pods there until the claim's terminationGracePeriod.
TEST_F(CloudTest, AClaimThatSomeoneDeletesLetsItsTaskRunAndTellsItUntilWhen) {
  AddPool("pool");
  AddTask("t", "10s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const std::string claim = At(NodeClaims()[0], "metadata.name");
  cluster.Delete("/apis/karpenter.sh/v1/nodeclaims/" + claim);
  ASSERT_TRUE(Eventually([&] { return !Events("t", "ServerEnding").empty(); })) << Get("t");
  const std::string told = Events("t", "ServerEnding")[0];
  EXPECT_NE(told.find("NodeClaim " + claim + " is being deleted"), std::string::npos) << told;
  EXPECT_NE(told.find("the server ends at 20"), std::string::npos) << told;
  ASSERT_TRUE(Reaches("t", "Succeeded", 120));
  EXPECT_EQ(At(Get("t"), "status.retries"), "");
  EXPECT_TRUE(Eventually([&] { return NodeClaims().empty() && Phases("pool") == "Released "; }, 60))
      << ScaleRequests().dump(1);
}

// As the providers of clouds tell of a spot notice before they delete the claim.
TEST_F(CloudTest, AnInterruptedClaimStopsItsTaskAtOnceAndTheTaskRunsElsewhere) {
  AddPool("pool");
  AddTask("t", "600s");
  ASSERT_TRUE(Reaches("t", "Running", 60));
  const Json claim = NodeClaims()[0];
  const std::string name = At(claim, "metadata.name"),
                    server = At(Get("t"), "status.assignment.server");
  cluster.Create({{"apiVersion", "v1"},
                  {"kind", "Event"},
                  {"metadata", {{"generateName", "spot-"}, {"namespace", "default"}}},
                  {"involvedObject",
                   {{"apiVersion", "karpenter.sh/v1"},
                    {"kind", "NodeClaim"},
                    {"name", name},
                    {"uid", claim["metadata"]["uid"]}}},
                  {"reason", "SpotInterrupted"},
                  {"message", "Spot interruption warning was triggered"},
                  {"type", "Warning"}});
  cluster.Delete("/apis/karpenter.sh/v1/nodeclaims/" + name);
  ASSERT_TRUE(Eventually([&] { return At(Get("t"), "status.losses") == "1"; }, 60)) << Get("t");
  const Json task = Get("t");
  EXPECT_EQ(task["status"]["attempts"][0]["reason"], "ServerEnding") << task;
  EXPECT_NE(At(task, "status.attempts").find("SpotInterrupted"), std::string::npos) << task;
  EXPECT_EQ(At(task, "status.retries"), "");
  EXPECT_FALSE(Events("t", "ServerEnding").empty());
  ASSERT_TRUE(Reaches("t", "Running", 60)) << Get("t");
  EXPECT_NE(At(Get("t"), "status.assignment.server"), server);
  cluster.Delete(TaskPath("t"));
}

}  // namespace
}  // namespace spillway::test
