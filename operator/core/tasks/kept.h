// A task that is being deleted and is still there: for somebody's finalizer, or while its deletion
// in the foreground lasts. Its pod is followed as that of any other task, and nothing new is
// decided.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

inline constexpr char kBeginsNoMore[] = "the task is being deleted: it does not begin any more";

// It has no pod and gets none any more; its status says so, unless it is gone in a moment.
void RestKept(World& world, TaskState& task);

}  // namespace spillway::core
