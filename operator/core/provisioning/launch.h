// A purchase from its request until its node is ready.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// How long its pool gives a server to be ready.
Duration ProvisionTimeout(const World& world, const ScaleState& scale);
// Asks the engine for it, follows what that makes, and gives up what is not ready in time.
void Launch(World& world, ScaleState& scale);

}  // namespace spillway::core
