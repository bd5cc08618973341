#include "operator/core/scheduling/preemption.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

bool Runs(const ApiModel& api, const std::string& pod) {
  const auto at = api.pods.find("ns/" + pod);
  return at != api.pods.end() && !at->second.terminal();
}

const Json kLow{{"priority", 1}, {"placement", {{"policy", "LocalOnly"}}}};
Json High(const char* preemption = "Allowed") {
  return {{"priority", 10}, {"preemption", preemption}, {"placement", {{"policy", "LocalOnly"}}}};
}

const Json kPort = {{"spec",
                     {{"containers",
                       {{{"name", "c"},
                         {"resources", {{"requests", {{"cpu", "1"}}}}},
                         {"ports", {{{"containerPort", 80}, {"hostPort", 80}}}}}}}}}};

// Pods that were told to go do so.
void EndDeleted(ApiModel& api) {
  std::vector<std::string> gone;
  for (const auto& [key, pod] : api.pods) {
    if (pod.meta.deleted) gone.push_back(key);
  }
  for (const std::string& key : gone) api.Remove(api.pods, key);
  api.Settle();
}

void RunLow(ApiModel& api) {
  api.AddServer("s1", "2");
  for (const char* name : {"a", "b"}) {
    api.AddTask(name, kLow);
    api.Advance(seconds(1));
    api.SetPod(std::string(name) + "-1", PodPhase::kRunning);
  }
  api.Settle();
}

TEST(PreemptionTest, ALowerPriorityGivesWayAndRunsAgainLater) {
  ApiModel api;
  RunLow(api);
  api.AddTask("urgent", High());
  api.Settle();
  EndDeleted(api);
  EXPECT_TRUE(Runs(api, "urgent-1"));
  EXPECT_TRUE(Runs(api, "a-1"));
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("b"), "Pending");
  ASSERT_EQ(api.Status("b").attempts.size(), 1u);
  EXPECT_EQ(api.Status("b").attempts[0].reason, "Preempted");
  EXPECT_EQ(api.Status("b").attempts[0].message,
            "gave way to task ns/urgent of priority 10 (its own is 1)");
  EXPECT_EQ(api.Status("b").retries, 0);
  api.SetPod("urgent-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(Runs(api, "b-2"));
}

TEST(PreemptionTest, WhatRunsHasItsPriorityAfterARestartAsWell) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("runs", High());
  api.Settle();
  api.SetPod("runs-1", PodPhase::kRunning);
  api.Advance(seconds(5));
  api.Restart();
  Json lower = High();
  lower["priority"] = 5;
  api.AddTask("lower", lower);
  api.Advance(seconds(5));
  EXPECT_TRUE(Runs(api, "runs-1"));
  EXPECT_EQ(api.Phase("runs"), "Running");
}

TEST(PreemptionTest, WhatRunsGivesWayToNobodyWhileItsClassIsGone) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddPriorityClass("high", 20);
  Json runs = High();
  runs.erase("priority");
  runs["priorityClassName"] = "high";
  api.AddTask("runs", runs);
  api.Settle();
  api.SetPod("runs-1", PodPhase::kRunning);
  api.Advance(seconds(5));
  api.classes.clear();
  api.Restart();
  api.AddTask("waits", High());
  api.Advance(seconds(5));
  EXPECT_TRUE(Runs(api, "runs-1"));
  api.AddPriorityClass("high", 3);
  api.Advance(seconds(5));
  EXPECT_TRUE(Runs(api, "waits-1"));
}

TEST(PreemptionTest, WhoHasTheHostPortGivesWay) {
  ApiModel api;
  api.AddServer("s1", "8");
  Json low = kLow, high = High();
  low["template"] = high["template"] = kPort;
  api.AddTask("other", kLow);
  api.AddTask("a", low);
  api.Settle();
  api.AddTask("urgent", high);
  api.Settle();
  EndDeleted(api);
  EXPECT_TRUE(Runs(api, "urgent-1"));
  EXPECT_TRUE(Runs(api, "other-1"));
  EXPECT_FALSE(Runs(api, "a-1"));
}

TEST(PreemptionTest, NobodyGivesWayInVain) {
  ApiModel api;
  RunLow(api);
  api.nodes["s1"].max_pods = 0;  // by pods that are not ours
  api.Change(api.nodes["s1"]);
  api.AddTask("urgent", High());
  api.Advance(seconds(60));
  EXPECT_TRUE(Runs(api, "a-1"));
  EXPECT_TRUE(Runs(api, "b-1"));
}

