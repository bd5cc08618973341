// The life of one TaskRequest, from its first sight to its deletion.
#pragma once

#include <optional>

#include "operator/core/world.h"

namespace spillway::core {

// Looks at the task with all that is known: adopts pods, follows the one that runs, ends it, queues
// it.
void ReconcileTask(World& world, TaskState& task);
// The number of the attempt that would come next; attempts start at 1 and are never used twice.
int64_t NextAttempt(const TaskState& task);
// Puts off the next attempt; the task is looked at again then.
void BackOff(World& world, TaskState& task, Duration wait);
// True if the deadline has passed; otherwise the task is looked at again then.
bool WakeUnlessPassed(World& world, TaskState& task, Time from,
                      const std::optional<Duration>& deadline);

}  // namespace spillway::core
