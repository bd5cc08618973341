// Pods that were to be deleted and are still there: their task says so, and why.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// A pod that takes longer to end than this is told.
inline constexpr Duration kLingersFor{10'000};
// And a deletion that is not answered for so long.
inline constexpr Duration kDeletionOverdue{5'000};
// What a suspended task says.
inline constexpr char kHeldBySuspend[] = "held by spec.suspend";

// Why a pod of the task that nobody waits for any more is still there, and may still run, once that
// takes long: such as "waiting for pod t-1 on node n to end, as it was asked to at ...". Empty if
// there is none. wake: when that may change.
std::string StillThere(const World& world, const TaskState& task, Time* wake);
// Adds that to what a task says that has ended or is suspended, and takes it away again.
void TellStillThere(World& world, TaskState& task);

}  // namespace spillway::core
