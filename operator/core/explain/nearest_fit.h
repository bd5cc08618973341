// The smallest change of a task that would make it fit somewhere.
#pragma once

#include <string>
#include <vector>

#include "operator/core/scheduling/fit.h"
#include "operator/core/world.h"

namespace spillway::core {

// A server or a pool that does not take the task.
struct Tested {
  std::string name;
  FitError why;
};

// At most so many servers are tried, the nearest first.
inline constexpr size_t kMostTried = 64;
// More changes than this at once are not proposed.
inline constexpr int kMostChanges = 3;

// What the task must fit: what is free now, or what there is as a whole, for one that is larger
// than all of that.
enum class Against { kFree, kTotals };

// Such as "would fit server a with cpu 3500m instead of 4", with as few changes as possible, of
// amounts rather than of anything else; of several, the one that gives up the smallest part.
// Changes of the task alone: what an admin could do is in the verdicts. Empty if there is none.
// Both lists in order of nearness.
std::string NearestFit(const World& world, const Shape& shape, const std::vector<Tested>& servers,
                       const std::vector<Tested>& pools, Against against);

}  // namespace spillway::core
