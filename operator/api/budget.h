// Budget: how much the tasks of a namespace may cost. Mirrors crds/budgets.yaml.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/meta.h"

namespace spillway::api {

enum class BudgetPeriod { kDay, kWeek, kMonth };
// What a task meets whose cost the budget does not cover: nothing but a warning; it waits for a
// server that costs nothing, or for the next period; it fails.
enum class BudgetAction { kWarn, kHold, kDeny };

struct BudgetSpec {
  int64_t amount_micros = 0;  // for each period, in millionths of the currency unit
  BudgetPeriod period = BudgetPeriod::kMonth;
  BudgetAction action = BudgetAction::kHold;
  int64_t warn_percent = 80;  // of the amount
};

struct BudgetStatus {
  int64_t observed_generation = 0;
  std::optional<Time> period_start, period_end;
  int64_t spent_micros = 0;      // by attempts that have ended in the period
  int64_t committed_micros = 0;  // estimated, by those that run or wait for a server that is bought
  int64_t remaining_micros = 0;  // of the amount, besides both; never negative
  int64_t held = 0;              // tasks that wait because they cannot be paid
  std::vector<Condition> conditions;
  bool operator==(const BudgetStatus&) const = default;
};

struct Budget {
  ObjectMeta meta;
  BudgetSpec spec;
  BudgetStatus status;
};

// Fails where the amount cannot be read.
Result<Budget> DecodeBudget(const Json& object);
Json EncodeStatus(const BudgetStatus& status);

// The period that the moment lies in, its end excluded. In UTC: a day from midnight, a week from
// Monday, a month from its first day.
struct Period {
  Time start{}, end{};
};
Period PeriodOf(BudgetPeriod period, Time now);

}  // namespace spillway::api
