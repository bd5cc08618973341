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
// Has it deleted with the next DeleteChanged.
void TakeBackChanged(World& world, const Outcome& creation);
// Asks for the end of all such pods, whatever has become of their tasks: again where that was
// refused.
void DeleteChanged(World& world);
// Whether such a pod of the task may still run.
bool HasChanged(const World& world, const TaskState& task);
// True if the deletion was that of such a pod.
bool ChangedDeleted(World& world, const Outcome& outcome);
// It is gone: its task may go on.
void ChangedGone(World& world, const std::string& key);

}  // namespace spillway::core
