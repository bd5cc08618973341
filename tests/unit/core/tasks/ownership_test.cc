#include "operator/core/tasks/ownership.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

class OwnershipTest : public testing::Test {
 protected:
  OwnershipTest() {
    api.AddServer("s1");
    api.Settle();
  }
  // A pod as anybody may write it, of half a cpu.
  api::Pod& AddPod(const std::string& ns, const std::string& name) {
    api::Pod pod;
    pod.meta.ns = ns, pod.meta.name = name, pod.meta.uid = ns + name;
    pod.node_name = "s1";
    pod.phase = PodPhase::kRunning;
    pod.requests.cpu_milli = 500;
    return api.pods[pod.meta.key()] = pod;
  }
  void Run() {
    api.AddTask("t");
    api.Settle();
    api.SetPod("t-1", PodPhase::kRunning);
    api.Settle();
  }
  const NodeUsage& Usage(const std::string& node = "s1") {
    return api.world().servers.ledger.On(node);
  }
  ApiModel api;
};

TEST_F(OwnershipTest, TheNumberOfAnAttemptComesFromItsPodsName) {
  EXPECT_EQ(AttemptOf("t", "t-1"), 1);
  EXPECT_EQ(AttemptOf("t", "t-120"), 120);
  for (const char* other : {"t", "t-", "t-0", "t-01", "t-1x", "t--1", "t-1-1", "u-1", "t1", "t-+1",
                            "t-99999999999999999999"})
    EXPECT_EQ(AttemptOf("t", other), 0) << other;
}

TEST_F(OwnershipTest, OurLabelsOnAPodOfOthersCloseNoServer) {
  AddPod("other", "p").meta.labels = {
      {api::kTaskLabel, "true"}, {api::kExclusiveLabel, "true"}, {api::kAttemptLabel, "1"}};
  api.Change(api.pods.at("other/p"));
  Run();
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(Usage().tasks, 1);
  EXPECT_EQ(Usage().used.cpu_milli, 1500) << "its requests count";
}

TEST_F(OwnershipTest, OurLabelsOnAPodOfOthersCloseNoServerAfterARestart) {
  AddPod("other", "t-1").meta.labels = {{api::kTaskLabel, "true"}, {api::kExclusiveLabel, "true"}};
  api.pods.at("other/t-1").meta.owners = {{"TaskRequest", "t", "nobody", true, true}};
  api.Restart();
  api.Settle();
  EXPECT_EQ(Usage().exclusive, 0);
  EXPECT_EQ(Usage().tasks, 0);
}

