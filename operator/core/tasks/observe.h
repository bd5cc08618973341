// What the tasks' room takes up of what was seen: TaskRequests, the pods of all, and how our writes
// of the two have ended.
#pragma once

#include <string>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// A state that is older than the one known is ignored.
void OnSeen(World& world, const api::TaskRequest& object);
void OnTaskGone(World& world, const std::string& key);
void OnTaskOutcome(World& world, const Outcome& outcome);

}  // namespace spillway::core
