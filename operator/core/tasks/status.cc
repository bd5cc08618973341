#include "operator/core/tasks/status.h"

#include <algorithm>

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/tasks/another_leader.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status_queue.h"

namespace spillway::core {

using api::TaskPhase;
using api::TaskStatus;

void DescribeBound(World& world, TaskState& task) {
  task.assigned_written = false;
  TaskStatus& status = task.object.status;
  status.phase = TaskPhase::kAssigned;
  status.explanation.reset();
  status.forecast.reset();
  status.assignment = task.binding;
  task.assigned_untold = true;
  task.status_due = world.now + kAssignedAfter;
  world.tasks.Wake(task, task.status_due);
}

void TellAssigned(TaskState& task) {
  if (!std::exchange(task.assigned_untold, false) || !task.binding) return;
  const Binding& binding = *task.binding;
  const std::string message = "bound to server " + binding.server + " as pod " + binding.pod_name;
  const int64_t generation = task.object.meta.generation;
  ChangeConditions(task, [&](auto& conditions) {
    api::SetCondition(conditions, {"Assigned", "True", "Assigned", message, generation, {}},
                      binding.assigned_at);
    if (task.object.status.phase != TaskPhase::kRunning) {
      api::SetProgress(conditions, api::Progress::kReconciling, "Assigned", message, generation,
                       binding.assigned_at);
    }
  });
}

void DescribeWaiting(World& world, TaskState& task, TaskPhase phase, const std::string& message) {
  TellAssigned(task);
  task.object.status.phase = phase;
  std::vector<api::Condition> conditions = *task.object.status.conditions;
  api::SetProgress(conditions, api::Progress::kReconciling,
                   phase == TaskPhase::kScaling ? "Scaling" : "Waiting", message,
                   task.object.meta.generation, world.now);
  ShareConditions(task, std::move(conditions));
}

bool Tells(const TaskStatus& status, const std::string& message) {
  const auto* told = api::FindCondition(*status.conditions, "Reconciling");
  return told != nullptr && told->message == message;
}

bool SaysElse(const TaskStatus& status) {
  return status.explanation == nullptr ||
         (status.phase != TaskPhase::kScaling && !Tells(status, status.explanation->summary));
}

void TakeStored(const World& world, TaskState& task, TaskStatus stored) {
  NoteSpent(*task.account, stored);
  TakeStatus(task.writer, EncodeStatus(stored));
  task.assigned_written =
      stored.phase == TaskPhase::kAssigned || stored.phase == TaskPhase::kRunning;
  // The clock of the process that wrote it may have been far ahead.
  if (stored.retry_at) task.not_before = std::min(*stored.retry_at, world.now + kMaxBackoff);
  if (stored.phase == TaskPhase::kScaling) stored.phase = TaskPhase::kPending;
  task.object.status = std::move(stored);
}

void ShareConditions(TaskState& task, std::vector<api::Condition> conditions) {
  auto& last = task.shape->conditions;
  if (*last != conditions) last = std::move(conditions);
  task.object.status.conditions = last;
}

void TellNominations(World& world) {
  for (const NominationChange& change : std::exchange(world.provisioning.changes, {})) {
    TaskState& task = *change.task;
    DescribeWaiting(world, task, change.lost ? TaskPhase::kPending : TaskPhase::kScaling,
                    change.message);
    if (change.lost) {
      task.status_due = world.now + kExplainAfter;
      world.tasks.Wake(task, task.status_due);
    } else {
      task.status_due = world.now;
      world.tasks.touched.insert(*task.key);
    }
  }
}

void PutOffStatus(World& world, TaskState& task) {
  if (task.status_due == kNever) return;
  task.status_due = std::max(task.status_due, world.now + kPutOff);
  world.tasks.Wake(task, task.status_due);
}

void FlushStatus(World& world, TaskState& task) {
  if (task.writer.in_flight || task.status_due == kNever) return;
  // Whether its pod can be created is not known yet: until it is, the task waits as it did before.
  // Whoever leads next would take a pod that its status tells of, and that is not there, for lost.
  // It is told after a while where many are created, and each has its turn.
  if (task.binding && !task.confirmed && !task.held) {
    if (!task.admission->known) return;
    const Time due = task.binding->assigned_at + kSlowAnswer;
    if (world.now < due) return world.tasks.Wake(task, due);
  }
  if (world.now < task.status_due) {
    world.tasks.Wake(task, task.status_due);
    return;
  }
  TellAssigned(task);
  Time wake = kNever;
  if (WriteStatus(world, task.writer, Kind::kTask, task.object.meta,
                  EncodeStatus(task.object.status), &wake)) {
    task.status_due = kNever;
    NoteSent(task);
    world.tasks.statuses_in_flight += task.writer.in_flight ? 1 : 0;
    task.tenant->statuses_in_flight += task.writer.in_flight ? 1 : 0;
    task.assigned_written =
        task.assigned_written || task.object.status.phase == TaskPhase::kAssigned;
    if (task.held) task.held->told = task.object.status.phase == TaskPhase::kAssigned;
    if (task.writer.in_flight) return;
    StatusRecorded(world, task, std::nullopt);  // it says so already
    if (api::Finished(task.object.status.phase)) world.tasks.Wake(task, world.now);  // to delete it
  } else {
    world.tasks.Wake(task, wake);
  }
}

}  // namespace spillway::core
