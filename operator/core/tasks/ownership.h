// Which pods are attempts of a task. Labels play no part: anybody may write them, and policies take
// them away.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// What a pod says of itself.
struct Claim {
  const api::OwnerReference* task = nullptr;  // null: it claims nothing
  int64_t attempt = 0;
};

// By its controller and its name.
Claim ClaimOf(const api::Pod& pod);
// The claim is one to this task, in its namespace.
bool IsAttemptOf(const TaskState& task, const api::Pod& pod);

// The task that the pod is an attempt of; null if it is of none, or of one that is not known yet.
TaskState* TaskOf(const PodState& state);
// The pod may be an attempt of a task: of one that is not known yet, or of one that says so, too.
void Own(World& world, PodState& state);
// It is no attempt any more, and does not count until it is seen again.
void Disown(World& world, PodState& state);
// The task is known now: those that only claimed to be its attempts are none, and the others count
// as it says.
void TakePods(World& world, TaskState& task);
// All tasks are known now: a pod of none of them counts as one of somebody else's.
void DropClaims(World& world);
// Once neither the task nor a pod of it is known, and none is on its way.
void DropOwner(World& world, const std::string& uid);

}  // namespace spillway::core
