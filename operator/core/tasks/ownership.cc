#include "operator/core/tasks/ownership.h"

#include <algorithm>

#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/pod_usage.h"

namespace spillway::core {

Claim ClaimOf(const api::Pod& pod) {
  for (const api::OwnerReference& owner : pod.meta.owners) {
    if (!owner.controller || !owner.ours || owner.kind != "TaskRequest") continue;
    if (const int64_t attempt = AttemptOf(owner.name, pod.meta.name); attempt > 0)
      return {&owner, attempt};
  }
  return {};
}

bool IsAttemptOf(const TaskState& task, const api::Pod& pod) {
  const Claim claim = ClaimOf(pod);
  return claim.task != nullptr && claim.task->uid == task.uid() &&
         claim.task->name == task.object.meta.name && pod.meta.ns == task.object.meta.ns;
}

TaskState* TaskOf(const PodState& state) {
  return state.owner == nullptr ? nullptr : state.owner->task;
}

void Own(World& world, PodState& state) {
  const api::Pod& pod = state.object;
  const Claim claim = ClaimOf(pod);
  if (claim.task == nullptr) return;
  const TaskState* task = world.tasks.ByUid(claim.task->uid);
  if (task != nullptr && !IsAttemptOf(*task, pod)) return;
  state.owner = &world.tasks.owners[claim.task->uid];
  ++state.owner->counted;
  auto& pods = state.owner->pods;
  const auto at = std::upper_bound(pods.begin(), pods.end(), claim.attempt,
                                   [](int64_t a, const auto& b) { return a < b.first; });
  pods.insert(at, {claim.attempt, &pod});
}

void Disown(World& world, PodState& state) {
  Unbook(world.servers, state.place);
  state.task = state.exclusive = false;
  Owner* owner = std::exchange(state.owner, nullptr);
  if (owner == nullptr) return;
  std::erase_if(owner->pods, [&](const auto& pod) { return pod.second == &state.object; });
  --owner->counted;
  DropOwner(world, ClaimOf(state.object).task->uid);
}

void TakePods(World& world, TaskState& task) {
  for (const auto& [attempt, pod] : std::vector(task.owner->pods)) {
    PodState& state = world.servers.pods.at(pod->meta.key());
    if (!IsAttemptOf(task, *pod)) Disown(world, state);
    CountPod(world, state);
  }
}

void DropClaims(World& world) {
  for (auto& [key, state] : world.servers.pods) {
    if (!state.task || TaskOf(state) != nullptr) continue;
    state.task = state.exclusive = false;
    CountPod(world, state);
  }
}

void DropOwner(World& world, const std::string& uid) {
  const auto at = world.tasks.owners.find(uid);
  if (at == world.tasks.owners.end()) return;
  const Owner& owner = at->second;
  if (owner.task == nullptr && owner.counted == 0 && !owner.assumed.counted() &&
      owner.creating == nullptr)
    world.tasks.owners.erase(at);
}

}  // namespace spillway::core
