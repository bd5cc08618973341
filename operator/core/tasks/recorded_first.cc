#include "operator/core/tasks/recorded_first.h"

#include <string>
#include <utility>

#include "operator/core/scheduling/admission.h"
#include "operator/core/tasks/follow.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

constexpr char kWhy[] =
    "with spec.retry.lossLimit 0, the pod is created once the status tells of it; ";
constexpr Duration kAgainAfter{10'000};

void Drop(World& world, TaskState& task) {
  CreationDropped(world, *task.owner, task.held->key());
  task.held.reset();
  task.creating.reset();
}

bool IsWanted(const TaskState& task) {
  return task.binding != nullptr && task.binding == task.creating && !task.confirmed;
}

}  // namespace

bool IsRecordedFirst(const TaskState& task) { return task.object.spec.retry.loss_limit == 0; }

void HoldCreation(World& world, TaskState& task, Write creation) {
  task.held = std::move(creation);
  task.status_due = world.now;
  world.tasks.touched.insert(*task.key);
}

void StatusRecorded(World& world, TaskState& task, const std::optional<Error>& error) {
  if (!task.held) return;
  if (!IsWanted(task)) return Drop(world, task);
  if (!task.assigned_written) return;  // an earlier status
  if (!error) {
    world.effects.emplace_back(std::move(*task.held));
    return task.held.reset();
  }
  task.assigned_written = false;
  if (error->kind == ErrorKind::kConflict) return;  // it is sent again in a moment
  Drop(world, task);
  Unassign(world, task, "FailedCreate", kWhy + ("the API server refuses that: " + error->message));
  BackOff(world, task, task.writer.NotBefore(task.writer.sent) - world.now);
}

std::string RecordOverdue(World& world, TaskState& task) {
  CreationDropped(world, *task.owner, task.held->key());
  BackOff(world, task, kAgainAfter);
  return kWhy +
         ("the API server has not answered that since " + FormatTime(task.binding->assigned_at));
}

void DropUnwanted(World& world, TaskState& task) {
  if (task.held && !IsWanted(task) && !task.writer.in_flight) Drop(world, task);
}

}  // namespace spillway::core
