#include "operator/core/budgets/budgets.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "operator/base/saturate.h"

namespace spillway::core {
namespace {

using api::BudgetAction;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
// Longer than any period, so that each can be summed up anew.
constexpr std::chrono::days kRemembered{62};

int64_t SpentIn(const Account& account, const api::Period& period) {
  int64_t sum = 0;
  for (auto at = account.spent.lower_bound(std::chrono::floor<std::chrono::days>(period.start));
       at != account.spent.end() && at->first < period.end; ++at)
    sum = SaturatingAdd(sum, at->second);
  return sum;
}

api::Period PeriodOf(const BudgetState& budget) {
  const api::BudgetStatus& status = budget.object.status;
  return {status.period_start.value_or(Time{}), status.period_end.value_or(Time{})};
}

int64_t SpentOf(const BudgetState& budget, const Account& account) {
  return SaturatingAdd(budget.lost, SpentIn(account, PeriodOf(budget)));
}

int64_t LeftOf(const BudgetState& budget, const Account& account) {
  const int64_t used = SaturatingAdd(SpentOf(budget, account), account.committed);
  return SaturatingSubtract(budget.object.spec.amount_micros, used);
}

// The price per hour at which what runs for so long costs so much.
int64_t PriceFor(Duration run, int64_t micros) {
  const double hours = static_cast<double>(run.count()) / 3.6e6;
  const double price = static_cast<double>(std::max<int64_t>(0, micros)) / std::max(hours, 1e-6);
  return static_cast<int64_t>(std::min(price, static_cast<double>(api::kMostMicros)));
}

std::string Balance(const BudgetState& budget, const Account& account) {
  return "spent " + api::FormatPrice(SpentOf(budget, account)) + " and committed " +
         api::FormatPrice(account.committed) + " of " +
         api::FormatPrice(budget.object.spec.amount_micros) + " until " +
         FormatTime(PeriodOf(budget).end);
}

// Begins the period, if it is a new one. After a restart, what was told of it before stays spent.
void Roll(Context& context, BudgetState& budget, Account& account) {
  api::BudgetStatus& status = budget.object.status;
  const api::Period period = api::PeriodOf(budget.object.spec.period, context.now);
  const bool same = status.period_start == period.start && status.period_end == period.end;
  if (!same) {
    budget.lost = 0;
    RetryHeld(account);
  } else if (!budget.restored) {
    budget.lost =
        std::max<int64_t>(0, SaturatingSubtract(status.spent_micros, SpentIn(account, period)));
  }
  budget.restored = true;
  status.period_start = period.start;
  status.period_end = period.end;
  context.WakeAt(period.end);
}

// Sets the condition, and tells of it when it becomes true.
void SetAlarm(Context& context, BudgetState& budget, const char* type, bool on, const char* reason,
              const std::string& message) {
  auto& conditions = budget.object.status.conditions;
  const api::Condition* before = api::FindCondition(conditions, type);
  if (on && (before == nullptr || before->status != "True"))
    RecordEvent(context, budget, true, reason, message);
  api::SetCondition(conditions,
                    {type,
                     on ? "True" : "False",
                     on ? reason : "WithinBudget",
                     message,
                     budget.object.meta.generation,
                     {}},
                    context.now);
}

void Describe(Context& context, const Budgets& budgets, BudgetState& budget,
              const Account& account) {
  api::BudgetStatus& status = budget.object.status;
  const api::BudgetSpec& spec = budget.object.spec;
  status.observed_generation = budget.object.meta.generation;
  status.spent_micros = SpentOf(budget, account);
  status.committed_micros = account.committed;
  status.held = static_cast<int64_t>(account.held.size());
  const int64_t used = SaturatingAdd(status.spent_micros, status.committed_micros);
  status.remaining_micros = std::max<int64_t>(0, SaturatingSubtract(spec.amount_micros, used));
  const std::string balance = Balance(budget, account);
  const bool warn = used >= spec.amount_micros / 100 * spec.warn_percent;
  const bool exceeded =
      used >= spec.amount_micros || (status.held > 0 && Tightest(budgets, account) == &budget);
  SetAlarm(context, budget, "Warning", warn, "BudgetWarning", balance);
  SetAlarm(context, budget, "Exceeded", exceeded, "BudgetExceeded", balance);
  api::SetProgress(status.conditions, api::Progress::kReady,
                   exceeded ? "BudgetExceeded" : "WithinBudget", balance,
                   budget.object.meta.generation, context.now);
}

void AddSpent(Account& account, Time end, int64_t micros) {
  int64_t& day = account.spent[std::chrono::floor<std::chrono::days>(end)];
  day = SaturatingAdd(day, micros);
  while (account.spent.begin()->first < account.spent.rbegin()->first - kRemembered)
    account.spent.erase(account.spent.begin());
}

// What the attempts have cost, at their ends. Those that are not listed any more have ended before
// the first that is: when, is not known.
std::vector<std::pair<Time, int64_t>> AccountOf(const api::TaskStatus& status) {
  std::vector<std::pair<Time, int64_t>> out;
  int64_t rest = status.spent_micros;
  std::optional<Time> first;
  for (const api::Attempt& attempt : status.attempts) {
    if (attempt.cost_micros == 0 || !attempt.finished_at) continue;
    out.emplace_back(*attempt.finished_at, attempt.cost_micros);
    rest = SaturatingSubtract(rest, attempt.cost_micros);
    if (!first) first = attempt.finished_at;
  }
  if (!first) first = status.started_at;
  if (rest > 0 && first) out.emplace_back(*first, rest);
  return out;
}

}  // namespace

int64_t CostOf(int64_t price_micros, Duration used) {
  const double hours = static_cast<double>(std::max<int64_t>(0, used.count())) / 3.6e6;
  const double micros = static_cast<double>(price_micros) * hours;
  return static_cast<int64_t>(std::min(micros, static_cast<double>(api::kMostMicros)));
}

const BudgetState* Tightest(const Budgets& budgets, const Account& account) {
  const BudgetState* tightest = nullptr;
  for (const std::string& key : account.budgets) {
    const BudgetState& budget = budgets.by_key.at(key);
    if (budget.object.spec.action == BudgetAction::kWarn) continue;
    if (tightest == nullptr || LeftOf(budget, account) < LeftOf(*tightest, account))
      tightest = &budget;
  }
  return tightest;
}

int64_t LeftOf(const Budgets& budgets, const Account& account) {
  const BudgetState* budget = Tightest(budgets, account);
  return budget == nullptr ? kNoLimit : LeftOf(*budget, account);
}

int64_t PayableUpTo(const Budgets& budgets, const Account& account, Duration run, int64_t own) {
  const int64_t left = LeftOf(budgets, account);
  return left == kNoLimit ? kNoLimit : PriceFor(run, SaturatingAdd(left, own));
}

std::string DescribeShortage(const BudgetState& budget, const Account& account, int64_t need) {
  const int64_t left = std::max<int64_t>(0, LeftOf(budget, account));
  return "Budget " + budget.object.meta.name + " is " +
         api::FormatPrice(std::max<int64_t>(0, need - left)) + " short: estimate " +
         api::FormatPrice(need) + ", remaining " + api::FormatPrice(left) + " of " +
         api::FormatPrice(budget.object.spec.amount_micros) + " (spent " +
         api::FormatPrice(SpentOf(budget, account)) + ", committed " +
         api::FormatPrice(account.committed) + "); resets " + FormatTime(PeriodOf(budget).end);
}

void Commit(Context& context, Account& account, int64_t& committed, int64_t micros) {
  if (committed == micros) return;
  account.eased = account.eased || micros < committed;
  account.committed = SaturatingAdd(account.committed, micros - committed);
  committed = micros;
  if (!account.held.empty()) context.WakeAt(context.now);
}

void NoteSpent(Account& account, const api::Attempt& attempt) {
  if (attempt.cost_micros == 0 || !attempt.finished_at) return;
  AddSpent(account, *attempt.finished_at, attempt.cost_micros);
}

void NoteSpent(Account& account, const api::TaskStatus& status) {
  for (const auto& [end, micros] : AccountOf(status)) AddSpent(account, end, micros);
}

void TakeSpentBack(Account& account, const api::TaskStatus& status) {
  for (const auto& [end, micros] : AccountOf(status)) AddSpent(account, end, -micros);
}

void RetryHeld(Account& account) {
  account.eased = true;
  account.ease_at = Time{};
}

bool TakeEased(Context& context, Account& account) {
  if (account.held.empty() || !account.eased) return false;
  if (context.now < account.ease_at) {
    context.WakeAt(account.ease_at);
    return false;
  }
  account.eased = false;
  account.ease_at = context.now + kEaseEvery;
  return true;
}

void BeginPeriods(Context& context, Budgets& budgets) {
  for (auto& [key, budget] : budgets.by_key)
    Roll(context, budget, budgets.accounts[budget.object.meta.ns]);
}

void ForgetAccounts(const Context& context, Budgets& budgets) {
  std::erase_if(budgets.accounts, [&](const auto& entry) {
    const Account& account = entry.second;
    // A Budget that is made later counts it.
    const bool spent =
        !account.spent.empty() && account.spent.rbegin()->first + kRemembered > context.now;
    return account.tasks == 0 && account.budgets.empty() && !spent;
  });
}

void DescribeBudgets(Context& context, Budgets& budgets) {
  for (auto& [key, budget] : budgets.by_key) {
    const bool fresh = budget.object.status.observed_generation != budget.object.meta.generation;
    const Time due = budget.told_at + kAmountsEvery;
    if (context.now >= due || fresh) {
      Describe(context, budgets, budget, budgets.accounts[budget.object.meta.ns]);
      budget.told_at = context.now;
    } else {
      context.WakeAt(due);
    }
    KeepStatus(context, budget, Kind::kBudget);
  }
}

}  // namespace spillway::core
