#include "operator/core/refusals.h"

#include <gtest/gtest.h>

#include "operator/core/explain.h"
#include "operator/core/fit.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

class RefusalsTest : public testing::Test {
 protected:
  RefusalsTest() {
    api.AddServer("small", "2");
    api.AddServer("large", "8");
    api.Settle();
  }
  // The kubelet refuses the pod of the task's attempt.
  void Refuse(const std::string& pod) {
    api::Pod& refused = api.pods.at("ns/" + pod);
    refused.phase = PodPhase::kFailed;
    refused.reason = "UnexpectedAdmissionError";
    refused.message = "no healthy devices present";
    api.Change(refused);
    api.Settle();
  }
  std::string NodeOf(const std::string& pod) { return api.pods.at("ns/" + pod).node_name; }
  ApiModel api;
};

TEST_F(RefusalsTest, AnotherServerIsTriedAtOnce) {
  api.AddTask("t");
  api.Settle();
  ASSERT_EQ(NodeOf("t-1"), "small");
  Refuse("t-1");
  EXPECT_EQ(NodeOf("t-2"), "large");
  api.SetPod("t-2", PodPhase::kRunning);
  api.Settle();
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.Status("t").attempts.at(0).reason, "UnexpectedAdmissionError");
}

TEST_F(RefusalsTest, TheServerIsPassedOverForAWhileWhichGrows) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(9));
  EXPECT_EQ(api.pods_made, 1);
  api.Advance(seconds(1));
  ASSERT_EQ(api.pods_made, 2);
  Refuse("t-2");
  api.Advance(seconds(19));
  EXPECT_EQ(api.pods_made, 2);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 3);
}

TEST_F(RefusalsTest, TheExplanationSaysWhoRefusedAndUntilWhen) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("t"), "Pending");
  const api::Explanation why = Explain(api.world(), *api.world().tasks.at("ns/t").shape);
  ASSERT_EQ(why.servers.size(), 1u);
  EXPECT_EQ(why.servers[0].reason, kRefusedRecently);
  EXPECT_NE(why.servers[0].message.find("UnexpectedAdmissionError: no healthy devices present"),
            std::string::npos);
  EXPECT_NE(why.servers[0].message.find("passed over until " + FormatTime(At(10))),
            std::string::npos);
}

TEST_F(RefusalsTest, TasksThatAskForSomethingElseMayGoThere) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.AddTask("other", {}, "500m");
  api.Settle();
  EXPECT_EQ(NodeOf("other-1"), "small");
}

TEST_F(RefusalsTest, APodThatRunsThereMakesItAsGoodAsBefore) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(10));
  Refuse("t-2");
  api.Advance(seconds(20));
  api.SetPod("t-3", PodPhase::kRunning);
  api.Settle();
  EXPECT_FALSE(api.world().tasks.at("ns/t").shape->refused);
}

TEST_F(RefusalsTest, ATaskThatIsRefusedEverywhereIsTriedEverMoreSeldom) {
  for (int i = 0; i < 50; ++i) api.AddServer("s" + std::to_string(i));
  api.AddTask("t");
  api.Settle();
  for (int i = 0; i < 60; ++i) {
    const std::string pod = "t-" + std::to_string(api.pods_made);
    if (api.pods.contains("ns/" + pod) && !api.pods.at("ns/" + pod).terminal()) Refuse(pod);
    api.Advance(seconds(1));
  }
  EXPECT_LE(api.pods_made, 10);
  EXPECT_GE(api.pods_made, 6);
}

TEST_F(RefusalsTest, APodThatFailedAfterAContainerStartedWasNotRefused) {
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", PodPhase::kFailed, 1);
  api.Settle();
  EXPECT_FALSE(api.world().tasks.at("ns/t").shape->refused);
  EXPECT_EQ(api.Phase("t"), "Failed");
}

TEST_F(RefusalsTest, WhereAllServersRefuseTheCloudIsTried) {
  api.AddPool("p");
  api.Settle();
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  Refuse("t-2");
  api.Settle();
  EXPECT_EQ(api.claims_made, 1);
}

}  // namespace
}  // namespace spillway::core
