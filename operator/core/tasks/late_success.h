#pragma once

#include <optional>

#include "operator/core/world.h"

namespace spillway::core {

// An attempt, other than the one that is bound, whose pod has succeeded by itself: what the task is
// for is done, whatever else is known of that attempt. It may have been stopped or called lost
// before that was seen, or begun once more by another leader, which did not know of the later ones.
std::optional<int64_t> LateSuccess(const World& world, TaskState& task);

// Stops what is bound, and forgets how the attempt was said to have ended: it is to be adopted.
void MakeWay(World& world, TaskState& task, int64_t attempt);

}  // namespace spillway::core
