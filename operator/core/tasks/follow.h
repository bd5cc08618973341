// The current attempt of a task, from the creation of its pod to its end.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// That a container is started again and again is written at most so often.
inline constexpr Duration kTellRestartsAgain{60'000};

// Takes up an attempt that was made before a restart, and records those that ended unseen.
void Adopt(World& world, TaskState& task);
// Follows the attempt, whose binding must be set, by what is seen of its pod and its node.
void Follow(World& world, TaskState& task);
// The pod of the binding was created, by what its creation was answered or because it was seen.
void Confirm(World& world, TaskState& task);
// The pod that was asked for does not exist, as far as is known: the task waits, and says why.
void Unassign(World& world, TaskState& task, const std::string& reason, const std::string& why);
// How the creation of a task's pod ended.
void PodCreated(World& world, TaskState& task, const Outcome& outcome);

}  // namespace spillway::core
