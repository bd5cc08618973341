#include "operator/core/tasks/late_success.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "operator/core/tasks/attempts.h"

namespace spillway::core {
namespace {

bool HasExitCode(const api::TaskStatus& status, int64_t attempt) {
  return std::any_of(status.attempts.begin(), status.attempts.end(),
                     [&](const auto& each) { return each.attempt == attempt && each.exit_code; });
}

// How a pod has ended is judged by the binding: it is that of this pod meanwhile.
bool HasSucceeded(const World& world, TaskState& task, int64_t attempt, const api::Pod& pod) {
  if (pod.phase != api::PodPhase::kSucceeded || HasExitCode(task.object.status, attempt))
    return false;
  const auto bound = std::exchange(
      task.binding, std::make_shared<const Binding>(Binding{
                        {"", "", false, "", "", pod.meta.name, attempt, pod.meta.created, 0}, 0}));
  const Time running_since = std::exchange(task.running_since, kNever);
  const bool by_itself = !EndedByCluster(world, task, pod);
  task.binding = bound;
  task.running_since = running_since;
  return by_itself;
}

}  // namespace

std::optional<int64_t> LateSuccess(const World& world, TaskState& task) {
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (task.binding && task.binding->attempt == attempt) continue;
    if (HasSucceeded(world, task, attempt, *pod)) return attempt;
  }
  return std::nullopt;
}

void MakeWay(World& world, TaskState& task, int64_t attempt) {
  StopAttempt(world, task, "Superseded", "attempt " + std::to_string(attempt) + " has succeeded");
  EraseAttempt(task, attempt);
}

}  // namespace spillway::core
