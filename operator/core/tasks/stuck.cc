#include "operator/core/tasks/stuck.h"

#include <algorithm>

#include "operator/base/foreign_text.h"
#include "operator/base/json.h"
#include "operator/core/scheduling/match.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

// Bytes of a name that is told.
constexpr size_t kMostNamed = 253;

// Reasons that containers have while they start as they should.
bool Starts(const std::string& reason) {
  return reason.empty() || reason == "ContainerCreating" || reason == "PodInitializing";
}

std::string WithMessage(const std::string& reason, const std::string& message) {
  return message.empty() ? reason : reason + ": " + message;
}

void Tell(World& world, TaskState& task, const std::string& reason, const std::string& message) {
  const auto* told = api::FindCondition(*task.object.status.conditions, "Reconciling");
  if (told != nullptr && told->message == message && told->reason == reason) return;
  TellAssigned(task);
  ChangeConditions(task, [&](auto& conditions) {
    api::SetProgress(conditions, api::Progress::kReconciling, reason, message,
                     task.object.meta.generation, world.now);
  });
  task.status_due = std::min(task.status_due, std::max(world.now, task.writer.last + kTellAgain));
}

Stuck& StuckOf(TaskState& task, Duration first, Duration pause) {
  const Binding& binding = *task.binding;
  if (!task.stuck || task.stuck->attempt != binding.attempt) {
    task.stuck.emplace();
    task.stuck->attempt = binding.attempt;
    task.stuck->pause = pause;
    task.stuck->ask_at = binding.assigned_at + first;
  }
  return *task.stuck;
}

