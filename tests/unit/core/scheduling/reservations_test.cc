#include "operator/core/scheduling/reservations.h"

#include <gtest/gtest.h>

#include "tests/unit/core/scenario.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

Task Port(const char* name, const char* cpu) { return Task(name).Cpu(cpu).HostPort(80); }

// "s1 for ns/large", or nothing.
std::string Kept(const ApiModel& api) {
  std::string out;
  for (const Reservation& kept : api.world().scheduling.reserved) {
    const ServerState* server = api.world().servers.slots[kept.slot];
    out += (out.empty() ? "" : "\n") + std::string(server->object.meta.name) + " for ";
    out += kept.task;
  }
  return out;
}

Scenario& Starve(Scenario& s) { return s.Pass(kStarving + seconds(1)); }

// a, b, c and d, of one cpu each.
Scenario& Fill(Scenario& s, const Json& deadline = nullptr) {
  for (const char* name : {"a", "b", "c", "d"})
    s.Running(deadline.is_null() ? Task(name) : Task(name).With("activeDeadlineSeconds", deadline));
  return s;
}

// s1 of 4 cpus runs four small tasks; a task that wants the whole server has waited for long.
Scenario& FillAndStarve(Scenario& s, const Json& deadline = nullptr) {
  return Starve(Fill(s.Server("s1", "4"), deadline).Waiting(Task("large").Cpu("4")));
}

Json OnSsd() { return {{"key", "disk"}, {"operator", "In"}, {"values", {"ssd"}}}; }

// Of s1.
void SetDisk(ApiModel& api, const char* kind) {
  api.servers["s1"].spec.capabilities["disk"] = kind;
  api.Change(api.servers["s1"]);
}

Task Within(int64_t time, const char* name) {
  return Task(name).With("activeDeadlineSeconds", time);
}

// s1 is kept for a task; whatever happens then ends that.
struct ReservationCase {
  std::string name;
  std::function<void(Scenario&)> begin;
  std::string kept;
  std::string meanwhile;
  std::function<void(Scenario&)> then;
  std::string after;
};

class KeptServerTest : public testing::TestWithParam<ReservationCase> {};

TEST_P(KeptServerTest, IsKeptForOneUntilThen) {
  Scenario scenario;
  GetParam().begin(scenario);
  EXPECT_EQ(Kept(scenario.api), GetParam().kept);
  EXPECT_EQ(scenario.Dump(), GetParam().meanwhile);
  GetParam().then(scenario);
  EXPECT_EQ(Kept(scenario.api), "");
  EXPECT_EQ(scenario.Dump(), GetParam().after);
}

