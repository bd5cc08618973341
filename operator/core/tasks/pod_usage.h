// What the pods of tasks, and those of others, take up of the servers.
#pragma once

#include "operator/core/tasks/state.h"

namespace spillway::core {

struct PodState;
struct World;

// Counts a pod that was seen in the ledger, or no longer, once it has ended. Of a pod that is no
// attempt of a task only its requests count, and only where it is bound.
void CountPod(World& world, PodState& pod);

}  // namespace spillway::core
