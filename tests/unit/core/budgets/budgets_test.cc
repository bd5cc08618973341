#include "operator/core/budgets/budgets.h"

#include <gtest/gtest.h>

#include "operator/core/budgets/observe.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::BudgetAction;
using api::Json;
using api::PodPhase;
using std::chrono::hours;
using std::chrono::seconds;

// Estimated at an hour on a server for 0.40: 0.40.
const Json kAnHour{{"activeDeadlineSeconds", 3600}};

bool Runs(const ApiModel& api, const std::string& pod) {
  const auto at = api.pods.find("ns/" + pod);
  return at != api.pods.end() && !at->second.terminal();
}

const api::BudgetStatus& StatusOf(ApiModel& api, const std::string& budget) {
  api.Advance(seconds(15));
  return api.budgets.at("ns/" + budget).status;
}

std::string Summary(ApiModel& api, const std::string& task) {
  api.Advance(seconds(1));
  return api.Summary(task);
}

std::string ConditionOf(const std::vector<api::Condition>& conditions, const std::string& type) {
  const api::Condition* condition = api::FindCondition(conditions, type);
  return condition == nullptr ? "" : condition->status.str();
}

// A namespace with one Budget, without a task and without a server: the room alone.
class AccountTest : public testing::Test {
 protected:
  AccountTest() {
    context.now = Time{} + hours(24 * 365);
    api::Budget budget;
    budget.meta.ns = "ns";
    budget.meta.name = "b";
    budget.meta.resource_version = 1;
    budget.spec.amount_micros = 1'000'000;
    OnSeen(context, budgets, budget);
    BeginPeriods(context, budgets);
  }
  Context context;
  Budgets budgets;
  Account& account = budgets.accounts["ns"];
};

TEST_F(AccountTest, WhatATaskIsExpectedToCostIsLeftForNoOther) {
  int64_t committed = 0;
  Commit(context, account, committed, 400'000);
  EXPECT_EQ(LeftOf(budgets, account), 600'000);
  EXPECT_EQ(PayableUpTo(budgets, account, hours(1)), 600'000);
  EXPECT_EQ(PayableUpTo(budgets, account, hours(1), committed), 1'000'000) << "its own is its own";
  Commit(context, account, committed, 0);
  EXPECT_EQ(LeftOf(budgets, account), 1'000'000);
}

TEST_F(AccountTest, WithoutABudgetAnyPriceIsPaid) {
  OnBudgetGone(budgets, "ns/b");
  EXPECT_EQ(Tightest(budgets, account), nullptr);
  EXPECT_GT(PayableUpTo(budgets, account, hours(1)), api::kMostMicros);
}

TEST_F(AccountTest, HeldTasksAreLookedAtOnceWhenMoreIsLeftAndNotTooOften) {
  account.held["ns/t"] = {400'000, 0};
  EXPECT_TRUE(TakeEased(context, account)) << "a Budget was seen";
  EXPECT_FALSE(TakeEased(context, account));
  int64_t committed = 0;
  Commit(context, account, committed, 2);
  Commit(context, account, committed, 1);
  context.wake = kNever;
  EXPECT_FALSE(TakeEased(context, account)) << "it was done a moment ago";
  EXPECT_EQ(context.wake, context.now + kEaseEvery);
  context.now += kEaseEvery;
  EXPECT_TRUE(TakeEased(context, account));
}

// A server for 0.40 an hour.
void AddPaidServer(ApiModel& api, const std::string& name, const std::string& cpu = "4") {
  api.AddServer(name, cpu);
  api.servers[name].spec.price_micros = 400'000;
  api.Change(api.servers[name]);
}

// Two tasks of an hour, a and b, that start together, and the time to start them.
void AddPair(ApiModel& api) {
  Json spec = kAnHour;
  spec["group"] = {{"name", "g"}, {"size", 2}};
  api.AddTask("a", spec);
  api.AddTask("b", spec);
  api.Advance(seconds(5));
}

// Runs the task, bound already, for so long, to its end.
void RunFor(ApiModel& api, const std::string& pod, std::chrono::milliseconds time) {
  api.SetPod(pod, PodPhase::kRunning);
  api.Advance(time);
  api.SetPod(pod, PodPhase::kSucceeded);
  api.Settle();
}

TEST(BudgetsTest, ATaskThatIsNotCoveredIsNotBoundToAServerWithAPrice) {
  ApiModel api;
  api.AddBudget("b", "0.30");
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  EXPECT_EQ(
      Summary(api, "t"),
      "0 of 1 servers fit: 1 beyond the budget; no ServerPool exists, so no cloud server can be "
      "requested; no server with a price "
      "is used: Budget b is 0.1 short: estimate 0.4, remaining 0.3 of 0.3 (spent 0, committed 0); "
      "resets 2027-02-01T00:00:00Z");
  EXPECT_FALSE(Runs(api, "t-1"));
  EXPECT_EQ(api.Phase("t"), "Pending");
}

// Its status has to tell of its pod first, and meanwhile nothing is left of the budget.
TEST(BudgetsTest, NeitherDoesOneBeginThatIsEstimatedAtNothing) {
  ApiModel api;
  api::Budget& budget = api.AddBudget("b", "1");
  AddPaidServer(api, "paid");
  api.AddTask("u", kAnHour);
  api.servers["paid"].spec.price_micros = 1'000;
  api.Change(api.servers["paid"]);
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kPatchStatus && write.name == "t";
  };
  api.AddTask("t", {{"activeDeadlineSeconds", 1}, {"retry", {{"lossLimit", 0}}}});
  api.Settle();
  ASSERT_EQ(api.hanging(), 1u);
  budget.spec.amount_micros = 0;
  api.Change(budget);
  api.Settle();
  api.Unblock();
  api.Settle();
  EXPECT_FALSE(Runs(api, "t-1"));
}

TEST(BudgetsTest, AServerWithoutAPriceTakesItStill) {
  ApiModel api;
  api.AddBudget("b", "0");
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(1));
  api.AddServer("free", "1");
  api.Settle();
  EXPECT_TRUE(Runs(api, "t-1"));
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "free");
}

TEST(BudgetsTest, NoServerIsBoughtForATaskThatIsNotCovered) {
  ApiModel api;
  api.AddBudget("b", "0.30");
  api.AddPool("cloud");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(60));
  EXPECT_TRUE(api.scales.empty());
}

