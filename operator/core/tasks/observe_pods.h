// What the tasks' room takes up of pods, whosever they are, and how our writes of them have ended.
#pragma once

#include <string>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// A state that is older than the one known is ignored.
void OnSeen(World& world, const api::Pod& pod);
void OnPodGone(World& world, const std::string& key);
void OnPodOutcome(World& world, const Outcome& outcome);
// What pods said at their end counts, though they went before anything could be made of it: those
// are kept until everything was listed.
void ForgetEarlyGone(World& world);

}  // namespace spillway::core
