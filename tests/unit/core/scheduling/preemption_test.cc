#include "operator/core/scheduling/preemption.h"

#include <gtest/gtest.h>

#include "tests/unit/core/scenario.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

Task Low(const char* name) { return Task(name).Priority(1).Local(); }
Task High(const char* name) { return Task(name).Priority(10).Preempts().Local(); }

// s1 is full of a and b, which is the younger.
Scenario& RunLow(Scenario& s) {
  return s.Server("s1", "2").Running(Low("a")).Pass(seconds(1)).Running(Low("b"));
}

void ChangeServer(Scenario& s, const std::function<void(api::Node&, api::RegisteredServer&)>& how) {
  how(s.api.nodes["s1"], s.api.servers["s1"]);
  s.api.Change(s.api.nodes["s1"]);
  s.api.Change(s.api.servers["s1"]);
}

struct GivesWayCase {
  std::string name;
  std::function<void(Scenario&)> begin;
  const char* leaving;  // before the pods that were told to go have done so
  const char* gone;     // thereafter
};

class GivesWayTest : public testing::TestWithParam<GivesWayCase> {};

TEST_P(GivesWayTest, ToTheUrgent) {
  Scenario scenario;
  scenario.api.slow_deletion = true;
  GetParam().begin(scenario);
  EXPECT_EQ(scenario.Pass(seconds(20)).Dump(), GetParam().leaving);
  EXPECT_EQ(scenario.DeletedGo().Dump(), GetParam().gone);
}

// The same where pods go as soon as they are told to.
TEST_P(GivesWayTest, ToTheUrgentAtOnce) {
  Scenario scenario;
  GetParam().begin(scenario);
  EXPECT_EQ(scenario.Dump(), GetParam().gone);
}

std::string GivesWayName(const testing::TestParamInfo<GivesWayCase>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Preemption, GivesWayTest,
    testing::Values(
        GivesWayCase{"WhatHasRunForTheShortestTime",
                     [](Scenario& s) { RunLow(s).Waiting(High("urgent")); },
                     "a on s1\nb leaves s1\nurgent waits", "a on s1\nb waits\nurgent on s1"},
        GivesWayCase{"WhoHasTheHostPort",
                     [](Scenario& s) {
                       s.Server("s1", "8").Together({Low("other"), Low("a").HostPort(80)});
                       s.Waiting(High("urgent").HostPort(80));
                     },
                     "a leaves s1\nother on s1\nurgent waits",
                     "a waits\nother on s1\nurgent on s1"},
        GivesWayCase{"OneWhereOnlyPodsAreTooMany",
                     [](Scenario& s) {
                       ChangeServer(RunLow(s), [](api::Node& node, api::RegisteredServer&) {
                         node.allocatable.cpu_milli = 8000, node.max_pods = 2;
                       });
                       s.Waiting(High("urgent"));
                     },
                     "a on s1\nb leaves s1\nurgent waits", "a on s1\nb waits\nurgent on s1"},
        GivesWayCase{"OneWhereOnlyTasksAreTooMany",
                     [](Scenario& s) {
                       ChangeServer(RunLow(s), [](api::Node& node, api::RegisteredServer& server) {
                         node.allocatable.cpu_milli = 8000, server.spec.max_tasks = 2;
                       });
                       s.Waiting(High("urgent"));
                     },
                     "a on s1\nb leaves s1\nurgent waits", "a on s1\nb waits\nurgent on s1"},
        GivesWayCase{"ForNobodyElseWhoWaitsAsWell",
                     [](Scenario& s) {
                       RunLow(s).Together({High("urgent"), Low("c")});
                     },
                     "a on s1\nb leaves s1\nc waits\nurgent waits",
                     "a on s1\nb waits\nc waits\nurgent on s1"},
        GivesWayCase{"WhoAllowsItEvenIfTheUrgentSaysNothing",
                     [](Scenario& s) {
                       s.Server("s1").Waiting(Low("a").Preempts());
                       s.Waiting(Task("urgent").Priority(10).Local());
                     },
                     "a leaves s1\nurgent waits", "a waits\nurgent on s1"},
        GivesWayCase{"AsFewAsPossibleAndTheLowest",
                     [](Scenario& s) {
                       s.Server("s1", "4").Together({Low("big").Priority(3).Cpu("2"),
                                                     Low("small1").Priority(1),
                                                     Low("small2").Priority(2)});
                       s.Waiting(High("urgent"));
                     },
                     "big on s1\nsmall1 leaves s1\nsmall2 on s1\nurgent waits",
                     "big on s1\nsmall1 waits\nsmall2 on s1\nurgent on s1"},
        GivesWayCase{"OnlyOneForOneTask",
                     [](Scenario& s) {
                       s.Server("s1").Server("s2").Together({Low("a"), Low("b")});
                       s.Waiting(High("urgent"));
                     },
                     "a leaves s1\nb on s2\nurgent waits", "a waits\nb on s2\nurgent on s1"}),
    GivesWayName);

