// Whose status is written when: results before progress before explanations, at most so many at
// once, and no namespace at the cost of the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "operator/core/tasks/state.h"

namespace spillway::core {

struct World;

// Twice the workers that send them by default: enough to keep those busy.
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

// Empties the keys, and calls visit(task, key) with each task that still exists. The key may be
// handed on to another set as it is: after a start those of all tasks are in one.
template <typename Visit>
void TakeTasks(Tasks& tasks, std::set<std::string>& keys, Visit visit) {
  for (std::set<std::string> round = std::exchange(keys, {}); !round.empty();) {
    auto key = round.extract(round.begin());
    const auto task = tasks.by_key.find(key.value());
    if (task != tasks.by_key.end()) visit(task->second, std::move(key));
  }
}

// Sends the statuses that are due, as far as their turn has come; those of tasks that wait are
// explained first.
void FlushTasks(World& world);

}  // namespace spillway::core