INSTANTIATE_TEST_SUITE_P(
    Reservation, KeptServerTest,
    testing::Values(
        ReservationCase{"SmallTasksDoNotPassALargeOneForever",
                        [](Scenario& s) {
                          FillAndStarve(s).Together({Task("e"), Task("f"), Task("g"), Task("h")});
                          for (const char* name : {"a", "b", "c"}) s.Ends(name).Pass(seconds(1));
                        },
                        "s1 for ns/large",
                        "a ended\nb ended\nc ended\nd on s1\n"
                        "e waits\nf waits\ng waits\nh waits\nlarge waits",
                        [](Scenario& s) { s.Ends("d").Pass(seconds(1)); },
                        "a ended\nb ended\nc ended\nd ended\n"
                        "e waits\nf waits\ng waits\nh waits\nlarge on s1"},
        ReservationCase{"ATaskThatEndsBeforeFillsTheGap",
                        [](Scenario& s) {
                          FillAndStarve(s, 600).Ends("a");
                          s.Together({Within(600, "too-long"), Within(60, "short")});
                        },
                        "s1 for ns/large",
                        "a ended\nb on s1\nc on s1\nd on s1\nlarge waits\nshort on s1\n"
                        "too-long waits",
                        [](Scenario& s) { s.Ends("b").Ends("c").Ends("d").Ends("short"); },
                        "a ended\nb ended\nc ended\nd ended\nlarge on s1\nshort ended\n"
                        "too-long waits"},
        ReservationCase{"WhatTheLargeTaskLeavesFreeIsUsed",
                        [](Scenario& s) {
                          s.Server("s1", "4").Waiting(Task("a").Cpu("3"));
                          Starve(s.Waiting(Task("large").Cpu("3"))).Waiting(Task("small"));
                        },
                        "s1 for ns/large", "a on s1\nlarge waits\nsmall on s1",
                        [](Scenario& s) { s.Ends("a"); }, "a ended\nlarge on s1\nsmall on s1"},
        ReservationCase{"WhatIsLeftFreeIsGivenAwayOnce",
                        [](Scenario& s) {
                          s.Server("s1", "6").Waiting(Within(600, "a").Cpu("3"));
                          Starve(s.Waiting(Task("large").Cpu("5")));
                          s.Together({Task("e"), Task("f"), Task("g")});
                        },
                        "s1 for ns/large", "a on s1\ne on s1\nf waits\ng waits\nlarge waits",
                        [](Scenario& s) { s.Ends("a"); },
                        "a ended\ne on s1\nf waits\ng waits\nlarge on s1"},
        // The other would have the port for longer than that.
        ReservationCase{"TheHostPortIsKeptAsWell",
                        [](Scenario& s) {
                          s.Server("s1", "8").Waiting(Task("a").Cpu("6"));
                          Starve(s.Waiting(Port("waits", "4")));
                          s.Together({Port("port", "1"), Task("none")});
                        },
                        "s1 for ns/waits", "a on s1\nnone on s1\nport waits\nwaits waits",
                        [](Scenario& s) { s.Ends("a"); },
                        "a ended\nnone on s1\nport waits\nwaits on s1"},
        ReservationCase{
            "AHigherPriorityPasses",
            [](Scenario& s) { FillAndStarve(s).Ends("a").Waiting(Task("urgent").Priority(1)); },
            "s1 for ns/large", "a ended\nb on s1\nc on s1\nd on s1\nlarge waits\nurgent on s1",
            [](Scenario& s) { s.Ends("b").Ends("c").Ends("d").Ends("urgent"); },
            "a ended\nb ended\nc ended\nd ended\nlarge on s1\nurgent ended"},
        ReservationCase{"IsGivenUpWithTheTask",
                        [](Scenario& s) { FillAndStarve(s).Ends("a").Waiting(Task("e")); },
                        "s1 for ns/large",
                        "a ended\nb on s1\nc on s1\nd on s1\ne waits\nlarge waits",
                        [](Scenario& s) {
                          s.api.Remove(s.api.tasks, "ns/large");
                          s.api.Settle();
                        },
                        "a ended\nb on s1\nc on s1\nd on s1\ne on s1"},
        ReservationCase{
            "IsGivenUpAtOnceWhenTheServerSuitsTheTaskNoMore",
            [](Scenario& s) {
              SetDisk(Fill(s.Server("s1", "4")).api, "ssd");
              Starve(
                  s.Waiting(Task("large").Cpu("4").With("requirements", Json::array({OnSsd()}))));
              s.Ends("a").Waiting(Task("e"));
            },
            "s1 for ns/large", "a ended\nb on s1\nc on s1\nd on s1\ne waits\nlarge waits",
            [](Scenario& s) {
              SetDisk(s.api, "hdd");
              s.api.Settle();
            },
            "a ended\nb on s1\nc on s1\nd on s1\ne on s1\nlarge waits"},
        ReservationCase{
            "IsGivenUpWhenTheTaskStartsElsewhere", [](Scenario& s) { FillAndStarve(s); },
            "s1 for ns/large", "a on s1\nb on s1\nc on s1\nd on s1\nlarge waits",
            [](Scenario& s) { s.Server("s2", "2").Server("s3", "4").Waiting(Task("e").Cpu("2")); },
            "a on s1\nb on s1\nc on s1\nd on s1\ne on s2\nlarge on s3"}),
    CaseName());