struct StaysCase {
  std::string name;
  std::function<void(Scenario&)> begin;
  const char* after;  // two minutes
};

class StaysTest : public testing::TestWithParam<StaysCase> {};

TEST_P(StaysTest, WhereItIs) {
  Scenario scenario;
  GetParam().begin(scenario);
  EXPECT_EQ(scenario.Pass(seconds(120)).Dump(), GetParam().after);
}

std::string StaysName(const testing::TestParamInfo<StaysCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Preemption, StaysTest,
    testing::Values(
        StaysCase{"WhatWouldGiveWayInVain",
                  [](Scenario& s) {
                    ChangeServer(RunLow(s), [](api::Node& node, api::RegisteredServer&) {
                      node.max_pods = 0;  // by pods that are not ours
                    });
                    s.Waiting(High("urgent"));
                  },
                  "a on s1\nb on s1\nurgent waits"},
        StaysCase{"WhatIsNotToldOtherwiseByEither",
                  [](Scenario& s) { RunLow(s).Waiting(Task("urgent").Priority(10).Local()); },
                  "a on s1\nb on s1\nurgent waits"},
        StaysCase{"WhatSaysNever",
                  [](Scenario& s) {
                    s.Server("s1").Waiting(Low("a").Preempts("Never")).Waiting(High("urgent"));
                  },
                  "a on s1\nurgent waits"},
        StaysCase{"WhatHasTheSamePriority",
                  [](Scenario& s) { s.Server("s1").Waiting(High("a")).Waiting(High("b")); },
                  "a on s1\nb waits"},
        StaysCase{"WhatTheUrgentsPriorityClassProtects",
                  [](Scenario& s) {
                    RunLow(s).Class("gentle", 100);
                    s.api.classes["gentle"].preempts = false;
                    s.api.Change(s.api.classes["gentle"]);
                    s.Waiting(Task("urgent").Class("gentle").Preempts().Local());
                  },
                  "a on s1\nb on s1\nurgent waits"},
        StaysCase{"WhateverRunsWhereACloudServerCanBeBought",
                  [](Scenario& s) {
                    RunLow(s).api.AddPool("spot");
                    s.Waiting(Task("urgent").Priority(10).Preempts());
                  },
                  "a on s1\nb on s1\nurgent waits for the cloud"}),
    StaysName);

TEST(PreemptionTest, WhatGaveWaySaysSoAndRunsAgainLater) {
  Scenario scenario;
  RunLow(scenario).Waiting(High("urgent")).Pass(seconds(1));
  const ApiModel& api = scenario.api;
  EXPECT_EQ(api.Phase("b"), "Pending");
  ASSERT_EQ(api.Status("b").attempts.size(), 1u);
  EXPECT_EQ(api.Status("b").attempts[0].reason, "Preempted");
  EXPECT_EQ(api.Status("b").attempts[0].message,
            "gave way to task ns/urgent of priority 10 (its own is 1)");
  EXPECT_EQ(api.Status("b").retries, 0);
  EXPECT_EQ(scenario.Ends("urgent").Dump(), "a on s1\nb on s1, attempt 2\nurgent ended");
}

