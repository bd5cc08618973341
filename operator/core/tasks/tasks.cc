#include "operator/core/tasks/tasks.h"

#include <algorithm>

#include "operator/core/milestones.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/placer.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/attempt_times.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/pod_usage.h"
#include "operator/core/tasks/status_queue.h"
#include "operator/core/tasks/stuck.h"

namespace spillway::core {
namespace {

using api::TaskPhase;
using api::TaskStatus;

// Whether what is known of the kind is as new as the pod's binding. If not, its node may have come
// back before that: another leader knew more. pod: null if it is not there.
bool KnowsSince(const World& world, Kind kind, const api::Pod* pod) {
  if (pod == nullptr) return true;
  const auto known = world.servers.pods.find(pod->meta.key());
  return known == world.servers.pods.end() ||
         world.seen_up_to[static_cast<size_t>(kind)] >= known->second.bound_by;
}

const NodeState* FindNode(const World& world, const std::string& name) {
  const auto node = world.servers.nodes.find(name);
  return node == world.servers.nodes.end() ? nullptr : &node->second;
}

// node: null if none is known by that name.
bool Vanished(const World& world, const NodeState* node, const api::Pod* pod) {
  return (node == nullptr || node->gone) && KnowsSince(world, Kind::kNode, pod);
}

// A watch that hangs must not make a node look lost: either the node's own watch has been heard of
// since it was well, and recently, and has not called it ready for so long, or that of the Leases
// has, and tells of a kubelet that was silent for so long. One that was silent, called itself
// ready, and later did not, was well in between, in whichever order the two watches tell of it.
bool KnownToBeDown(const World& world, const NodeState& node, const api::Pod* pod) {
  const Time lease = world.HeardOf(Kind::kLease);
  const bool silent = node.renewed && world.HearsOf(Kind::kLease) &&
                      KnowsSince(world, Kind::kLease, pod) &&
                      lease >= node.not_ready_since + kLostServerGrace &&
                      lease >= node.heard + kHeartbeatTimeout + kLostServerGrace;
  const bool told = world.HearsOf(Kind::kNode) && KnowsSince(world, Kind::kNode, pod) &&
                    node.told_since != kNever &&
                    world.HeardOf(Kind::kNode) >= node.told_since + kLostServerGrace;
  return silent || told;
}

// Why what was bound to the node counts as lost; nothing while it does not. pod: null if it is not
// there. wake: when that may change.
std::optional<std::string> NodeLost(const World& world, const std::string& name,
                                    const api::Pod* pod, Time* wake) {
  if (name.empty()) return std::nullopt;  // kube-scheduler has not bound the pod yet
  const NodeState* node = FindNode(world, name);
  if (Vanished(world, node, pod)) return "node " + name + " no longer exists";
  // Not seen yet: the check of all nodes takes it up.
  if (node == nullptr || !node->object) {
    *wake = world.now + std::chrono::seconds(5);
    return std::nullopt;
  }
  const Time since = node->not_ready_since;
  if (since == kNever) return std::nullopt;
  if (world.news < since + kLostServerGrace) {
    *wake = world.ByNews(since + kLostServerGrace);
    return std::nullopt;
  }
  if (!KnownToBeDown(world, *node, pod)) {
    *wake = world.now + std::chrono::seconds(5);
    return std::nullopt;
  }
  return "node " + name + " has not been ready for " + FormatDuration(world.news - since);
}

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

void AdoptPod(World& world, TaskState& task, int64_t attempt, const api::Pod& pod) {
  const auto& told = task.object.status.assignment;
  const bool is_told = told && told->attempt == attempt;
  task.confirmed = true;
  Dequeue(world, task);
  NoteAdopted(world, task, pod);
  if (is_told && pod.intended) {  // where it was to go
    task.binding = BindingOf(world, *told);
    return CountPod(world, world.servers.pods.at(pod.meta.key()));
  }
  task.binding = BindingOf(world, task, attempt, pod, pod.meta.created);
  if (is_told ? told->node_name != pod.node_name : world.servers.On(pod.node_name) != nullptr)
    Bound(world, task);
}

// Takes up an attempt that was made before a restart, and records those that ended unseen.
void Adopt(World& world, TaskState& task) {
  if (task.binding) return;
  for (const auto& [attempt, seen] : task.owner->pods) {
    if (attempt <= LastEnded(task)) continue;
    if (task.binding) {  // an older one that was never recorded
      RecordEarlier(world, task);
    }
    AdoptPod(world, task, attempt, *seen);
  }
  const auto& assignment = task.object.status.assignment;
  if (!task.binding && assignment && assignment->attempt > LastEnded(task)) {
    // The status tells of a pod that is no longer there.
    task.binding = BindingOf(world, *assignment);
    task.confirmed = true;
  }
  if (task.binding) PrioritizeBound(world, task);  // it has not been in the queue
  if (task.binding && assignment && assignment->attempt == task.binding->attempt)
    Commit(world, task, assignment->estimated_micros);
}

void MarkRunning(World& world, TaskState& task, const api::Pod& pod) {
  TellAssigned(task);
  TaskStatus& status = task.object.status;
  task.running_since = RunsSince(world, task, pod);
  if (!status.started_at) status.started_at = task.running_since;
  if (status.phase == TaskPhase::kRunning) return;
  status.phase = TaskPhase::kRunning;
  ReportRunning(world, task);
  status.retry_at.reset();
  task.losses = task.refusals = task.unschedulable = 0;
  task.refused_in_cloud.reset();
  task.stuck.reset();
  NoteAccepted(world, task);
  ChangeConditions(task, [&](auto& conditions) {
    api::SetProgress(conditions, api::Progress::kReconciling, "Running",
                     "running on server " + task.binding->server, task.object.meta.generation,
                     world.now);
  });
  task.status_due = task.assigned_written ? world.now + kRunningAfter : world.now;
}

// The pod of the binding was created, by what its creation was answered or because it is seen.
void Confirm(World& world, TaskState& task) {
  if (!std::exchange(task.confirmed, true)) ReportBound(world, task);
}

// The pod may be elsewhere than was asked for: whoever has bound it has the last word.
void FollowNode(World& world, TaskState& task, const api::Pod& pod) {
  const Binding& binding = *task.binding;
  if (pod.intended || pod.node_name == binding.node_name) return;
  task.binding = BindingOf(world, task, binding.attempt, pod, binding.assigned_at);
  task.object.status.assignment = task.binding;
  Commit(world, task, task.binding->estimated_micros);
  task.assigned_untold = true;
  if (task.assigned_written) task.status_due = world.now;
}

// The kubelet refused the pod: it has not run, so that is neither a failure nor a loss. Another
// server is tried at once; where all of them refuse, ever more seldom.
void TurnAway(World& world, TaskState& task, const api::Pod& pod) {
  const std::string reason = pod.reason.empty() ? "PodRefused" : pod.reason;
  const std::string message =
      pod.message.empty() ? "the pod failed before any of its containers started" : pod.message;
  NoteRefusal(world, task, reason + ": " + message);
  if (task.binding->cloud) NoteRefusalInCloud(world, task, kNextPurchase);
  const int losses = std::exchange(task.losses, 0);
  LoseAttempt(world, task, reason, message);
  task.losses = losses;
  const int doublings = std::min(task.refusals++ - kRefusalsAtOnce, 6);
  if (doublings >= 0)
    BackOff(world, task, std::min(Duration{1'000 << doublings}, Duration{60'000}));
}

// The pod that was asked for does not exist, as far as is known: the task waits.
void Unassign(World& world, TaskState& task, const std::string& reason, const std::string& why) {
  task.binding.reset();
  task.assigned_untold = task.assigned_written = false;
  task.object.status.assignment.reset();
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
  task.status_due = world.now + kExplainAfter;
}

// The pod's creation has no answer yet. One that may not even have been sent, since many of its
// namespace are, is given more time.
void AwaitAnswer(World& world, TaskState& task) {
  const Time due = task.binding->assigned_at + kSlowAnswer;
  if (world.now < due) return world.tasks.Wake(task, due);
  if (!CreationHangs(task)) return world.tasks.Wake(task, world.now + kSlowAnswer);
  CreationOverdue(world, task);
  Unassign(world, task, "FailedCreate", ExplainAdmission(task)->summary);
}

// As it was admitted, the pod cannot run where it was put.
void TakeBack(World& world, TaskState& task, const api::Pod& pod, const std::string& unfit) {
  const std::string why =
      "pod " + pod.meta.name + " does not fit as it was admitted: " + unfit + "; it is taken back";
  StopAttempt(world, task, kDoesNotFit, why);
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  RecordEvent(world, task, true, kDoesNotFit, why);
}

void Follow(World& world, TaskState& task) {
  const api::Pod* pod = PodOf(task, task.binding->attempt);
  if (pod == nullptr) {
    if (!task.confirmed) return AwaitAnswer(world, task);
    Time unused = kNever;
    const auto lost = NodeLost(world, task.binding->node_name, nullptr, &unused);
    LoseAttempt(world, task, lost ? "ServerLost" : "PodDeleted",
                lost.value_or("the pod was deleted"));
    return;
  }
  Confirm(world, task);
  FollowNode(world, task, *pod);
  // What must not run twice is left to its kubelet, which may start it before it is deleted.
  if (std::exchange(task.unsure, false) && task.object.spec.retry.loss_limit > 0) {
    if (const std::string unfit = Unfit(world, task, *pod); !unfit.empty())
      return TakeBack(world, task, *pod, unfit);
  }
  if (pod->phase == api::PodPhase::kSucceeded) return Succeed(world, task, *pod);
  if (NeverRan(*pod)) return TurnAway(world, task, *pod);
  if (pod->phase == api::PodPhase::kFailed) return FailAttempt(world, task, *pod);
  task.seen_ending = pod->asked_to_end || pod->meta.deleted;
  Time wake = kNever;
  if (const auto lost = NodeLost(world, task.binding->node_name, pod, &wake)) {
    return LoseAttempt(world, task, "ServerLost", *lost);
  }
  if (wake != kNever) world.tasks.Wake(task, wake);
  if (pod->phase == api::PodPhase::kRunning) {
    MarkRunning(world, task, *pod);
  } else {
    FollowStuck(world, task, *pod);
  }
}

void Expire(World& world, TaskState& task, const char* reason, const std::string& message) {
  StopAttempt(world, task, reason);
  Finish(world, task, TaskPhase::kFailed, reason, message);
  RecordEvent(world, task, true, reason, message);
}

// True if the deadline has passed; otherwise the task is looked at again then.
bool WakeUnlessPassed(World& world, TaskState& task, Time from,
                      const std::optional<Duration>& deadline) {
  if (!deadline) return false;
  if (world.now >= from + *deadline) return true;
  world.tasks.Wake(task, from + *deadline);
  return false;
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
  task.nominated.clear();
  ChangeConditions(task, [&](auto& conditions) {
    // It goes no further by itself: whoever waits for its end is told so at once.
    api::SetProgress(conditions, api::Progress::kStalled, "Suspended", "held by spec.suspend",
                     task.object.meta.generation, world.now);
  });
  task.status_due = world.now;
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
  if (!HasRun(task) && WakeUnlessPassed(world, task, WaitsSince(task), spec.start_deadline)) {
    const std::string why = status.explanation ? ": " + status.explanation->summary : "";
    return Expire(world, task, "StartDeadlineExceeded",
                  "did not run within " + FormatDuration(*spec.start_deadline) + why);
  }
  if (status.started_at &&
      WakeUnlessPassed(world, task, *status.started_at, spec.active_deadline)) {
    return Expire(world, task, "DeadlineExceeded",
                  "ran longer than " + FormatDuration(*spec.active_deadline));
  }
}

// A pod of an earlier attempt that may still run where it is. wake: when it may count as lost.
const api::Pod* Lingering(const World& world, const TaskState& task, Time* wake) {
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (!pod->terminal() && !NodeLost(world, pod->node_name, pod, wake)) return pod;
  }
  return nullptr;
}

// Why the next attempt does not begin, once the pod of the last one takes its time to end.
void TellLingering(World& world, TaskState& task) {
  Time unused = kNever;
  const api::Pod* pod = Lingering(world, task, &unused);
  if (pod == nullptr || !pod->meta.deleted) return;
  const Time asked = pod->asked_to_end.value_or(*pod->meta.deleted);
  if (world.now < asked + kLingersFor) return world.tasks.Wake(task, asked + kLingersFor);
  const std::string why = "waiting for pod " + pod->meta.name + " on node " + pod->node_name +
                          " to end, as it was asked to at " + FormatTime(asked);
  const auto* told = api::FindCondition(*task.object.status.conditions, "Reconciling");
  if (told != nullptr && told->message == why) return;
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  task.status_due = std::min(task.status_due, world.now);
}

void Enqueue(World& world, TaskState& task) {
  if (task.queued == task.priority) return;
  const bool first = !task.queued;
  Dequeue(world, task);
  JoinQueue(world, task);
  task.shape->burst_at = Time{};
  if (first) {
    if (task.waiting_since == Time{}) task.waiting_since = task.object.meta.created;
    task.explain_after = Duration{5'000};
    world.tasks.Wake(task, std::max(world.now, task.waiting_since) + kExplainAfter);
  }
}

void Await(World& world, TaskState& task) {
  TaskStatus& status = task.object.status;
  if (task.object.spec.suspend) return;
  if (status.phase == TaskPhase::kSuspended) {
    task.waiting_since = world.now;
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
  if (task.creating) {
    // It may still appear, and there must not be two.
    Dequeue(world, task);
    return;
  }
  if (DequeueIfPodLingers(world, task)) return TellLingering(world, task);
  if (const auto missing = Prioritize(world, task)) {
    Dequeue(world, task);
    DescribeWaiting(world, task, TaskPhase::kPending,
                    "PriorityClass " + *missing +
                        " does not exist; create it, or change spec.priorityClassName");
    task.status_due =
        std::min(task.status_due, std::max(world.now, task.object.meta.created + kExplainAfter));
    return;
  }
  status.retry_at.reset();
  Enqueue(world, task);
}

void DeletePod(World& world, TaskState& task, const api::Pod& pod, std::optional<int64_t> grace) {
  if (!task.pods_deleted) task.pods_deleted.emplace();
  Deletion& deletion = (*task.pods_deleted)[pod.meta.uid];
  Time wake = kNever;
  if (!MayDelete(world, deletion, &wake)) return world.tasks.Wake(task, wake);
  deletion.sent = true;
  Write write{Verb::kDelete, Kind::kPod, pod.meta.ns, pod.meta.name,
              pod.meta.uid,  0,          nullptr,     grace};
  write.task = task.object.meta.name;
  write.task_uid = task.uid();
  write.attempt = AttemptOf(task.object.meta.name, pod.meta.name);
  world.effects.push_back(std::move(write));
}

// Deletes pods of ours that nobody waits for any more, and those of attempts that ended long ago.
void DeleteOrphans(World& world, TaskState& task) {
  const int64_t last = LastEnded(task);
  const auto& pods = task.owner->pods;
  size_t ended = 0;
  for (auto at = pods.rbegin(); at != pods.rend(); ++at) {
    const auto& [attempt, seen] = *at;
    if (task.binding && task.binding->attempt == attempt) continue;
    const api::Pod& pod = *seen;
    if (pod.terminal()) {
      if (attempt <= last && ++ended > kKeptPods) DeletePod(world, task, pod, std::nullopt);
      continue;
    }
    const bool node_gone =
        !pod.node_name.empty() && Vanished(world, FindNode(world, pod.node_name), &pod);
    if (pod.meta.deleted && !node_gone) continue;
    // Nobody is left on a vanished node to confirm the end of a pod.
    DeletePod(world, task, pod, node_gone ? std::optional<int64_t>(0) : std::nullopt);
  }
}

// Its pods go, and what they said is in its status; it stays, so that it is not run again.
void DeletePodsWhenOld(World& world, TaskState& task, Time finished) {
  if (task.owner->pods.empty() ||
      !WakeUnlessPassed(world, task, finished, task.object.spec.pod_ttl))
    return;
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (pod->terminal() && !pod->meta.deleted) DeletePod(world, task, *pod, std::nullopt);
  }
}

void DeleteWhenOld(World& world, TaskState& task) {
  const auto& ttl = task.object.spec.ttl_after_finished;
  const auto& result = task.object.status.result;
  if (task.writer.in_flight || task.status_due != kNever) return;
  const Time finished = result && result->finished_at ? *result->finished_at : world.now;
  DeletePodsWhenOld(world, task, finished);
  if (!WakeUnlessPassed(world, task, finished, ttl)) return;
  if (!task.deletion) task.deletion.emplace();
  Time wake = kNever;
  if (!MayDelete(world, *task.deletion, &wake)) return world.tasks.Wake(task, wake);
  task.deletion->sent = true;
  const api::ObjectMeta& meta = task.object.meta;
  Write write{Verb::kDelete, Kind::kTask, meta.ns, meta.name, meta.uid, 0, nullptr, std::nullopt};
  write.task = meta.name;
  write.task_uid = meta.uid;
  write.attempt = LatestAttempt(task);
  world.effects.push_back(std::move(write));
}

bool IsOfTask(const TaskState& task, const std::optional<Object>& object) {
  const auto* pod = object ? std::get_if<api::Pod>(&*object) : nullptr;
  return pod != nullptr && IsAttemptOf(task, *pod);
}

}  // namespace

int64_t NextAttempt(const TaskState& task) {
  int64_t last = LastEnded(task);
  if (task.object.status.assignment) last = std::max(last, task.object.status.assignment->attempt);
  const auto& pods = task.owner->pods;
  if (!pods.empty()) last = std::max(last, pods.back().first);
  return last + 1;
}

bool DequeueIfPodLingers(World& world, TaskState& task) {
  Time wake = kNever;
  const api::Pod* pod = Lingering(world, task, &wake);
  if (pod == nullptr) return false;
  Dequeue(world, task);
  if (wake != kNever) world.tasks.Wake(task, wake);
  return true;
}

void BackOff(World& world, TaskState& task, Duration wait) {
  task.not_before = world.now + wait;
  world.tasks.Wake(task, task.not_before);
}

void Requeue(World& world, TaskState& task, const std::string& reason, const std::string& why) {
  StopAttempt(world, task, reason, why);
  DescribeWaiting(world, task, TaskPhase::kPending, why);
  RecordEvent(world, task, true, reason, why);
  ReconcileTask(world, task);
  world.tasks.touched.insert(*task.key);
}

void DescribeWaiting(World& world, TaskState& task, TaskPhase phase, const std::string& message) {
  TellAssigned(task);
  task.object.status.phase = phase;
  std::vector<api::Condition> conditions = *task.object.status.conditions;
  api::SetProgress(conditions, api::Progress::kReconciling,
                   phase == TaskPhase::kScaling ? "Scaling" : "Waiting", message,
                   task.object.meta.generation, world.now);
  ShareConditions(task, std::move(conditions));
}

void ShareConditions(TaskState& task, std::vector<api::Condition> conditions) {
  auto& last = task.shape->conditions;
  if (*last != conditions) last = std::move(conditions);
  task.object.status.conditions = last;
}

std::shared_ptr<const Binding> BindingTo(const TaskState& task, const ServerState& server,
                                         std::string pod_name, int64_t attempt, Time at) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  return std::make_shared<const Binding>(
      Binding{{server.object.meta.name, spec.node_name, spec.cloud, spec.pool, spec.scale_request,
               std::move(pod_name), attempt, at, EstimateCost(*task.shape, spec.price_micros)},
              spec.price_micros});
}

