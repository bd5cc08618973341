// What the pods of tasks, and those of others, take up of the servers.
#pragma once

#include "operator/core/tasks/state.h"

namespace spillway::core {

struct PodState;
struct World;

// Counts the pod that was asked for and not seen yet, apart from those that were seen: a task has
// at most one, and two tasks of one name, the second applied after the first was deleted, may want
// pods of one name. node: its use, as Ledger::Keep gave it.
void AssumePod(World& world, const TaskState& task, const NodeUsage& node);
void ForgetAssumed(World& world, Owner& owner);

// Counts a pod that was seen in the ledger, or no longer, once it has ended. Of a pod that is no
// attempt of a task only its requests count, and only where it is bound.
void CountPod(World& world, PodState& pod);

}  // namespace spillway::core
