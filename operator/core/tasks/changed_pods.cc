#include "operator/core/tasks/changed_pods.h"

#include <algorithm>
#include <string>

#include "operator/core/tasks/ownership.h"

namespace spillway::core {
namespace {

// The task may go on.
void Forget(World& world, std::map<std::string, ChangedPod>::iterator at) {
  if (const TaskState* task = world.tasks.ByUid(at->second.task_uid))
    world.tasks.to_reconcile.insert(*task->key);
  world.tasks.changed_pods.erase(at);
}

}  // namespace

std::optional<Error> ChangedByPolicy(const Outcome& creation) {
  if (creation.error || !creation.object) return std::nullopt;
  const auto& pod = std::get<api::Pod>(*creation.object);
  std::string what;
  if (pod.meta.key() != creation.key) {
    what = "under the name " + pod.meta.name;
  } else if (const Claim claim = ClaimOf(pod); claim.task == nullptr) {
    what = "without Spillway's owner reference";
  } else if (claim.task->uid != creation.request_uid) {
    what = "with another task as its controller";
  } else {
    return std::nullopt;
  }
  return Error{ErrorKind::kForbidden,
               "pod " + creation.key + " was admitted " + what +
                   ", so that it is deleted again; exempt Spillway's pods from the policy or "
                   "webhook that changes this",
               {}};
}

void TakeBackChanged(World& world, const Outcome& creation) {
  const auto& meta = std::get<api::Pod>(*creation.object).meta;
  world.tasks.changed_pods[meta.key()] = {creation.request_uid, meta.uid, {}};
}

void DeleteChanged(World& world) {
  for (auto& [key, pod] : world.tasks.changed_pods) {
    if (!MayDelete(world, pod.deletion, &world.wake)) continue;
    pod.deletion.sent = true;
    const size_t slash = key.find('/');
    world.effects.push_back(Write{Verb::kDelete, Kind::kPod, key.substr(0, slash),
                                  key.substr(slash + 1), pod.uid, 0, nullptr, std::nullopt});
  }
}

bool HasChanged(const World& world, const TaskState& task) {
  const auto& pods = world.tasks.changed_pods;
  return std::any_of(pods.begin(), pods.end(),
                     [&](const auto& pod) { return pod.second.task_uid == task.uid(); });
}

bool ChangedDeleted(World& world, const Outcome& outcome) {
  const auto at = world.tasks.changed_pods.find(outcome.key);
  if (at == world.tasks.changed_pods.end() || at->second.uid != outcome.request_uid) return false;
  const TaskState* task = world.tasks.ByUid(at->second.task_uid);
  if (outcome.error && outcome.error->kind == ErrorKind::kNotFound) {
    Forget(world, at);
  } else if (Deleted(world, at->second.deletion, outcome.request_uid, outcome.error) &&
             task != nullptr) {
    RecordEvent(world, *task, true, kDeleteFailed,
                "pod " + outcome.key + " could not be deleted: " + outcome.error->message + kAgain);
  }
  return true;
}

void ChangedGone(World& world, const std::string& key) {
  const auto at = world.tasks.changed_pods.find(key);
  if (at != world.tasks.changed_pods.end()) Forget(world, at);
}

}  // namespace spillway::core
