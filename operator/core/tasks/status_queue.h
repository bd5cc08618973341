// Whose status is written when: results before progress before explanations, at most so many at
// once, and no namespace at the cost of the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "operator/core/tasks/state.h"

namespace spillway::core {

struct World;

// As many as the workers that send them by default.
inline constexpr int64_t kMostStatusesInFlight = 64;
// Explanations take half of that: what has happened comes before what has not.
inline constexpr int64_t kMostExplanationsInFlight = 32;
// Of these, so many of one namespace; and where the last one failed: its webhook may hang.
inline constexpr int64_t kMostStatusesOfOne = 24, kMostWhereTheyFail = 4;
// Where more statuses than this wait, only those of tasks that have ended are written; the others
// may have ended as well when their turn comes again.
inline constexpr size_t kCrowded = 32;
inline constexpr Duration kPutOff{5'000};
// Where so many are in flight, the same goes for a task that was bound a short time ago.
inline constexpr int64_t kBusy = 16;
inline constexpr Duration kShortTask{10'000};

// Sends the statuses that are due, as far as their turn has come. Those of tasks that wait are
// explained first; see explain.h.
void FlushTasks(World& world);
// Whether so many statuses of the namespace are on their way that the next waits: so that one whose
// writes hang does not take what others need.
bool Crowds(const Tenant& tenant);
// The task's status waits until one of its namespace has been answered.
void StandInLine(TaskState& task, const std::string& key);

}  // namespace spillway::core
