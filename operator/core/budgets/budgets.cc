#include "operator/core/budgets/budgets.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "operator/base/saturate.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/tasks/attempt_times.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

using api::BudgetAction;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
// Longer than any period, so that each can be summed up anew.
constexpr std::chrono::days kRemembered{62};

int64_t SpentIn(const Tenant& tenant, const api::Period& period) {
  int64_t sum = 0;
  for (auto at = tenant.spent.lower_bound(std::chrono::floor<std::chrono::days>(period.start));
       at != tenant.spent.end() && at->first < period.end; ++at)
    sum = SaturatingAdd(sum, at->second);
  return sum;
}

api::Period PeriodOf(const BudgetState& budget) {
  const api::BudgetStatus& status = budget.object.status;
  return {status.period_start.value_or(Time{}), status.period_end.value_or(Time{})};
}

int64_t SpentOf(const BudgetState& budget, const Tenant& tenant) {
  return SaturatingAdd(budget.lost, SpentIn(tenant, PeriodOf(budget)));
}

int64_t LeftOf(const BudgetState& budget, const Tenant& tenant) {
  const int64_t used = SaturatingAdd(SpentOf(budget, tenant), tenant.committed);
  return SaturatingSubtract(budget.object.spec.amount_micros, used);
}

// The one with the least left, of those that keep tasks from being started; null if there is none.
const BudgetState* Tightest(const World& world, const Tenant& tenant) {
  const BudgetState* tightest = nullptr;
  for (const std::string& key : tenant.budgets) {
    const BudgetState& budget = world.budgets.by_key.at(key);
    if (budget.object.spec.action == BudgetAction::kWarn) continue;
    if (tightest == nullptr || LeftOf(budget, tenant) < LeftOf(*tightest, tenant))
      tightest = &budget;
  }
  return tightest;
}

Duration ExpectedRun(const Shape& shape) {
  const Mean& runs = shape.paid != nullptr ? shape.paid->runs : shape.runs;
  if (runs.known()) return runs.value();
  return shape.deadline.value_or(kRunGuess);
}

// The price per hour at which a task of the shape is expected to cost so much.
int64_t PriceFor(const Shape& shape, int64_t micros) {
  const double hours = static_cast<double>(ExpectedRun(shape).count()) / 3.6e6;
  const double price = static_cast<double>(std::max<int64_t>(0, micros)) / std::max(hours, 1e-6);
  return static_cast<int64_t>(std::min(price, static_cast<double>(api::kMostMicros)));
}

std::string Balance(const BudgetState& budget, const Tenant& tenant) {
  return "spent " + api::FormatPrice(SpentOf(budget, tenant)) + " and committed " +
         api::FormatPrice(tenant.committed) + " of " +
         api::FormatPrice(budget.object.spec.amount_micros) + " until " +
         FormatTime(PeriodOf(budget).end);
}

std::string Refusal(const BudgetState& budget, const Tenant& tenant, int64_t need) {
  const int64_t left = std::max<int64_t>(0, LeftOf(budget, tenant));
  return "Budget " + budget.object.meta.name + " is " +
         api::FormatPrice(std::max<int64_t>(0, need - left)) + " short: estimate " +
         api::FormatPrice(need) + ", remaining " + api::FormatPrice(left) + " of " +
         api::FormatPrice(budget.object.spec.amount_micros) + " (spent " +
         api::FormatPrice(SpentOf(budget, tenant)) + ", committed " +
         api::FormatPrice(tenant.committed) + "); resets " + FormatTime(PeriodOf(budget).end);
}

int64_t NeedOf(const TaskState& task, const HeldTask& held) {
  return held.together > 0 ? held.together : EstimateCost(*task.shape, held.price_micros);
}

// Begins the period, if it is a new one. After a restart, what was told of it before stays spent.
void Roll(World& world, BudgetState& budget, Tenant& tenant) {
  api::BudgetStatus& status = budget.object.status;
  const api::Period period = api::PeriodOf(budget.object.spec.period, world.now);
  const bool same = status.period_start == period.start && status.period_end == period.end;
  if (!same) {
    budget.lost = 0;
    RetryHeld(tenant);
  } else if (!budget.restored) {
    budget.lost =
        std::max<int64_t>(0, SaturatingSubtract(status.spent_micros, SpentIn(tenant, period)));
  }
  budget.restored = true;
  status.period_start = period.start;
  status.period_end = period.end;
  world.WakeAt(period.end);
}