TEST(PreemptionTest, WhatRunsHasItsPriorityAfterARestartAsWell) {
  Scenario scenario;
  scenario.Server("s1").Running(High("runs")).Pass(seconds(5)).Restart();
  scenario.Waiting(High("lower").Priority(5)).Pass(seconds(5));
  EXPECT_EQ(scenario.Dump(), "lower waits\nruns on s1");
  EXPECT_EQ(scenario.api.Phase("runs"), "Running");
}

TEST(PreemptionTest, WhatRunsGivesWayToNobodyWhileItsClassIsGone) {
  Scenario scenario;
  scenario.Server("s1").Class("high", 20);
  scenario.Running(Task("runs").Class("high").Preempts().Local()).Pass(seconds(5));
  scenario.api.classes.clear();
  scenario.Restart().Waiting(High("waits")).Pass(seconds(5));
  EXPECT_EQ(scenario.Dump(), "runs on s1\nwaits waits");
  scenario.Class("high", 3).Pass(seconds(5));
  EXPECT_EQ(scenario.Dump(), "runs waits\nwaits on s1");
}

// s1 is full of a, of another kind, and the API server creates no pod of urgent.
class RefusedUrgentTest : public testing::Test {
 protected:
  RefusedUrgentTest() {
    scenario.Server("s1", "2").Running(Low("a").Cpu("2"));
    api.refuse = [](const Write& write) {
      const bool urgent = write.verb == Verb::kCreate && write.kind == Kind::kPod &&
                          write.name.starts_with("urgent");
      return urgent ? std::optional(Error{ErrorKind::kForbidden, "denied by a policy", {}})
                    : std::nullopt;
    };
    scenario.Pass(seconds(2));  // between two checks of the nodes
    scenario.Waiting(High("urgent")).Pass(seconds(10));
  }
  Time PausedUntil() const {
    return api.world().tasks.by_key.at("ns/urgent").admission->in_vain.until;
  }

  Scenario scenario;
  ApiModel& api = scenario.api;
};

TEST_F(RefusedUrgentTest, NobodyGivesWayInVainAgainAndAgain) {
  scenario.Pass(std::chrono::hours(1));
  EXPECT_GE(api.pods_made, 4);
  EXPECT_LE(api.pods_made, 9) << "of a";
}

TEST_F(RefusedUrgentTest, IsLookedAtAgainWhenThePauseIsOver) {
  const Time until = PausedUntil();
  ASSERT_GT(until, api.now + seconds(5));
  EXPECT_LE(scenario.WakeJustBefore(until), until);
}

TEST_F(RefusedUrgentTest, StartsWhereThereIsRoomMeanwhile) {
  api.refuse = nullptr;
  scenario.Pass(seconds(5));
  EXPECT_EQ(scenario.Dump(), "a on s1, attempt 2\nurgent waits");
  EXPECT_EQ(scenario.Server("s2").Dump(), "a on s1, attempt 2\nurgent on s2");
}

TEST_F(RefusedUrgentTest, OnceItRunsOthersGiveWayToItsLikeAtOnce) {
  api.refuse = nullptr;
  scenario.Server("s2").Pass(seconds(5));
  api.SetPod("urgent-1", api::PodPhase::kRunning);
  api.Settle();
  scenario.Waiting(High("urgent2"));
  EXPECT_EQ(scenario.Dump(), "a waits\nurgent on s2\nurgent2 on s1");
}

TEST_F(RefusedUrgentTest, OthersGiveWayToItsLikeInAnotherNamespaceAtOnce) {
  scenario.Waiting(High("other").In("ns2"));
  EXPECT_EQ(scenario.Dump(), "a waits\nurgent waits\nns2/other on s1");
}