TEST_F(OwnershipTest, OurAnnotationOnAPodOfOthersTakesNoRoom) {
  api::Pod& pod = AddPod("other", "p");
  pod.intended = true;
  pod.phase = PodPhase::kPending;
  pod.requests.cpu_milli = 4000;
  api.Change(pod);
  Run();
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(OwnershipTest, APodOfAnotherNamespaceIsNoAttempt) {
  Run();
  api::Pod copy = api.pods.at("ns/t-1");
  copy.meta.ns = "other", copy.meta.uid = "copy", copy.phase = PodPhase::kFailed;
  copy.termination = api::Termination{3, "Error", "", {}, {}};
  api.pods["other/t-1"] = copy;
  api.Change(api.pods["other/t-1"]);
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(OwnershipTest, APodOfAnotherNamespaceIsNoAttemptAfterARestart) {
  Run();
  api::Pod copy = api.pods.at("ns/t-1");
  copy.meta.ns = "zzz", copy.meta.uid = "copy", copy.phase = PodPhase::kFailed;
  copy.termination = api::Termination{3, "Error", "", {}, {}};
  for (const char* ns : {"aaa", "zzz"}) {
    copy.meta.ns = ns;
    api.pods[copy.meta.key()] = copy;
  }
  api.Restart();
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(OwnershipTest, AnOwnerOfAnotherApiGroupOrThatIsNoControllerIsNotTheTask) {
  Run();
  api::Pod copy = api.pods.at("ns/t-1");
  copy.meta.name = "t-2", copy.meta.uid = "copy", copy.phase = PodPhase::kFailed;
  copy.meta.owners[0].ours = false;
  api.pods["ns/t-2"] = copy;
  api.Change(api.pods["ns/t-2"]);
  copy.meta.name = "t-3", copy.meta.uid = "copy3";
  copy.meta.owners[0].ours = true, copy.meta.owners[0].controller = false;
  api.pods["ns/t-3"] = copy;
  api.Change(api.pods["ns/t-3"]);
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(PodOf(api.world().tasks.by_key.at("ns/t"), 2), nullptr);
  EXPECT_EQ(PodOf(api.world().tasks.by_key.at("ns/t"), 3), nullptr);
}

TEST_F(OwnershipTest, APolicyThatTakesOurLabelsMakesNoMorePods) {
  api.admit = [](api::Pod& pod) { pod.meta.labels = {{"team", "render"}}; };
  api.AddTask("t", {{"exclusive", true}});
  api.Advance(seconds(30));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(Usage().exclusive, 1);
  api.Restart();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(30));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(Usage().exclusive, 1);
}

TEST_F(OwnershipTest, APodWhoseLabelsAreRemovedStaysOurs) {
  Run();
  api.pods.at("ns/t-1").meta.labels.clear();
  api.Change(api.pods.at("ns/t-1"));
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(Usage().tasks, 1);
}

TEST_F(OwnershipTest, AnExclusiveTasksPodKeepsItsServerWhenTheTaskIsDeleted) {
  api.AddTask("t", {{"exclusive", true}});
  api.Settle();
  api.Remove(api.tasks, "ns/t");
  api.Change(api.pods.at("ns/t-1"));
  api.Settle();
  EXPECT_EQ(Usage().exclusive, 1);
}

TEST_F(OwnershipTest, APodThatKubeSchedulerIsToBindTakesItsRoomWithoutOurAnnotation) {
  api.admit = [](api::Pod& pod) {
    pod.intended = true;
    pod.node_name.clear();
  };
  api.AddTask("t", {}, "3");
  api.AddTask("u", {}, "3");
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(Usage().used.cpu_milli, 3000);
  api.Restart();
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(Usage().used.cpu_milli, 3000);
}

TEST_F(OwnershipTest, APodOfAnotherLeaderThatIsNotBoundTakesTheRoomThatItWasMeantFor) {
  api.AddServer("s2");
  api.servers.at("s2").spec.cordoned = true;
  api.Change(api.servers.at("s2"));
  api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
  api.AddTask("t", {}, "3");
  api.Settle();
  EXPECT_EQ(Usage("s1").used.cpu_milli, 3000);
  api::Pod& pod = AddPod("ns", "t-1");
  pod.meta.owners = {{"TaskRequest", "t", api.tasks.at("ns/t").meta.uid, true, true}};
  pod.meta.created = api.now;
  pod.node_name = "s2", pod.intended = true;
  pod.phase = PodPhase::kPending;
  pod.requests.cpu_milli = 3000;
  api.Change(pod);
  api.Advance(seconds(1));
  EXPECT_EQ(Usage("s1").used.cpu_milli, 0);
  EXPECT_EQ(Usage("s2").used.cpu_milli, 3000);
  api.Advance(seconds(5));
  EXPECT_EQ(api.ServerOf("t"), "s2");
}

TEST_F(OwnershipTest, TheAssignmentFollowsThePodToTheNodeWhereItIsBound) {
  api.AddServer("s2").spec.price_micros = 500'000;
  api.Change(api.servers.at("s2"));
  api.Settle();
  api.admit = [](api::Pod& pod) { pod.intended = true; };
  api.AddTask("t");
  api.Advance(seconds(5));
  EXPECT_EQ(api.ServerOf("t"), "s1");
  api::Pod& pod = api.pods.at("ns/t-1");
  pod.intended = false, pod.node_name = "s2";
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(3600));
  EXPECT_EQ(api.ServerOf("t"), "s2");
  EXPECT_EQ(Usage("s1").tasks, 0);
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.Status("t").attempts.at(0).server, "s2");
  EXPECT_EQ(api.Status("t").result->cost, "0.5");
}

TEST_F(OwnershipTest, TheAssignmentFollowsAPodThatWasThereAlready) {
  api.AddServer("s2");
  api.Settle();
  api.AddTask("t");
  api.unheard = true;
  api.Settle();
  api::Pod& pod = api.pods.at("ns/t-1");
  pod.node_name = pod.node_name == "s1" ? "s2" : "s1";
  const std::string real = pod.node_name;
  api.Push(Outcome{Verb::kCreate, Kind::kPod, "ns/t-1", api.tasks.at("ns/t").meta.uid,
                   Error{ErrorKind::kAlreadyExists, "exists", {}}, pod});
  api.Advance(seconds(5));
  EXPECT_EQ(api.ServerOf("t"), real);
}

}  // namespace
}  // namespace spillway::core
