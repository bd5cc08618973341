// Pods that a policy or webhook changed at their creation so that they are not the task's: without
// our owner reference, with another controller, or under another name. Nobody would follow such a
// pod, and nobody would collect it: it is deleted, the creation counts as refused, and the task
// waits until that pod is gone.
#pragma once

#include <optional>

#include "operator/core/world.h"

namespace spillway::core {

// Why the pod that the creation was answered with is not the task's; nothing if it is.
std::optional<Error> ChangedByPolicy(const Outcome& creation);
// Has it deleted, now or as soon as that is not refused any more.
void TakeBackChanged(World& world, const Outcome& creation);
// Whether such a pod of the task may still run; asks for its end again if that was refused.
bool AwaitsChanged(World& world, TaskState& task);
// True if the deletion was that of such a pod.
bool ChangedDeleted(World& world, const Outcome& outcome);
void ChangedGone(World& world, const std::string& key);

}  // namespace spillway::core
