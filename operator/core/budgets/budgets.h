// What the tasks of a namespace may cost.
//
// Money is spent by attempts that have ended on a server with a price: its price times the time
// that they ran. Beside that, what runs, and what waits for a server that is bought, is committed:
// the price times the time that it is expected to run, or has run by now if that is longer. A task
// that the namespace's Budgets do not cover besides is held: it waits for a cheaper server, until
// more is left, or fails (action Deny); see payment.h.
//
// A Budget counts what the TaskRequests tell that are there, and besides, after a restart, what its
// own status tells of those that are not.
#pragma once

#include <cstdint>
#include <string>

#include "operator/core/budgets/state.h"

namespace spillway::core {

// A Budget's amounts are written at most this often.
inline constexpr Duration kAmountsEvery{10'000};
// Held tasks of a namespace are looked at again at most this often.
inline constexpr Duration kEaseEvery{1'000};

// What so much time costs at a price per hour. All amounts in millionths of the currency unit.
int64_t CostOf(int64_t price_micros, Duration used);

// The Budget with the least left, of those that keep tasks from being started; null if there is
// none.
const BudgetState* Tightest(const Budgets& budgets, const Account& account);
// What is left for all of the account's tasks; no limit without a Budget.
int64_t LeftOf(const Budgets& budgets, const Account& account);
// The greatest price per hour at which what runs for so long can be paid, where so much of what is
// committed is its own; no limit without a Budget.
int64_t PayableUpTo(const Budgets& budgets, const Account& account, Duration run, int64_t own = 0);
// That so much is needed and not left, with the numbers.
std::string DescribeShortage(const BudgetState& budget, const Account& account, int64_t need);

// A task is expected to cost so much, beside what it has cost before. committed: what it was
// expected to cost until now, of which the account has taken note.
void Commit(Context& context, Account& account, int64_t& committed, int64_t micros);
void NoteSpent(Account& account, const api::Attempt& attempt);
// All that a task has cost by its status.
void NoteSpent(Account& account, const api::TaskStatus& status);
// As if the status had not been noted: another account of it follows.
void TakeSpentBack(Account& account, const api::TaskStatus& status);

// More may be left: the account's held tasks are looked at in this step.
void RetryHeld(Account& account);
// Whether they are to be looked at now, which is then done; if it is only too early, the core is
// woken.
bool TakeEased(Context& context, Account& account);
// Forgets the accounts that no task and no Budget has, and of which none could count anything.
void ForgetAccounts(const Context& context, Budgets& budgets);
// Begins new periods.
void BeginPeriods(Context& context, Budgets& budgets);
// Statuses and events of the Budgets.
void DescribeBudgets(Context& context, Budgets& budgets);

}  // namespace spillway::core
