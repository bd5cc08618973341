// What a task's status says while it waits and starts, and when it is written.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

// A task that waits is given this long before its status says so: most find a server at once.
inline constexpr Duration kExplainAfter{500};
// A waiting task's explanation is looked at again after kExplainAgain, then ever later, up to this.
inline constexpr Duration kExplainAtLeastEvery{300'000};
// A bound task whose pod does not run by then is shown as Assigned; see DescribeBound.
inline constexpr Duration kAssignedAfter{3'000};
// Running is written this long after an Assigned that was written.
inline constexpr Duration kRunningAfter{10'000};

// The task has a new binding: its status is due in a while. To spare a write, a pod that starts
// soon is reported once, as Running, and one that ends before that only once.
void DescribeBound(World& world, TaskState& task);
// Lets the conditions speak of the binding, if they do not yet: before they are written or say
// anything newer. Most bindings are never told, since the pod runs before the status is due.
void TellAssigned(TaskState& task);
// Sets phase, Ready and its kin of a task that waits.
void DescribeWaiting(World& world, TaskState& task, api::TaskPhase phase,
                     const std::string& message);
// Its status tells of something else than why it waits in the queue, or than the server on its way:
// that is over.
bool SaysElse(const api::TaskStatus& status);
// Tells those who wait for a server on its way, or do so no more. Empties Provisioning::changes.
void TellNominations(World& world);
// Whether it gives just that as why the task has not ended.
bool Tells(const api::TaskStatus& status, const std::string& message);
// The status as it stands in the API server becomes the task's, and what it has spent its
// account's. Which server it waits for is found anew.
void TakeStored(const World& world, TaskState& task, api::TaskStatus stored);
// Sets its conditions: one list for all tasks of its shape that say the same.
void ShareConditions(TaskState& task, std::vector<api::Condition> conditions);
// Sets the conditions that change(its conditions) leaves.
template <typename Change>
void ChangeConditions(TaskState& task, Change change) {
  std::vector<api::Condition> conditions = *task.object.status.conditions;
  change(conditions);
  task.object.status.conditions = std::move(conditions);
}
// Writes the status if it is due.
void FlushStatus(World& world, TaskState& task);
// Lets it be due later.
void PutOffStatus(World& world, TaskState& task);

}  // namespace spillway::core
