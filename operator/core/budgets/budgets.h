// What the tasks of a namespace may cost.
//
// Money is spent by attempts that have ended on a server with a price: its price times the time
// that they ran. Beside that, what runs, and what waits for a server that is bought, is committed:
// the price times the time that it is expected to run, or has run by now if that is longer. A task
// that the namespace's Budgets do not cover besides is held: it waits as one that only servers
// without a price take, until more is left; with action Deny it fails.
//
// A Budget counts what the TaskRequests tell that are there, and besides, after a restart, what its
// own status tells of those that are not.
#pragma once

#include <cstdint>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// How long a task is expected to run if nothing of its shape has succeeded and it has no deadline.
inline constexpr Duration kRunGuess{3'600'000};
// A Budget's amounts are written at most this often.
inline constexpr Duration kAmountsEvery{10'000};
// Held tasks of a namespace are looked at again at most this often.
inline constexpr Duration kEaseEvery{1'000};

// What so much time costs at a price per hour. All amounts in millionths of the currency unit.
int64_t CostOf(int64_t price_micros, Duration used);
// What an attempt of a task of the shape is expected to cost.
int64_t EstimateCost(const Shape& shape, int64_t price_micros);
// The greatest price per hour that the namespace can pay for the task; no limit without a Budget.
int64_t PayableUpTo(const World& world, const TaskState& task);
// The same for a task of the shape that is not there.
int64_t PayableUpTo(const World& world, const Tenant& tenant, const Shape& shape);
bool MayPay(const World& world, const TaskState& task, int64_t price_micros);
// What is left for all of the tenant's tasks; no limit without a Budget.
int64_t LeftOf(const World& world, const Tenant& tenant);

// The task is expected to cost so much, beside what it has cost before.
void Commit(World& world, TaskState& task, int64_t micros);
void NoteSpent(Tenant& tenant, const api::Attempt& attempt);
// All that a task has cost by its status.
void NoteSpent(Tenant& tenant, const api::TaskStatus& status);
// As if the status had not been noted: another account of it follows.
void TakeSpentBack(Tenant& tenant, const api::TaskStatus& status);

// The task would take a server at that price, and what it needs for that, or its group together, is
// not left: it waits for a server without a price, or fails.
void MarkOverBudget(World& world, TaskState& task, const HeldTask& held);
// Held no more: because it can be paid, was bound, or has ended.
void ClearOverBudget(World& world, TaskState& task);
// More may be left: the tenant's held tasks are looked at in this step.
void RetryHeld(Tenant& tenant);
// Begins new periods, and lets those wait as they would who can be paid by now.
void KeepBudgets(World& world);
// Statuses and events of the Budgets.
void DescribeBudgets(World& world);
// Why the task is held; empty if it is not.
std::string ExplainBudget(const World& world, const TaskState& task);

}  // namespace spillway::core