void Bound(World& world, TaskState& task) {
  Dequeue(world, task);
  task.nominated.clear();
  task.assigned_written = false;
  TaskStatus& status = task.object.status;
  status.phase = TaskPhase::kAssigned;
  status.explanation.reset();
  status.forecast.reset();
  status.assignment = task.binding;
  Commit(world, task, status.assignment->estimated_micros);
  task.assigned_untold = true;
  task.status_due = world.now + kAssignedAfter;
  world.tasks.Wake(task, task.status_due);
}

void TellAssigned(TaskState& task) {
  if (!std::exchange(task.assigned_untold, false) || !task.binding) return;
  const Binding& binding = *task.binding;
  const std::string message = "bound to server " + binding.server + " as pod " + binding.pod_name;
  const int64_t generation = task.object.meta.generation;
  ChangeConditions(task, [&](auto& conditions) {
    api::SetCondition(conditions, {"Assigned", "True", "Assigned", message, generation, {}},
                      binding.assigned_at);
    if (task.object.status.phase != TaskPhase::kRunning) {
      api::SetProgress(conditions, api::Progress::kReconciling, "Assigned", message, generation,
                       binding.assigned_at);
    }
  });
}

namespace {

// The answer to a creation that was not waited for any longer.
void GivenUp(World& world, TaskState& task, const Outcome& outcome) {
  const auto why = ExplainAdmission(task);
  if (task.binding || !outcome.error || why == nullptr || Finished(task.object.status.phase) ||
      task.object.spec.suspend)
    return;
  Unassign(world, task, "FailedCreate", why->summary);
}

}  // namespace