TEST(PreemptionTest, NobodyGivesWayInVainAgainAndAgainToOneThatRanBefore) {
  Scenario scenario;
  ApiModel& api = scenario.api;
  scenario.Server("s1", "2").Running(High("urgent"));
  api.refuse = [](const Write& write) {
    const bool urgent =
        write.verb == Verb::kCreate && write.kind == Kind::kPod && write.name.starts_with("urgent");
    return urgent ? std::optional(Error{ErrorKind::kForbidden, "denied by a policy", {}})
                  : std::nullopt;
  };
  api.Remove(api.pods, "ns/urgent-1");
  scenario.Waiting(Low("a").Cpu("2")).Pass(std::chrono::hours(1));
  EXPECT_GE(api.pods_made, 3);
  EXPECT_LE(api.pods_made, 9) << "of a, but one";
}

// The status that must tell of its pod first is not answered.
TEST(PreemptionTest, NobodyGivesWayToOneThatMayNotStart) {
  const api::Json once{{"lossLimit", 0}};
  Scenario scenario;
  scenario.api.statuses_hang_in = "team";
  scenario.Server("s1").Waiting(Task("hangs").In("team").With("retry", once));
  scenario.Pass(seconds(6)).Running(Low("a"));
  scenario.Waiting(High("urgent").In("team").With("retry", once)).Pass(seconds(3));
  EXPECT_EQ(scenario.Dump(), "a on s1\nteam/hangs waits\nteam/urgent waits");
}

// Tasks that are suspended may take long to end, and have given way to nobody.
TEST(PreemptionTest, OthersGiveWayWhereWhatEndsByItselfTakesLong) {
  Scenario scenario;
  scenario.api.slow_deletion = true;
  scenario.Server("s1").Running(Low("long")).Server("s2").Running(Low("a"));
  scenario.api.pods.at("ns/long-1").grace = std::chrono::hours(24);
  scenario.api.Change(scenario.api.pods.at("ns/long-1"));
  scenario.api.tasks.at("ns/long").spec.suspend = true;
  scenario.api.Change(scenario.api.tasks.at("ns/long"));
  scenario.Pass(seconds(2)).Waiting(High("urgent")).Pass(seconds(5));
  EXPECT_EQ(scenario.Dump(), "a leaves s2\nlong leaves s1\nurgent waits");
}

// Such as after a resize in place.
TEST(PreemptionTest, WhatAPodHasBookedCountsAndNotWhatItsTemplateAsksFor) {
  Scenario scenario;
  scenario.Server("s1", "4").Running(Low("a").Cpu("2")).Running(Low("b").Priority(2).Cpu("2"));
  api::Pod& resized = scenario.api.pods.at("ns/a-1");
  resized.requests.cpu_milli = 1000;
  scenario.api.Change(resized);
  scenario.Waiting(High("urgent").Cpu("3"));
  EXPECT_EQ(scenario.Dump(), "a on s1\nb waits\nurgent on s1");
}

class SlowToGoTest : public testing::Test {
 protected:
  // a, which gives way on s1 first, does not go.
  void Begin(Duration grace) {
    scenario.api.slow_deletion = true;
    scenario.Server("s1").Running(Low("a"));
    scenario.Server("s2").Running(Low("b").Priority(2));
    scenario.api.pods.at("ns/a-1").grace = grace;
    scenario.api.Change(scenario.api.pods.at("ns/a-1"));
    scenario.Pass(seconds(2));  // between two checks of the nodes
    scenario.Waiting(High("urgent")).Pass(seconds(1));
  }

  Scenario scenario;
};

TEST_F(SlowToGoTest, AnotherGivesWayOnceTheFirstIsOverdue) {
  Begin(seconds(30));
  EXPECT_EQ(scenario.Pass(seconds(50)).Dump(), "a leaves s1\nb on s2\nurgent waits");
  EXPECT_EQ(scenario.Pass(seconds(20)).Dump(), "a leaves s1\nb leaves s2\nurgent waits");
}

