// Whether it pays to buy a server for a task, or to wait for one that is there.
#pragma once

#include <optional>
#include <string>

#include "operator/core/scheduling/estimates.h"
#include "operator/core/world.h"

namespace spillway::core {

// How long a server takes to start where none of its pool has been seen to.
inline constexpr Duration kBootGuess{120'000};

// When the server of the ScaleRequest is expected.
std::optional<Estimate> EstimateArrival(const World& world, const std::string& scale);
// Of a task that waits for a server on its way: when that is expected. Otherwise when a registered
// server is expected to have room, after those before it. Nothing where that is not known.
std::optional<Estimate> EstimateStart(const World& world, const TaskState& task);

// burstAfterSeconds: auto. Whether it pays to wait for a registered server; false where that is not
// known. It pays to buy if the time that is saved is worth what the server costs from its purchase
// to the end of the task, or for its billing step, where an hour is worth
// spec.placement.maxPricePerHour, or the pool's price.
// numbers: set to what was compared, if it was.
bool PaysToWait(const World& world, const TaskState& task, const PoolState& pool,
                std::string* numbers);

}  // namespace spillway::core
