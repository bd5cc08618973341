// When a waiting task will start, and whether it pays to buy a server for it.
//
// What runs is expected to end when tasks of its shape have done so before, at the latest by its
// deadline. In the order of those ends, room is handed to the tasks that wait.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

// Where no server of a pool has been seen to start.
inline constexpr Duration kBootGuess{120'000};
// A forecast is made anew after so long.
inline constexpr Duration kForecastKept{5'000};

struct End {
  Time time = kNever;     // not known
  bool observed = false;  // by earlier runs, not by a deadline
};
// When the task's pod on the node is expected to have ended. kAtTheLatest: by its deadline, if it
// has one.
enum class When { kProbably, kAtTheLatest };
End ExpectedEnd(const World& world, const TaskState& task, const std::string& node, When when);

// What leaves the node, the first first, those without a known end last.
struct Leaving {
  End end;
  const Shape* shape = nullptr;
};
std::vector<Leaving> LeavingNode(const World& world, const std::string& node, When when);

// Gives each waiting task of the shape its rank, if that was not done recently.
void Rank(World& world, Shape& shape);

struct Estimate {
  Time start{};
  std::string basis;
};
// When the server of the ScaleRequest is expected.
std::optional<Estimate> EstimateArrival(const World& world, const std::string& scale);
// When a registered server is expected to have room for the one of that rank, from 1, among the
// tasks of the shape, whose record of matches must be current.
std::optional<Estimate> EstimateTurn(const World& world, Shape& shape, int64_t rank);
// Of a task that waits for a server on its way: when that is expected. Otherwise when a registered
// server is expected to have room, after those before it. Nothing where that is not known.
std::optional<Estimate> EstimateStart(World& world, const TaskState& task);

// burstAfterSeconds: auto. Whether it pays to wait for a registered server; false where that is not
// known. It pays to buy if the time that is saved is worth
// what the server costs from its purchase to the end of the task, or for its billing step, where an
// hour is worth spec.placement.maxPricePerHour, or the pool's price.
// numbers: set to what was compared, if it was.
bool PaysToWait(World& world, const TaskState& task, const PoolState& pool, std::string* numbers);

// The task's place in the queue and its estimate, as they are told: not every small change is.
void ForecastTask(World& world, TaskState& task);

}  // namespace spillway::core
