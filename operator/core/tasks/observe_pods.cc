#include "operator/core/tasks/observe_pods.h"

#include <utility>

#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/assume.h"
#include "operator/core/tasks/another_leader.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/changed_pods.h"
#include "operator/core/tasks/follow.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/pod_usage.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/tasks.h"
#include "operator/core/world.h"

namespace spillway::core {
namespace {

void TouchOwner(World& world, const PodState& pod) {
  if (const TaskState* task = TaskOf(pod)) world.tasks.to_reconcile.insert(*task->key);
}

// What the pod said at its end counts, though it is gone before anybody has looked at its task.
void TakeEnd(World& world, const PodState& pod) {
  TaskState* task = TaskOf(pod);
  if (!world.ready() || task == nullptr) return;
  const int64_t attempt = AttemptOf(task->object.meta.name, pod.object.meta.name);
  const int64_t last = LastEnded(*task);
  const bool succeeded = pod.object.phase == api::PodPhase::kSucceeded;
  const bool ended = pod.object.terminal() && (succeeded || attempt >= last);
  // What must not run twice may have run there, also after it was taken back, which nothing else
  // tells.
  const bool untold = IsRecordedFirst(*task) && !task->binding && attempt >= last;
  if (ended || untold) ReconcileTask(world, *task);
}

// Whether someone has edited it so that it belongs to another, or to nobody.
bool ChangesHands(const api::Pod& known, const api::Pod& pod) {
  const Claim before = ClaimOf(known), now = ClaimOf(pod);
  if (before.task == nullptr || now.task == nullptr) return before.task != now.task;
  return before.task->uid != now.task->uid || before.attempt != now.attempt;
}

// A kubelet that turns a pod away that has run, as one may that was restarted, writes a status with
// no container in it. It has run all the same.
void KeepStart(const api::Pod& known, api::Pod& pod) {
  if (known.meta.uid != pod.meta.uid || !pod.terminal()) return;
  pod.started_any = pod.started_any || known.started_any;
  if (!pod.started) pod.started = known.started;
  if (!pod.init_started) pod.init_started = known.init_started;
}

// The task's pod as it was answered; null if there is none, or only one that is not the task's.
const api::Pod* OwnPod(const TaskState* task, const Outcome& outcome) {
  const auto* pod = outcome.object ? std::get_if<api::Pod>(&*outcome.object) : nullptr;
  return pod != nullptr && task != nullptr && IsAttemptOf(*task, *pod) ? pod : nullptr;
}

void PodDeleted(World& world, const Outcome& outcome) {
  if (ChangedDeleted(world, outcome)) return;
  const auto pod = world.servers.pods.find(outcome.key);
  if (pod == world.servers.pods.end() || pod->second.object.meta.uid != outcome.request_uid) return;
  TaskState* task = TaskOf(pod->second);
  if (task == nullptr || !task->pods_deleted) return;
  const std::string& uid = outcome.request_uid;
  if (Deleted(world, (*task->pods_deleted)[uid], uid, outcome.error))
    RecordEvent(world, *task, true, kDeleteFailed,
                "pod " + outcome.key + " could not be deleted: " + outcome.error->message + kAgain);
  world.tasks.to_reconcile.insert(*task->key);
}

// Of a pod that comes and goes in one step nothing was made yet.
void NoteArrived(World& world, TaskState* task, const api::Pod& pod) {
  if (task == nullptr) return;
  const int64_t attempt = AttemptOf(task->object.meta.name, pod.meta.name);
  if (task->binding && task->binding->attempt == attempt) Confirm(world, *task);
  if (!IsUnsettled(*task) && !AwaitsAnother(*task) &&
      !(task->unsure && task->object.status.assignment))
    return;
  if (attempt == task->object.status.assignment->attempt) task->unsure = task->anothers = false;
}

// The answer to its deletion came first: what the watch tells now says that it had ended by itself.
void OnEarlierSeen(World& world, PodState& state, const api::Pod& pod) {
  const bool itself = state.object.meta.uid == pod.meta.uid;
  if (!itself || !pod.terminal() || IsAskedToEnd(pod) || state.seen_ended) return;
  state.seen_ended = true;
  TouchOwner(world, state);
}

void ForgetPod(World& world, const std::string& key) {
  const auto at = world.servers.pods.find(key);
  PodState& pod = at->second;
  world.tasks.early_gone.erase(key);
  TouchOwner(world, pod);
  TakeEnd(world, pod);
  NoteArrived(world, TaskOf(pod), pod.object);
  if (!world.scheduling.closed.empty()) EaseQuota(world, pod.object.meta.ns);
  TaskState* task = TaskOf(pod);
  if (task != nullptr && task->pods_deleted) task->pods_deleted->erase(pod.object.meta.uid);
  Disown(world, pod);
  // It was another leader's; ours is still on its way, also where the task was stopped meanwhile.
  if (task != nullptr && task->creating && pod.object.meta.name == task->creating->pod_name &&
      (task->creating == task->binding || world.now < task->creating->assigned_at + kSlowAnswer))
    AssumePod(world, *task, world.servers.ledger.Keep(task->creating->node_name));
  world.servers.pods.erase(at);
}

}  // namespace

void OnPodGone(World& world, const std::string& key) {
  ChangedGone(world, key);
  const auto at = world.servers.pods.find(key);
  if (at == world.servers.pods.end()) return;
  const PodState& pod = at->second;
  if (!world.ready() && pod.owner != nullptr && pod.object.terminal()) {
    world.tasks.early_gone.insert(key);
  } else {
    ForgetPod(world, key);
  }
}

void ForgetEarlyGone(World& world) {
  for (const std::string& key : std::exchange(world.tasks.early_gone, {})) ForgetPod(world, key);
}

void OnSeen(World& world, const api::Pod& pod) {
  const std::string key = pod.meta.key();
  if (const auto at = world.servers.pods.find(key); at != world.servers.pods.end()) {
    const api::Pod& known = at->second.object;
    if (known.meta.resource_version >= pod.meta.resource_version)
      return OnEarlierSeen(world, at->second, pod);
    if (known.meta.uid != pod.meta.uid) {
      ChangedGone(world, key);
      ForgetPod(world, key);
    } else if (ChangesHands(known, pod)) {
      TouchOwner(world, at->second);
      Disown(world, at->second);
    }
  }
  PodState& state = world.servers.pods[key];
  if (state.bound_by == 0 || state.object.node_name != pod.node_name)
    state.bound_by = pod.meta.resource_version;
  const api::Pod known = std::exchange(state.object, pod);
  KeepStart(known, state.object);
  state.object.meta.labels.clear();
  state.object.admitted.reset();
  if (!pod.terminal()) {
    state.seen_ending = IsAskedToEnd(pod);
    state.seen_ended = false;
  } else if (!IsAskedToEnd(pod)) {
    state.seen_ended = true;
  }
  if (pod.terminal() && !world.scheduling.closed.empty()) EaseQuota(world, pod.meta.ns);
  if (state.owner == nullptr) Own(world, state);
  if (!world.Synced(Kind::kTask)) {  // its task may be still to come
    state.task = state.owner != nullptr && pod.meta.labels.contains(api::kTaskLabel);
    state.exclusive = state.task && pod.meta.labels.contains(api::kExclusiveLabel);
  }
  CountPod(world, state);
  TouchOwner(world, state);
}

namespace {

void PodAnswered(World& world, const Outcome& outcome) {
  const auto owner = world.tasks.owners.find(outcome.request_uid);
  if (owner == world.tasks.owners.end()) return;
  // Seen by now, or refused, or seen and gone already: what was reserved for it is not needed.
  ForgetAssumed(world, owner->second);
  TaskState* task = owner->second.task;
  CreationAnswered(world, owner->second, task, outcome, OwnPod(task, outcome));
  if (task != nullptr) {
    task->creating.reset();
    PodCreated(world, *task, outcome);
    world.tasks.to_reconcile.insert(*task->key);
  }
  DropOwner(world, outcome.request_uid);
}

}  // namespace

void OnPodOutcome(World& world, const Outcome& outcome) {
  if (outcome.verb == Verb::kDelete) return PodDeleted(world, outcome);
  auto changed = ChangedByPolicy(outcome);
  if (!changed) return PodAnswered(world, outcome);
  TakeBackChanged(world, outcome);
  Outcome refused = outcome;
  refused.error = std::move(changed);
  refused.object.reset();
  PodAnswered(world, refused);
}

}  // namespace spillway::core
