#include "operator/api/budget.h"

#include "operator/api/task_request.h"

namespace spillway::api {
namespace {

BudgetPeriod DecodePeriod(const std::string& text) {
  if (text == "Day") return BudgetPeriod::kDay;
  return text == "Week" ? BudgetPeriod::kWeek : BudgetPeriod::kMonth;
}

BudgetAction DecodeAction(const std::string& text) {
  if (text == "Warn") return BudgetAction::kWarn;
  return text == "Deny" ? BudgetAction::kDeny : BudgetAction::kHold;
}

BudgetStatus DecodeStatus(const Json& json) {
  BudgetStatus status;
  status.observed_generation = GetInt(json, "observedGeneration");
  status.period_start = GetTime(json, "periodStart");
  status.period_end = GetTime(json, "periodEnd");
  status.spent_micros = ParsePrice(GetString(json, "spent")).value_or(0);
  status.committed_micros = ParsePrice(GetString(json, "committed")).value_or(0);
  status.remaining_micros = ParsePrice(GetString(json, "remaining")).value_or(0);
  status.held = GetInt(json, "heldTasks");
  status.conditions = DecodeConditions(json);
  return status;
}

}  // namespace

Result<Budget> DecodeBudget(const Json& object) {
  const Json& spec = GetObject(object, "spec");
  const auto amount = ParsePrice(GetString(spec, "amount"));
  if (!amount) return Invalid("a Budget whose amount cannot be read");
  Budget budget;
  budget.meta = DecodeMeta(object);
  budget.spec = {*amount, DecodePeriod(GetString(spec, "period")),
                 DecodeAction(GetString(spec, "action")), GetInt(spec, "warnPercent", 80)};
  budget.status = DecodeStatus(GetObject(object, "status"));
  return budget;
}

Json EncodeStatus(const BudgetStatus& status) {
  Json json{{"observedGeneration", status.observed_generation},
            {"spent", FormatPrice(status.spent_micros)},
            {"committed", FormatPrice(status.committed_micros)},
            {"remaining", FormatPrice(status.remaining_micros)},
            {"heldTasks", status.held},
            {"conditions", EncodeConditions(status.conditions)}};
  if (status.period_start) json["periodStart"] = FormatTime(*status.period_start);
  if (status.period_end) json["periodEnd"] = FormatTime(*status.period_end);
  return json;
}

Period PeriodOf(BudgetPeriod period, Time now) {
  using namespace std::chrono;
  const sys_days today = floor<days>(now);
  if (period == BudgetPeriod::kDay) return {today, today + days(1)};
  if (period == BudgetPeriod::kWeek) {
    const sys_days monday = today - (weekday(today) - Monday);
    return {monday, monday + days(7)};
  }
  const year_month_day date(today);
  const auto first = date.year() / date.month() / 1;
  return {sys_days(first), sys_days(first + months(1))};
}

}  // namespace spillway::api
