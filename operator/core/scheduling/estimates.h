// When tasks end, and when the room that they leave reaches those that wait.
//
// What runs is expected to end when tasks of its shape have done so before, at the latest by its
// deadline. In the order of those ends, room is handed to the tasks that wait.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

// An estimate is made anew after so long.
inline constexpr Duration kForecastKept{5'000};
// What is added to a deadline: until the pod runs, and until it has ended after its deadline.
inline constexpr Duration kStartAllowance{5'000}, kStopAllowance{30'000};

struct End {
  Time time = kNever;     // not known
  bool observed = false;  // by earlier runs, not by a deadline
  bool stopped = false;   // it was told to
  // When it will be overdue, so that another time, or none, is expected.
  Time doubted = kNever;
};
// What should have ended so long ago may never end.
inline constexpr Duration kOverdue{60'000};
// When the task's pods on the node are expected to have ended. kAtTheLatest: by its deadline, if it
// has one; not known of what is overdue.
enum class When { kProbably, kAtTheLatest };
End ExpectedEnd(const World& world, const TaskState& task, const std::string& node, When when);

// What leaves the node, the first first, those without a known end last.
struct Leaving {
  End end;
  const Demand* demand = nullptr;  // what is counted for it, as long as the ledger stays as it is
};
std::vector<Leaving> LeavingNode(const World& world, const std::string& node, When when);

// Gives each waiting task of the shape its rank, if that was not done recently.
void Rank(World& world, Shape& shape);

struct Estimate {
  Time start{};
  std::string basis;
};
// When a registered server is expected to have room for the one of that rank, from 1, among the
// tasks of the shape, whose record of matches must be current.
std::optional<Estimate> EstimateTurn(const World& world, Shape& shape, int64_t rank);

}  // namespace spillway::core
