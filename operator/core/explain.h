// Why a task waits, with numbers.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// At most this many servers and pools are named.
inline constexpr size_t kMostVerdicts = 5;

// Tests the shape against every server and pool and says what failed, nearest first. nearest_fit is
// set where one amount alone is in the way: a change of the request that would make it fit.
api::Explanation Explain(const World& world, const Shape& shape);
// Puts the explanation into the status of a waiting task, if it says something new.
void ExplainTask(World& world, TaskState& task);

}  // namespace spillway::core