TEST(BudgetsTest, AServerWithoutAPriceIsRequestedForEachThatIsHeld) {
  ApiModel api;
  api.AddBudget("b", "0.30");
  AddPaidServer(api, "paid");
  api.AddPool("own", "4");
  api.pools["own"].spec.price_micros = 0;
  api.Change(api.pools["own"]);
  for (const char* name : {"t", "u"}) {
    api.AddTask(name, kAnHour, "4");
    api.Advance(seconds(5));
  }
  EXPECT_EQ(api.scales.size(), 2u) << api.Says("u");
}

TEST(BudgetsTest, ACheaperPoolIsAskedIfTheFirstCannotBePaid) {
  ApiModel api;
  api.AddBudget("b", "0.30");
  api.AddPool("dear", "8", 10);
  api.AddPool("cheap");
  api.pools["cheap"].spec.price_micros = 200'000;
  api.Change(api.pools["cheap"]);
  api.AddTask("t", kAnHour);
  api.Settle();
  ASSERT_EQ(api.scales.size(), 1u);
  EXPECT_EQ(api.scales.begin()->second.pool, "cheap");
}

// A pool for 0.20 an hour, where a Budget leaves 0.30.
void AddCheapPool(ApiModel& api, BudgetAction action = BudgetAction::kHold) {
  api.AddBudget("b", "0.30", action);
  api.AddPool("cheap");
  api.pools["cheap"].spec.price_micros = 200'000;
  api.Change(api.pools["cheap"]);
}

std::string PoolsAsked(const ApiModel& api) {
  std::string out;
  for (const auto& [name, scale] : api.scales) out += (out.empty() ? "" : ",") + scale.pool;
  return out;
}

TEST(BudgetsTest, ACheaperPoolIsAskedWhereAServerThatIsThereCannotBePaid) {
  for (const BudgetAction action : {BudgetAction::kHold, BudgetAction::kDeny}) {
    ApiModel api;
    AddCheapPool(api, action);
    AddPaidServer(api, "dear");
    api.AddTask("t", kAnHour);
    api.Advance(seconds(5));
    EXPECT_EQ(PoolsAsked(api), "cheap") << api.Says("t");
  }
}

