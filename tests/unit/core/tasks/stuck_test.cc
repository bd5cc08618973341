#include "operator/core/tasks/stuck.h"

#include <gtest/gtest.h>

#include "operator/core/scheduling/shape.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

class StuckTest : public testing::Test {
 protected:
  StuckTest() { api.AddServer("s1", "2"); }
  void Start(const std::string& cpu = "2") {
    api.AddTask("t", Json::object(), cpu);
    api.Settle();
  }
  api::Pod& Pod(const std::string& name = "t-1") { return api.pods.at("ns/" + name); }
  void SayUnschedulable(const std::string& name, const std::string& reason = "Unschedulable") {
    Pod(name).unscheduled = true;
    Pod(name).waiting_reason = reason;
    Pod(name).waiting_message = "0/5 nodes are available: persistentvolumeclaim \"x\" not found";
    api.Change(Pod(name));
    api.Settle();
  }
  // Of a task that may not be lost, before the pod's deletion arrives.
  void RunTakenBack() {
    api.AddTask("t", {{"retry", {{"lossLimit", 0}}}}, "2");
    api.Settle();
    api.hangs = [](const Write& write) { return write.verb == Verb::kDelete; };
    SayUnschedulable("t-1");
    api.Advance(seconds(12));
    ASSERT_EQ(api.Status("t").attempts.size(), 1u);
    Pod().unscheduled = false;
    Pod().waiting_reason.clear();
    Pod().started_any = true;
    api.SetPod("t-1", api::PodPhase::kRunning);
  }
  std::string Why() { return api.Says("t", "Reconciling"); }
  ApiModel api;
};

TEST_F(StuckTest, TheEventsOfAPodThatDoesNotStartAreTold) {
  Start();
  Pod().waiting_reason = "ContainerCreating";
  api.Change(Pod());
  api.warnings["t-1"] = {"FailedMount", "configmap \"x\" not found"};
  api.Advance(seconds(15));
  EXPECT_EQ(Why(), "on server s1: FailedMount: configmap \"x\" not found");
  EXPECT_EQ(api.Phase("t"), "Assigned");
}

TEST_F(StuckTest, WithoutEventsItIsToldSinceWhen) {
  Start();
  Pod().waiting_reason = "ContainerCreating";
  api.Change(Pod());
  api.Advance(seconds(15));
  EXPECT_EQ(Why(), "on server s1: not started since 2027-01-15T08:00:00Z, ContainerCreating");
}

TEST_F(StuckTest, APodThatItsKubeletDoesNotTouchIsTold) {
  Start();
  api.Advance(seconds(15));
  EXPECT_NE(Why().find("its kubelet has told nothing of it"), std::string::npos) << Why();
}

TEST_F(StuckTest, TheEventsAreReadEverMoreSeldom) {
  Start();
  api.Advance(seconds(7));
  EXPECT_EQ(api.asked_why, 0);
  api.Advance(seconds(2));
  EXPECT_EQ(api.asked_why, 1);
  api.Advance(seconds(22));
  EXPECT_EQ(api.asked_why, 2);
  api.Advance(seconds(3600));
  EXPECT_LE(api.asked_why, 12);
  EXPECT_GE(api.asked_why, 8);
}

TEST_F(StuckTest, APodThatStartsIsNotAskedAfter) {
  Start();
  api.Advance(seconds(2));
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(600));
  EXPECT_EQ(api.asked_why, 0);
}

