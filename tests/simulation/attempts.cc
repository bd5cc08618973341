// The pods of a task, one after the other, and what its status tells of them.
#include <algorithm>

#include "operator/core/scheduling/admission.h"
#include "operator/core/world.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using api::Pod;
using api::TaskRequest;
using std::chrono::seconds;

// What others have taken on its node since it was decided on is in its way, or what the process
// keeps there for others, whose pods it may not create yet.
bool LacksRoom(const ApiServer& api, const core::World& world, const Pod& pod) {
  const auto* node = api.Get<api::Node>(pod.node_name);
  if (node == nullptr) return false;
  api::Resources used;
  for (const auto& [key, object] : api.All(Kind::kPod)) {
    const Pod& each = std::get<Pod>(*object);
    if (each.node_name == pod.node_name && !each.terminal()) used += each.requests;
  }
  world.servers.ledger.ForEachOwner(pod.node_name,
                                    [&](const core::Owner& owner, const core::Demand& demand) {
                                      if (owner.assumed.counted() && owner.pods.empty())
                                        used += demand.requests;
                                    });
  return !Fits(used, node->allocatable);
}

}  // namespace

void Checks::CheckOnlyPod(const Replica& replica, const Pod& pod, const std::string& task_uid) {
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    const std::string* owner = witness_.OwnerOf(other);
    if (owner == nullptr || *owner != task_uid || other.terminal() || !Knows(replica, other) ||
        other.meta.name == pod.meta.name)
      continue;
    // Its node may be well again: then it is counted as lost if it was, while the pod was there.
    const PodRecord* record = witness_.RecordOf(other);
    if (!witness_.Lost(other.node_name, record->asked))
      Violate("two-pods", pod.meta.key() + " beside " + key + ", whose node " + other.node_name +
                              " was never lost");
  }
  for (const auto& [of, intent] : intents_) {
    const std::string& key = of.first;
    if (intent.replica == replica.id() && intent.task_uid == task_uid && key != pod.meta.key() &&
        api_.Get<Pod>(key) == nullptr)
      Violate("two-pods", pod.meta.key() + " beside " + key + ", which is not created yet");
  }
}

// What a status says of a pod that the process knows.
void Checks::CheckAssignment(const Replica& replica, const core::Write& write) {
  const TaskRecord* task = witness_.Task(write.uid);
  if (task == nullptr) return;
  const auto known = [&](int64_t attempt) -> const PodRecord* {
    const PodRecord* pod = task->Attempt(attempt);
    return pod != nullptr && replica.HasSeen(Kind::kPod, pod->bound) ? pod : nullptr;
  };
  const api::Json& assignment = api::GetObject(write.body, "assignment");
  const int64_t bound = api::GetInt(assignment, "attempt");
  const api::Json& attempts = api::GetArray(write.body, "attempts");
  const PodRecord* pod = known(bound);
  // Of an attempt that has ended, a pod may come back under its name, elsewhere.
  const bool ended = std::any_of(attempts.begin(), attempts.end(), [&](const api::Json& attempt) {
    return api::GetInt(attempt, "attempt") == bound;
  });
  // Nor is it followed where it is ended as soon as it appears, since nobody waits for it any more;
  // and before it is bound, nobody knows where it will be.
  const Pod* there = pod == nullptr ? nullptr : api_.Get<Pod>(pod->key);
  if (there != nullptr && !there->intended && !ended && !stopped_.contains(pod->uid) &&
      api::GetString(assignment, "nodeName") != pod->node)
    Violate("assignment-truth", pod->key + " is on node " + pod->node + ", its task says " +
                                    api::GetString(assignment, "nodeName"));
  for (const api::Json& attempt : attempts) {
    // One that was given up may come to be elsewhere, by another's hand, once it is recorded.
    if (!attempt.contains("exitCode")) continue;
    const int64_t number = api::GetInt(attempt, "attempt");
    const PodRecord* of = known(number);
    const std::string server = api::GetString(attempt, "server");
    // One that was deleted may have been created again under its name, elsewhere.
    if (of != nullptr && std::none_of(task->pods.begin(), task->pods.end(), [&](const auto& each) {
          return each.attempt == number && witness_.ServedBy(server, each.node);
        }))
      Violate("assignment-truth",
              of->key + " was on node " + of->node + ", its task says on server " + server);
  }
}

