#include "operator/core/tasks/follow.h"

#include <algorithm>

#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/admitted_pods.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/preemption.h"
#include "operator/core/scheduling/queue.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/another_leader.h"
#include "operator/core/tasks/attempt_times.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/carry_out.h"
#include "operator/core/tasks/ending_servers.h"
#include "operator/core/tasks/late_success.h"
#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/milestones.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/pod_usage.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/stuck.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

using api::TaskPhase;
using api::TaskStatus;

// The attempt as its pod tells it.
std::shared_ptr<const Binding> BindingOf(const World& world, const TaskState& task, int64_t attempt,
                                         const api::Pod& pod, Time at) {
  if (const ServerState* server = world.servers.On(pod.node_name))
    return BindingTo(task, *server, pod.meta.name, attempt, at);
  return std::make_shared<const Binding>(
      Binding{{pod.node_name, pod.node_name, false, "", "", pod.meta.name, attempt, at, 0}, 0});
}

// The attempt as the status tells it.
std::shared_ptr<const Binding> BindingOf(const World& world, const api::Assignment& told) {
  const auto server = world.servers.by_name.find(told.server);
  const bool known = server != world.servers.by_name.end();
  return std::make_shared<const Binding>(
      Binding{told, known ? server->second.object.spec.price_micros : 0});
}

// Nobody knows where the pod of the binding will be, so that there is no assignment to tell of.
void DescribeUnbound(World& world, TaskState& task) {
  task.assigned_untold = false;
  DescribeWaiting(world, task, TaskPhase::kPending,
                  "pod " + task.binding->pod_name + " is not bound to a node yet");
  task.status_due = std::min(task.status_due, world.now + kExplainAfter);
}

// The task, which is in no queue, has been bound by somebody else, or before a restart.
void NewBinding(World& world, TaskState& task) {
  task.nominated.clear();
  if (task.binding->node_name.empty())
    DescribeUnbound(world, task);
  else
    DescribeBound(world, task);
  Commit(world, task, task.binding->estimated_micros);
}

void AdoptPod(World& world, TaskState& task, int64_t attempt, const api::Pod& pod) {
  const auto& told = task.object.status.assignment;
  const bool is_told = told && told->attempt == attempt;
  task.confirmed = true;
  Dequeue(world, task);
  NoteAdopted(world, task, pod);
  const bool as_told = is_told && (pod.node_name.empty() || pod.node_name == told->node_name);
  if (as_told && pod.intended) {  // where it was to go
    task.binding = BindingOf(world, *told);
    return CountPod(world, world.servers.pods.at(pod.meta.key()));
  }
  task.binding = BindingOf(world, task, attempt, pod, pod.meta.created);
  if (!is_told || told->node_name != pod.node_name) NewBinding(world, task);
}

// Its node was no server when the binding was made. It may be one since, of another name.
bool IsOnNoServer(const World& world, const Binding& binding) {
  return binding.server == binding.node_name && !world.servers.by_name.contains(binding.server);
}

// The pod may be elsewhere than was asked for: whoever has bound it has the last word. One that is
// not bound may be that of a creation that was given up, or of another leader's.
void FollowNode(World& world, TaskState& task, const api::Pod& pod) {
  const auto before = task.binding;
  const ServerState* server = world.servers.On(pod.node_name);
  if (pod.node_name.empty() || (pod.intended && server == nullptr)) return;
  const bool registered = server != nullptr && IsOnNoServer(world, *before);
  if (pod.node_name == before->node_name && !registered) return;
  task.binding = BindingOf(world, task, before->attempt, pod, before->assigned_at);
  if (before->node_name.empty()) return NewBinding(world, task);
  task.object.status.assignment = task.binding;
  Commit(world, task, task.binding->estimated_micros);
  task.assigned_untold = true;
  if (task.assigned_written) task.status_due = world.now;
}

// The last of the pods whose end no record tells.
void AdoptUnrecorded(World& world, TaskState& task) {
  for (const auto& [attempt, seen] : task.owner->pods) {
    if (attempt <= LastEnded(task)) continue;
    if (task.binding) {  // an older one that was never recorded
      RecordEarlier(world, task);
    }
    AdoptPod(world, task, attempt, *seen);
  }
}

}  // namespace