TEST(BudgetsTest, ACheaperPoolIsWaitedForWhereNoneCanBeHadOfItAtTheMoment) {
  for (const BudgetAction action : {BudgetAction::kHold, BudgetAction::kDeny}) {
    ApiModel api;
    AddCheapPool(api, action);
    api.AddPool("dear");
    api.ensure_error = Error{ErrorKind::kInvalid, "no capacity", {}};
    api.AddTask("t", kAnHour);
    api.Advance(seconds(10));
    ASSERT_EQ(api.Phase("t"), "Pending") << api.Says("t");
    api.ensure_error.reset();
    api.Advance(seconds(900));
    EXPECT_EQ(PoolsAsked(api), "cheap") << api.Says("t");
    EXPECT_EQ(api.claims_made, 1);
  }
}

TEST(BudgetsTest, WhoIsHeldIsLookedAtAgainWhenAPoolBecomesCheaper) {
  ApiModel api;
  api.AddBudget("b", "0.30");
  api.AddPool("cloud");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(60));
  ASSERT_EQ(PoolsAsked(api), "");
  api.pools["cloud"].spec.price_micros = 200'000;
  api.Change(api.pools["cloud"]);
  api.Advance(seconds(5));
  EXPECT_EQ(PoolsAsked(api), "cloud") << api.Says("t");
}

TEST(BudgetsTest, WhoWaitsForACheaperPoolSaysSo) {
  ApiModel api;
  AddCheapPool(api);
  AddPaidServer(api, "dear");
  api.ensure_error = Error{ErrorKind::kInvalid, "no capacity", {}};
  api.AddTask("t", kAnHour);
  api.Advance(seconds(10));
  EXPECT_NE(Summary(api, "t").find("no server that costs more than 0.2 per hour is used: Budget b "
                                   "is 0.1 short"),
            std::string::npos)
      << Summary(api, "t");
}

TEST(BudgetsTest, WhatRunsAndWhatWaitsForAServerCountsAgainstTheRest) {
  ApiModel api;
  api.AddBudget("b", "1");
  AddPaidServer(api, "paid", "1");
  api.AddPool("cloud", "1");
  for (const char* name : {"a", "b", "c"}) api.AddTask(name, kAnHour);
  api.Advance(seconds(1));
  EXPECT_TRUE(Runs(api, "a-1"));
  EXPECT_EQ(api.Phase("b"), "Scaling");
  EXPECT_EQ(api.Phase("c"), "Pending");
  EXPECT_EQ(api.scales.size(), 1u);
  const auto& status = StatusOf(api, "b");
  EXPECT_EQ(status.committed_micros, 800'000);
  EXPECT_EQ(status.held, 1);
}

TEST(BudgetsTest, OtherNamespacesAreNotBound) {
  ApiModel api;
  api.AddBudget("b", "0");
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour, "1", "other");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("other/t-1"));
}

