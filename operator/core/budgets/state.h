// What the budgets' room owns: the Budgets, and which namespaces have tasks that these do not
// cover.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "operator/core/context.h"
#include "operator/core/status_writer.h"

namespace spillway::core {

struct BudgetState {
  api::Budget object;
  StatusWriter writer;
  std::optional<api::BudgetStatus> settled;  // the status that was written last
  // Spent in the period by tasks that were deleted before this process began.
  int64_t lost = 0;
  bool restored = false;  // lost was calculated
  Time told_at{};         // when its amounts were calculated for its status
};

struct Budgets {
  std::map<std::string, BudgetState> by_key;
  std::set<std::string> holding;  // namespaces with tasks that cannot be paid
  Time overruns_at{};             // when costs beyond estimates are counted next
};

void RecordEvent(Context& context, const BudgetState& budget, bool warning, std::string reason,
                 std::string message);

}  // namespace spillway::core