Duration Longer(Duration pause) {
  if (pause < kAskAgainAfter) return kAskAgainAfter;
  return pause == kAskAgainAfter ? Duration{60'000} : std::min(pause * 2, kMostAskPause);
}

// Asks for the pod's Events when it is time.
void AskEvents(World& world, TaskState& task, Stuck& stuck, const api::Pod& pod) {
  if (world.now >= stuck.ask_at) {
    world.effects.push_back(AskWhy{pod.meta.ns, pod.meta.name, pod.meta.uid, task.uid()});
    stuck.ask_at = world.now + stuck.pause;
    stuck.pause = Longer(stuck.pause);
  }
  world.tasks.Wake(task, stuck.ask_at);
}

// The kubelet has it.
void FollowStart(World& world, TaskState& task, const api::Pod& pod) {
  const Time late = task.binding->assigned_at + kStuckAfter;
  if (world.now < late && Starts(pod.waiting_reason)) return world.tasks.Wake(task, late);
  // What was said of it before it had a node is over.
  if (task.stuck && task.stuck->unbound) task.stuck.reset();
  Stuck& stuck = StuckOf(task, kStuckAfter, kAskAgainAfter);
  const std::string where = "on server " + task.binding->server + ": ";
  AskEvents(world, task, stuck, pod);
  if (!Starts(pod.waiting_reason)) {
    return Tell(world, task, pod.waiting_reason,
                where + WithMessage(pod.waiting_reason, pod.waiting_message));
  }
  if (!stuck.reason.empty())
    return Tell(world, task, stuck.reason, where + WithMessage(stuck.reason, stuck.message));
  if (pod.waiting_reason == "PodInitializing") return;  // its init containers run
  Tell(world, task, "NotStarted",
       where + "not started since " + FormatTime(task.binding->assigned_at) +
           (pod.waiting_reason.empty() ? ", its kubelet has told nothing of it"
                                       : ", " + pod.waiting_reason));
}

// Whether kube-scheduler complains of nodes, as in "0/5 nodes are available: 2 node(s) had ...",
// and not of the pod itself, such as of a claim that does not exist.
bool IsAboutNodes(const std::string& message) {
  constexpr std::string_view kBegin = "nodes are available: ";
  const size_t at = message.find(kBegin);
  const size_t next = at + kBegin.size();
  return at != std::string::npos && next < message.size() && message[next] >= '0' &&
         message[next] <= '9';
}

// Others get its room; the next attempt comes after a pause that doubles, and that is short where
// another server may take it.
void TakeBack(World& world, TaskState& task, const api::Pod& pod, bool elsewhere,
              const std::string& why) {
  const int times = ++task.unschedulable;
  const Duration pause = BackoffAfter(times, elsewhere ? kPauseElsewhere : kPauseHere,
                                      std::hash<std::string>{}(pod.meta.uid));
  if (elsewhere) NoteRefusal(world, task, why);
  NoteRefusalInCloud(world, task, kNoPurchase);
  StopAttempt(world, task, kUnschedulable, why);
  BackOff(world, task, pause);
  DescribeWaiting(world, task, api::TaskPhase::kPending,
                  why + "; tried again at " + FormatTime(world.now + pause));
  RecordEvent(world, task, true, kUnschedulable, why);
}

// It cannot be scheduled, as long as that is so: told, and taken back after a while.
void FollowUnschedulable(World& world, TaskState& task, Stuck& stuck, const api::Pod& pod,
                         const std::string& reason, const std::string& message,
                         const std::string& why) {
  if (stuck.unscheduled_since == kNever) stuck.unscheduled_since = world.now;
  const Time until = stuck.unscheduled_since + kUnschedulableFor;
  if (world.now >= until) return TakeBack(world, task, pod, IsAboutNodes(message), why);
  world.tasks.Wake(task, until);
  Tell(world, task, reason, why);
}

// A ResourceClaim that the pod names, or empty: of one that is not there nobody says anything.
std::string NamedClaim(const api::Json& spec) {
  for (const api::Json& claim : api::GetArray(spec, "resourceClaims")) {
    if (const std::string name = api::GetString(claim, "resourceClaimName"); !name.empty())
      return OneLine(name, kMostNamed);
  }
  return "";
}

// kube-scheduler has been silent for too long.
void FollowSilence(World& world, TaskState& task, Stuck& stuck, const api::Pod& pod) {
  const api::Json parsed = ParseJson(*task.pod_template);
  const api::Json& spec = api::GetObject(parsed, "spec");
  const std::string claim = NamedClaim(spec);
  const std::string why =
      "kube-scheduler has said nothing of pod " + pod.meta.name + " since " +
      FormatTime(task.binding->assigned_at) + "; does " +
      (claim.empty() ? "it run?"
                     : "the ResourceClaim " + claim + " exist, and kube-scheduler run?");
  // While volumes are made for it, which may take minutes, kube-scheduler says nothing either.
  if (claim.empty() || HasVolumeClaims(spec)) return Tell(world, task, "NotScheduled", why);
  FollowUnschedulable(world, task, stuck, pod, "NotScheduled", "", why);
}

// kube-scheduler has not said anything in its status. It may not have got to it, since something
// that the pod refers to is not there yet: its Events tell, of whoever is to make that.
void FollowUnheard(World& world, TaskState& task, Stuck& stuck, const api::Pod& pod) {
  AskEvents(world, task, stuck, pod);
  if (!stuck.reason.empty()) {
    return FollowUnschedulable(
        world, task, stuck, pod, stuck.reason, stuck.message,
        "pod " + pod.meta.name + " is not scheduled: " + WithMessage(stuck.reason, stuck.message));
  }
  const Time silent = task.binding->assigned_at + kSchedulerSilent;
  if (world.now < silent) return world.tasks.Wake(task, silent);
  FollowSilence(world, task, stuck, pod);
}

// kube-scheduler has it.
void FollowScheduling(World& world, TaskState& task, const api::Pod& pod) {
  Stuck& stuck = StuckOf(task, kUnheardAfter, kAskUnheardAfter);
  stuck.unbound = true;
  if (!pod.unscheduled) return FollowUnheard(world, task, stuck, pod);
  if (pod.waiting_reason == "SchedulingGated") {
    return Tell(world, task, pod.waiting_reason,
                "pod " + pod.meta.name + " waits for its scheduling gates: " +
                    WithMessage(pod.waiting_reason, pod.waiting_message));
  }
  FollowUnschedulable(world, task, stuck, pod, pod.waiting_reason, pod.waiting_message,
                      "kube-scheduler: " + WithMessage(pod.waiting_reason, pod.waiting_message));
}

}  // namespace

void FollowStuck(World& world, TaskState& task, const api::Pod& pod) {
  if (pod.meta.deleted) return;
  if (pod.intended || pod.unscheduled) {
    FollowScheduling(world, task, pod);
  } else {
    FollowStart(world, task, pod);
  }
}

void HearPod(World& world, const PodWarned& warned) {
  TaskState* task = world.tasks.ByUid(warned.task_uid);
  if (task == nullptr || !task->binding || !task->stuck) return;
  const api::Pod* pod = PodOf(*task, task->binding->attempt);
  if (pod == nullptr || pod->meta.uid != warned.pod_uid) return;
  task->stuck->reason = warned.reason;
  task->stuck->message = warned.message;
  world.tasks.to_reconcile.insert(*task->key);
}

}  // namespace spillway::core