// What has run for longer than was expected has cost more.
void CountOverruns(World& world) {
  if (world.budgets.by_key.empty() || world.now < world.budgets.overruns_at) return;
  world.budgets.overruns_at = world.now + kAmountsEvery;
  for (auto& [key, task] : world.tasks.by_key) {
    if (task.committed == 0 || !task.binding) continue;
    const auto server = world.servers.by_name.find(task.binding->server);
    const api::Pod* pod = PodOf(task, task.binding->attempt);
    if (server == world.servers.by_name.end() || pod == nullptr) continue;
    if (!pod->started && !pod->init_started) continue;
    const int64_t by_now =
        CostOf(server->second.object.spec.price_micros, world.now - RunsSince(world, task, *pod));
    if (by_now > task.committed) Commit(world, task, by_now);
  }
}

// Those whose turn is first are paid first; of a group all or none.
void Ease(World& world, Tenant& tenant) {
  if (tenant.held.empty() || !tenant.eased) return;
  if (world.now < tenant.ease_at) return world.WakeAt(tenant.ease_at);
  tenant.eased = false;
  tenant.ease_at = world.now + kEaseEvery;
  int64_t left = LeftOf(world, tenant);
  std::vector<std::pair<QueuePosition, int64_t>> held;
  for (const auto& [key, each] : tenant.held) {
    TaskState& task = world.tasks.by_key.at(key);
    const int64_t need = NeedOf(task, each);
    if (need <= left) held.emplace_back(task.position(), need);
  }
  std::sort(held.begin(), held.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::set<const Gang*> paid;
  for (const auto& [position, need] : held) {
    TaskState& task = *position.task;
    const bool with_others = task.gang != nullptr && paid.contains(task.gang);
    if (!with_others && need > left) continue;
    if (!with_others) left -= need;
    if (task.gang != nullptr) paid.insert(task.gang);
    ClearOverBudget(world, task);
    world.tasks.touched.insert(*task.key);
  }
}

// Sets the condition, and tells of it when it becomes true.
void SetAlarm(World& world, BudgetState& budget, const char* type, bool on, const char* reason,
              const std::string& message) {
  auto& conditions = budget.object.status.conditions;
  const api::Condition* before = api::FindCondition(conditions, type);
  if (on && (before == nullptr || before->status != "True"))
    RecordEvent(world, budget, true, reason, message);
  api::SetCondition(conditions,
                    {type,
                     on ? "True" : "False",
                     on ? reason : "WithinBudget",
                     message,
                     budget.object.meta.generation,
                     {}},
                    world.now);
}

void Describe(World& world, BudgetState& budget, const Tenant& tenant) {
  api::BudgetStatus& status = budget.object.status;
  const api::BudgetSpec& spec = budget.object.spec;
  status.observed_generation = budget.object.meta.generation;
  status.spent_micros = SpentOf(budget, tenant);
  status.committed_micros = tenant.committed;
  status.held = static_cast<int64_t>(tenant.held.size());
  const int64_t used = SaturatingAdd(status.spent_micros, status.committed_micros);
  status.remaining_micros = std::max<int64_t>(0, SaturatingSubtract(spec.amount_micros, used));
  const std::string balance = Balance(budget, tenant);
  const bool warn = used >= spec.amount_micros / 100 * spec.warn_percent;
  const bool exceeded =
      used >= spec.amount_micros || (status.held > 0 && Tightest(world, tenant) == &budget);
  SetAlarm(world, budget, "Warning", warn, "BudgetWarning", balance);
  SetAlarm(world, budget, "Exceeded", exceeded, "BudgetExceeded", balance);
  api::SetProgress(status.conditions, api::Progress::kReady,
                   exceeded ? "BudgetExceeded" : "WithinBudget", balance,
                   budget.object.meta.generation, world.now);
}

void AddSpent(Tenant& tenant, Time end, int64_t micros) {
  int64_t& day = tenant.spent[std::chrono::floor<std::chrono::days>(end)];
  day = SaturatingAdd(day, micros);
  while (tenant.spent.begin()->first < tenant.spent.rbegin()->first - kRemembered)
    tenant.spent.erase(tenant.spent.begin());
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

int64_t EstimateCost(const Shape& shape, int64_t price_micros) {
  return CostOf(price_micros, ExpectedRun(shape));
}

int64_t LeftOf(const World& world, const Tenant& tenant) {
  const BudgetState* budget = Tightest(world, tenant);
  return budget == nullptr ? kNoLimit : LeftOf(*budget, tenant);
}

int64_t PayableUpTo(const World& world, const TaskState& task) {
  const int64_t left = LeftOf(world, *task.tenant);
  return left == kNoLimit ? kNoLimit : PriceFor(*task.shape, SaturatingAdd(left, task.committed));
}

int64_t PayableUpTo(const World& world, const Tenant& tenant, const Shape& shape) {
  const int64_t left = LeftOf(world, tenant);
  return left == kNoLimit ? kNoLimit : PriceFor(shape, left);
}

bool MayPay(const World& world, const TaskState& task, int64_t price_micros) {
  return price_micros == 0 || task.tenant->budgets.empty() ||
         price_micros <= PayableUpTo(world, task);
}

void Commit(World& world, TaskState& task, int64_t micros) {
  if (task.committed == micros) return;
  Tenant& tenant = *task.tenant;
  tenant.eased = tenant.eased || micros < task.committed;
  tenant.committed = SaturatingAdd(tenant.committed, micros - task.committed);
  task.committed = micros;
  if (!tenant.held.empty()) world.WakeAt(world.now);
}

void NoteSpent(Tenant& tenant, const api::Attempt& attempt) {
  if (attempt.cost_micros == 0 || !attempt.finished_at) return;
  AddSpent(tenant, *attempt.finished_at, attempt.cost_micros);
}

void NoteSpent(Tenant& tenant, const api::TaskStatus& status) {
  for (const auto& [end, micros] : AccountOf(status)) AddSpent(tenant, end, micros);
}

void TakeSpentBack(Tenant& tenant, const api::TaskStatus& status) {
  for (const auto& [end, micros] : AccountOf(status)) AddSpent(tenant, end, -micros);
}

void MarkOverBudget(World& world, TaskState& task, const HeldTask& held) {
  Tenant& tenant = *task.tenant;
  const BudgetState* budget = Tightest(world, tenant);
  if (budget == nullptr || task.shape->paid != nullptr) return;
  world.tasks.touched.insert(*task.key);
  if (task.gang != nullptr) TouchGang(world, task);
  task.nominated.clear();
  Commit(world, task, 0);
  if (budget->object.spec.action == BudgetAction::kDeny) {
    const std::string message =
        "no server without a price has room, and " + Refusal(*budget, tenant, NeedOf(task, held));
    Finish(world, task, api::TaskPhase::kFailed, "BudgetExceeded", message);
    RecordEvent(world, task, true, "BudgetExceeded", message);
    world.tasks.to_reconcile.insert(*task.key);
    return world.WakeAt(world.now);
  }
  Dequeue(world, task);
  task.shape = world.scheduling.shapes.Unpaid(*task.shape);
  tenant.held[*task.key] = held;
  world.budgets.holding.insert(task.object.meta.ns);
  JoinQueue(world, task);
  if (task.gang != nullptr) task.gang->tried_members = 0;
  world.WakeAt(world.now);  // others may be waiting for what it was first for
}

void ClearOverBudget(World& world, TaskState& task) {
  if (task.shape == nullptr || task.shape->paid == nullptr) return;
  task.tenant->held.erase(*task.key);
  const bool queued = task.queued.has_value();
  Dequeue(world, task);
  if (task.shape->tasks == 1) ReleaseReservation(world, *task.shape);
  task.shape = world.scheduling.shapes.Paid(*task.shape);
  if (queued) JoinQueue(world, task);
  if (task.gang != nullptr) task.gang->tried_members = 0;
  task.shape->burst_at = Time{};
}

void RetryHeld(Tenant& tenant) {
  tenant.eased = true;
  tenant.ease_at = Time{};
}

void KeepBudgets(World& world) {
  for (auto& [key, budget] : world.budgets.by_key)
    Roll(world, budget, world.scheduling.tenants[budget.object.meta.ns]);
  CountOverruns(world);
  for (auto at = world.budgets.holding.begin(); at != world.budgets.holding.end();) {
    Tenant& tenant = world.scheduling.tenants[*at];
    Ease(world, tenant);
    at = tenant.held.empty() ? world.budgets.holding.erase(at) : std::next(at);
  }
}

void DescribeBudgets(World& world) {
  for (auto& [key, budget] : world.budgets.by_key) {
    const bool fresh = budget.object.status.observed_generation != budget.object.meta.generation;
    if (world.now >= budget.told_at + kAmountsEvery || fresh) {
      Describe(world, budget, world.scheduling.tenants[budget.object.meta.ns]);
      budget.told_at = world.now;
    }
    KeepStatus(world, budget, Kind::kBudget);
  }
}

std::string ExplainBudget(const World& world, const TaskState& task) {
  const auto held = task.tenant->held.find(*task.key);
  const BudgetState* budget = Tightest(world, *task.tenant);
  if (held == task.tenant->held.end() || budget == nullptr) return "";
  return "; no server with a price is used: " +
         Refusal(*budget, *task.tenant, NeedOf(task, held->second));
}

}  // namespace spillway::core
