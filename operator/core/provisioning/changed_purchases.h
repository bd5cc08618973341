// ScaleRequests that a policy or webhook has made something else of than was asked for: nothing is
// bought for these.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// The creation of the purchase was answered with that object. False if it is what was asked for;
// otherwise it fails, and the pool that was meant is held.
bool RejectChanged(World& world, ScaleState& scale, const api::ScaleRequest& admitted);

}  // namespace spillway::core
