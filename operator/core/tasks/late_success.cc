#include "operator/core/tasks/late_success.h"

#include <memory>
#include <string>

#include "operator/core/tasks/attempts.h"

namespace spillway::core {
namespace {

// Of one whose end was asked for, that is so if it was seen to have ended before. Whatever is
// recorded of the attempt was then said of another pod.
bool EndedByItself(const World& world, const api::Pod& pod) {
  return !pod.disrupted && SeenToEndOnRequest(world, pod) == false;
}

// Whether the task's last attempt, which was stopped, had ended before: by its node's clock, if
// nobody has seen that. Whoever has begun another attempt since, or recorded its end, knew better.
bool StoppedTooLate(const World& world, TaskState& task, int64_t attempt, const api::Pod& pod) {
  const auto& attempts = task.object.status.attempts;
  if (task.binding || attempts.empty() || attempts.back().attempt != attempt) return false;
  if (attempts.back().exit_code) return false;
  const auto& told = task.object.status.assignment;
  if (told && told->attempt > attempt) return false;
  if (task.creating && task.creating->attempt != attempt) return false;
  if (task.owner->pods.back().first != attempt) return false;
  // How a pod has ended is judged by the binding: it is that of this pod meanwhile.
  task.binding = std::make_shared<const Binding>(
      Binding{{"", "", false, "", "", pod.meta.name, attempt, pod.meta.created, 0}, 0});
  const bool by_itself = !EndedByCluster(world, task, pod);
  task.binding.reset();
  return by_itself;
}

}  // namespace

std::optional<int64_t> LateSuccess(const World& world, TaskState& task) {
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (task.binding && task.binding->attempt == attempt) continue;
    if (pod->phase != api::PodPhase::kSucceeded) continue;
    if (EndedByItself(world, *pod) || StoppedTooLate(world, task, attempt, *pod)) return attempt;
  }
  return std::nullopt;
}

void MakeWay(World& world, TaskState& task, int64_t attempt) {
  StopAttempt(world, task, "Superseded", "attempt " + std::to_string(attempt) + " has succeeded");
  EraseAttempt(task, attempt);
}

}  // namespace spillway::core
