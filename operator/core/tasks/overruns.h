// What running tasks have cost beyond what they were expected to.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// What has run for longer than was expected has cost more: it is committed as well, once in a
// while.
void CountOverruns(World& world);

}  // namespace spillway::core