TEST_F(StuckTest, WhatIsToldIsWrittenOnce) {
  Start();
  Pod().waiting_reason = "ContainerCreating";
  api.Change(Pod());
  api.warnings["t-1"] = {"FailedMount", "configmap \"x\" not found"};
  api.Advance(seconds(20));
  const int writes = api.task_writes;
  api.Advance(seconds(600));
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(StuckTest, WhatKubeSchedulerSaysIsToldWithinSeconds) {
  Start();
  SayUnschedulable("t-1");
  api.Advance(seconds(5));
  EXPECT_EQ(Why(),
            "kube-scheduler: Unschedulable: 0/5 nodes are available: persistentvolumeclaim \"x\" "
            "not found");
}

TEST_F(StuckTest, APodThatHasNoNodeIsTakenBackForOthers) {
  Start();
  SayUnschedulable("t-1");
  api.AddTask("other", Json::object(), "1");
  api.Advance(seconds(11));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_NE(Why().find("persistentvolumeclaim \"x\" not found; tried again at 2027-"),
            std::string::npos)
      << Why();
  ASSERT_EQ(api.Status("t").attempts.size(), 1u);
  EXPECT_EQ(api.Status("t").attempts[0].reason, "Unschedulable");
  EXPECT_EQ(api.Status("t").retries, 0);
}

TEST_F(StuckTest, OneThatRunsAfterItWasTakenBackIsTheLastOfATaskThatMayNotBeLost) {
  RunTakenBack();
  api.Settle();
  api.hangs = nullptr;
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(60));
  EXPECT_EQ(api.Phase("t"), "Failed") << api.Says("t");
  EXPECT_EQ(api.Says("t"),
            "its pod ran after it had been taken back, and spec.retry.lossLimit is 0");
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_TRUE(api.Status("t").attempts.at(0).started_at);
}

// The watch tells of both at once.
TEST_F(StuckTest, SoIsOneThatRunsAfterItWasTakenBackAndIsGoneInTheSameMoment) {
  RunTakenBack();
  api.hangs = nullptr;
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(60));
  EXPECT_EQ(api.Phase("t"), "Failed") << api.Says("t");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(StuckTest, ItIsTriedAgainEverMoreSeldom) {
  Start();
  for (int i = 0; i < 600; ++i) {
    for (auto& [key, pod] : std::map(api.pods)) {
      if (!pod.unscheduled) SayUnschedulable(pod.meta.name);
    }
    api.Advance(seconds(2));
  }
  EXPECT_GE(api.pods_made, 4);
  EXPECT_LE(api.pods_made, 9);
  EXPECT_EQ(api.Status("t").retries, 0);
}

TEST_F(StuckTest, AServerThatKubeSchedulerRefusesIsPassedOver) {
  api.AddTask("t", Json::object(), "1");
  api.Settle();
  api.AddServer("s2", "2");
  Pod().unscheduled = true;
  Pod().waiting_reason = "Unschedulable";
  Pod().waiting_message = "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules";
  api.Change(Pod());
  api.Advance(seconds(12));
  ASSERT_TRUE(api.pods.contains("ns/t-2"));
  EXPECT_EQ(Pod("t-2").node_name, "s2");
}

TEST_F(StuckTest, APodThatIsRefusedForItsOwnSakeIsTriedWhereItWas) {
  Start();
  SayUnschedulable("t-1");
  api.Advance(seconds(22));
  ASSERT_TRUE(api.pods.contains("ns/t-2"));
}

TEST_F(StuckTest, ASilentKubeSchedulerIsTold) {
  api.AddTask(
      "t",
      {{"template",
        {{"spec",
          {{"containers", {{{"name", "c"}}}},
           {"volumes", {{{"name", "v"}, {"persistentVolumeClaim", {{"claimName", "x"}}}}}}}}}}});
  api.Settle();
  api.Advance(seconds(29));
  EXPECT_EQ(Why().find("kube-scheduler"), std::string::npos) << Why();
  api.Advance(seconds(10));
  EXPECT_EQ(Why(),
            "kube-scheduler has said nothing of pod t-1 since 2027-01-15T08:00:00Z; does it run?");
  api.Advance(seconds(300));
  EXPECT_TRUE(api.pods.contains("ns/t-1")) << "its volume may take that long to be made";
}

TEST_F(StuckTest, APodThatKubeSchedulerIsSilentOfIsTakenBackForOthers) {
  api.AddTask("t",
              {{"template",
                {{"spec",
                  {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", "2"}}}}}}}},
                   {"resourceClaims", {{{"name", "gpu"}, {"resourceClaimName", "nope"}}}}}}}}});
  api.Settle();
  api.AddTask("other", Json::object(), "1");
  api.Advance(seconds(31));
  EXPECT_NE(Why().find("does the ResourceClaim nope exist, and kube-scheduler run?"),
            std::string::npos)
      << Why();
  api.Advance(seconds(11));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
  EXPECT_NE(Why().find("nope exist, and kube-scheduler run?; tried again at 2027-"),
            std::string::npos)
      << Why();
}

