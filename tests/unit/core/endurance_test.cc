#include <gtest/gtest.h>

#include "tests/heap.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::minutes;

// A namespace with a weight and a Budget, and a task in it; whatever is gone first.
void NamespaceRound(ApiModel& api, const std::string& ns) {
  api.Weigh(ns, 2'000);
  api.AddTask("t", {{"ttlSecondsAfterFinished", 0}}, "1", ns);
  api.AddBudget("b", "10", api::BudgetAction::kHold, ns);
  api.Settle();
  api.pods.at(ns + "/t-1").phase = api::PodPhase::kSucceeded;
  api.Change(api.pods.at(ns + "/t-1"));
  api.Advance(minutes(1));
  api.Remove(api.budgets, ns + "/b");
  api.Push(Gone{Kind::kNamespace, ns, "", 0, ""});
  api.Settle();
}

// One task runs on the local server, and one on a server that is bought for it and given back.
void Round(ApiModel& api, int number) {
  const std::string n = std::to_string(number);
  NamespaceRound(api, "ns-" + n);
  api.AddTask("local-" + n, {{"ttlSecondsAfterFinished", 0}});
  api.AddTask("cloud-" + n, {{"ttlSecondsAfterFinished", 0}}, "8");
  api.Settle();
  api.ProvideServer("node-" + n);
  api.Settle();
  for (const std::string name : {"local-", "cloud-"}) {
    api.SetPod(name + n + "-1", api::PodPhase::kRunning);
    api.Settle();
    api.SetPod(name + n + "-1", api::PodPhase::kSucceeded);
  }
  api.Advance(minutes(5));
  // As the garbage collector does, where the tasks are gone.
  while (!api.pods.empty()) api.Remove(api.pods, std::string(api.pods.begin()->first));
  api.Advance(minutes(20));
  // What comes late of the node.
  api.RenewLease("node-" + n);
  api.MeasureNode("node-" + n, 100);
  api.Advance(minutes(5));
  api.Push(Gone{Kind::kLease, "kube-node-lease/node-" + n, "", 0, ""});
  api.Advance(minutes(5));
  api.notes.clear();
  api.milestones.clear();
  api.candidates.clear();
}

// Logs of what has changed grow up to their bounds meanwhile, by some bytes for each server.
TEST(EnduranceTest, WhatIsGoneLeavesNothingBehind) {
  constexpr int kRounds = 40;
  constexpr size_t kMost = 200;  // bytes in each
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddPool("p");
  for (int i = 0; i < kRounds; ++i) Round(api, i);
  const size_t before = HeapBytes();
  for (int i = kRounds; i < 2 * kRounds; ++i) Round(api, i);
  ASSERT_TRUE(api.tasks.empty() && api.scales.empty() && api.claims.empty());
  EXPECT_EQ(api.world().servers.nodes.size(), 1u);
  EXPECT_LE(api.world().scheduling.tenants.size(), 1u);
  EXPECT_LE(api.world().budgets.accounts.size(), 1u);
  EXPECT_LE(HeapBytes(), before + kRounds * kMost);
}

TEST(Endurance, FarDeadlinesOfTasksThatAreGoneAreForgotten) {
  ApiModel api;
  api.AddServer("s1");
  for (int i = 0; i < 3'000; ++i) {
    const std::string name = "t" + std::to_string(i);
    api.AddTask(name, {{"startDeadlineSeconds", 86'400}, {"activeDeadlineSeconds", 86'400}});
    api.Settle();
    api.SetPod(name + "-1", api::PodPhase::kSucceeded);
    api.Settle();
    api.Remove(api.tasks, "ns/" + name);
    api.Remove(api.pods, "ns/" + name + "-1");
    api.Settle();
  }
  EXPECT_LE(api.world().tasks.wakes.size(), 1'010u);
}

}  // namespace
}  // namespace spillway::core
