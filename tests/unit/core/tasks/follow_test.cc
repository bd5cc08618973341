#include "operator/core/tasks/follow.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

// A new leader finds a pod of an attempt that no status tells of.
class UntoldPodTest : public testing::Test {
 protected:
  void Find(const std::string& node, bool intended) {
    api.AddServer("s1");
    api.AddTask("t");
    api.Settle();
    api::Pod pod = api.pods.at("ns/t-1");
    api.SetPod("t-1", PodPhase::kFailed, 1);
    pod.meta.name = "t-2", pod.meta.uid = "another's";
    pod.node_name = node, pod.intended = intended;
    api.pods["ns/t-2"] = pod;
    api.Restart();
    api.Advance(seconds(10));
  }
  void Register(const std::string& name, const std::string& node) {
    api::RegisteredServer server = api.servers.at("s1");
    server.meta.name = server.meta.uid = name;
    server.spec.node_name = node, server.spec.price_micros = 3600 * 1'000'000LL;
    api.servers[name] = server;
    api.Change(api.servers.at(name));
    api.Settle();
  }
  ApiModel api;
};

TEST_F(UntoldPodTest, IsNotSaidToBeBoundWhileItsNodeIsNotKnown) {
  Find("", true);
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_EQ(api.Says("t", "Reconciling"), "pod t-2 is not bound to a node yet");
  EXPECT_EQ(api.Says("t", "Assigned").find("t-2"), std::string::npos) << api.Says("t", "Assigned");
}

TEST_F(UntoldPodTest, IsToldOfOnceItIsBound) {
  Find("", true);
  api.pods.at("ns/t-2").node_name = "s1";
  api.pods.at("ns/t-2").intended = false;
  api.SetPod("t-2", PodPhase::kPending);
  api.Advance(seconds(5));
  EXPECT_EQ(api.Phase("t"), "Assigned");
  EXPECT_EQ(api.Status("t").assignment->server, "s1");
  EXPECT_EQ(api.Says("t", "Assigned"), "bound to server s1 as pod t-2");
}

TEST_F(UntoldPodTest, IsOfTheServerThatItsNodeIsRegisteredAsMeanwhile) {
  api.AddNode("n", "4");
  Find("n", false);
  api.SetPod("t-2", PodPhase::kRunning);
  api.Advance(seconds(10));
  ASSERT_EQ(api.Status("t").assignment->server, "n");
  Register("big", "n");
  api.Advance(seconds(10));
  api.SetPod("t-2", PodPhase::kSucceeded);
  api.Settle();
  ASSERT_TRUE(api.Status("t").result) << api.Says("t");
  EXPECT_EQ(api.Status("t").assignment->server, "big");
  EXPECT_EQ(api.Status("t").attempts.back().server, "big");
  EXPECT_EQ(api.Status("t").result->cost, "20");
}

}  // namespace
}  // namespace spillway::core
