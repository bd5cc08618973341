// How tasks end, and what their results tell of their pods.
#include <algorithm>

#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using api::TaskRequest;
using std::chrono::seconds;

// A long output is cut.
bool Tells(const PodRecord& pod, const api::TaskResult& result) {
  constexpr size_t kHead = 30;
  return pod.end && result.exit_code == pod.end->exit_code &&
         result.output.substr(0, kHead) == pod.end->message.substr(0, kHead);
}

}  // namespace

// A retry is counted for what failed by itself, and for nothing else. Which of its end and its
// deletion came first, a wrong clock cannot tell.
void Checks::CheckFaults(const core::Write& write) {
  const TaskRecord* record = witness_.Task(write.uid);
  const int64_t retries = api_.Get<TaskRequest>(write.key())->status.retries;
  if (retries == 0 || overlap_ || witness_.clocks_wrong) return;
  const int faults = record == nullptr ? 0 : Witness::OwnFaults(*record);
  if (retries > faults)
    Violate("whose-fault", write.key() + " counts " + std::to_string(retries) + " retries, and " +
                               std::to_string(faults) + " of its pods failed by themselves");
}

// How a task ends follows from what its user asked for and from what became of its pods, as it
// would without any fault: a process that is wrong about either ends it otherwise.
void Checks::CheckEnd(const Replica& replica, const core::Write& write) {
  const TaskRequest* task = TaskOf(write.uid);
  const TaskRecord* record = witness_.Task(write.uid);
  const std::string phase = api::GetString(write.body, "phase");
  if (task == nullptr || overlap_ || (phase != "Failed" && phase != "Cancelled")) return;
  const api::Json& result = api::GetObject(write.body, "result");
  const std::string reason = api::GetString(result, "reason");
  const auto wrong = [&](const std::string& why) {
    Violate("wrong-end", write.key() + " is " + phase + " (" + reason + "), and " + why);
  };
  const int64_t faults = record == nullptr ? 0 : Witness::OwnFaults(*record);
  const int64_t causes = record == nullptr ? 0 : witness_.Causes(*record);
  const api::TaskSpec& spec = task->spec;
  if (phase == "Cancelled") {
    if (!spec.cancel) wrong("nobody has cancelled it");
  } else if (reason == "DeadlineExceeded") {
    if (!spec.active_deadline) wrong("has no such deadline");
  } else if (reason == "StartDeadlineExceeded") {
    const Time until = task->meta.created + spec.start_deadline.value_or(Duration{0});
    if (!spec.start_deadline) wrong("has no such deadline");
    if (replica.now() + seconds(1) + fastest_ - slowest_ < until)
      wrong("has time until " + FormatTime(until));
  } else if (reason == "LossLimitExceeded") {
    // What a process has written of a pod and not made, another takes for lost.
    const bool others =
        task->status.assignment && !recorded_.contains({replica.id(), RecordOf(*task)});
    if (causes + ended_ + (others ? 1 : 0) <= spec.retry.loss_limit)
      wrong("was lost " + std::to_string(causes) + " times at most");
  } else if (result.contains("exitCode") && !witness_.clocks_wrong) {
    // Who is cancelled or deleted is not tried again.
    if (faults + causes <= spec.retry.limit && !spec.cancel && !task->meta.deleted)
      wrong("failed " + std::to_string(faults + causes) + " times at most");
  }
}

// The outcome of a finished task is history: nobody may change it.
void Checks::CheckResult(const Replica& replica, const core::Write& write) {
  const api::TaskStatus &old = before_->status, &now = api_.Get<TaskRequest>(write.key())->status;
  if (!api::Finished(old.phase)) {
    CheckBill(replica, write, now);
    if (api::Finished(now.phase)) CheckTruth(replica, write);
    return;
  }
  const auto& a = old.result;
  const auto& b = now.result;
  const bool same = old.phase == now.phase && a.has_value() == b.has_value() &&
                    (!a || (a->exit_code == b->exit_code && a->reason == b->reason &&
                            a->output == b->output && a->finished_at == b->finished_at));
  if (!same)
    Violate("changed-result", write.key() + " was " + api::ToString(old.phase) + " and is " +
                                  api::ToString(now.phase));
}

// A pod that was gone before the process began, and that no status told of by then, nobody knows
// of.
int64_t Checks::LastKnown(const Replica& replica, const TaskRecord& task) const {
  const api::TaskStatus& told = before_->status;
  const auto is_known = [&](const PodRecord& pod) {
    const auto origin = origins_.find(pod.uid);
    return replica.HasMet(pod.uid) ||
           (origin != origins_.end() && origin->second.replica == replica.id()) ||
           (told.assignment && told.assignment->attempt == pod.attempt) ||
           std::any_of(told.attempts.begin(), told.attempts.end(),
                       [&](const api::Attempt& each) { return each.attempt == pod.attempt; });
  };
  const auto last = std::find_if(task.pods.rbegin(), task.pods.rend(), is_known);
  return last == task.pods.rend() ? 0 : last->attempt;
}

// The result is what the main container of the last attempt did, and nothing if it never ended.
void Checks::CheckTruth(const Replica& replica, const core::Write& write) {
  const api::TaskStatus& now = api_.Get<TaskRequest>(write.key())->status;
  if (!now.result) return;
  int64_t last = now.attempts.empty() ? 0 : now.attempts.back().attempt;
  const TaskRecord* task = witness_.Task(write.uid);
  if (task != nullptr && !overlap_ && task->late == 0) {
    // What was not written of its attempts when a process ended, and whose pods are gone, nobody
    // knows: then numbers are used again, and the last pod does not have the highest. Nor need it
    // be the one that succeeded, where a silent node tells so when the next has begun.
    const PodRecord* told = task->Attempt(last);
    const bool late = now.phase == api::TaskPhase::kSucceeded && told != nullptr && told->end &&
                      told->end->exit_code == 0 && !told->asked_to_end;
    const int64_t known = LastKnown(replica, *task);
    if (known > 0 && !late) last = known;
  }
  const PodRecord* pod = task == nullptr ? nullptr : task->Attempt(last);
  const api::Termination* end = pod != nullptr && pod->end ? &*pod->end : nullptr;
  const bool nothing = !now.result->exit_code && now.result->output.empty();
  if (nothing && now.phase != api::TaskPhase::kSucceeded) return;
  // One that was deleted may have been created again under its name.
  const auto any = [&](const auto& is) {
    return task != nullptr &&
           std::any_of(task->pods.begin(), task->pods.end(), [&](const PodRecord& each) {
             return each.attempt == last && Tells(each, *now.result) && is(each);
           });
  };
  const bool same = any([](const PodRecord&) { return true; });
  if (now.phase == api::TaskPhase::kSucceeded && pod != nullptr && pod->asked_to_end && !overlap_ &&
      !witness_.clocks_wrong && !any([](const PodRecord& each) { return !each.asked_to_end; }))
    Violate("result-truth", write.key() + " has succeeded, and its pod was deleted while it ran");
  if (same) return;
  Violate("result-truth", write.key() + " is " + api::ToString(now.phase) + " with output \"" +
                              now.result->output + "\", its last attempt " + std::to_string(last) +
                              " ended with " +
                              (end == nullptr ? "nothing" : "\"" + end->message + "\""));
}

}  // namespace spillway::simulation
