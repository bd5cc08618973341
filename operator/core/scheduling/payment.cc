#include "operator/core/scheduling/payment.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {

Duration ExpectedRun(const Shape& shape) {
  const Mean& runs = shape.paid != nullptr ? shape.paid->runs : shape.runs;
  if (runs.known()) return runs.value();
  return shape.deadline.value_or(kRunGuess);
}

int64_t EstimateCost(const Shape& shape, int64_t price_micros) {
  return CostOf(price_micros, ExpectedRun(shape));
}

int64_t PayableUpTo(const World& world, const TaskState& task) {
  return PayableUpTo(world.budgets, *task.account, ExpectedRun(*task.shape), task.committed);
}

bool MayPay(const World& world, const TaskState& task, int64_t price_micros) {
  return price_micros == 0 || task.account->budgets.empty() ||
         price_micros <= PayableUpTo(world, task);
}

int64_t NeedOf(const TaskState& task, const HeldTask& held) {
  return held.together > 0 ? held.together : EstimateCost(*task.shape, held.price_micros);
}

void Commit(World& world, TaskState& task, int64_t micros) {
  Commit(world, *task.account, task.committed, micros);
}

void MarkOverBudget(World& world, Decisions& decisions, TaskState& task, const HeldTask& held,
                    std::optional<int64_t> most) {
  const BudgetState* budget = Tightest(world.budgets, *task.account);
  if (budget == nullptr) return;
  const int64_t payable = most.value_or(0);
  if (task.shape->paid != nullptr) {
    if (payable >= task.shape->payable_micros) return;
    ClearOverBudget(world, task);
  }
  world.tasks.touched.insert(*task.key);
  if (task.gang != nullptr) TouchGang(world, task);
  task.nominated.clear();
  Commit(world, task, 0);
  if (!most && budget->object.spec.action == api::BudgetAction::kDeny) {
    const std::string message = "no server without a price has room, and " +
                                DescribeShortage(*budget, *task.account, NeedOf(task, held));
    decisions.Fail(task, "BudgetExceeded", message);
    return world.WakeAt(world.now);
  }
  Dequeue(world, task);
  task.shape = world.scheduling.shapes.Unpaid(*task.shape, payable);
  task.account->held[*task.key] = held;
  world.budgets.holding.insert(task.object.meta.ns);
  JoinQueue(world, task);
  if (task.gang != nullptr) task.gang->tried_members = 0;
  world.WakeAt(world.now);  // others may be waiting for what it was first for
}

void ClearOverBudget(World& world, TaskState& task) {
  if (task.shape == nullptr || task.shape->paid == nullptr) return;
  task.account->held.erase(*task.key);
  const bool queued = task.queued.has_value();
  Dequeue(world, task);
  if (task.shape->tasks == 1) ReleaseReservation(world, *task.shape);
  task.shape = world.scheduling.shapes.Paid(*task.shape);
  if (queued) JoinQueue(world, task);
  if (task.gang != nullptr) task.gang->tried_members = 0;
}

namespace {

// Of the account's held tasks, those that alone can be paid, by whose turn it is, and their needs.
std::vector<std::pair<QueuePosition, int64_t>> PayableOf(World& world, const Account& account,
                                                         int64_t left) {
  std::vector<std::pair<QueuePosition, int64_t>> out;
  for (const auto& [key, held] : account.held) {
    TaskState& task = world.tasks.by_key.at(key);
    const int64_t need = NeedOf(task, held);
    if (need <= left) out.emplace_back(task.position(), need);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

// All are looked at anew: another price may be the one that is not covered.
void Release(World& world, Account& account) {
  const auto held = account.held;
  for (const auto& [key, need] : held) {
    ClearOverBudget(world, world.tasks.by_key.at(key));
    world.tasks.touched.insert(key);
  }
}

// Those whose turn is first are paid first; of a group all or none.
void Ease(World& world, Account& account) {
  if (world.budgets.prices_moved) return Release(world, account);
  if (!TakeEased(world, account)) return;
  int64_t left = LeftOf(world.budgets, account);
  std::set<const Gang*> paid;
  for (const auto& [position, need] : PayableOf(world, account, left)) {
    TaskState& task = *position.task;
    const bool with_others = task.gang != nullptr && paid.contains(task.gang);
    if (!with_others && need > left) continue;
    if (!with_others) left -= need;
    if (task.gang != nullptr) paid.insert(task.gang);
    ClearOverBudget(world, task);
    world.tasks.touched.insert(*task.key);
  }
}

}  // namespace

void EaseHeld(World& world) {
  for (auto at = world.budgets.holding.begin(); at != world.budgets.holding.end();) {
    Account& account = world.budgets.accounts[*at];
    Ease(world, account);
    at = account.held.empty() ? world.budgets.holding.erase(at) : std::next(at);
  }
  world.budgets.prices_moved = false;
}

}  // namespace spillway::core
