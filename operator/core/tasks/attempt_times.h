// When attempts ran. A node's clock may be anywhere: what nodes tell is brought to between the
// creation of the attempt's pod and now, by our clock.
#pragma once

#include <optional>

#include "operator/core/world.h"

namespace spillway::core {

// When its first container started, by its node; nothing if none ran, as far as it tells.
std::optional<Time> FirstStart(const api::Pod& pod);
// When the pod of the current attempt began to run.
Time RunsSince(const World& world, const TaskState& task, const api::Pod& pod);
// Brings the times of the current attempt to where they can be. A clock that is wrong measures
// durations well, so the attempt is moved as a whole where it can be. created: its pod, by the API
// server, or Time{} where that is not known. now: what nothing that has happened can be later than.
void BoundTimes(const TaskState& task, Time created, Time now, api::Attempt& attempt);

}  // namespace spillway::core
