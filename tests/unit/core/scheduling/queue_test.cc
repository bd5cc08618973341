#include "operator/core/scheduling/queue.h"

#include <gtest/gtest.h>

#include "tests/unit/core/scenario.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

// Ends the only pod that runs, again and again; in which order the tasks got its server.
std::vector<std::string> Order(ApiModel& api, int tasks) {
  std::vector<std::string> order;
  for (int i = 0; i < tasks; ++i) {
    for (auto& [key, pod] : api.pods) {
      if (pod.terminal()) continue;
      order.push_back(pod.meta.ns + "/" + pod.meta.name);
      pod.phase = PodPhase::kSucceeded;
      pod.termination = api::Termination{0, "Completed", "", api.now, api.now};
      api.Change(pod);
      break;
    }
    api.Advance(seconds(1));
  }
  return order;
}

// Two tasks wait for the only server.
struct PriorityCase {
  std::string name;
  std::function<void(Scenario&)> begin;  // before the two
  Task a, b;
};

class PriorityTest : public testing::TestWithParam<PriorityCase> {};

TEST_P(PriorityTest, TheHigherIsNext) {
  Scenario scenario;
  scenario.Server("s1");
  GetParam().begin(scenario);
  scenario.Running(Task("running")).Waiting(GetParam().a).Waiting(GetParam().b);
  EXPECT_EQ(scenario.Ends("running").Dump(), "a waits\nb on s1\nrunning ended");
}

TEST_P(PriorityTest, TheHigherIsNextAfterARestart) {
  Scenario scenario;
  scenario.Server("s1");
  GetParam().begin(scenario);
  scenario.Running(Task("running")).Waiting(GetParam().a).Waiting(GetParam().b).Restart();
  EXPECT_EQ(scenario.Ends("running").Dump(), "a waits\nb on s1\nrunning ended");
}

INSTANTIATE_TEST_SUITE_P(
    By, PriorityTest,
    testing::Values(PriorityCase{"TheValueOfItsClass", [](Scenario& s) { s.Class("urgent", 1000); },
                                 Task("a").Priority(999), Task("b").Class("urgent")},
                    PriorityCase{"TheClassOfThePodWhereTheTaskNamesNone",
                                 [](Scenario& s) { s.Class("urgent", 1000); }, Task("a"),
                                 Task("b").Template(api::Json::parse(
                                     R"({"spec":{"priorityClassName":"urgent","containers":[
                             {"name":"c","resources":{"requests":{"cpu":"1"}}}]}})"))},
                    PriorityCase{"TheDefaultClassOfTheClusterWhereNothingElseDoes",
                                 [](Scenario& s) { s.Class("normal", 10, true); },
                                 Task("a").Priority(5), Task("b")}),
    CaseName());

TEST(PriorityClassTest, ATaskWhoseClassDoesNotExistWaitsAndSaysSo) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("t", {{"priorityClassName", "urgent"}});
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_EQ(api.Says("t"),
            "PriorityClass urgent does not exist; create it, or change spec.priorityClassName");
  EXPECT_TRUE(api.pods.empty());
  api.AddPriorityClass("urgent", 1000);
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
}

// Tasks of two namespaces wait for a server that is taken; then it is free.
struct ShareCase {
  std::string name;
  const char* cpu;                      // of the server
  std::function<void(Scenario&)> wait;  // who waits for it
  const char* shares;                   // of it
};

class ShareTest : public testing::TestWithParam<ShareCase> {};

TEST_P(ShareTest, EachNamespaceGets) {
  Scenario scenario;
  scenario.Server("s1", GetParam().cpu).Running(Task("running").Cpu(GetParam().cpu));
  GetParam().wait(scenario);
  EXPECT_EQ(scenario.Ends("running").Shares(), GetParam().shares);
}

Task Asking(const char* cpu, const char* memory) {
  return Task("t").Template(
      {{"spec",
        {{"containers",
          {{{"name", "c"}, {"resources", {{"requests", {{"cpu", cpu}, {"memory", memory}}}}}}}}}}});
}

std::string ShareName(const testing::TestParamInfo<ShareCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    FairShare, ShareTest,
    testing::Values(
        ShareCase{"EqualPartsHoweverManyTasksOneApplies", "8",
                  [](Scenario& s) {
                    s.Many(20, Task("t").In("a")).Pass(seconds(1)).Many(8, Task("t").In("b"));
                  },
                  "a 4\nb 4"},
        ShareCase{"TwiceAsMuchForTwiceTheWeight", "9",
                  [](Scenario& s) {
                    s.Weight("a", 2000).Many(20, Task("t").In("a")).Many(20, Task("t").In("b"));
                  },
                  "a 6\nb 3"},
        // The example of the paper on dominant resource fairness: 9 cpus and 18 GiB; a's tasks want
        // 1 cpu and 4 GiB, b's want 3 cpus and 1 GiB. Fair are three tasks of a and two of b.
        ShareCase{"AsMuchAsOfTheResourceThatItUsesMostOf", "9",
                  [](Scenario& s) {
                    s.api.nodes["s1"].allocatable.memory = int64_t{18} << 30;
                    s.api.Change(s.api.nodes["s1"]);
                    s.Many(10, Asking("1", "4Gi").In("a")).Many(10, Asking("3", "1Gi").In("b"));
                  },
                  "a 3\nb 2"},
        ShareCase{"NothingWhereTheOtherHasTheHigherPriority", "4",
                  [](Scenario& s) {
                    s.Many(4, Task("t").Priority(1).In("a")).Many(4, Task("t").In("b"));
                  },
                  "a 4"}),
    ShareName);

TEST(FairShareTest, TheOlderIsFirstWhenNoOtherNamespaceHasTasksLeft) {
  ApiModel api;
  api.AddServer("s1", "5");
  api.AddTask("running", {}, "2");
  api.Settle();
  api.AddTask("x", {{"activeDeadlineSeconds", 30}}, "1", "team");
  api.AddTask("a", {}, "1");
  api.AddTask("b", {{"activeDeadlineSeconds", 60}}, "1");  // asks for something else
  api.AddTask("c", {}, "1");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("team/x-1"));
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
  EXPECT_TRUE(api.pods.contains("ns/b-1"));
  EXPECT_FALSE(api.pods.contains("ns/c-1"));
}

TEST(FairShareTest, WithinANamespaceTheOlderTaskIsFirst) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("running");
  api.Settle();
  for (const char* name : {"z-old", "a-new"}) {
    api.AddTask(name, {}, "1", "a");
    api.AddTask(name, {}, "1", "b");
    api.Advance(seconds(1));
  }
  EXPECT_EQ(Order(api, 5), (std::vector<std::string>{"ns/running-1", "a/z-old-1", "b/z-old-1",
                                                     "a/a-new-1", "b/a-new-1"}));
}

}  // namespace
}  // namespace spillway::core