// A pod that refers to what is not there yet, and that kube-scheduler says nothing of.
class UnheardTest : public StuckTest {
 protected:
  UnheardTest() {
    api.warnings["t-1"] = {"FailedResourceClaimCreation", "resourceclaimtemplate \"x\" not found"};
    api.AddTask(
        "t", {{"template",
               {{"spec",
                 {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", "2"}}}}}}}},
                  {"resourceClaims", {{{"name", "gpu"}, {"resourceClaimTemplateName", "x"}}}}}}}}});
    api.Settle();
  }
};

TEST_F(UnheardTest, WhatItsEventsSayIsToldWithinSeconds) {
  api.Advance(seconds(9));
  EXPECT_EQ(
      Why(),
      "pod t-1 is not scheduled: FailedResourceClaimCreation: resourceclaimtemplate \"x\" not "
      "found");
}

TEST_F(UnheardTest, ItIsTakenBackForOthers) {
  api.AddTask("other", Json::object(), "1");
  api.Advance(seconds(20));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
  EXPECT_EQ(api.Status("t").attempts.at(0).reason, "Unschedulable");
  EXPECT_NE(Why().find("resourceclaimtemplate \"x\" not found; tried again at 2027-"),
            std::string::npos)
      << Why();
}

TEST_F(UnheardTest, WhatWasSaidIsOverOnceItHasANode) {
  api.Advance(seconds(5));
  api.warnings.clear();
  Pod().intended = false;
  Pod().node_name = "s1";
  Pod().waiting_reason = "ContainerCreating";
  api.Change(Pod());
  api.Advance(seconds(20));
  EXPECT_EQ(Why(), "on server s1: not started since 2027-01-15T08:00:00Z, ContainerCreating");
}

TEST_F(StuckTest, APodThatWaitsForItsGatesIsToldAndStays) {
  Start();
  SayUnschedulable("t-1", "SchedulingGated");
  api.AddTask("other", Json::object(), "1");
  api.Advance(seconds(60));
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_NE(Why().find("SchedulingGated"), std::string::npos) << Why();
  EXPECT_TRUE(api.pods.contains("ns/other-1")) << "it keeps no room";
}

TEST(StuckInCloudTest, NoSecondServerIsBoughtForWhatKubeSchedulerRefuses) {
  ApiModel api;
  api.AddPool("p", "8");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  for (int i = 0; i < 300; ++i) {
    for (auto& [key, pod] : std::map(api.pods)) {
      if (pod.unscheduled) continue;
      api.pods.at(key).unscheduled = true;
      api.pods.at(key).waiting_reason = "Unschedulable";
      api.Change(api.pods.at(key));
    }
    if (i == 150) api.Restart();
    api.Advance(seconds(5));
  }
  EXPECT_EQ(api.claims_made, 1);
  const auto& told = api.world().tasks.by_key.at("ns/t").object.status;
  const std::string why = told.explanation ? told.explanation->summary : "";
  EXPECT_TRUE(!api.claims.empty() || why.find("no other server is bought for it") < why.size())
      << why;
}

// It is older, and asks for the same.
TEST(StuckInCloudTest, ATaskForWhichNoneIsBoughtDoesNotStopThoseOfOthers) {
  ApiModel api;
  api.AddPool("p", "8");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  for (int i = 0; i < 300 && !api.claims.empty(); ++i) {
    for (auto& [key, pod] : std::map(api.pods)) {
      if (pod.unscheduled) continue;
      api.pods.at(key).unscheduled = true;
      api.pods.at(key).waiting_reason = "Unschedulable";
      api.pods.at(key).waiting_message = "0/1 nodes are available: 1 volume node affinity conflict";
      api.Change(api.pods.at(key));
    }
    api.Advance(seconds(5));
  }
  ASSERT_TRUE(api.claims.empty()) << "it was idle";
  api.AddTask("of-another", Json::object(), "1", "team");
  api.Advance(seconds(10));
  EXPECT_EQ(api.claims_made, 2);
}