TEST(BudgetsTest, TheCostOfWhatHasEndedIsSpentAndTheEstimateIsNotCommittedAnyMore) {
  ApiModel api;
  api.AddBudget("b", "1");
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Settle();
  EXPECT_EQ(StatusOf(api, "b").committed_micros, 400'000);
  RunFor(api, "t-1", seconds(900));
  EXPECT_EQ(api.Status("t").result->cost, "0.1");
  EXPECT_EQ(api.Status("t").attempts.at(0).cost_micros, 100'000);
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 100'000);
  EXPECT_EQ(StatusOf(api, "b").committed_micros, 0);
}

TEST(BudgetsTest, TheEstimateStandsInTheAssignment) {
  ApiModel api;
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(4));
  EXPECT_EQ(api.Status("t").assignment->estimated_micros, 400'000);
}

TEST(BudgetsTest, TasksOfTheSameShapeThatHaveSucceededMakeTheEstimate) {
  ApiModel api;
  AddPaidServer(api, "paid");
  api.AddTask("before", kAnHour);
  api.Settle();
  RunFor(api, "before-1", seconds(90));
  api.AddTask("t", kAnHour);
  api.Advance(seconds(4));
  EXPECT_EQ(api.Status("t").assignment->estimated_micros, 10'000);
}

TEST(BudgetsTest, HeldTasksStartWhenAnotherHasCostLessThanItsEstimate) {
  ApiModel api;
  api.AddBudget("b", "0.50");
  AddPaidServer(api, "paid");
  api.AddTask("a", kAnHour);
  api.AddTask("b", kAnHour);
  api.Advance(seconds(1));
  EXPECT_FALSE(Runs(api, "b-1"));
  RunFor(api, "a-1", seconds(9));
  api.Advance(seconds(2));
  EXPECT_TRUE(Runs(api, "b-1"));
}

TEST(BudgetsTest, HeldTasksStartWhenTheirEstimateFalls) {
  ApiModel api;
  api.AddBudget("b", "0.50");
  AddPaidServer(api, "paid");
  for (const char* name : {"a", "b", "c"}) api.AddTask(name, kAnHour);
  api.Advance(seconds(1));
  RunFor(api, "a-1", seconds(9));  // the others will cost as little
  api.Advance(seconds(2));
  EXPECT_TRUE(Runs(api, "b-1") && Runs(api, "c-1"));
}

TEST(BudgetsTest, HeldTasksStartWhenTheAmountIsRaised) {
  ApiModel api;
  auto& budget = api.AddBudget("b", "0");
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(1));
  budget.spec.amount_micros = 1'000'000;
  api.Change(budget);
  api.Advance(seconds(2));
  EXPECT_TRUE(Runs(api, "t-1"));
}

TEST(BudgetsTest, HeldTasksStartWhenTheBudgetIsDeleted) {
  ApiModel api;
  api.AddBudget("b", "0");
  api.AddPool("cloud");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(1));
  api.Remove(api.budgets, "ns/b");
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("t"), "Scaling");
}

TEST(BudgetsTest, HeldTasksStartInTheNextPeriod) {
  ApiModel api;
  auto& budget = api.AddBudget("b", "0.45");
  budget.spec.period = api::BudgetPeriod::kDay;
  api.Change(budget);
  AddPaidServer(api, "paid");
  api.AddTask("a", kAnHour);
  api.Settle();
  RunFor(api, "a-1", seconds(3000));
  api.AddTask("b", kAnHour);
  api.Advance(seconds(5));
  EXPECT_FALSE(Runs(api, "b-1"));
  api.Advance(hours(24));
  EXPECT_TRUE(Runs(api, "b-1"));
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 0);
}

TEST(BudgetsTest, OfThoseThatAreHeldTheFirstInTheQueueIsPaidFirst) {
  ApiModel api;
  auto& budget = api.AddBudget("b", "0");
  AddPaidServer(api, "paid");
  for (const char* name : {"a", "b", "c"}) {
    Json spec = kAnHour;
    spec["priority"] = name[0] == 'b' ? 5 : 0;
    api.AddTask(name, spec);
    api.Advance(seconds(1));
  }
  budget.spec.amount_micros = 500'000;
  api.Change(budget);
  api.Advance(seconds(2));
  EXPECT_TRUE(Runs(api, "b-1"));
  EXPECT_FALSE(Runs(api, "a-1") || Runs(api, "c-1"));
}

TEST(BudgetsTest, WithDenyTheTaskFailsAndSaysWhy) {
  ApiModel api;
  api.AddBudget("b", "0.30", BudgetAction::kDeny);
  api.AddPool("cloud");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->reason, "BudgetExceeded");
  EXPECT_NE(api.Status("t").result->message.find("remaining 0.3 of 0.3"), std::string::npos);
  EXPECT_TRUE(api.scales.empty());
}

TEST(BudgetsTest, WithDenyATaskThatAFreeServerTakesRuns) {
  ApiModel api;
  api.AddBudget("b", "0", BudgetAction::kDeny);
  api.AddServer("free");
  api.AddTask("t", kAnHour);
  api.Settle();
  EXPECT_TRUE(Runs(api, "t-1"));
}

