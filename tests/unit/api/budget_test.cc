#include "operator/api/budget.h"

#include <gtest/gtest.h>

namespace spillway::api {
namespace {

Time At(const char* text) { return *ParseTime(text); }

TEST(BudgetTest, AMonthIsItsPeriodUnlessAnotherIsNamed) {
  const auto budget = DecodeBudget(Json::parse(R"({"spec":{"amount":"12.50"}})"));
  ASSERT_TRUE(budget.ok());
  EXPECT_EQ(budget->spec.amount_micros, 12'500'000);
  EXPECT_EQ(budget->spec.period, BudgetPeriod::kMonth);
  EXPECT_EQ(budget->spec.action, BudgetAction::kHold);
  EXPECT_EQ(budget->spec.warn_percent, 80);
}

TEST(BudgetTest, AnAmountThatCannotBeReadIsAnError) {
  EXPECT_FALSE(DecodeBudget(Json::parse(R"({"spec":{"amount":"much"}})")).ok());
}

TEST(BudgetTest, ADayBeginsAtMidnight) {
  const Period day = PeriodOf(BudgetPeriod::kDay, At("2026-02-28T23:59:59Z"));
  EXPECT_EQ(day.start, At("2026-02-28T00:00:00Z"));
  EXPECT_EQ(day.end, At("2026-03-01T00:00:00Z"));
}

TEST(BudgetTest, AWeekBeginsOnMonday) {
  const Period week = PeriodOf(BudgetPeriod::kWeek, At("2026-11-29T12:00:00Z"));  // a Sunday
  EXPECT_EQ(week.start, At("2026-11-23T00:00:00Z"));
  EXPECT_EQ(week.end, At("2026-11-30T00:00:00Z"));
  EXPECT_EQ(PeriodOf(BudgetPeriod::kWeek, week.end).start, week.end);
}

TEST(BudgetTest, AMonthEndsWhereTheNextBegins) {
  const Period month = PeriodOf(BudgetPeriod::kMonth, At("2026-12-31T23:00:00Z"));
  EXPECT_EQ(month.start, At("2026-12-01T00:00:00Z"));
  EXPECT_EQ(month.end, At("2027-01-01T00:00:00Z"));
}

TEST(BudgetTest, AStatusIsReadAsItWasWritten) {
  Budget budget;
  budget.status.period_start = At("2026-11-01T00:00:00Z");
  budget.status.spent_micros = 1'500'000;
  budget.status.committed_micros = 250'000;
  budget.status.remaining_micros = 250'000;
  budget.status.held = 2;
  const Json json{{"spec", {{"amount", "2"}}}, {"status", EncodeStatus(budget.status)}};
  EXPECT_EQ(json["status"]["remaining"], "0.25");
  EXPECT_EQ(DecodeBudget(json)->status, budget.status);
}

}  // namespace
}  // namespace spillway::api