TEST_F(SlowToGoTest, ItIsWaitedForAsLongAsItsGraceLasts) {
  Begin(seconds(300));
  EXPECT_EQ(scenario.Pass(seconds(320)).Dump(), "a leaves s1\nb on s2\nurgent waits");
  EXPECT_EQ(scenario.Pass(seconds(20)).Dump(), "a leaves s1\nb leaves s2\nurgent waits");
}

TEST_F(SlowToGoTest, ItIsWaitedForWhereAnotherEndsBeforeIt) {
  scenario.api.slow_deletion = true;
  scenario.Server("s1", "3").Running(Low("a").Cpu("2"));
  scenario.Running(Task("x").Priority(20).Local().With("activeDeadlineSeconds", 100));
  scenario.Server("s2", "2").Running(Low("b").Priority(2).Cpu("2"));
  scenario.api.pods.at("ns/a-1").grace = seconds(300);
  scenario.api.Change(scenario.api.pods.at("ns/a-1"));
  scenario.Waiting(High("urgent").Cpu("2")).Pass(seconds(60));
  EXPECT_EQ(scenario.Dump(), "a leaves s1\nb on s2\nurgent waits\nx on s1");
}

TEST_F(SlowToGoTest, TheNextLeaderWaitsForItAsWell) {
  Begin(seconds(300));
  EXPECT_EQ(scenario.Restart().Pass(seconds(10)).Dump(), "a leaves s1\nb on s2\nurgent waits");
}

TEST_F(SlowToGoTest, AnotherGivesWayOnceTheFirstIsOverdueThatMayNotBeDeleted) {
  scenario.api.refuse = [](const Write& write) -> std::optional<Error> {
    if (write.verb != Verb::kDelete) return std::nullopt;
    return Error{ErrorKind::kForbidden, "denied"};
  };
  Begin(seconds(30));
  EXPECT_EQ(scenario.Pass(seconds(50)).Dump(), "a on s1\nb on s2\nurgent waits");
  scenario.api.refuse = nullptr;
  EXPECT_EQ(scenario.Pass(seconds(20)).Dump(), "a on s1\nb leaves s2\nurgent waits");
}

TEST_F(SlowToGoTest, ItIsLookedAtAgainWhenItIsOverdue) {
  Begin(seconds(30));
  const Time due = scenario.api.world().scheduling.reserved.at(0).start;
  ASSERT_NE(due, kNever);
  EXPECT_LE(scenario.WakeJustBefore(due), due);
}

TEST_F(SlowToGoTest, ItIsLookedAtAgainWhenTheFirstOfThemIsOverdue) {
  scenario.api.slow_deletion = true;
  scenario.Server("s1", "2").Running(Low("a")).Running(Low("b"));
  scenario.api.pods.at("ns/b-1").grace = seconds(100);
  scenario.api.Change(scenario.api.pods.at("ns/b-1"));
  scenario.Pass(seconds(2)).Waiting(High("urgent").Cpu("2"));  // between two checks of the nodes
  const Time due = scenario.api.now + seconds(60);
  scenario.Pass(seconds(58));
  ASSERT_EQ(scenario.Dump(), "a leaves s1\nb leaves s1\nurgent waits");
  EXPECT_LE(scenario.WakeJustBefore(due), due);
}

// A bought server's kubelet has refused the pod, and no other is bought for a while.
TEST(PreemptionTest, OthersGiveWayWhileNoServerIsBoughtForTheUrgent) {
  Scenario scenario;
  ApiModel& api = scenario.api;
  scenario.Server("s1").Running(Low("a"));
  api.AddPool("p");
  scenario.Waiting(Task("urgent").Priority(10).Preempts());
  api.ProvideServer("cloud-1");
  api.Settle();
  ASSERT_EQ(scenario.Dump(), "a on s1\nurgent on cloud-1");
  api::Pod& refused = api.pods.at("ns/urgent-1");
  refused.phase = api::PodPhase::kFailed;
  refused.reason = "UnexpectedAdmissionError";
  api.Change(refused);
  api.Settle();
  EXPECT_EQ(scenario.Dump(), "a waits\nurgent on s1, attempt 2");
}

}  // namespace
}  // namespace spillway::core