void Adopt(World& world, TaskState& task) {
  const api::Pod* bound = task.binding ? PodOf(task, task.binding->attempt) : nullptr;
  if (bound != nullptr) FollowNode(world, task, *bound);
  if (const auto attempt = LateSuccess(world, task)) {
    MakeWay(world, task, *attempt);
    AdoptPod(world, task, *attempt, *PodOf(task, *attempt));
  } else if (task.binding) {
    return;
  } else {
    AdoptUnrecorded(world, task);
  }
  const bool open = KeepAnothers(world, task) || (!task.binding && KeepRecord(world, task));
  const auto& assignment = task.object.status.assignment;
  if (!task.binding && !open && assignment && assignment->attempt > LastEnded(task)) {
    // The status tells of a pod that is no longer there.
    task.binding = BindingOf(world, *assignment);
    task.confirmed = true;
  }
  if (task.binding) PrioritizeBound(world, task);  // it has not been in the queue
  if (task.binding && assignment && assignment->attempt == task.binding->attempt)
    Commit(world, task, assignment->estimated_micros);
}

namespace {

// With what is unusual: that its server ends, or what a container does that is started again within
// its pod, of which neither retry nor attempt tells.
std::string RunningText(const World& world, const TaskState& task, const api::Pod& pod) {
  std::string text = "running on server " + task.binding->server;
  if (const std::string ending = EndingText(world, task); !ending.empty()) text += "; " + ending;
  if (!pod.restarts) return text;
  const api::Restarts& restarts = *pod.restarts;
  text += "; " + restarts.container + " was restarted " + std::to_string(restarts.count) +
          (restarts.count == 1 ? " time" : " times") + ", last exit code " +
          std::to_string(restarts.exit_code);
  if (!restarts.reason.empty()) text += " (" + restarts.reason + ")";
  return restarts.backing_off ? text + ", CrashLoopBackOff" : text;
}

// When that a container was started again is written: soon at first, and later now and then, since
// its kubelet starts it again every five minutes.
Time RestartsDue(const World& world, const TaskState& task, const api::Pod& pod) {
  const Duration pause = pod.restarts->count <= 3 ? kTellAgain : kTellRestartsAgain;
  return std::max(world.now, task.writer.last + pause);
}

void TellUnusual(World& world, TaskState& task, const api::Pod& pod) {
  const std::string ending = EndingText(world, task);
  if (ending.empty() && !pod.restarts) return;
  const auto* told = api::FindCondition(*task.object.status.conditions, "Reconciling");
  const std::string text = RunningText(world, task, pod), before = told ? told->message.str() : "";
  if (text == before) return;
  ChangeConditions(task, [&](auto& conditions) {
    api::SetProgress(conditions, api::Progress::kReconciling, "Running", text,
                     task.object.meta.generation, world.now);
  });
  const bool news = !ending.empty() && before.find(ending) == std::string::npos;
  if (news) RecordEvent(world, task, true, kServerEnding, ending);
  const bool at_once = news || !pod.restarts;
  task.status_due = std::min(task.status_due, at_once ? world.now : RestartsDue(world, task, pod));
  world.tasks.Wake(task, task.status_due);
}

// Its server has taken it: whatever kept it from running before says nothing any more.
void NoteTaken(World& world, TaskState& task) {
  task.refusals = task.unschedulable = 0;
  task.refused_in_cloud.reset();
  task.stuck.reset();
  NoteAccepted(world, task);
  NoteNotInVain(task);
}

void MarkRunning(World& world, TaskState& task, const api::Pod& pod) {
  TellAssigned(task);
  TaskStatus& status = task.object.status;
  task.running_since = RunsSince(world, task, pod);
  if (!status.started_at) status.started_at = task.running_since;
  if (status.phase == TaskPhase::kRunning) return TellUnusual(world, task, pod);
  status.phase = TaskPhase::kRunning;
  ReportRunning(world, task);
  status.retry_at.reset();
  NoteTaken(world, task);
  ChangeConditions(task, [&](auto& conditions) {
    api::SetProgress(conditions, api::Progress::kReconciling, "Running",
                     RunningText(world, task, pod), task.object.meta.generation, world.now);
  });
  task.status_due = task.assigned_written ? world.now + kRunningAfter : world.now;
}

// Its init containers run: by that its deadline counts, though the pod is still Pending.
void NoteInit(const World& world, TaskState& task, const api::Pod& pod) {
  std::optional<Time>& since = task.object.status.started_at;
  if (pod.init_started && !since) since = RunsSince(world, task, pod);
}

// The kubelet refused the pod: it has not run, so that is neither a failure nor a loss. Another
// server is tried at once; where all of them refuse, ever more seldom.
void TurnAway(World& world, TaskState& task, const api::Pod& pod) {
  const std::string reason = pod.reason.empty() ? "PodRefused" : pod.reason;
  const std::string message =
      pod.message.empty() ? "the pod failed before any of its containers started" : pod.message;
  NoteRefusal(world, task, reason + ": " + message);
  NoteRefusalInCloud(world, task, kNextPurchase);
  const int losses = std::exchange(task.losses, 0);
  LoseAttempt(world, task, reason, message);
  task.losses = losses;
  const int doublings = std::min(task.refusals++ - kRefusalsAtOnce, 6);
  if (doublings >= 0)
    BackOff(world, task, std::min(Duration{1'000 << doublings}, Duration{60'000}));
}

}  // namespace

