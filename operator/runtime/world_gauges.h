// What the core knows, as gauges.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "operator/core/world.h"

namespace spillway::runtime {

// Of so many extended resources at most, the first by name.
inline constexpr size_t kMostResources = 20;

// By one thread with the core's.
std::vector<prometheus::MetricFamily> DescribeWorld(const core::World& world);
// Why a task that has not ended and has no pod waits, as one of a few words; empty if it does not
// wait, or is suspended.
std::string PendingReason(const core::World& world, const core::TaskState& task);

}  // namespace spillway::runtime
