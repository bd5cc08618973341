#include "operator/core/scheduling/gangs.h"

#include <gtest/gtest.h>

#include "operator/core/scheduling/admitted_pods.h"
#include "tests/unit/core/scenario.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

Json Member(int size, Json spec = Json::object()) {
  spec["group"] = {{"name", "g"}, {"size", size}};
  return spec;
}

int Pods(const ApiModel& api) {
  int count = 0;
  for (const auto& [key, pod] : api.pods) count += pod.terminal() ? 0 : 1;
  return count;
}

Task Of(int size, const char* name) { return Task(name).With("group", Member(size)["group"]); }

// One thing after the other happens, and each has its outcome.
struct GangStep {
  std::function<void(Scenario&)> happens;
  std::string dump;
  std::string why_a;  // how the reason that a waits for begins
};

struct GangCase {
  std::string name;
  std::vector<GangStep> steps;
};

class GangStartTest : public testing::TestWithParam<GangCase> {};

TEST_P(GangStartTest, IsAllOrNothing) {
  Scenario scenario;
  for (const GangStep& step : GetParam().steps) {
    step.happens(scenario);
    EXPECT_EQ(scenario.Dump(), step.dump);
    if (step.why_a.empty()) continue;
    EXPECT_TRUE(scenario.api.Summary("a").starts_with(step.why_a)) << scenario.api.Summary("a");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Gang, GangStartTest,
    testing::Values(
        GangCase{"NobodyStartsBeforeAllAreThere",
                 {{[](Scenario& s) {
                     s.Server("s1", "4").Together({Of(3, "a"), Of(3, "b")}).Pass(seconds(1));
                   },
                   "a waits\nb waits", "group g waits for 1 more task (2 of 3); "},
                  {[](Scenario& s) { s.Waiting(Of(3, "c")); }, "a on s1\nb on s1\nc on s1", ""}}},
        GangCase{"NobodyStartsBeforeAllHaveRoom",
                 {{[](Scenario& s) {
                     s.Server("s1", "2").Running(Task("other"));
                     s.Together({Of(2, "a"), Of(2, "b")}).Pass(seconds(1));
                   },
                   "a waits\nb waits\nother on s1",
                   "group g of 2 tasks starts when all have room, 1 of them have none; "},
                  {[](Scenario& s) { s.Ends("other"); }, "a on s1\nb on s1\nother ended", ""}}},
        GangCase{"WhatItCannotUseIsLeftToOthers",
                 {{[](Scenario& s) {
                     s.Server("s1", "2").Together({Of(3, "a"), Of(3, "b"), Of(3, "c")});
                     s.Waiting(Task("other").Cpu("2"));
                   },
                   "a waits\nb waits\nc waits\nother on s1", ""}}},
        GangCase{"MembersMayAskForDifferentThings",
                 {{[](Scenario& s) {
                     s.Server("s1", "4").Server("s2", "2").Together(
                         {Of(3, "driver").Cpu("3"), Of(3, "a").Cpu("2"), Of(3, "b")});
                   },
                   "a on s2\nb on s1\ndriver on s1", ""}}},
        GangCase{"GroupsOfOneNameInTwoNamespacesAreTwo",
                 {{[](Scenario& s) {
                     s.Server("s1", "4").Together({Of(2, "a").In("x"), Of(2, "a").In("y")});
                   },
                   "x/a waits\ny/a waits", ""}}},
        GangCase{"ALaterMemberStartsByItself",
                 {{[](Scenario& s) {
                     s.Server("s1", "4").Together({Of(2, "a"), Of(2, "b")});
                   },
                   "a on s1\nb on s1", ""},
                  {[](Scenario& s) { s.Waiting(Of(2, "c")); }, "a on s1\nb on s1\nc on s1", ""}}},
        GangCase{"WaitsAgainForAMemberThatIsDeletedBeforeItsStart",
                 {{[](Scenario& s) {
                     s.Server("s1").Together({Of(2, "a"), Of(2, "b")});
                     s.api.Remove(s.api.tasks, "ns/b");
                     s.Server("s2", "4");
                   },
                   "a waits", ""},
                  {[](Scenario& s) { s.Waiting(Of(2, "c")); }, "a on s1\nc on s2", ""}}}),
    CaseName());

TEST(GangTest, OneThatLosesItsServerRunsAgainAlone) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) {
    api.AddTask(name, Member(2));
  }
  api.Settle();
  for (const char* name : {"a-1", "b-1"}) api.SetPod(name, PodPhase::kRunning);
  api.Settle();
  api.Remove(api.pods, "ns/b-1");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/b-2"));
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
}

