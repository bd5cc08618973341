// What the budgets' room takes up of what was seen.
#pragma once

#include <string>

#include "operator/core/budgets/state.h"

namespace spillway::core {

// A state that is older than the one known is ignored.
void OnSeen(const Context& context, Budgets& budgets, const api::Budget& object);
void OnBudgetGone(Budgets& budgets, const std::string& key);

}  // namespace spillway::core
