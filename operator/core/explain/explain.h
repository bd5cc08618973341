// Why a task waits, with numbers.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// At most this many servers are named, and pools that the task does not name itself.
inline constexpr size_t kMostVerdicts = 5;

// Tests the shape against every server and pool and says what failed, nearest first. nearest_fit is
// set where a change of the task would make it fit; see nearest_fit.h. fits: whether a server would
// take it now.
api::Explanation Explain(const World& world, const Shape& shape, bool* fits = nullptr);
// At most so many waiting tasks are explained in one step: a hundred thousand that wait must not
// keep those that run from being told.
inline constexpr size_t kMostExplained = 200;
// And once so many servers were looked at for it: an explanation of ten thousand takes some 20 ms,
// and what was decided in a step is sent only after it.
inline constexpr size_t kMostTested = 10'000;
// With many servers, all tasks of a shape share an explanation for so long: longer with every
// thousand servers, and as long as nothing moves.
inline constexpr Duration kExplanationKept{2'000};
inline constexpr size_t kManyServers = 100;

// Puts explanations into the statuses of waiting tasks, as far as they are due and say something
// new, and sends those: what a waiting task's status says is made only when it is written.
void ExplainWaiting(World& world);

}  // namespace spillway::core