TEST(BudgetsTest, WithWarnEverythingRunsAndTheBudgetSaysSoOnce) {
  ApiModel api;
  api.AddBudget("b", "0.30", BudgetAction::kWarn);
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Settle();
  EXPECT_TRUE(Runs(api, "t-1"));
  EXPECT_EQ(ConditionOf(StatusOf(api, "b").conditions, "Warning"), "True");
  EXPECT_EQ(ConditionOf(StatusOf(api, "b").conditions, "Exceeded"), "True");
  const auto warned = std::count_if(api.notes.begin(), api.notes.end(), [](const Note& note) {
    return note.kind == Kind::kBudget && note.reason == "BudgetWarning";
  });
  EXPECT_EQ(warned, 1);
}

TEST(BudgetsTest, WhatRunsLongerThanItsEstimateIsCommittedForWhatItHasCost) {
  ApiModel api;
  api.AddBudget("b", "5");
  AddPaidServer(api, "paid");
  api.AddTask("before");
  api.Settle();
  RunFor(api, "before-1", seconds(9));  // costs 0.001
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(900));
  EXPECT_GE(StatusOf(api, "b").committed_micros, 100'000);
}

TEST(BudgetsTest, ARestartForgetsNothingThatWasSpent) {
  ApiModel api;
  api.AddBudget("b", "1");
  AddPaidServer(api, "paid");
  for (const char* name : {"a", "b"}) {
    api.AddTask(name, kAnHour);
    api.Settle();
    RunFor(api, std::string(name) + "-1", seconds(900));
  }
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 200'000);
  api.Remove(api.tasks, "ns/a");  // its cost is known from the status alone now
  api.Advance(seconds(1));
  api.Restart();
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 200'000);
}

TEST(BudgetsTest, WhatAnotherLeaderSaysOfTheCostCounts) {
  ApiModel api;
  api.AddBudget("b", "1");
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Settle();
  RunFor(api, "t-1", seconds(900));
  api::TaskRequest& task = api.tasks.at("ns/t");
  task.status.attempts.at(0).cost_micros = 300'000;
  task.status.result->output = "of the other";
  api.Change(task);
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 300'000);
}