TEST(GangTest, IsTakenBackIfNotAllRunWithinItsDeadline) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) {
    Json spec = Member(2);
    spec["group"]["deadlineSeconds"] = 60;
    api.AddTask(name, spec);
  }
  api.Settle();
  api.SetPod("a-1", PodPhase::kRunning);
  api.Advance(seconds(61));
  EXPECT_FALSE(api.pods.contains("ns/a-1"));
  EXPECT_FALSE(api.pods.contains("ns/b-1"));
  ASSERT_EQ(api.Status("a").attempts.size(), 1u);
  EXPECT_EQ(api.Status("a").attempts[0].reason, "GroupDeadlineExceeded");
  EXPECT_EQ(api.Status("a").retries, 0);
  api.Advance(kGroupPause + seconds(1));
  EXPECT_TRUE(api.pods.contains("ns/a-2"));
  EXPECT_TRUE(api.pods.contains("ns/b-2"));
}

TEST(GangTest, IsLeftAloneOnceAllHaveRun) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddServer("s2", "4");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2));
  api.Settle();
  for (const char* name : {"a-1", "b-1"}) api.SetPod(name, PodPhase::kRunning);
  api.Advance(seconds(1000));
  api.Remove(api.pods, "ns/b-1");
  api.Advance(seconds(10));
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
}

TEST(GangTest, ARestartInTheMiddleOfItsStartGoesOnWithIt) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2));
  api.Settle();
  api.pods.erase("ns/b-1");  // its creation was not sent
  api.tasks["ns/b"].status = {};
  api.Restart();
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
  EXPECT_TRUE(api.pods.contains("ns/b-1"));
}

TEST(GangTest, ServersAreBoughtForAllThatLackRoomOrForNone) {
  ApiModel api;
  api.AddServer("s1", "8");
  api.AddPool("spot", "8");
  api.pools["spot"].spec.max_servers = 1;
  api.Change(api.pools["spot"]);
  for (const char* name : {"a", "b", "c"}) api.AddTask(name, Member(3), "8");
  api.Advance(seconds(2));
  EXPECT_TRUE(api.scales.empty()) << "two are needed, one may be bought";
  api.pools["spot"].spec.max_servers = 2;
  api.Change(api.pools["spot"]);
  api.Advance(seconds(2));
  EXPECT_EQ(api.scales.size(), 2u);
  EXPECT_EQ(Pods(api), 0);
  api.ProvideServer("cloud-1");
  api.Advance(seconds(1));
  EXPECT_EQ(Pods(api), 0);
  api.ProvideServer("cloud-2");
  api.Advance(seconds(1));
  EXPECT_EQ(Pods(api), 3);
}

TEST(GangTest, AServerIsKeptForItUntilTheLastOneIsThere) {
  ApiModel api;
  api.AddPool("spot", "8");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2), "8");
  api.Settle();
  ASSERT_EQ(api.claims_made, 2);
  api.ProvideServer("cloud-1");
  for (int i = 0; i < 240; i += 5) api.Advance(seconds(5));
  api.ProvideServer("cloud-2");
  api.Advance(seconds(2));
  EXPECT_EQ(Pods(api), 2);
  EXPECT_EQ(api.claims_made, 2);
}

TEST(GangTest, NothingMoreIsBoughtWhileItMayNotBeTried) {
  ApiModel api;
  api.AddServer("s1", "8");
  api.AddPool("spot", "8");
  api.AddTask("a", Member(2, {{"placement", {{"policy", "LocalOnly"}}}}));
  api.AddTask("b", Member(2, {{"placement", {{"policy", "CloudOnly"}}}}), "8");
  api.Settle();
  ASSERT_EQ(api.scales.size(), 1u);
  // As many creations as the namespace may have at once are not answered.
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kCreate && write.kind == Kind::kPod;
  };
  for (int i = 1; i <= 8; ++i)
    api.AddTask("h" + std::to_string(i), {{"placement", {{"policy", "LocalOnly"}}}},
                std::to_string(i) + "m");
  api.Settle();
  ASSERT_EQ(api.hanging(), 8u);
  api.ProvideServer("cloud-1");
  api.Advance(seconds(2));
  EXPECT_EQ(api.scales.size(), 1u);
  EXPECT_FALSE(api.pods.contains("ns/b-1"));
  api.Unblock();
  api.Advance(seconds(2));
  EXPECT_EQ(api.pods.at("ns/b-1").node_name, "cloud-1");
  EXPECT_EQ(api.scales.size(), 1u);
}

