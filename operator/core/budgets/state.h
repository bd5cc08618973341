// What the budgets' room owns: the Budgets, the account of each namespace, and which namespaces
// have tasks that their Budgets do not cover.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

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

// A task that cannot be paid.
struct HeldTask {
  int64_t price_micros = 0;  // per hour, of the server that it would take
  int64_t together = 0;      // what its group needs as a whole; 0 if it is alone
};

// What the tasks of a namespace cost. All in millionths of the currency unit.
struct Account {
  std::map<std::chrono::sys_days, int64_t> spent;  // by attempts, on the day of their end
  int64_t committed = 0;                           // estimated, by those that have not ended
  std::set<std::string> budgets;                   // keys in Budgets::by_key
  std::map<std::string, HeldTask> held;            // by their keys
  size_t tasks = 0;                                // that exist
  bool eased = false;                              // more may be left than when they were held
  Time ease_at{};                                  // not before
};

struct Budgets {
  std::map<std::string, BudgetState> by_key;
  // By namespace. Tasks refer to them; see ForgetAccounts.
  std::unordered_map<std::string, Account> accounts;
  std::set<std::string> holding;  // namespaces with tasks that cannot be paid
  bool prices_moved = false;      // a pool has come, gone or changed since they were looked at
};

void RecordEvent(Context& context, const BudgetState& budget, bool warning, std::string reason,
                 std::string message);

}  // namespace spillway::core
