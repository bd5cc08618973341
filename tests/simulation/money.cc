// What is begun where money is bounded, and what is billed.
#include <algorithm>

#include "operator/core/scheduling/admission.h"
#include "operator/core/world.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
using api::Pod;
using api::TaskRequest;
using std::chrono::seconds;

int64_t Checks::BegunFor(const Replica& replica, const TaskRequest& task) const {
  // Its end was decided on in the step that was told so, also if its pod is yet to be created.
  if (task.spec.suspend || task.spec.cancel) return 0;
  const TaskRecord* record = witness_.Task(task.meta.uid);
  int64_t begun = 0;
  for (const auto& [of, intent] : intents_) {
    const std::string& key = of.first;
    // One that was told to give way is taken back as soon as it appears.
    if (intent.replica == replica.id() && intent.task_uid == task.meta.uid &&
        api_.Get<Pod>(key) == nullptr && !GivenUp(replica, intent.decided) &&
        !preempted_.contains({task.meta.uid, intent.assignment->attempt}))
      begun = intent.estimate;
  }
  if (record == nullptr || record->pods.empty()) return begun;
  const PodRecord& last = record->pods.back();
  const auto origin = origins_.find(last.uid);
  const bool own = origin != origins_.end() && origin->second.replica == replica.id();
  const auto& ended = task.status.attempts;
  const bool recorded = !ended.empty() && ended.back().attempt >= last.attempt;
  // One that was not seen, and whose creation had no answer for too long, may never be.
  const bool waits = !own || replica.HasSeen(Kind::kPod, last.version) ||
                     (!GivenUp(replica, origin->second.decided) && !failed_.contains(last.key));
  const bool runs = waits && !last.over && !last.asked_to_end && !stopped_.contains(last.uid) &&
                    !recorded && !witness_.Down(last.node, Duration{0});
  // What appeared after it had been given up, or was bound elsewhere, was estimated again, by what
  // was known then.
  return own && runs && begun == 0 && !last.moved && !TakenUp(replica, last) ? last.estimate
                                                                             : begun;
}

int64_t Checks::UsedOf(const Replica& replica, const api::Budget& budget,
                       const std::string& uid) const {
  const api::Period period = api::PeriodOf(budget.spec.period, replica.now());
  int64_t used = 0;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (task.meta.ns != budget.meta.ns || !replica.HasSeen(Kind::kTask, core::VersionOf(*object)))
      continue;
    if (!api::Finished(task.status.phase) && task.meta.uid != uid) used += BegunFor(replica, task);
    for (const api::Attempt& attempt : task.status.attempts) {
      if (attempt.finished_at && *attempt.finished_at >= period.start &&
          *attempt.finished_at < period.end)
        used += attempt.cost_micros;
    }
  }
  return used;
}

// What costs money is begun only where the budgets cover it, and all that was begun before.
void Checks::CheckMoney(const Replica& replica, const core::Write& write) {
  // Of what another process has counted, one that leads beside it knows its own account alone.
  if (overlap_ || !replica.HasSeen(Kind::kBudget, api_.changed(Kind::kBudget))) return;
  const TaskRequest* task = TaskOf(write.uid);
  const auto* server = api_.Get<api::RegisteredServer>(write.pod->assignment->server);
  if (task == nullptr || server == nullptr || server->spec.price_micros == 0) return;
  for (const auto& [key, object] : api_.All(Kind::kBudget)) {
    const auto& budget = std::get<api::Budget>(*object);
    if (budget.meta.ns != task->meta.ns || budget.spec.action == api::BudgetAction::kWarn) continue;
    const int64_t used =
        UsedOf(replica, budget, write.uid) + write.pod->assignment->estimated_micros;
    if (used > budget.spec.amount_micros)
      Violate("beyond-budget", task->meta.key() + ": " + api::FormatPrice(used) + " of " +
                                   api::FormatPrice(budget.spec.amount_micros) + " in " + key);
  }
}

bool Checks::Bounded(const std::string& ns) const {
  for (const auto& [key, object] : api_.All(Kind::kBudget)) {
    const auto& budget = std::get<api::Budget>(*object);
    if (budget.meta.ns == ns && budget.spec.action != api::BudgetAction::kWarn) return true;
  }
  return false;
}

// Another has made it, or this process had given its creation up, as it was made or heard of late,
// or was told that it had failed.
bool Checks::TakenUp(const Replica& replica, const PodRecord& pod) const {
  const auto origin = origins_.find(pod.uid);
  return origin == origins_.end() || origin->second.replica != replica.id() ||
         failed_.contains(pod.key) || pod.began >= pod.asked + core::kSlowAnswer - seconds(1) ||
         replica.UntoldUntil(pod.uid) + seconds(1) >= origin->second.decided + core::kSlowAnswer;
}

int64_t Checks::MostCost(const Replica& replica, const api::Attempt& attempt,
                         const PodRecord& pod) const {
  constexpr int64_t kMostPrice = 400'000;  // per hour, of every pool here
  // Of one that ended unseen, or on a node whose clock is wrong, nobody knows when that was.
  const bool known = pod.over && attempt.exit_code && !witness_.clocks_wrong;
  // From a time by the API server's clock to one by the process's, which may be ahead of it.
  const Duration between = !known && TakenUp(replica, pod) ? fastest_ : Duration{0};
  const auto there =
      std::chrono::ceil<seconds>((known ? *pod.over : api_.now) - pod.asked + between).count();
  // The operator's clock, once it was set, goes a tenth faster until it is right.
  return kMostPrice * (there + there / 10 + 2) / 3'600 + 1;
}

// No attempt costs more than the time since it was decided on, and no deadline passes earlier than
// that, whatever the clocks of nodes say. When its pod was made only the API server's clock tells.
void Checks::CheckBill(const Replica& replica, const core::Write& write,
                       const api::TaskStatus& now) {
  const TaskRecord* task = witness_.Task(write.uid);
  for (const api::Attempt& attempt : now.attempts) {
    if (task == nullptr || attempt.cost_micros == 0) continue;
    // Under the name of one that nobody has recorded there may have been another.
    int64_t most = -1;
    for (const PodRecord& pod : task->pods) {
      if (pod.attempt == attempt.attempt) most = std::max(most, MostCost(replica, attempt, pod));
    }
    if (most >= 0 && attempt.cost_micros > most)
      Violate("bill", attempt.pod_name + " cost " + api::FormatPrice(attempt.cost_micros) +
                          ", and could cost " + api::FormatPrice(most));
  }
  const std::string reason = now.result ? now.result->reason : "";
  if (reason != "DeadlineExceeded" || task == nullptr || task->pods.empty()) return;
  const Duration since = api_.now - task->pods.front().began;
  // Pods tell the time to the second. Deadlines pass by the clocks of processes: of one, or of one
  // that has told when the task began and one that judges.
  if (since + seconds(1) + (fastest_ - slowest_) < *before_->spec.active_deadline)
    Violate("early-deadline", write.key() + " after " + FormatDuration(since));
}

}  // namespace spillway::simulation