TEST(ReservationTest, TheySayForWhomTheServerIsKept) {
  Scenario scenario;
  FillAndStarve(scenario).Ends("a").Waiting(Task("e")).Pass(seconds(2));
  const auto& told = scenario.api.world().tasks.by_key.at("ns/e").object.status.explanation;
  ASSERT_NE(told, nullptr);
  EXPECT_TRUE(told->summary.starts_with("0 of 1 servers fit: 1 reserved")) << told->summary;
  EXPECT_TRUE(told->servers.at(0).message.starts_with("reserved for task ns/large"));
}

TEST(ReservationTest, IsMovedWhenItsServerIsCordoned) {
  Scenario scenario;
  Fill(scenario.Server("s1", "4")).Server("s2", "4").Running(Task("other").Cpu("4"));
  Starve(scenario.Waiting(Task("large").Cpu("4")));
  ASSERT_EQ(Kept(scenario.api), "s2 for ns/large") << "one task has to end there";
  scenario.api.servers["s2"].spec.cordoned = true;
  scenario.api.Change(scenario.api.servers["s2"]);
  scenario.Pass(seconds(15));
  EXPECT_EQ(Kept(scenario.api), "s1 for ns/large");
  scenario.Ends("other").Ends("a").Waiting(Task("e"));
  EXPECT_EQ(scenario.Dump(),
            "a ended\nb on s1\nc on s1\nd on s1\ne waits\nlarge waits\nother ended");
  scenario.Ends("b").Ends("c").Ends("d");
  EXPECT_EQ(scenario.Dump(),
            "a ended\nb ended\nc ended\nd ended\ne waits\nlarge on s1\nother ended");
}

TEST(ReservationTest, ATaskThatHasWaitedForAMomentKeepsNothing) {
  Scenario scenario;
  Fill(scenario.Server("s1", "4")).Together({Task("large").Cpu("4"), Task("e")});
  scenario.Pass(seconds(5));
  EXPECT_EQ(Kept(scenario.api), "");
  EXPECT_EQ(scenario.Ends("a").Dump(), "a ended\nb on s1\nc on s1\nd on s1\ne on s1\nlarge waits");
}

Time KeptFrom(const ApiModel& api) {
  const Reservation* kept =
      ReservationOn(api.world().scheduling, api.world().servers.by_name.at("s1").slot);
  return kept ? kept->start : Time{};
}

// The first task ends at 600 s at the latest; only then the other can begin.
struct BeginsCase {
  std::string name;
  std::function<void(ApiModel&)> limit;  // of s1
  Task first, waits;
};

class KeptFromTest : public testing::TestWithParam<BeginsCase> {};

TEST_P(KeptFromTest, TheEndOfTheFirst) {
  Scenario scenario;
  scenario.Server("s1", "8");
  GetParam().limit(scenario.api);
  Starve(scenario.Waiting(GetParam().first).Waiting(GetParam().waits));
  EXPECT_GE(KeptFrom(scenario.api), At(600));
}

std::string BeginsName(const testing::TestParamInfo<BeginsCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Reservation, KeptFromTest,
                         testing::Values(BeginsCase{"WhenTheHostPortIsFree", [](ApiModel&) {},
                                                    Within(600, "a").HostPort(80),
                                                    Port("waits", "2")},
                                         BeginsCase{"WhenThereIsAPlaceForAPod",
                                                    [](ApiModel& api) {
                                                      api.nodes["s1"].max_pods = 1;
                                                      api.Change(api.nodes["s1"]);
                                                    },
                                                    Within(600, "a"), Task("waits").Cpu("2")},
                                         BeginsCase{"WhenThereIsAPlaceForATask",
                                                    [](ApiModel& api) {
                                                      api.servers["s1"].spec.max_tasks = 1;
                                                      api.Change(api.servers["s1"]);
                                                    },
                                                    Within(600, "a"), Task("waits").Cpu("2")}),
                         BeginsName);

