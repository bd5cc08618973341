#include "operator/core/tasks/tasks.h"

#include <algorithm>

#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/queue.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/another_leader.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/changed_pods.h"
#include "operator/core/tasks/cleanup.h"
#include "operator/core/tasks/follow.h"
#include "operator/core/tasks/kept.h"
#include "operator/core/tasks/left_pods.h"
#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status.h"

namespace spillway::core {
namespace {

using api::TaskPhase;
using api::TaskStatus;

void Expire(World& world, TaskState& task, const char* reason, const std::string& message) {
  StopAttempt(world, task, reason);
  Finish(world, task, TaskPhase::kFailed, reason, message);
  RecordEvent(world, task, true, reason, message);
}

bool HasRun(const TaskState& task) {
  const auto& attempts = task.object.status.attempts;
  return task.object.status.started_at ||
         std::any_of(attempts.begin(), attempts.end(),
                     [](const api::Attempt& attempt) { return attempt.started_at.has_value(); });
}

// Since its creation, or since it was resumed: while it is suspended it does not reconcile.
Time WaitsSince(const TaskState& task) {
  const auto* reconciling = api::FindCondition(*task.object.status.conditions, "Reconciling");
  const bool since = reconciling != nullptr && reconciling->status == "True";
  return since ? std::max(task.object.meta.created, reconciling->last_transition)
               : task.object.meta.created;
}

// The deadline of the time that it runs begins anew with the next run, as that of a Job does.
void Suspend(World& world, TaskState& task) {
  TaskStatus& status = task.object.status;
  // Also where a pod has appeared whose creation had been given up.
  if (status.phase == TaskPhase::kSuspended && !task.binding) return;
  StopAttempt(world, task, "Suspended");
  Dequeue(world, task);
  status.phase = TaskPhase::kSuspended;
  status.started_at.reset();
  status.explanation.reset();
  status.forecast.reset();
  task.made_way = 0;
  task.nominated.clear();
  ChangeConditions(task, [&](auto& conditions) {
    // It goes no further by itself: whoever waits for its end is told so at once.
    api::SetProgress(conditions, api::Progress::kStalled, "Suspended", kHeldBySuspend,
                     task.object.meta.generation, world.now);
  });
  task.status_due = world.now;
}

// Why it does not run yet, as the task says it now: an explanation may be from before a purchase or
// an assignment.
std::string LastTold(const TaskStatus& status) {
  const auto* told = api::FindCondition(*status.conditions, "Reconciling");
  if (told != nullptr && told->status == "True") return ": " + told->message.str();
  return status.explanation ? ": " + status.explanation->summary : "";
}

// What the user or a deadline asks for, whatever the task does at the moment.
void Intervene(World& world, TaskState& task) {
  const api::TaskSpec& spec = task.object.spec;
  TaskStatus& status = task.object.status;
  if (spec.cancel) {
    StopAttempt(world, task, "Cancelled");
    Finish(world, task, TaskPhase::kCancelled, "Cancelled", "cancelled by spec.cancel");
    return;
  }
  // Nothing is late that may not run; a resumed task waits anew.
  if (spec.suspend) return Suspend(world, task);
  if (status.phase == TaskPhase::kSuspended) return;
  if (!HasRun(task) && !task.object.meta.deleted &&
      WakeUnlessPassed(world, task, WaitsSince(task), spec.start_deadline)) {
    return Expire(world, task, "StartDeadlineExceeded",
                  "did not run within " + FormatDuration(*spec.start_deadline) + LastTold(status));
  }
  if (status.started_at &&
      WakeUnlessPassed(world, task, *status.started_at, spec.active_deadline)) {
    return Expire(world, task, "DeadlineExceeded",
                  "ran longer than " + FormatDuration(*spec.active_deadline));
  }
}

// True if a pod of an earlier attempt may still run: then the task is in no queue until that ends.
bool AwaitsPod(World& world, TaskState& task) {
  Time wake = kNever;
  if (Lingering(world, task, &wake) == nullptr) return false;
  Dequeue(world, task);
  if (wake != kNever) world.tasks.Wake(task, wake);
  return true;
}

// True while the pod of the last attempt may appear, of whose creation nobody knows what became.
bool AwaitsLatePod(World& world, TaskState& task) {
  if (!MayAppearLate(task)) return false;
  if (world.now >= task.may_appear_until) {
    task.unsure = false;
    return false;
  }
  Dequeue(world, task);
  world.tasks.Wake(task, task.may_appear_until);
  const std::string why = "pod " + task.object.status.assignment->pod_name +
                          ", whose creation was not answered, may appear until " +
                          FormatTime(task.may_appear_until) + "; no other begins before";
  if (Tells(task.object.status, why)) return true;
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  task.status_due = std::min(task.status_due, world.now + kExplainAfter);
  return true;
}

// Why the next attempt does not begin, once the pod of the last one takes its time to end.
void TellLingering(World& world, TaskState& task) {
  Time wake = kNever;
  const std::string why = StillThere(world, task, &wake);
  if (wake != kNever) world.tasks.Wake(task, wake);
  if (why.empty() || Tells(task.object.status, why)) return;
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  task.status_due = std::min(task.status_due, world.now);
}

// Whether an attempt may follow, as far as its user says.
bool MayBegin(const api::TaskRequest& task) {
  return !Finished(task.status.phase) && !task.spec.suspend && !task.meta.deleted;
}

void Enqueue(World& world, TaskState& task) {
  if (task.queued == task.priority) return;
  const bool first = !task.queued;
  Dequeue(world, task);
  JoinQueue(world, task);
  if (first) {
    if (task.waiting_since == Time{}) task.waiting_since = task.object.meta.created;
    if (SaysElse(task.object.status)) task.explain_after = kExplainAgain;
    world.tasks.Wake(task, std::max(world.now, task.waiting_since) + kExplainAfter);
  }
}

// It waits for that alone: whatever else was told of it is over.
void TellClassless(World& world, TaskState& task, const std::string& missing) {
  TaskStatus& status = task.object.status;
  Dequeue(world, task);
  task.nominated.clear();
  status.explanation.reset();
  status.forecast.reset();
  DescribeWaiting(
      world, task, TaskPhase::kPending,
      "PriorityClass " + missing + " does not exist; create it, or change spec.priorityClassName");
  task.status_due =
      std::min(task.status_due, std::max(world.now, task.object.meta.created + kExplainAfter));
}

void Await(World& world, TaskState& task) {
  TaskStatus& status = task.object.status;
  NoteRanAfterAll(world, task);
  if (task.object.spec.suspend) return;
  if (task.object.meta.deleted) return RestKept(world, task);
  if (status.phase == TaskPhase::kSuspended) {
    task.WaitAnew(world.now);
    DescribeWaiting(world, task, TaskPhase::kPending, "resumed");
    task.status_due = world.now;
    const auto& deadline = task.object.spec.start_deadline;
    if (deadline) world.tasks.Wake(task, world.now + *deadline);
  }
  if (world.now < task.not_before) {
    Dequeue(world, task);
    world.tasks.Wake(task, task.not_before);
    return;
  }
  if (task.creating || task.anothers) {
    // It may still appear, and there must not be two.
    Dequeue(world, task);
    return;
  }
  if (AwaitsLatePod(world, task)) return;
  if (HasChanged(world, task)) return Dequeue(world, task);
  if (AwaitsPod(world, task)) return TellLingering(world, task);
  if (RanAfterAll(task))
    return Expire(world, task, "LossLimitExceeded",
                  "its pod ran after it had been taken back, and spec.retry.lossLimit is 0");
  if (const auto missing = Prioritize(world, task)) return TellClassless(world, task, *missing);
  status.retry_at.reset();
  Enqueue(world, task);
}

}  // namespace

bool WakeUnlessPassed(World& world, TaskState& task, Time from,
                      const std::optional<Duration>& deadline) {
  if (!deadline) return false;
  if (world.now >= from + *deadline) return true;
  world.tasks.Wake(task, from + *deadline);
  return false;
}

int64_t NextAttempt(const TaskState& task) {
  if (IsUnsettled(task)) return task.object.status.assignment->attempt;
  int64_t last = LastEnded(task);
  if (task.object.status.assignment) last = std::max(last, task.object.status.assignment->attempt);
  const auto& pods = task.owner->pods;
  if (!pods.empty()) last = std::max(last, pods.back().first);
  return last + 1;
}

void BackOff(World& world, TaskState& task, Duration wait) {
  task.not_before = world.now + wait;
  world.tasks.Wake(task, task.not_before);
}

void ReconcileTask(World& world, TaskState& task) {
  if (task.shape == nullptr) {
    Dequeue(world, task);
    DropUnwanted(world, task);
  } else {
    TaskStatus& status = task.object.status;
    if (status.observed_generation != task.object.meta.generation) {
      status.observed_generation = task.object.meta.generation;
      if (Finished(status.phase) && !task.object.meta.deleted) task.status_due = world.now;
    }
    if (!Finished(status.phase)) Adopt(world, task);
    if (task.binding && !Finished(status.phase)) Follow(world, task);
    if (!Finished(status.phase)) Intervene(world, task);
    DropUnwanted(world, task);
    if (!Finished(status.phase) && !task.binding) Await(world, task);
    DeleteOrphans(world, task);
    TellStillThere(world, task);
  }
  if (task.binding || !MayBegin(task.object)) ClearOverBudget(world, task);
  if (!task.binding && task.nominated.empty() && !AwaitsAnother(task)) Commit(world, task, 0);
  if (Finished(task.object.status.phase)) DeleteWhenOld(world, task);
  if (task.gang != nullptr) TouchGang(world, task);
}

}  // namespace spillway::core
