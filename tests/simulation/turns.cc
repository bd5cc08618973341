// Whose turn it is, and what begins together.
#include <algorithm>
#include <tuple>

#include "operator/core/world.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using api::TaskRequest;
using std::chrono::seconds;

// Longer than the operator's own waits after losses and refusals, and after most failures.
constexpr Duration kRested = seconds(200);

bool AsksForTheSame(const TaskRequest& a, const TaskRequest& b) {
  const auto placement = [](const TaskRequest& task) {
    const api::Placement& p = *task.spec.placement;
    return std::tuple(p.policy, p.burst_after, p.burst_auto, p.pools, p.max_price_micros);
  };
  return a.spec.exclusive == b.spec.exclusive && a.spec.active_deadline == b.spec.active_deadline &&
         a.spec.requirements == b.spec.requirements && placement(a) == placement(b) &&
         *a.spec.pod_template == *b.spec.pod_template;
}

}  // namespace

std::optional<int64_t> Checks::PriorityOf(const TaskRequest& task) const {
  if (task.spec.priority_class.empty()) return task.spec.priority;
  const auto* named = api_.Get<api::PriorityClass>(task.spec.priority_class);
  return named == nullptr ? std::nullopt : std::optional(named->value);
}

// An attempt that was taken back stands in the status before its pod has ended.
bool Checks::HasSeenEnds(const Replica& replica, const std::string& task_uid) const {
  const TaskRecord* record = witness_.Task(task_uid);
  if (record == nullptr) return true;
  return std::all_of(record->pods.begin(), record->pods.end(), [&](const PodRecord& pod) {
    return replica.HasSeen(Kind::kPod, pod.ended > 0 ? pod.ended : api_.changed(Kind::kPod));
  });
}

void Checks::NoteTried(const std::string& task_uid, Time Kindred::*what) {
  const TaskRequest* task = TaskOf(task_uid);
  if (task == nullptr) return;
  const auto at = std::find_if(kinds_.begin(), kinds_.end(), [&](const Kindred& kind) {
    return kind.one.meta.ns == task->meta.ns && AsksForTheSame(kind.one, *task);
  });
  Kindred& kind = at == kinds_.end() ? kinds_.emplace_back(Kindred{*task}) : *at;
  kind.*what = api_.now;
}

bool Checks::IsKindRefused(const TaskRequest& task) const {
  return std::any_of(kinds_.begin(), kinds_.end(), [&](const Kindred& kind) {
    return kind.refused > kind.made && kind.one.meta.ns == task.meta.ns &&
           AsksForTheSame(kind.one, task);
  });
}

bool Checks::InQueue(const Replica& replica, const TaskRequest& task) const {
  const api::TaskStatus& status = task.status;
  if (api::Finished(status.phase) || task.spec.suspend || task.spec.cancel || task.spec.group ||
      task.meta.deleted || !replica.HasSeen(Kind::kTask, task.meta.resource_version) ||
      // It has ended, and its status is refused or on its way.
      concluded_.contains({replica.id(), task.meta.uid}) ||
      !witness_.Rested(task.meta.uid, kRested) || witness_.Unrecorded(task) || Barred(task) ||
      !HasSeenEnds(replica, task.meta.uid) || (status.retry_at && *status.retry_at > replica.now()))
    return false;
  // No status of it could be written: it may have ended, such as for want of money.
  if (status.conditions->empty() && api_.now >= task.meta.created + seconds(60)) return false;
  // It ends instead, by the clock of the process; that it does may not be written yet.
  if (task.spec.start_deadline && replica.now() >= task.meta.created + *task.spec.start_deadline)
    return false;
  if (task.spec.active_deadline && status.started_at &&
      replica.now() >= *status.started_at + *task.spec.active_deadline)
    return false;
  // Where pods are refused, or nobody answers, only some are tried.
  if (witness_.RefusedIn(task.meta.ns, kPassedOver) || witness_.Unproven(task.meta.ns) ||
      IsKindRefused(task))
    return false;
  // That a pod was created may not have been told yet.
  for (const std::string& key : replica.Unanswered(task.meta.ns + "/")) {
    if (api_.now >= witness_.AskedAt(key) + seconds(3)) return false;
  }
  return std::none_of(intents_.begin(), intents_.end(), [&](const auto& intent) {
    return intent.second.task_uid == task.meta.uid ||
           (intent.first.first.starts_with(task.meta.ns + "/") &&
            api_.now >= intent.second.asked + seconds(3));
  });
}

