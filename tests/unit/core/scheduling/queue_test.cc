#include "operator/core/scheduling/queue.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

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

std::vector<std::string> Running(const ApiModel& api, const std::string& ns) {
  std::vector<std::string> out;
  for (const auto& [key, pod] : api.pods) {
    if (pod.meta.ns == ns && !pod.terminal()) out.push_back(pod.meta.name);
  }
  return out;
}

TEST(PriorityTest, TheValueOfItsClassIsTheTasksPriority) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddPriorityClass("urgent", 1000);
  api.AddTask("running");
  api.Settle();
  api.AddTask("a", {{"priority", 999}});
  api.AddTask("b", {{"priorityClassName", "urgent"}});
  api.Settle();
  EXPECT_EQ(Order(api, 3), (std::vector<std::string>{"ns/running-1", "ns/b-1", "ns/a-1"}));
}

TEST(PriorityTest, TheClassOfThePodCountsWhereTheTaskNamesNone) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddPriorityClass("urgent", 1000);
  api.AddTask("running");
  api.Settle();
  api.AddTask("a");
  api.AddTask("b", api::Json::parse(R"({"template":{"spec":{"priorityClassName":"urgent",
      "containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}})"));
  api.Settle();
  EXPECT_EQ(Order(api, 3), (std::vector<std::string>{"ns/running-1", "ns/b-1", "ns/a-1"}));
}

TEST(PriorityTest, TheDefaultClassOfTheClusterCountsWhereNothingElseDoes) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddPriorityClass("normal", 10, true);
  api.AddTask("running");
  api.Settle();
  api.AddTask("a", {{"priority", 5}});
  api.AddTask("b");
  api.Settle();
  EXPECT_EQ(Order(api, 3), (std::vector<std::string>{"ns/running-1", "ns/b-1", "ns/a-1"}));
}

TEST(PriorityTest, ATaskWhoseClassDoesNotExistWaitsAndSaysSo) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("t", {{"priorityClassName", "urgent"}});
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("t"), "Pending");
  const auto* ready = api::FindCondition(*api.Status("t").conditions, "Ready");
  ASSERT_NE(ready, nullptr);
  EXPECT_EQ(ready->message.str(),
            "PriorityClass urgent does not exist; create it, or change spec.priorityClassName");
  EXPECT_TRUE(api.pods.empty());
  api.AddPriorityClass("urgent", 1000);
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
}

TEST(PriorityTest, ARestartKnowsTheClasses) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddPriorityClass("urgent", 1000);
  api.AddTask("running");
  api.Settle();
  api.AddTask("a", {{"priority", 1}});
  api.AddTask("b", {{"priorityClassName", "urgent"}});
  api.Settle();
  api.Restart();
  api.Settle();
  EXPECT_EQ(Order(api, 2), (std::vector<std::string>{"ns/running-1", "ns/b-1"}));
}

TEST(FairShareTest, NamespacesGetEqualPartsOfAServerHoweverManyTasksOneApplies) {
  ApiModel api;
  api.AddServer("s1", "8");
  api.AddTask("running", {}, "8");
  api.Settle();
  for (int i = 0; i < 20; ++i) api.AddTask("many" + std::to_string(i), {}, "1", "a");
  api.Advance(seconds(1));
  for (int i = 0; i < 8; ++i) api.AddTask("few" + std::to_string(i), {}, "1", "b");
  api.Settle();
  api.SetPod("running-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(Running(api, "a").size(), 4u);
  EXPECT_EQ(Running(api, "b").size(), 4u);
}

TEST(FairShareTest, ANamespaceOfTwiceTheWeightGetsTwiceAsMuch) {
  ApiModel api;
  api.AddServer("s1", "9");
  api.Weigh("a", 2000);
  api.AddTask("running", {}, "9");
  api.Settle();
  for (int i = 0; i < 20; ++i) {
    api.AddTask("t" + std::to_string(i), {}, "1", "a");
    api.AddTask("t" + std::to_string(i), {}, "1", "b");
  }
  api.Settle();
  api.SetPod("running-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(Running(api, "a").size(), 6u);
  EXPECT_EQ(Running(api, "b").size(), 3u);
}

// The example of the paper on dominant resource fairness: 9 cpus and 18 GiB; a's tasks want 1 cpu
// and 4 GiB, b's want 3 cpus and 1 GiB. Fair are three tasks of a and two of b.
TEST(FairShareTest, TheResourceThatANamespaceUsesMostOfIsItsShare) {
  ApiModel api;
  api.AddServer("s1", "9");
  api.nodes["s1"].allocatable.memory = int64_t{18} << 30;
  api.Change(api.nodes["s1"]);
  api.AddTask("running", {}, "9");
  api.Settle();
  const auto spec = [](const char* cpu, const char* memory) {
    return api::Json{
        {"template",
         {{"spec",
           {{"containers",
             {{{"name", "c"},
               {"resources", {{"requests", {{"cpu", cpu}, {"memory", memory}}}}}}}}}}}}};
  };
  for (int i = 0; i < 10; ++i) {
    api.AddTask("t" + std::to_string(i), spec("1", "4Gi"), "", "a");
    api.AddTask("t" + std::to_string(i), spec("3", "1Gi"), "", "b");
  }
  api.Settle();
  api.SetPod("running-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(Running(api, "a").size(), 3u);
  EXPECT_EQ(Running(api, "b").size(), 2u);
}

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

TEST(FairShareTest, PriorityComesBeforeFairness) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddTask("running", {}, "4");
  api.Settle();
  for (int i = 0; i < 4; ++i) {
    api.AddTask("t" + std::to_string(i), {{"priority", 1}}, "1", "a");
    api.AddTask("t" + std::to_string(i), {}, "1", "b");
  }
  api.Settle();
  api.SetPod("running-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(Running(api, "a").size(), 4u);
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