TEST(PreemptionTest, RoomIsMadeByTheLimitsOfPodsAndTasks) {
  for (const bool pods : {true, false}) {
    ApiModel api;
    RunLow(api);
    api.nodes["s1"].allocatable.cpu_milli = 8000;
    if (pods) api.nodes["s1"].max_pods = 2;
    if (!pods) api.servers["s1"].spec.max_tasks = 2;
    api.Change(api.nodes["s1"]);
    api.Change(api.servers["s1"]);
    api.AddTask("urgent", High());
    api.Settle();
    EndDeleted(api);
    EXPECT_TRUE(Runs(api, "urgent-1"));
    EXPECT_TRUE(Runs(api, "a-1")) << "one place is enough";
  }
}

TEST(PreemptionTest, NobodyElseGetsTheRoomMeanwhile) {
  ApiModel api;
  RunLow(api);
  api.AddTask("urgent", High());
  api.AddTask("c", kLow);
  api.Settle();
  EndDeleted(api);
  EXPECT_TRUE(Runs(api, "urgent-1"));
  EXPECT_FALSE(Runs(api, "c-1"));
}

TEST(PreemptionTest, HappensNotWithoutAWord) {
  ApiModel api;
  RunLow(api);
  Json spec = High();
  spec.erase("preemption");
  api.AddTask("urgent", spec);
  api.Advance(seconds(120));
  EXPECT_TRUE(Runs(api, "a-1"));
  EXPECT_TRUE(Runs(api, "b-1"));
}

TEST(PreemptionTest, ATaskThatAllowsItGivesWayToAnyHigherPriority) {
  ApiModel api;
  api.AddServer("s1", "1");
  Json spec = kLow;
  spec["preemption"] = "Allowed";
  api.AddTask("a", spec);
  api.Settle();
  spec = High();
  spec.erase("preemption");
  api.AddTask("urgent", spec);
  api.Settle();
  EndDeleted(api);
  EXPECT_TRUE(Runs(api, "urgent-1"));
}

TEST(PreemptionTest, ATaskThatSaysNeverStays) {
  ApiModel api;
  api.AddServer("s1", "1");
  Json spec = kLow;
  spec["preemption"] = "Never";
  api.AddTask("a", spec);
  api.Settle();
  api.AddTask("urgent", High());
  api.Advance(seconds(120));
  EXPECT_TRUE(Runs(api, "a-1"));
}

TEST(PreemptionTest, AnEqualPriorityStays) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("a", High());
  api.Settle();
  api.AddTask("b", High());
  api.Advance(seconds(120));
  EXPECT_TRUE(Runs(api, "a-1"));
}

TEST(PreemptionTest, APriorityClassMayForbidIt) {
  ApiModel api;
  RunLow(api);
  api.classes["gentle"] = {};
  api.AddPriorityClass("gentle", 100);
  api.classes["gentle"].preempts = false;
  api.Change(api.classes["gentle"]);
  Json spec = High();
  spec.erase("priority");
  spec["priorityClassName"] = "gentle";
  api.AddTask("urgent", spec);
  api.Advance(seconds(120));
  EXPECT_TRUE(Runs(api, "a-1"));
  EXPECT_TRUE(Runs(api, "b-1"));
}

TEST(PreemptionTest, AsFewAsPossibleAndTheLowestGiveWay) {
  ApiModel api;
  api.AddServer("s1", "4");
  const auto low = [](int priority) {
    Json spec = kLow;
    spec["priority"] = priority;
    return spec;
  };
  api.AddTask("big", low(3), "2");
  api.AddTask("small1", low(1));
  api.AddTask("small2", low(2));
  api.Settle();
  api.AddTask("urgent", High());
  api.Settle();
  EndDeleted(api);
  EXPECT_TRUE(Runs(api, "urgent-1"));
  EXPECT_TRUE(Runs(api, "big-1"));
  EXPECT_FALSE(Runs(api, "small1-1"));
  EXPECT_TRUE(Runs(api, "small2-1"));
}

TEST(PreemptionTest, ACloudServerIsBoughtRatherThanATaskDisplaced) {
  ApiModel api;
  RunLow(api);
  api.AddPool("spot");
  Json spec = High();
  spec.erase("placement");
  api.AddTask("urgent", spec);
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("urgent"), "Scaling");
  EXPECT_TRUE(Runs(api, "a-1"));
  EXPECT_TRUE(Runs(api, "b-1"));
}

TEST(PreemptionTest, IsNotDoneTwiceForOneTask) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddServer("s2", "1");
  for (const char* name : {"a", "b"}) api.AddTask(name, kLow);
  api.Settle();
  api.AddTask("urgent", High());
  api.Advance(seconds(20));
  EXPECT_EQ(api.Phase("a") == "Pending" ? 1 : 0, api.Phase("b") == "Pending" ? 0 : 1);
}

}  // namespace
}  // namespace spillway::core
