#include "operator/core/tasks/another_leader.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status.h"

namespace spillway::core {
namespace {

using api::Assignment;
using api::TaskStatus;

// As they are written: to the second.
bool Same(const Assignment& a, const Assignment& b) {
  const auto second = [](Time time) { return std::chrono::floor<std::chrono::seconds>(time); };
  return a.attempt == b.attempt && a.server == b.server && a.node_name == b.node_name &&
         a.pod_name == b.pod_name && second(a.assigned_at) == second(b.assigned_at);
}

bool Told(const TaskState& task, const Assignment& assignment) {
  if (!task.records) return false;
  const auto& told = task.records->told;
  return std::any_of(told.begin(), told.end(),
                     [&](const auto& each) { return Same(*each, assignment); });
}

// Nothing of ours is on its way or runs that the other could not have known.
bool MayGiveWay(const TaskState& task) {
  const bool sent = (task.binding || task.creating) && !task.held;
  return IsRecordedFirst(task) && task.shape != nullptr && !sent &&
         !Finished(task.object.status.phase);
}

bool IsAnothers(const TaskState& task, const TaskStatus& stored) {
  if (!MayGiveWay(task) || Finished(stored.phase)) return false;
  const int64_t ended = LastEnded(task);
  if (LastEnded(stored) > ended) return true;
  const Assignment* record = stored.assignment.get();
  if (record == nullptr || record->attempt <= ended) return task.anothers;  // it was taken back
  const Assignment* known = task.held ? nullptr : task.object.status.assignment.get();
  return !(known != nullptr && Same(*known, *record)) && !Told(task, *record);
}

// seen_at: the status, here. Who has recorded what it tells may have ended then.
void TakeUp(World& world, TaskState& task, TaskStatus stored, Time seen_at) {
  if (task.held) DropHeld(world, task);
  GiveWay(world, task, std::move(stored));
  task.running_since = kNever;
  task.unsure = task.assigned_untold = false;
  task.records.reset();
  const TaskStatus& status = task.object.status;
  ShareConditions(task, *status.conditions);
  task.anothers = status.assignment && status.assignment->attempt > LastEnded(task);
  if (task.anothers) {
    task.may_appear_until = seen_at + kLateArrival;
    Commit(world, task, status.assignment->estimated_micros);
  }
  world.tasks.to_reconcile.insert(*task.key);
}

}  // namespace

void GiveWay(World& world, TaskState& task, TaskStatus stored) {
  Dequeue(world, task);
  task.binding.reset();
  task.nominated.clear();
  TakeSpentBack(*task.account, task.object.status);
  TakeStored(world, task, std::move(stored));
  task.status_due = kNever;
  world.tasks.touched.insert(*task.key);
}

bool MayWriteOver(const TaskState& task, const TaskStatus& stored) {
  if (Finished(task.object.status.phase)) return true;
  if (LastEnded(stored) > LastEnded(task)) return false;
  const Assignment* record = IsRecordedFirst(task) ? stored.assignment.get() : nullptr;
  return record == nullptr || record->attempt <= LatestAttempt(task) || Told(task, *record);
}

void NoteStored(World& world, TaskState& task, const TaskStatus& stored) {
  if (task.records) task.records->stored.reset();
  if (!MayGiveWay(task)) return;
  if (!task.writer.in_flight) {
    if (IsAnothers(task, stored)) TakeUp(world, task, stored, world.now);
    return;
  }
  if (!task.records) task.records.emplace();
  task.records->stored = stored;
  task.records->stored_at = world.now;
}

void NoteSent(TaskState& task) {
  const auto& record = task.object.status.assignment;
  if (!IsRecordedFirst(task) || !task.writer.in_flight) return;
  if (!task.records) task.records.emplace();
  Records& records = *task.records;
  const int64_t ended = LastEnded(task);
  std::erase_if(records.told, [&](const auto& each) { return each->attempt <= ended; });
  records.sending = record && record->attempt > ended && !Told(task, *record);
  if (records.sending) records.told.push_back(record);
}

void SettleStored(World& world, TaskState& task, const std::optional<Error>& error) {
  if (!task.records) return;
  Records& records = *task.records;
  const bool refused = error && !error->ambiguous && error->kind != ErrorKind::kUnavailable;
  if (std::exchange(records.sending, false) && refused) records.told.pop_back();
  Boxed<TaskStatus> stored = std::move(records.stored);
  const Time seen_at = records.stored_at;
  if (records.told.empty()) task.records.reset();
  if (stored && IsAnothers(task, *stored)) TakeUp(world, task, std::move(*stored), seen_at);
}

bool AwaitsAnother(const TaskState& task) {
  const api::TaskStatus& status = task.object.status;
  return task.anothers && status.assignment && !Finished(status.phase);
}

bool KeepAnothers(World& world, TaskState& task) {
  if (!task.anothers) return false;
  task.anothers = !task.binding && world.now < task.may_appear_until;
  if (task.anothers) world.tasks.Wake(task, task.may_appear_until);
  return task.anothers;
}

}  // namespace spillway::core
