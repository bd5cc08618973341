// What is deleted: pods that nobody waits for, and what has ended long ago.
#pragma once

#include <cstdint>
#include <optional>

#include "operator/core/world.h"

namespace spillway::core {

// So many pods of attempts that have ended stay, to be read.
inline constexpr size_t kKeptPods = 3;

// grace: its own, if it is not given. One that was refused is asked for again later.
void DeletePod(World& world, TaskState& task, const api::Pod& pod, std::optional<int64_t> grace);
// Deletes pods of ours that nobody waits for any more, and those of attempts that ended long ago.
void DeleteOrphans(World& world, TaskState& task);
// Of a task that has ended: its pods after spec.podTTL, and the task itself after
// spec.ttlSecondsAfterFinished.
void DeleteWhenOld(World& world, TaskState& task);

}  // namespace spillway::core