TEST(BudgetsTest, AFailedAttemptIsPaidAsWell) {
  ApiModel api;
  api.AddBudget("b", "1");
  AddPaidServer(api, "paid");
  api.AddTask("t", {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(900));
  api.SetPod("t-1", PodPhase::kFailed, 1);
  api.Advance(seconds(5));
  RunFor(api, "t-2", seconds(900));
  EXPECT_EQ(api.Status("t").result->cost, "0.2");
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 200'000);
}

TEST(BudgetsTest, AGroupThatCannotBePaidAsAWholeIsNotStartedInPart) {
  ApiModel api;
  auto& budget = api.AddBudget("b", "0.50");
  AddPaidServer(api, "paid");
  AddPair(api);
  EXPECT_FALSE(Runs(api, "a-1") || Runs(api, "b-1"));
  budget.spec.amount_micros = 800'000;
  api.Change(budget);
  api.Advance(seconds(5));
  EXPECT_TRUE(Runs(api, "a-1") && Runs(api, "b-1"));
}

TEST(BudgetsTest, AGroupIsNotPaidWhereMoreIsSpentThanThereIs) {
  ApiModel api;
  AddPaidServer(api, "paid");
  api.AddTask("before", kAnHour);
  api.Settle();
  api.AddBudget("b", "0");
  AddPair(api);
  EXPECT_FALSE(Runs(api, "a-1") || Runs(api, "b-1"));
}

TEST(BudgetsTest, AGroupThatIsEstimatedAtNothingIsNotPaidWhereNothingIsLeft) {
  ApiModel api;
  AddPaidServer(api, "paid");
  api.AddTask("quick", kAnHour);
  api.AddTask("other", {{"activeDeadlineSeconds", 1800}});
  api.Settle();
  RunFor(api, "quick-1", seconds(0));
  api.AddBudget("b", "0");
  AddPair(api);
  EXPECT_FALSE(Runs(api, "a-1") || Runs(api, "b-1"));
}

TEST(BudgetsTest, NoServersAreBoughtForAGroupThatCannotBePaidAsAWhole) {
  ApiModel api;
  auto& budget = api.AddBudget("b", "0.50");
  api.AddPool("cloud");
  AddPair(api);
  EXPECT_TRUE(api.scales.empty());
  budget.spec.amount_micros = 800'000;
  api.Change(budget);
  api.Advance(seconds(5));
  EXPECT_EQ(api.scales.size(), 1u);
}

TEST(BudgetsTest, NobodyGivesWayOnAServerThatCannotBePaid) {
  ApiModel api;
  AddPaidServer(api, "paid", "1");
  api.AddTask("low", {{"priority", 1}, {"placement", {{"policy", "LocalOnly"}}}});
  api.Settle();
  api.SetPod("low-1", PodPhase::kRunning);
  api.AddBudget("b", "0.10");
  api.AddTask("high", {{"priority", 9},
                       {"preemption", "Allowed"},
                       {"placement", {{"policy", "LocalOnly"}}},
                       {"activeDeadlineSeconds", 3600}});
  api.Advance(seconds(5));
  EXPECT_TRUE(Runs(api, "low-1"));
}

TEST(BudgetsTest, AttemptsThatAreNotListedAnyMoreAreNotForgotten) {
  ApiModel api;
  AddPaidServer(api, "paid");
  Json spec = kAnHour;
  spec["retry"] = {{"limit", 20}, {"backoffSeconds", 0}};
  api.AddTask("t", spec);
  api.Settle();
  for (int i = 1; i <= 15; ++i) {
    const std::string pod = "t-" + std::to_string(i);
    api.SetPod(pod, PodPhase::kRunning);
    api.Advance(seconds(90));
    api.SetPod(pod, i < 15 ? PodPhase::kFailed : PodPhase::kSucceeded, i < 15);
    api.Settle();
  }
  ASSERT_EQ(api.Phase("t"), "Succeeded");
  api.AddBudget("b", "10");
  api.Restart();
  EXPECT_EQ(StatusOf(api, "b").spent_micros, 150'000);
}

// The cheaper pool is not covered any more when its server is there: others were paid meanwhile.
TEST(BudgetsTest, WhoWaitsForACheaperPoolIsHeldFromThatAsWellOnceItIsNotCovered) {
  ApiModel api;
  AddCheapPool(api);
  AddPaidServer(api, "dear");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(5));
  ASSERT_EQ(PoolsAsked(api), "cheap");
  api.budgets["ns/b"].spec.amount_micros = 100'000;
  api.Change(api.budgets["ns/b"]);
  api.AddServer("cheap", "1");
  api.servers["cheap"].spec.price_micros = 200'000;
  api.Change(api.servers["cheap"]);
  api.Advance(seconds(60));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.AddServer("free", "1");
  api.Advance(seconds(5));
  EXPECT_TRUE(Runs(api, "t-1"));
}

TEST(BudgetsTest, WhoIsHeldGoesOnAsSoonAsTheNextPriceIsCovered) {
  ApiModel api;
  api.AddBudget("b", "0.10");
  api.AddPool("dear", "8", 10);
  api.AddPool("cheap");
  api.pools["cheap"].spec.price_micros = 200'000;
  api.Change(api.pools["cheap"]);
  api.AddTask("t", kAnHour);
  api.Advance(seconds(10));
  ASSERT_EQ(PoolsAsked(api), "");
  api.budgets["ns/b"].spec.amount_micros = 300'000;
  api.Change(api.budgets["ns/b"]);
  api.Advance(seconds(10));
  EXPECT_EQ(PoolsAsked(api), "cheap") << api.Says("t");
}

TEST(BudgetsTest, NoTaskIsDeniedThatAPoolWithoutAPriceWouldTake) {
  ApiModel api;
  api.AddBudget("b", "0.30", BudgetAction::kDeny);
  AddPaidServer(api, "paid");
  api.AddPool("own");
  api.pools["own"].spec.price_micros = 0;
  api.Change(api.pools["own"]);
  api.AddTask("t", kAnHour);
  api.Advance(seconds(10));
  EXPECT_EQ(PoolsAsked(api), "own") << api.Says("t");
}

TEST(BudgetsTest, ATaskIsDeniedWhereACheaperPoolHasNoServersAtAll) {
  ApiModel api;
  AddCheapPool(api, BudgetAction::kDeny);
  api.pools["cheap"].spec.max_servers = 0;
  api.Change(api.pools["cheap"]);
  AddPaidServer(api, "paid");
  api.AddTask("t", kAnHour);
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Failed");
}

}  // namespace
}  // namespace spillway::core
