// The life of one TaskRequest, from its first sight to its deletion.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

// How long a node may be unready before its tasks are run elsewhere.
inline constexpr Duration kLostServerGrace{60'000};
// A task that waits is given this long before its status says so: most find a server at once.
inline constexpr Duration kExplainAfter{500};
// A waiting task's explanation is looked at again after 5 s, then ever later, up to this.
inline constexpr Duration kExplainAtLeastEvery{300'000};
// A bound task whose pod does not run by then is shown as Assigned; see Bound.
inline constexpr Duration kAssignedAfter{3'000};
// Running is written this long after an Assigned that was written.
inline constexpr Duration kRunningAfter{10'000};
// A pod that takes longer to end than this, while the next attempt waits for it, is told.
inline constexpr Duration kLingersFor{10'000};
inline constexpr Duration kMaxBackoff{3'600'000};
// So many pods of attempts that have ended stay, to be read.
inline constexpr size_t kKeptPods = 3;

// Looks at the task with all that is known: adopts pods, follows the one that runs, ends it, queues
// it.
void ReconcileTask(World& world, TaskState& task);
// The number of the attempt that would come next; attempts start at 1 and are never used twice.
int64_t NextAttempt(const TaskState& task);
// The attempt of the task on the server.
std::shared_ptr<const Binding> BindingTo(const TaskState& task, const ServerState& server,
                                         std::string pod_name, int64_t attempt, Time at);
// The task has a new binding: out of the queue, and its status is due in a while. To spare a
// write, a pod that starts soon is reported once, as Running, and one that ends before that only
// once.
void Bound(World& world, TaskState& task);
// Lets the conditions speak of the binding, if they do not yet: before they are written or say
// anything newer. Most bindings are never told, since the pod runs before the status is due.
void TellAssigned(TaskState& task);
// How the creation of a task's pod ended.
void PodCreated(World& world, TaskState& task, const Outcome& outcome);
// Whether a pod of an earlier attempt may still run: then the task leaves the queue until that
// ends.
bool DequeueIfPodLingers(World& world, TaskState& task);
// Puts off the next attempt; the task is looked at again then.
void BackOff(World& world, TaskState& task, Duration wait);
// Stops the attempt, which must run or be about to, and lets the task wait again: others need it
// so.
void Requeue(World& world, TaskState& task, const std::string& reason, const std::string& why);
// Sets phase, Ready and its kin of a task that waits.
void DescribeWaiting(World& world, TaskState& task, api::TaskPhase phase,
                     const std::string& message);
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