// What runs keeps the priority that it began with, as pods do when their class is made anew; for a
// process that was started since it is the one of that moment.
std::optional<int64_t> Checks::LowestPriorityOf(const TaskRequest& task,
                                                const PodRecord& pod) const {
  auto out = PriorityOf(task);
  if (const auto at = began_with_.find(pod.key); at != began_with_.end())
    out = std::min(out, at->second);
  if (const auto lowest = witness_.LowestOf(task.spec.priority_class, pod.asked))
    out = std::min(out, lowest);
  return out;
}

// One that is behind goes by priorities as they were.
bool Checks::GivesWay(const Replica& replica, const TaskRequest& task,
                      std::optional<int64_t> own) const {
  const auto allows = [](const TaskRequest& each) {
    return each.spec.preemption == api::Preemption::kAllowed;
  };
  const auto behind = [&](Kind kind) { return !replica.HasSeen(kind, api_.changed(kind)); };
  bool out = behind(Kind::kTask) || behind(Kind::kPriorityClass);
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& other = std::get<TaskRequest>(*object);
    out = out || ((allows(other) || allows(task)) && PriorityOf(other) > own);
  }
  return out;
}

// Its pod may still be on its way, and end before it is deleted; or whom it gave way to is gone
// when that is done.
void Checks::NotePreempted(const Replica& replica, const core::Note& note) {
  const TaskRequest* task = note.reason == "Preempted" ? TaskOf(note.uid) : nullptr;
  if (task == nullptr || !GivesWay(replica, *task, PriorityOf(*task))) return;
  preempted_.emplace(note.uid, note.attempt);
  const TaskRecord* record = witness_.Task(note.uid);
  const PodRecord* pod = record == nullptr ? nullptr : record->Attempt(note.attempt);
  if (pod != nullptr && !pod->over) witness_.Blame(pod->uid, "gave way");
}

// All members of the task's group run, or have run, as their statuses tell the process: nothing of
// it is taken back any more.
bool Checks::GroupGoesOn(const Replica& replica, const TaskRequest& task) const {
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& other = std::get<TaskRequest>(*object);
    if (other.meta.ns != task.meta.ns || !other.spec.group ||
        other.spec.group->name != task.spec.group->name)
      continue;
    const api::TaskStatus& status = other.status;
    const bool runs = status.phase == api::TaskPhase::kRunning || api::Finished(status.phase);
    if (!runs || !replica.HasSeen(Kind::kTask, other.meta.resource_version)) return false;
  }
  return true;
}

// A task may have to give way to another, or its group is taken back; both cost it no retry. Nor
// does a pod that appears after its creation was given up, when its room is another's.
void Checks::Stops(const Replica& replica, const core::Write& write) {
  // It may be gone already by another's hand.
  const auto* pod = api_.Get<Pod>(write.key());
  if (pod != nullptr && pod->meta.uid != write.uid) pod = nullptr;
  const PodRecord* record = witness_.RecordOf(write.uid);
  if (pod != nullptr && record != nullptr &&
      (record->ended == 0 || !replica.HasSeen(Kind::kPod, record->ended)))
    witness_.Stopped(write.uid);
  const std::string* owner = witness_.OwnerOf(write.uid);
  const TaskRequest* task = owner == nullptr ? nullptr : TaskOf(*owner);
  if (task != nullptr && task->spec.group && !GroupGoesOn(replica, *task))
    witness_.Blame(write.uid, "gave way");
  if (task == nullptr || record == nullptr) return;
  if (preempted_.contains({*owner, record->attempt}) ||
      GivesWay(replica, *task, LowestPriorityOf(*task, *record)))
    witness_.Blame(write.uid, "gave way");
  // As the process may see it.
  const bool pending = pod == nullptr || pod->phase == api::PodPhase::kPending ||
                       !replica.HasSeen(Kind::kPod, pod->meta.resource_version);
  const api::Resources asked = TemplateRequests(*task);
  if (pending) witness_.TakenBack(write.uid, asked);
  if (pod == nullptr) return;
  // The process may end before it has written that, and the next one's clock be behind.
  if (const auto within = task->spec.start_deadline;
      within && replica.now() >= task->meta.created + *within)
    witness_.Blame(write.uid, "did not start in time");
  // Or that of its node says nothing of when it began.
  const Time began = witness_.Task(*owner)->pods.front().began;
  if (const auto within = task->spec.active_deadline;
      within && replica.now() + seconds(1) >= began + *within)
    witness_.Blame(write.uid, "ran too long");
  if (const auto* node = api_.Get<api::Node>(pod->node_name);
      node != nullptr && (IsTakenAway(*node) || OrphanedAt(*node) != kNever))
    witness_.Blame(write.uid, "its server is to go");
  const auto origin = origins_.find(write.uid);
  if (pending && origin != origins_.end() && origin->second.replica == replica.id() &&
      replica.UntoldUntil(write.uid) >= origin->second.decided + core::kSlowAnswer)
    witness_.Blame(write.uid, "was given up before it was seen");
  const bool bound = !pod->intended && replica.HasSeen(Kind::kPod, record->bound);
  if (pending && !bound) witness_.Blame(write.uid, "was not bound");
  if (pending && LacksRoom(api_, replica.core().world(), *pod))
    witness_.Blame(write.uid, "has no room left");
  if (pending && !(pod->requests == asked))
    witness_.Blame(write.uid, "was admitted with more than it asked for");
}

