// What tasks are expected to cost, and those that cannot be paid: a task that its namespace's
// Budgets do not cover waits as one that only servers take that cost no more than the dearest pool
// that is covered, until more is left; with action Deny it fails where there is no such pool.
#pragma once

#include <cstdint>

#include "operator/core/scheduling/decisions.h"
#include "operator/core/world.h"

namespace spillway::core {

// How long a task is expected to run if nothing of its shape has succeeded and it has no deadline.
inline constexpr Duration kRunGuess{3'600'000};

// How long a task of the shape is expected to run.
Duration ExpectedRun(const Shape& shape);
// What an attempt of a task of the shape is expected to cost, in millionths of the currency unit.
int64_t EstimateCost(const Shape& shape, int64_t price_micros);
// The greatest price per hour that the namespace can pay for the task; no limit without a Budget.
int64_t PayableUpTo(const World& world, const TaskState& task);
bool MayPay(const World& world, const TaskState& task, int64_t price_micros);
// A task that would take a server which cannot be paid, and what it needs for that.
struct UnpaidTask {
  TaskState* task = nullptr;
  HeldTask need;
};

// What the task would need that cannot be paid, for itself or for its group together.
int64_t NeedOf(const TaskState& task, const HeldTask& held);

// The task is expected to cost so much, beside what it has cost before.
void Commit(World& world, TaskState& task, int64_t micros);
// The task would take a server at that price, and what it needs for that, or its group together, is
// not left: it waits for one of a cheaper pool or without a price, or fails.
// most: the greatest price per hour of the pools that it may use and that are covered; nothing if
// there is none.
void MarkOverBudget(World& world, Decisions& decisions, TaskState& task, const HeldTask& held,
                    std::optional<int64_t> most);
// Held no more: because it can be paid, was bound, or has ended.
void ClearOverBudget(World& world, TaskState& task);
// Lets those wait as they would who can be paid by now.
void EaseHeld(World& world);

}  // namespace spillway::core
