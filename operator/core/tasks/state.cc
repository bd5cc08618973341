#include "operator/core/tasks/state.h"

#include <algorithm>

namespace spillway::core {

void Tasks::Wake(TaskState& task, Time time) {
  if (time >= task.wake) return;
  task.wake = time;
  wakes.Add(time, task.object.meta.key());
}

const TaskState* Tasks::ByUid(const std::string& uid) const {
  const auto owner = owners.find(uid);
  return owner == owners.end() ? nullptr : owner->second.task;
}

TaskState* Tasks::ByUid(const std::string& uid) {
  return const_cast<TaskState*>(std::as_const(*this).ByUid(uid));
}

const api::Pod* PodOf(const TaskState& task, int64_t attempt) {
  for (const auto& [of, pod] : task.owner->pods) {
    if (of == attempt) return pod;
  }
  return nullptr;
}

int64_t LatestAttempt(const TaskState& task) {
  if (task.binding) return task.binding->attempt;
  const api::TaskStatus& status = task.object.status;
  int64_t last = status.assignment ? status.assignment->attempt : 0;
  for (const api::Attempt& attempt : status.attempts) last = std::max(last, attempt.attempt);
  return last;
}

void RecordEvent(Context& context, const TaskState& task, bool warning, std::string reason,
                 std::string message) {
  RecordEvent(context, Kind::kTask, task.object.meta, warning, std::move(reason),
              std::move(message), LatestAttempt(task));
}

}  // namespace spillway::core