TEST(ReservationTest, WhatIsGivenUpIsOfferedToTheHighestPriorityFirst) {
  ApiModel api;
  api.AddServer("s1", "4");
  SetDisk(api, "ssd");
  for (const char* name : {"a", "b", "c", "d"}) api.AddTask(name);
  api.Settle();
  for (const char* name : {"a", "b", "c", "d"})
    api.SetPod(std::string(name) + "-1", PodPhase::kRunning);
  api.AddTask("large", {{"priority", 1}}, "4");
  api.Advance(kStarving + seconds(1));
  // Its namespace has the smaller share: it is tried before the large one, for which s1 is kept.
  api.AddTask("first", {{"priority", 1}, {"requirements", {OnSsd()}}}, "1", "other");
  api.AddTask("last", {{"requirements", {OnSsd()}}}, "1", "third");
  api.SetPod("a-1", PodPhase::kSucceeded);
  api.Settle();
  ASSERT_FALSE(api.pods.contains("other/first-1") || api.pods.contains("third/last-1"));
  api.AddServer("s2", "4");
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/large-1").node_name, api.servers.at("s2").spec.node_name);
  EXPECT_TRUE(api.pods.contains("other/first-1"));
  EXPECT_FALSE(api.pods.contains("third/last-1"));
}

// One cpu of s1 lies idle for a task that wants all five.
Scenario& KeepIdle(Scenario& s) {
  return Starve(Fill(s.Server("s1", "5")).Waiting(Task("large").Cpu("5")));
}

TEST(ReservationTest, IsGivenUpForAWhileWhereNobodyKnowsWhenItWillDo) {
  Scenario scenario;
  KeepIdle(scenario).Waiting(Task("e")).Pass(kMostBlind - seconds(10));
  EXPECT_EQ(Kept(scenario.api), "s1 for ns/large");
  EXPECT_EQ(scenario.Dump(), "a on s1\nb on s1\nc on s1\nd on s1\ne waits\nlarge waits");
  scenario.Pass(seconds(10));
  EXPECT_EQ(Kept(scenario.api), "");
  EXPECT_EQ(scenario.Dump(), "a on s1\nb on s1\nc on s1\nd on s1\ne on s1\nlarge waits");
  scenario.Pass(kBlindPause);
  EXPECT_EQ(Kept(scenario.api), "s1 for ns/large");
}

TEST(ReservationTest, IsLookedAtAgainWhenItIsToBeGivenUp) {
  Scenario scenario;
  KeepIdle(scenario.Pass(seconds(2)));  // between two checks of the nodes
  const Time until = scenario.api.world().scheduling.reserved.at(0).blind_since + kMostBlind;
  EXPECT_LE(scenario.WakeJustBefore(until), until);
}

TEST(ReservationTest, AGroupOfAHigherPriorityPasses) {
  Scenario scenario;
  KeepIdle(scenario).Ends("a");
  const auto member = [](const char* name) {
    return Task(name).Priority(1).With("group", {{"name", "g"}, {"size", 2}});
  };
  scenario.Together({member("g1"), member("g2")});
  EXPECT_EQ(scenario.Dump(), "a ended\nb on s1\nc on s1\nd on s1\ng1 on s1\ng2 on s1\nlarge waits");
}

TEST(ReservationTest, AGapThatIsKnownLaterIsFilled) {
  Scenario scenario;
  scenario.Server("s2").Running(Task("like")).Pass(seconds(500));
  scenario.api.servers["s2"].spec.cordoned = true;
  scenario.api.Change(scenario.api.servers["s2"]);
  KeepIdle(scenario).Waiting(Within(60, "short")).Pass(seconds(1));
  ASSERT_EQ(scenario.Dump(),
            "a on s1\nb on s1\nc on s1\nd on s1\nlarge waits\nlike on s2\nshort waits");
  scenario.Ends("like").Pass(seconds(10));
  EXPECT_EQ(scenario.Dump(),
            "a on s1\nb on s1\nc on s1\nd on s1\nlarge waits\nlike ended\nshort on s1");
}

}  // namespace
}  // namespace spillway::core
