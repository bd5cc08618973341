// Preemption: tasks of a lower priority give way to one that nothing else has room for.
//
// Both sides have a say: it happens where one of the two says spec.preemption Allowed and neither
// says Never, nor the waiting task's PriorityClass (preemptionPolicy Never). It is the last resort:
// not where a server with room may be bought, or is on its way, or is expected to be free soon. Nor
// do more and more give way in vain, where the waiting task's pod is refused each time.
#pragma once

#include <functional>
#include <vector>

#include "operator/core/scheduling/decisions.h"
#include "operator/core/world.h"

namespace spillway::core {

// No task gives way where the room is expected within this time anyway.
inline constexpr Duration kWorthWaiting{60'000};
// So long after tasks gave way in vain none does to the like: those may start where there is room.
inline constexpr BackoffRange kNextPreemption{std::chrono::minutes(1), std::chrono::hours(2)};

// Whether a server with room for the task may be bought, or is on its way.
using Buyable = std::function<bool(const TaskState& task)>;

// For the first task of each shape at most: stops those that give way, and keeps their server for
// it.
void Preempt(World& world, Decisions& decisions, const Buyable& buyable);

// The task is bound. If that is for others having given way, its pod must run.
void NoteMadeWay(const World& world, TaskState& task);
// The task waits again: if its pod has not run, others gave way to it in vain.
void NoteInVain(const World& world, TaskState& task);
// Its pod runs.
void NoteNotInVain(TaskState& task);

// Those on the server that would give way to the task, as few and of as low a priority as
// possible; none where that does not help, or where nobody needs to.
std::vector<TaskState*> Victims(World& world, const TaskState& task, const ServerState& server);

}  // namespace spillway::core
