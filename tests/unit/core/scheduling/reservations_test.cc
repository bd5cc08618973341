#include "operator/core/scheduling/reservations.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

int Runs(const ApiModel& api, const std::string& pod) { return api.pods.contains("ns/" + pod); }

// s1 of 4 cpus runs four small tasks, the first of them until its deadline; a task that wants the
// whole server has waited for long.
void FillAndStarve(ApiModel& api, const Json& small = Json::object()) {
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b", "c", "d"}) api.AddTask(name, small);
  api.Settle();
  for (const char* name : {"a", "b", "c", "d"})
    api.SetPod(std::string(name) + "-1", PodPhase::kRunning);
  api.AddTask("large", Json::object(), "4");
  api.Advance(kStarving + seconds(1));
}

TEST(ReservationTest, SmallTasksDoNotPassALargeOneForever) {
  ApiModel api;
  FillAndStarve(api);
  for (const char* name : {"e", "f", "g", "h"}) api.AddTask(name);
  for (const char* name : {"a", "b", "c", "d"}) {
    api.SetPod(std::string(name) + "-1", PodPhase::kSucceeded);
    api.Advance(seconds(1));
  }
  EXPECT_TRUE(Runs(api, "large-1"));
  EXPECT_FALSE(Runs(api, "e-1"));
}

TEST(ReservationTest, TheySayForWhomTheServerIsKept) {
  ApiModel api;
  FillAndStarve(api);
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.AddTask("e");
  api.Advance(seconds(2));
  const auto& told = api.world().tasks.by_key.at("ns/e").object.status.explanation;
  ASSERT_NE(told, nullptr);
  EXPECT_TRUE(told->summary.starts_with("0 of 1 servers fit: 1 reserved")) << told->summary;
  EXPECT_TRUE(told->servers.at(0).message.starts_with("reserved for task ns/large"));
}

TEST(ReservationTest, ATaskThatEndsBeforeFillsTheGap) {
  ApiModel api;
  FillAndStarve(api, {{"activeDeadlineSeconds", 600}});
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.AddTask("too-long", {{"activeDeadlineSeconds", 600}});
  api.AddTask("short", {{"activeDeadlineSeconds", 60}});
  api.Settle();
  EXPECT_TRUE(Runs(api, "short-1"));
  EXPECT_FALSE(Runs(api, "too-long-1"));
}

TEST(ReservationTest, WhatTheLargeTaskLeavesFreeIsUsed) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddTask("a", Json::object(), "3");
  api.Settle();
  api.AddTask("large", Json::object(), "3");
  api.Advance(kStarving + seconds(1));
  api.AddTask("small");
  api.Settle();
  EXPECT_TRUE(Runs(api, "small-1"));
}

TEST(ReservationTest, WhatIsLeftFreeIsGivenAwayOnce) {
  ApiModel api;
  api.AddServer("s1", "6");
  api.AddTask("a", {{"activeDeadlineSeconds", 600}}, "3");
  api.Settle();
  api.AddTask("large", Json::object(), "5");
  api.Advance(kStarving + seconds(1));
  for (const char* name : {"e", "f", "g"}) api.AddTask(name);
  api.Settle();
  EXPECT_EQ(Runs(api, "e-1") + Runs(api, "f-1") + Runs(api, "g-1"), 1);
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(Runs(api, "large-1"));
}

Json WithPort(const char* cpu) {
  return {{"template",
           {{"spec",
             {{"containers",
               {{{"name", "c"},
                 {"resources", {{"requests", {{"cpu", cpu}}}}},
                 {"ports", {{{"containerPort", 80}, {"hostPort", 80}}}}}}}}}}}};
}

TEST(ReservationTest, TheHostPortIsKeptAsWell) {
  ApiModel api;
  api.AddServer("s1", "8");
  api.AddTask("a", Json::object(), "6");
  api.Settle();
  api.AddTask("waits", WithPort("4"));
  api.Advance(kStarving + seconds(1));
  ASSERT_EQ(api.world().scheduling.reserved.size(), 1u);
  api.AddTask("port", WithPort("1"));
  api.AddTask("none");
  api.Settle();
  EXPECT_TRUE(Runs(api, "none-1"));
  EXPECT_FALSE(Runs(api, "port-1")) << "it would keep the port for longer than that";
}