// The pods of the namespace whose creation the process has decided on, and which it has no answer
// of.
std::set<std::string> Checks::TriedIn(const Replica& replica, const std::string& ns) const {
  std::set<std::string> tried;
  for (const std::string& key : replica.Unanswered(ns + "/")) tried.insert(key);
  for (const auto& [of, intent] : intents_) {
    const std::string& key = of.first;
    if (intent.replica == replica.id() && key.starts_with(ns + "/")) tried.insert(key);
  }
  return tried;
}

// Whether one of the task's kind is tried in its namespace, or may be. The others of it are hidden
// then, in their own line alone.
bool Checks::TriesLike(const Replica& replica, const TaskRequest& task) const {
  // Of one that is gone nobody knows what it asked for.
  const auto is_like = [&](const TaskRequest* other) {
    return other == nullptr || AsksForTheSame(*other, task);
  };
  const auto tried = TriedIn(replica, task.meta.ns);
  const auto& tasks = api_.All(Kind::kTask);
  return std::any_of(tried.begin(), tried.end(),
                     [&](const std::string& pod) {
                       return is_like(api_.Get<TaskRequest>(pod.substr(0, pod.rfind('-'))));
                     }) ||
         std::any_of(tasks.begin(), tasks.end(), [&](const auto& entry) {
           // What is recorded first is tried from then on, long before its pod is asked for.
           const auto& other = std::get<TaskRequest>(*entry.second);
           return other.meta.ns == task.meta.ns && other.spec.retry.loss_limit == 0 &&
                  !api::Finished(other.status.phase) && witness_.Rested(other.meta.uid, {}) &&
                  AsksForTheSame(other, task);
         });
}

// Whether they do not stand in one line: admission makes other pods of them, or the budgets of one
// of them may close to it what costs money. What stands in another line is not waited for while one
// of its kind is tried in its namespace, or as many kinds as may be at once.
bool Checks::StandApart(const Replica& replica, const TaskRequest& a, const TaskRequest& b) const {
  constexpr size_t kTriedAtOnce = 8;
  // What it adds is known in each namespace by itself, once a pod of the kind was created there.
  const int64_t added = std::max(api_.ReckonedCpu(a.meta.ns), api_.ReckonedCpu(b.meta.ns));
  if (added > 0 && a.meta.ns != b.meta.ns) return true;
  return Bounded(b.meta.ns) &&
         (TriedIn(replica, a.meta.ns).size() >= kTriedAtOnce || TriesLike(replica, a));
}

// Nothing of a higher priority that asks for the same still waits.
void Checks::CheckTurn(const Replica& replica, const std::string& task_uid) {
  if (!KnowsKind(replica, Kind::kPriorityClass) ||
      // By one that is gone tasks are held until that is told.
      !KnowsKind(replica, Kind::kBudget) ||
      // What is held back for want of money is looked at anew, but not at once.
      api_.now < witness_.budget_changed + seconds(10))
    return;
  const TaskRequest* mine = TaskOf(task_uid);
  if (mine == nullptr || mine->spec.group ||
      !replica.HasSeen(Kind::kTask, mine->meta.resource_version))
    return;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& other = std::get<TaskRequest>(*object);
    // What costs money may be closed to the one and not to the other.
    if (&other == mine || other.spec.retry.loss_limit == 0 ||
        !(PriorityOf(other) > PriorityOf(*mine)) || Bounded(other.meta.ns) ||
        !AsksForTheSame(other, *mine) || !InQueue(replica, other) ||
        StandApart(replica, other, *mine))
      continue;
    Violate("passed-over", key + ", of a higher priority, by " + mine->meta.key());
  }
}

// All of a group that has never run are bound in one step.
void Checks::CheckGroup(const Replica& replica, const std::string& task_uid) {
  const TaskRequest* mine = TaskOf(task_uid);
  if (mine == nullptr || !mine->spec.group ||
      !replica.HasSeen(Kind::kTask, api_.changed(Kind::kTask)))
    return;
  int64_t bound = 0;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (!task.spec.group || task.spec.group->name != mine->spec.group->name) continue;
    if (task.spec.retry.loss_limit == 0) return;  // its pod comes once that is recorded
    const TaskRecord* record = witness_.Task(task.meta.uid);
    // One that was tried before, and lost its place, waits alone.
    const bool tried = ever_decided_.contains(task.meta.uid) && !decided_.contains(task.meta.uid);
    if (record != nullptr || tried || api::Finished(task.status.phase)) return;
    for (const auto& [pod, intent] : intents_) {
      if (intent.replica == replica.id() && intent.task_uid == task.meta.uid) {
        ++bound;
        break;
      }
    }
  }
  if (bound < mine->spec.group->size)
    Violate("half-a-group",
            std::to_string(bound) + " of group " + mine->spec.group->name + " are bound");
}

}  // namespace spillway::simulation
