#include "operator/core/budgets/state.h"

#include <utility>

namespace spillway::core {

void RecordEvent(Context& context, const BudgetState& budget, bool warning, std::string reason,
                 std::string message) {
  RecordEvent(context, Kind::kBudget, budget.object.meta, warning, std::move(reason),
              std::move(message));
}

}  // namespace spillway::core
