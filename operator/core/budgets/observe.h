// What the budgets' room takes up of what was seen.
#pragma once

#include <string>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// A state that is older than the one known is ignored.
void OnSeen(World& world, const api::Budget& object);
void OnBudgetGone(World& world, const std::string& key);

}  // namespace spillway::core