void Confirm(World& world, TaskState& task) {
  if (!std::exchange(task.confirmed, true)) ReportBound(world, task);
}

void Unassign(World& world, TaskState& task, const std::string& reason, const std::string& why) {
  task.binding.reset();
  task.assigned_untold = task.assigned_written = false;
  if (!IsUnsettled(task)) task.object.status.assignment.reset();
  const auto* told = api::FindCondition(*task.object.status.conditions, "Assigned");
  if (told != nullptr && told->status.str() == "True") {
    ChangeConditions(task, [&](auto& conditions) {
      api::SetCondition(conditions,
                        {"Assigned", "False", reason, why, task.object.meta.generation, {}},
                        world.now);
    });
  }
  task.object.status.explanation = ExplainAdmission(task);
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  // Where the status has told of the pod, whoever comes next would take it for lost.
  task.status_due = IsRecordedFirst(task) ? world.now : world.now + kExplainAfter;
}

namespace {

// The pod's creation has no answer yet. One that may not even have been sent, since many of its
// namespace are, is given more time while those are answered.
void AwaitAnswer(World& world, TaskState& task) {
  // It is sent in this very step.
  if (MaySend(task)) return world.tasks.Wake(task, world.now + kSlowAnswer);
  const bool unrecorded = task.held && !task.held->recorded;
  const Time due = unrecorded ? RecordDue(task) : task.binding->assigned_at + kSlowAnswer;
  if (world.now < due) return world.tasks.Wake(task, due);
  if (unrecorded) {
    const std::string why = RecordOverdue(world, task);
    return Unassign(world, task, "FailedCreate", why);
  }
  if (!CreationHangs(world, task)) return world.tasks.Wake(task, world.now + kSlowAnswer);
  CreationOverdue(world, task);
  NoteDenialInCloud(world, task);
  Unassign(world, task, "FailedCreate", ExplainAdmission(task)->summary);
}

// As it was admitted, the pod cannot run where it was put.
void TakeBackUnfit(World& world, TaskState& task, const api::Pod& pod, const std::string& unfit) {
  const std::string why =
      "pod " + pod.meta.name + " does not fit as it was admitted: " + unfit + "; it is taken back";
  task.made_way = 0;  // the next attempt asks for what this one was found to need
  StopAttempt(world, task, kDoesNotFit, why);
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  RecordEvent(world, task, true, kDoesNotFit, why);
}

bool IsOfTask(const TaskState& task, const std::optional<Object>& object) {
  const auto* pod = object ? std::get_if<api::Pod>(&*object) : nullptr;
  return pod != nullptr && IsAttemptOf(task, *pod);
}

// Whether the pod may be there, or come yet, though this is the answer: there was none, or the
// store had not answered the API server.
bool MayHaveMade(const Error& error) {
  return error.ambiguous || (error.kind == ErrorKind::kUnavailable &&
                             error.message.find("etcdserver") != std::string::npos);
}

// The same, but for a task that may be lost any doubt counts: nothing is waited for by that.
bool MayHaveMade(const TaskState& task, const Error& error) {
  return MayHaveMade(error) || (error.kind == ErrorKind::kUnavailable && !IsRecordedFirst(task));
}

// The answer to a creation that was not waited for any longer.
void GivenUp(World& world, TaskState& task, const Outcome& outcome) {
  const auto why = ExplainAdmission(task);
  const std::string pod = outcome.key.substr(outcome.key.find('/') + 1);
  const int64_t attempt = AttemptOf(task.object.meta.name, pod);
  const bool over = attempt <= LastEnded(task);
  const bool may_be = outcome.error && (over ? MayHaveMade(*outcome.error)
                                             : task.unsure && MayHaveMade(task, *outcome.error));
  if (may_be) {
    task.unsure = true;
    task.may_appear_until = world.now + kLateArrival;
  }
  // It would be seen by now, if it were not gone again.
  if (IsOfTask(task, outcome.object) && PodOf(task, attempt) == nullptr) task.unsure = false;
  if (over || task.binding || !outcome.error || why == nullptr ||
      Finished(task.object.status.phase) || task.object.spec.suspend)
    return;
  Unassign(world, task, "FailedCreate", why->summary);
}

}  // namespace

