// Room that is taken for a pod that was asked for and not seen yet.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// Counts the pod apart from those that were seen: a task has at most one, and two tasks of one
// name, the second applied after the first was deleted, may want pods of one name. node: its use,
// as Ledger::Keep gave it.
void AssumePod(World& world, const TaskState& task, const NodeUsage& node);
void ForgetAssumed(World& world, Owner& owner);

// Counts the task on the server, or no longer, as if it were bound there.
void SimulateAdd(World& world, const TaskState& task, const ServerState& server);
void RevertAdd(World& world, const TaskState& task);

}  // namespace spillway::core
