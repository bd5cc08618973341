// Which server on its way each task waits for: what was bought for one task is not promised to
// another, and nothing is bought for a task that has such a promise.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// Whether it was able to take a task and has taken none: whoever it was bought for may be about to.
// A group may have other plans for it.
bool MayHostYet(const World& world, const ScaleState& scale);
// A new plan: nobody has been promised anything yet.
void BeginPlan(World& world);
// Before its engine has said what it has: a server that is on its way is believed for as long as
// that may take, and one that is registered is no longer on its way.
bool IsBelieved(const World& world, const ScaleState& scale);
// Renews what was promised before, where it still holds. Tasks that a server was bought for, and
// that have no promise of another, come first, so that it is not promised away from them; then
// those that wait for one already, of which those that are hidden (see admission.h) are promised
// another if theirs is taken.
void KeepPromises(World& world);
// Whether the task's status says that it waits for a server on its way.
bool IsToldOfServer(const TaskState& task);
// Promises room in the server to the task, which is told so once the purchase exists: one that is
// refused is tried again and again, and each try would cost two writes. note: what the choice was
// made by.
void Nominate(World& world, TaskState& task, ScaleState& scale, const std::string& note = "");
// Ends the plan: who was promised nothing in it waits like any other, and is told why: if it was
// told of the server before, or if that was refused for another reason than the one before.
void DropNominations(World& world);
// The first purchase on its way, or there and without a task yet, whose server has room for a task
// of the shape, besides what was promised of it, and whose pool costs no more than so many micros
// an hour; null if there is none.
const ScaleState* FindInflight(const World& world, const Shape& shape,
                               int64_t most = api::kMostMicros);
// Into Provisioning::changes, what a task is told that waits for the server of the purchase. note:
// what the choice was made by.
void TellNominated(World& world, TaskState& task, const ScaleState& scale,
                   const std::string& note = "");
// The same to those that were to be told once it exists, which it does now.
void TellCreated(World& world, ScaleState& scale);
// The same to all that wait for it.
void TellWaiting(World& world, const ScaleState& scale);

}  // namespace spillway::core