void Follow(World& world, TaskState& task) {
  const api::Pod* pod = PodOf(task, task.binding->attempt);
  if (pod == nullptr) {
    if (!task.confirmed) return AwaitAnswer(world, task);
    Time unused = kNever;
    const auto lost = NodeLost(world, task.binding->node_name, nullptr, &unused);
    return LoseAttempt(world, task, lost ? "ServerLost" : "PodDeleted",
                       lost.value_or("the pod was deleted"));
  }
  Confirm(world, task);
  // What must not run twice is left to its kubelet, which may start it before it is deleted.
  if (std::exchange(task.unsure, false) && task.object.spec.retry.loss_limit > 0) {
    if (const std::string unfit = Unfit(world, task, *pod); !unfit.empty())
      return TakeBackUnfit(world, task, *pod, unfit);
  }
  // What runs for a moment is never seen to run.
  if (pod->terminal() && !Refused(*pod) && !WasSeenToRun(task)) NoteTaken(world, task);
  if (pod->phase == api::PodPhase::kSucceeded) return Succeed(world, task, *pod);
  if (NeverRan(*pod) && !WasSeenToRun(task)) return TurnAway(world, task, *pod);
  if (pod->phase == api::PodPhase::kFailed) return FailAttempt(world, task, *pod);
  Time wake = kNever;
  if (const auto lost = NodeLost(world, task.binding->node_name, pod, &wake))
    return LoseAttempt(world, task, "ServerLost", *lost);
  if (wake != kNever) world.tasks.Wake(task, wake);
  if (pod->phase == api::PodPhase::kRunning) {
    MarkRunning(world, task, *pod);
  } else {
    NoteInit(world, task, *pod);
    FollowStuck(world, task, *pod);
  }
  FollowEnding(world, task, *pod);
}

void PodCreated(World& world, TaskState& task, const Outcome& outcome) {
  if (!task.binding || task.object.meta.ns + "/" + task.binding->pod_name != outcome.key) {
    return GivenUp(world, task, outcome);
  }
  // One that was seen is followed, though it may be gone, whatever its creation is answered.
  if (!outcome.error || task.confirmed) return Confirm(world, task);
  const Error& error = *outcome.error;
  if (error.kind == ErrorKind::kAlreadyExists && IsOfTask(task, outcome.object)) {
    return Confirm(world, task);  // an earlier try succeeded, or another leader was faster
  }
  if (error.kind == ErrorKind::kAlreadyExists) {
    NoteRefusalInCloud(world, task, kNextPurchase);
    Unassign(world, task, "FailedCreate",
             "a pod named " + outcome.key + " that is not of this task is in the way; delete it");
    ++task.losses;
    BackOff(world, task, std::min(Duration{500 << std::min(task.losses, 7)}, Duration{60'000}));
  } else if (DenialOf(error) == Denial::kTemplate) {
    const std::string message = "the API server refused the pod: " + error.message;
    task.object.status.assignment.reset();
    task.binding.reset();
    Finish(world, task, TaskPhase::kFailed, "InvalidTemplate", message);
    RecordEvent(world, task, true, "InvalidTemplate", message);
  } else {
    if (MayHaveMade(task, error)) {
      task.unsure = true;
      task.may_appear_until = world.now + kLateArrival;
    }
    NoteDenialInCloud(world, task);
    const auto why = ExplainAdmission(task);
    Unassign(world, task, "FailedCreate",
             why != nullptr ? why->summary
                            : "a scheduling gate is added to the pod; "
                              "kube-scheduler is to bind it");
  }
}

}  // namespace spillway::core