Time KeptFrom(const ApiModel& api) {
  const Reservation* kept =
      ReservationOn(api.world().scheduling, api.world().servers.by_name.at("s1").slot);
  return kept ? kept->start : Time{};
}

TEST(ReservationTest, BeginsWhenTheHostPortIsFree) {
  ApiModel api;
  api.AddServer("s1", "8");
  Json port = WithPort("1");
  port["activeDeadlineSeconds"] = 600;
  api.AddTask("a", port);
  api.Settle();
  api.AddTask("waits", WithPort("2"));
  api.Advance(kStarving + seconds(1));
  EXPECT_GE(KeptFrom(api), At(600));
}

TEST(ReservationTest, BeginsWhenThereIsAPlaceForAPod) {
  for (const bool pods : {true, false}) {
    ApiModel api;
    api.AddServer("s1", "8");
    if (pods) api.nodes["s1"].max_pods = 1;
    if (!pods) api.servers["s1"].spec.max_tasks = 1;
    api.Change(api.nodes["s1"]);
    api.Change(api.servers["s1"]);
    api.AddTask("a", {{"activeDeadlineSeconds", 600}});
    api.Settle();
    api.AddTask("waits", Json::object(), "2");
    api.Advance(kStarving + seconds(1));
    EXPECT_GE(KeptFrom(api), At(600));
  }
}

TEST(ReservationTest, AHigherPriorityPasses) {
  ApiModel api;
  FillAndStarve(api);
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.Settle();
  api.AddTask("urgent", {{"priority", 1}});
  api.Settle();
  EXPECT_TRUE(Runs(api, "urgent-1"));
}

TEST(ReservationTest, IsGivenUpWithTheTask) {
  ApiModel api;
  FillAndStarve(api);
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.AddTask("e");
  api.Settle();
  EXPECT_FALSE(Runs(api, "e-1"));
  api.Remove(api.tasks, "ns/large");
  api.Settle();
  EXPECT_TRUE(Runs(api, "e-1"));
}

TEST(ReservationTest, IsMovedWhenItsServerIsCordoned) {
  ApiModel api;
  FillAndStarve(api);
  api.AddServer("s2", "2");
  api.AddServer("s3", "4");
  api.AddTask("full2", Json::object(), "2");
  api.Settle();
  // s3 takes it at once: nothing is kept any more.
  EXPECT_TRUE(Runs(api, "large-1"));
  EXPECT_TRUE(api.world().scheduling.reserved.empty());
}

TEST(ReservationTest, WhatIsGivenUpIsOfferedToTheHighestPriorityFirst) {
  ApiModel api;
  const Json local{{"key", "disk"}, {"operator", "In"}, {"values", {"ssd"}}};
  api.AddServer("s1", "4");
  api.servers["s1"].spec.capabilities["disk"] = "ssd";
  api.Change(api.servers["s1"]);
  for (const char* name : {"a", "b", "c", "d"}) api.AddTask(name);
  api.Settle();
  for (const char* name : {"a", "b", "c", "d"})
    api.SetPod(std::string(name) + "-1", PodPhase::kRunning);
  api.AddTask("large", {{"priority", 1}}, "4");
  api.Advance(kStarving + seconds(1));
  // Its namespace has the smaller share: it is tried before the large one, for which s1 is kept.
  api.AddTask("first", {{"priority", 1}, {"requirements", {local}}}, "1", "other");
  api.AddTask("last", {{"requirements", {local}}}, "1", "third");
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.Settle();
  ASSERT_FALSE(api.pods.contains("other/first-1") || api.pods.contains("third/last-1"));
  api.AddServer("s2", "4");
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/large-1").node_name, api.servers.at("s2").spec.node_name);
  EXPECT_TRUE(api.pods.contains("other/first-1"));
  EXPECT_FALSE(api.pods.contains("third/last-1"));
}

TEST(ReservationTest, ATaskThatHasWaitedForAMomentKeepsNothing) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b", "c", "d"}) api.AddTask(name);
  api.Settle();
  api.AddTask("large", Json::object(), "4");
  api.AddTask("e");
  api.Advance(seconds(5));
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(Runs(api, "e-1"));
}

}  // namespace
}  // namespace spillway::core