void PodCreated(World& world, TaskState& task, const Outcome& outcome) {
  if (!task.binding || task.object.meta.ns + "/" + task.binding->pod_name != outcome.key) {
    return GivenUp(world, task, outcome);
  }
  if (!outcome.error) return Confirm(world, task);
  const Error& error = *outcome.error;
  if (error.kind == ErrorKind::kAlreadyExists && IsOfTask(task, outcome.object)) {
    return Confirm(world, task);  // an earlier try succeeded, or another leader was faster
  }
  if (error.kind == ErrorKind::kAlreadyExists) {
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
    task.unsure = task.unsure || error.kind == ErrorKind::kUnavailable;
    const auto why = ExplainAdmission(task);
    Unassign(world, task, "FailedCreate",
             why != nullptr ? why->summary
                            : "a scheduling gate is added to the pod; "
                              "kube-scheduler is to bind it");
  }
}

void ReconcileTask(World& world, TaskState& task) {
  if (task.object.meta.deleted || task.shape == nullptr) {
    Dequeue(world, task);
  } else {
    TaskStatus& status = task.object.status;
    if (status.observed_generation != task.object.meta.generation) {
      status.observed_generation = task.object.meta.generation;
      if (Finished(status.phase)) task.status_due = world.now;
    }
    if (!Finished(status.phase)) Adopt(world, task);
    if (task.binding && !Finished(status.phase)) Follow(world, task);
    if (!Finished(status.phase)) Intervene(world, task);
    if (!Finished(status.phase) && !task.binding) Await(world, task);
    DeleteOrphans(world, task);
  }
  if (task.binding || Finished(task.object.status.phase)) ClearOverBudget(world, task);
  if (!task.binding && task.nominated.empty()) Commit(world, task, 0);
  if (Finished(task.object.status.phase)) DeleteWhenOld(world, task);
  if (task.gang != nullptr) TouchGang(world, task);
}

void PutOffStatus(World& world, TaskState& task) {
  if (task.status_due == kNever) return;
  task.status_due = std::max(task.status_due, world.now + kPutOff);
  world.tasks.Wake(task, task.status_due);
}

void FlushStatus(World& world, TaskState& task) {
  if (task.writer.in_flight || task.status_due == kNever) return;
  // Whether its pod can be created is not known yet: until it is, the task waits as it did before.
  if (task.binding && !task.confirmed && !task.admission->known) return;
  if (world.now < task.status_due) {
    world.tasks.Wake(task, task.status_due);
    return;
  }
  TellAssigned(task);
  Time wake = kNever;
  if (WriteStatus(world, task.writer, Kind::kTask, task.object.meta,
                  EncodeStatus(task.object.status), &wake)) {
    task.status_due = kNever;
    world.tasks.statuses_in_flight += task.writer.in_flight ? 1 : 0;
    task.tenant->statuses_in_flight += task.writer.in_flight ? 1 : 0;
    task.assigned_written =
        task.assigned_written || task.object.status.phase == TaskPhase::kAssigned;
  } else {
    world.tasks.Wake(task, wake);
  }
}

}  // namespace spillway::core
