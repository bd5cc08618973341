// Hands what was seen of the API server's objects, and how our writes have ended, to the rooms that
// they belong to.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// Ignores a state that is older than one already known.
void Observe(World& world, const Object& object);
void Forget(World& world, const Gone& gone);
// Whatever of the kind is not in the list and not newer than it is gone.
void ForgetOthers(World& world, const Listed& listed);
// The outcome of one of our own writes.
void Conclude(World& world, const Outcome& outcome);

}  // namespace spillway::core