// Whether the process can know that the pod has ended by itself: somebody must have told it of that
// end, and, where clocks are wrong or both were in one second, before the deletion. Which of the
// two came first, a node's clock says then to nobody else.
bool Checks::KnowsEnd(const Replica& replica, const PodRecord& pod) const {
  return witness_.clocks_wrong || pod.unclear ? replica.HasMetEndedFirst(pod.uid)
                                              : replica.HasMetEnded(pod.uid);
}

// Whether the process can know that the pod has run. Of one that was refused, or taken back before,
// only who saw it can, or who reads that in the task's status; see README.md.
bool Checks::KnowsRun(const Replica& replica, const TaskRequest& task, const PodRecord& pod) {
  if (!pod.ran) return false;
  if ((!pod.turned_away && !pod.taken_back) || replica.HasMetRunning(pod.uid)) return true;
  return std::any_of(
      task.status.attempts.begin(), task.status.attempts.end(),
      [&](const auto& each) { return each.attempt == pod.attempt && each.started_at; });
}

// What has ended well is never begun anew, nor, with a loss limit of 0, what may have run and was
// not stopped by its user or for others.
void Checks::CheckRunsOnce(const Replica& replica, const core::Write& write) {
  const TaskRecord* record = witness_.Task(write.uid);
  const TaskRequest* task = TaskOf(write.uid);
  if (record == nullptr || task == nullptr) return;
  if (api_.Get<Pod>(write.key()) != nullptr) return;  // there will be no second one of its name
  int64_t ran = 0, may = 1 + task->spec.retry.limit + record->edits;
  for (const PodRecord& pod : record->pods) {
    ran += KnowsRun(replica, *task, pod) ? 1 : 0;
    may += pod.gave_way ? 1 : 0;
    const bool succeeded = pod.ended > 0 && pod.end && pod.end->exit_code == 0 &&
                           !pod.asked_to_end && pod.cause.empty();
    if (succeeded && !overlap_ && KnowsEnd(replica, pod) && !witness_.Lost(pod.node, pod.asked))
      Violate("ran-again", write.key() + " although " + pod.key + " has succeeded");
  }
  if (task->spec.retry.loss_limit == 0 && ran >= may)
    Violate("ran-again", write.key() + " although the task may be lost 0 times, and " +
                             std::to_string(ran) + " of its pods have run");
}

// Each pod after the first needs a reason: a failure that the user wants retried, or something that
// was done to the one before.
void Checks::CheckPods(const core::Write& write) {
  const TaskRecord* record = witness_.Task(write.uid);
  const TaskRequest* task = TaskOf(write.uid);
  if (record == nullptr || task == nullptr) return;
  const auto pods = static_cast<int64_t>(record->pods.size());
  const int64_t causes = witness_.Causes(*record);
  if (pods > 1 + task->spec.retry.limit + causes)
    Violate("pods-bound", task->meta.key() + " has had " + std::to_string(pods) + " pods with " +
                              std::to_string(task->spec.retry.limit) + " retries and " +
                              std::to_string(causes) + " disruptions");
}

}  // namespace spillway::simulation
