#include "operator/core/tasks/observe.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/another_leader.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/status_queue.h"
#include "operator/core/tasks/tasks.h"
#include "operator/core/world.h"

namespace spillway::core {

void OnTaskGone(World& world, const std::string& key) {
  const auto at = world.tasks.by_key.find(key);
  if (at == world.tasks.by_key.end()) return;
  TaskState& task = at->second;
  Commit(world, task, 0);
  Dequeue(world, task);
  ClearOverBudget(world, task);
  if (task.shape != nullptr && task.shape->tasks == 1) ReleaseReservation(world, *task.shape);
  LeaveGang(world, task);
  if (task.held) CreationDropped(world, *task.owner, task.held->write.key());
  world.scheduling.shapes.Drop(task.shape);
  if (task.admission != nullptr) LeaveAdmission(world, task);
  world.scheduling.preemptible -= task.object.spec.preemption == api::Preemption::kAllowed ? 1 : 0;
  --task.tenant->tasks;
  --task.account->tasks;
  task.owner->task = nullptr;
  DropOwner(world, task.uid());
  world.tasks.to_reconcile.erase(key);
  world.tasks.touched.erase(key);
  world.explain.to_explain.erase(key);
  world.provisioning.nominated.erase(key);
  world.tasks.by_key.erase(at);
}

namespace {

void AddTask(World& world, const api::TaskRequest& object) {
  ++world.generation;
  const std::string key = object.meta.key();
  const auto at = world.tasks.by_key.try_emplace(key).first;
  TaskState& task = at->second;
  task.key = &at->first;
  task.object = object;
  task.owner = &world.tasks.owners[object.meta.uid];
  task.owner->task = &task;
  JoinGang(world, task);
  world.scheduling.preemptible += object.spec.preemption == api::Preemption::kAllowed ? 1 : 0;
  task.tenant = &world.scheduling.tenants[object.meta.ns];
  ++task.tenant->tasks;
  task.account = &world.budgets.accounts[object.meta.ns];
  ++task.account->tasks;
  TakeStored(world, task, std::move(task.object.status));
  task.first_seen = world.now;
  const auto shape = world.scheduling.shapes.Intern(object.spec);
  task.object.spec.pod_template.reset();
  task.object.spec.requirements = {};
  task.object.spec.placement.reset();
  task.object.meta.labels.clear();
  if (shape) {
    task.pod_template = (*shape)->Template(*object.spec.pod_template);
    JoinAdmission(world, task, **shape);
    if (!api::Finished(object.status.phase)) ShareConditions(task, *task.object.status.conditions);
    if (object.status.phase == api::TaskPhase::kSucceeded) NoteRun(task);
  } else if (!api::Finished(object.status.phase)) {
    task.object.status.observed_generation = object.meta.generation;
    Finish(world, task, api::TaskPhase::kFailed, "InvalidTemplate", shape.error().message);
  }
  TakePods(world, task);
}

bool SameEnd(const api::TaskStatus& a, const api::TaskStatus& b) {
  if (a.phase != b.phase || a.result.has_value() != b.result.has_value()) return false;
  if (!a.result) return true;
  // As they are written: to the second.
  const auto when = [](const api::TaskResult& result) {
    return std::chrono::floor<std::chrono::seconds>(result.finished_at.value_or(Time{}));
  };
  return when(*a.result) == when(*b.result) && a.result->exit_code == b.result->exit_code &&
         a.result->reason == b.result->reason && a.result->output == b.result->output;
}

}  // namespace

void OnSeen(World& world, const api::TaskRequest& object) {
  const std::string key = object.meta.key();
  auto at = world.tasks.by_key.find(key);
  if (at != world.tasks.by_key.end() && at->second.uid() != object.meta.uid) {
    if (at->second.object.meta.resource_version > object.meta.resource_version) return;
    OnTaskGone(world, key);
    at = world.tasks.by_key.end();
  }
  if (at == world.tasks.by_key.end()) {
    AddTask(world, object);
  } else {
    TaskState& task = at->second;
    if (object.meta.resource_version <= task.object.meta.resource_version) return;
    if (task.object.meta.generation != object.meta.generation ||
        task.object.meta.deleted != object.meta.deleted)
      ++world.generation;
    task.object.meta = object.meta;
    task.object.meta.labels.clear();
    if (MayWriteOver(task, object.status) &&
        WrittenOver(world, task.writer, object.meta, EncodeStatus(object.status)))
      task.status_due = std::min(task.status_due, world.now);
    NoteStored(world, task, object.status);
    task.object.spec.priority = object.spec.priority;
    task.object.spec.priority_class = object.spec.priority_class;
    task.object.spec.suspend = object.spec.suspend;
    task.object.spec.cancel = object.spec.cancel;
    if (api::Finished(object.status.phase) && !SameEnd(object.status, task.object.status))
      GiveWay(world, task, object.status);
  }
  world.tasks.to_reconcile.insert(key);
}

namespace {

// Those of its namespace that wait for it have their turn.
void StatusAnswered(World& world, const Outcome& outcome) {
  --world.tasks.statuses_in_flight;
  const auto known = world.scheduling.tenants.find(outcome.key.substr(0, outcome.key.find('/')));
  if (known == world.scheduling.tenants.end()) return;
  Tenant& tenant = known->second;
  const auto& error = outcome.error;
  --tenant.statuses_in_flight;
  tenant.statuses_fail = error && error->retryable();
  if (!error) StatusesGoOn(world, tenant);
  const bool all = tenant.statuses_in_flight == 0;
  for (int64_t free = kMostStatusesOfOne - tenant.statuses_in_flight;
       !tenant.to_write.empty() && (all || free > 0); --free) {
    world.tasks.to_write.push_back(std::move(tenant.to_write.front()));
    tenant.to_write.pop_front();
  }
}

}  // namespace

void OnTaskOutcome(World& world, const Outcome& outcome) {
  if (outcome.verb == Verb::kPatchStatus) StatusAnswered(world, outcome);
  const auto at = world.tasks.by_key.find(outcome.key);
  if (at == world.tasks.by_key.end() || at->second.uid() != outcome.request_uid) return;
  TaskState& task = at->second;
  const auto& error = outcome.error;
  world.tasks.to_reconcile.insert(outcome.key);
  if (outcome.verb == Verb::kDelete) {
    if (!task.deletion) task.deletion.emplace();
    if (Deleted(world, *task.deletion, task.uid(), error))
      RecordEvent(world, task, true, kDeleteFailed,
                  "could not be deleted: " + error->message + kAgain);
    return;
  }
  if (StatusWritten(world, task.writer, task.object.meta, outcome))
    RecordEvent(world, task, true, "StatusRefused",
                "the status was refused: " + error->message + StatusAgain(*error));
  task.overdue_told = task.overdue_told && error;
  StatusRecorded(world, task, error);
  if (!error && task.writer.written != task.writer.sent)
    task.status_due = std::min(task.status_due, world.now);
  SettleStored(world, task, error);
  if (error && error->kind != ErrorKind::kNotFound) task.status_due = world.now;
}

}  // namespace spillway::core