TEST(GangsTest, OneThatHasLeftIsNotWaitedFor) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b", "c", "d"}) api.AddTask(name, Member(5));
  api.Settle();
  for (const char* name : {"a", "b", "c"}) {
    api.Remove(api.tasks, std::string("ns/") + name);
    api.AddTask(name, Member(3));
    api.Settle();
  }
  api.Remove(api.tasks, "ns/d");
  api.Settle();
  EXPECT_EQ(Pods(api), 3) << api.Summary("a");
}

// Two tasks that have started together, where a group has ten minutes for that.
class StartedGangTest : public testing::Test {
 protected:
  StartedGangTest() {
    api.AddServer("s1", "2");
    Json spec = Member(2, {{"retry", {{"limit", 3}, {"backoffSeconds", 60}}}});
    spec["group"]["deadlineSeconds"] = 600;
    for (const char* name : {"a", "b"}) api.AddTask(name, spec);
    api.Settle();
    for (const char* pod : {"a-1", "b-1"}) api.SetPod(pod, PodPhase::kRunning);
    api.Advance(seconds(5));
  }
  // a fails, and runs once more: by then the group's time is over, and begins anew.
  void RunAOnceMore() {
    api.Advance(seconds(700));
    api.SetPod("a-1", PodPhase::kFailed, 1);
    api.Advance(seconds(70));
    ASSERT_TRUE(api.pods.contains("ns/a-2")) << api.Says("a");
    api.SetPod("a-2", PodPhase::kRunning);
  }
  ApiModel api;
};

TEST_F(StartedGangTest, GoesOnWithoutAMemberThatHasEndedAndIsDeleted) {
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.Settle();
  api.Remove(api.tasks, "ns/a");
  api.Remove(api.pods, "ns/a-1");
  api.Advance(seconds(900));
  EXPECT_EQ(api.Phase("b"), "Running") << api.Says("b");
}

TEST_F(StartedGangTest, GoesOnWithoutAMemberThatIsSuspended) {
  api.Advance(seconds(700));
  api.tasks["ns/a"].spec.suspend = true;
  api.Change(api.tasks["ns/a"]);
  api.Advance(seconds(60));
  EXPECT_EQ(api.Phase("b"), "Running") << api.Says("b");
}

TEST_F(StartedGangTest, GoesOnWhileMembersAreRetried) {
  ASSERT_NO_FATAL_FAILURE(RunAOnceMore());
  api.Advance(seconds(595));
  api.SetPod("b-1", PodPhase::kFailed, 1);
  api.Advance(seconds(30));
  EXPECT_EQ(api.Phase("a"), "Running") << api.Says("a");
}

TEST_F(StartedGangTest, GoesOnWhereTheNextAttemptOfAMemberIsRefused) {
  ASSERT_NO_FATAL_FAILURE(RunAOnceMore());
  api.Advance(seconds(500));
  api.SetPod("b-1", PodPhase::kFailed, 1);
  api.Advance(seconds(70));
  ASSERT_TRUE(api.pods.contains("ns/b-2")) << api.Says("b");
  api.pods.at("ns/b-2").reason = "UnexpectedAdmissionError";
  api.SetPod("b-2", PodPhase::kFailed);
  api.Advance(seconds(90));
  EXPECT_EQ(api.Phase("a"), "Running") << api.Says("a");
}

bool AloneAfter(const std::vector<const char*>& reasons) {
  Gang gang;
  gang.size = 2;
  TaskState task;
  task.gang = &gang;
  for (const char* reason : reasons) task.object.status.attempts.emplace_back().reason = reason;
  return WaitsAlone(task);
}

TEST(GangTest, AnAttemptThatDidNotFitTellsNothingOfThoseBeforeIt) {
  EXPECT_TRUE(AloneAfter({"NodeLost", kDoesNotFit}));
  EXPECT_FALSE(AloneAfter({"GroupDeadlineExceeded", kDoesNotFit, kDoesNotFit}));
  EXPECT_FALSE(AloneAfter({kDoesNotFit}));
}

}  // namespace
}  // namespace spillway::core