// kube-scheduler refuses every pod for that time. How many servers were bought by then.
int BoughtWhileRefused(ApiModel& api, std::chrono::minutes time) {
  for (const Time end = api.now + time; api.now < end;) {
    for (auto& [key, pod] : std::map(api.pods)) {
      if (pod.unscheduled) continue;
      api.pods.at(key).unscheduled = true;
      api.pods.at(key).waiting_reason = "Unschedulable";
      api.pods.at(key).waiting_message = "0/9 nodes are available: 1 node(s) had no free volumes";
      api.Change(api.pods.at(key));
    }
    for (auto& [name, claim] : std::map(api.claims)) {
      if (claim.node_name.empty()) api.ProvideServer("cloud-" + name);
    }
    api.Advance(seconds(5));
  }
  return api.claims_made;
}

TEST(StuckInCloudTest, AnotherServerIsBoughtEverMoreSeldom) {
  ApiModel api;
  api.AddPool("p", "8");
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(BoughtWhileRefused(api, std::chrono::minutes(29)), 1);
  EXPECT_EQ(BoughtWhileRefused(api, std::chrono::minutes(20)), 2);
  EXPECT_EQ(BoughtWhileRefused(api, std::chrono::minutes(35)), 2);
  EXPECT_EQ(BoughtWhileRefused(api, std::chrono::minutes(100)), 3);
}

Json Spread(const std::string& app) {
  return {{"metadata", {{"labels", {{"app", app}}}}},
          {"spec",
           {{"containers", {{{"name", "c"}}}},
            {"topologySpreadConstraints", {{{"maxSkew", 1}, {"topologyKey", "zone"}}}}}}};
}

TEST(CandidatesTest, KubeSchedulerChoosesAmongServersThatCostTheSame) {
  ApiModel api;
  for (int i = 0; i < 12; ++i) api.AddServer("s" + std::to_string(i));
  api.servers["s1"].spec.price_micros = 5;
  api.Change(api.servers["s1"]);
  api.AddTask("t", {{"template", Spread("a")}});
  api.Settle();
  const auto& nodes = api.candidates.at("t-1");
  EXPECT_EQ(nodes.size(), 8u);
  EXPECT_EQ(nodes.front(), api.pods.at("ns/t-1").node_name);
  EXPECT_EQ(std::count(nodes.begin(), nodes.end(), "s1"), 0);
}

TEST(CandidatesTest, AServerWithoutRoomIsNone) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddServer("s2", "1");
  api.AddTask("other");
  api.Settle();
  api.AddTask("t", {{"template", Spread("a")}});
  api.servers["s1"].spec.max_tasks = api.servers["s2"].spec.max_tasks = 1;
  api.Change(api.servers["s1"]);
  api.Change(api.servers["s2"]);
  api.Settle();
  EXPECT_EQ(api.candidates.at("t-1").size(), 1u);
}

TEST(ShapeTest, TasksThatKubeSchedulerTellsApartHaveShapesOfTheirOwn) {
  ShapeTable table;
  const auto shape = [&](const Json& pod_template) {
    return *table.Intern(api::DecodeTaskRequest({{"spec", {{"template", pod_template}}}})->spec);
  };
  EXPECT_NE(shape(Spread("a")), shape(Spread("b")));
  EXPECT_EQ(shape(Spread("a")), shape(Spread("a")));
  EXPECT_TRUE(shape(Spread("a"))->via_scheduler);
  const auto claim = [](const char* name) {
    return Json{
        {"spec",
         {{"containers", {{{"name", "c"}}}},
          {"volumes", {{{"name", "v"}, {"persistentVolumeClaim", {{"claimName", name}}}}}}}}};
  };
  EXPECT_NE(shape(claim("a")), shape(claim("b")));
}

class OsTest : public testing::Test {
 protected:
  bool Runs(const std::string& node_os, const char* os) {
    ApiModel api;
    api.AddServer("s1");
    if (!node_os.empty()) api.nodes["s1"].meta.labels["kubernetes.io/os"] = node_os;
    api.Change(api.nodes["s1"]);
    api.AddTask("t", {{"template",
                       {{"spec", {{"containers", {{{"name", "c"}}}}, {"os", {{"name", os}}}}}}}});
    api.Settle();
    return api.pods.contains("ns/t-1");
  }
};

TEST_F(OsTest, TheOperatingSystemOfATemplateIsHeeded) {
  EXPECT_TRUE(Runs("linux", "linux"));
  EXPECT_FALSE(Runs("linux", "windows"));
  EXPECT_FALSE(Runs("", "windows"));
}

}  // namespace
}  // namespace spillway::core
