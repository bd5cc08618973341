// What is known of namespaces that have nothing left.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

inline constexpr Duration kForgetTenantsEvery{600'000};

// Forgets, now and then, the namespaces that nobody refers to and of which nothing is to be kept.
void ForgetTenants(World& world);

}  // namespace spillway::core
