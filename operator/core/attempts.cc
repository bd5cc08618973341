#include "operator/core/attempts.h"

#include <algorithm>
#include <array>

#include "operator/core/budgets.h"
#include "operator/core/tasks.h"

namespace spillway::core {
namespace {

using api::TaskPhase;
using api::TaskStatus;

std::string FirstOf(std::string a, std::string b) {
  return a.empty() ? std::move(b) : std::move(a);
}

// The server's price per hour times the time that the attempt ran.
int64_t CostOfAttempt(const TaskState& task, const api::Attempt& attempt) {
  if (!attempt.started_at || !attempt.finished_at) return 0;
  return CostOf(task.binding->price_micros, *attempt.finished_at - *attempt.started_at);
}

api::Attempt Describe(const TaskState& task, const api::Pod* pod) {
  api::Attempt attempt{
      task.binding->attempt, task.binding->server, task.binding->pod_name, {}, "", "", {}, {}};
  if (pod == nullptr) return attempt;
  attempt.started_at = pod->started;
  attempt.reason = pod->reason;
  attempt.message = pod->message;
  if (const auto& end = pod->termination) {
    attempt.exit_code = end->exit_code;
    attempt.reason = FirstOf(attempt.reason, end->reason);
    if (end->exit_code != 0)
      attempt.message = FirstOf(end->message, attempt.message);  // else it is the output
    attempt.started_at = end->started ? end->started : attempt.started_at;
    attempt.finished_at = end->finished;
  }
  return attempt;
}

void Record(TaskState& task, api::Attempt attempt) {
  attempt.cost_micros = CostOfAttempt(task, attempt);
  NoteSpent(*task.tenant, attempt);
  auto& attempts = task.object.status.attempts;
  if (!task.object.status.started_at) task.object.status.started_at = attempt.started_at;
  attempts.push_back(std::move(attempt));
  if (attempts.size() > TaskStatus::kMaxAttempts) attempts.erase(attempts.begin());
}

// Of all the attempts that are listed.
std::string CostOfAll(const std::vector<api::Attempt>& attempts) {
  int64_t micros = 0;
  for (const api::Attempt& attempt : attempts) micros += attempt.cost_micros;
  return micros == 0 ? "" : api::FormatPrice(micros);
}

void SetResult(World& world, TaskState& task, const api::Attempt& attempt, const api::Pod& pod) {
  api::TaskResult result;
  result.exit_code = attempt.exit_code;
  result.reason = attempt.reason;
  result.message = pod.message;
  if (pod.termination) result.output = pod.termination->message;
  result.started_at = attempt.started_at;
  result.finished_at = attempt.finished_at ? attempt.finished_at : world.now;
  task.object.status.result = std::move(result);
}

// Back to the queue: whatever was known of the attempt no longer holds.
void Unbind(World& world, TaskState& task, const std::string& reason, const std::string& message) {
  TellAssigned(task);
  task.binding.reset();
  task.assigned_written = false;
  task.waiting_since = world.now;
  task.status_due = world.now;
  ChangeConditions(task, [&](auto& conditions) {
    api::SetCondition(conditions,
                      {"Assigned", "False", reason, message, task.object.meta.generation, {}},
                      world.now);
  });
}

std::string ExitText(const api::Attempt& attempt) {
  std::string text =
      attempt.exit_code ? "exit code " + std::to_string(*attempt.exit_code) : "no exit code";
  if (!attempt.reason.empty()) text += " (" + attempt.reason + ")";
  return text + " on server " + attempt.server;
}

bool MayRetry(const api::TaskRequest& task, const api::Attempt& attempt) {
  const api::Retry& retry = task.spec.retry;
  if (task.status.retries >= retry.limit || task.spec.cancel) return false;
  const auto& codes = retry.on_exit_codes;
  return codes.empty() || (attempt.exit_code && std::find(codes.begin(), codes.end(),
                                                          *attempt.exit_code) != codes.end());
}

void RetryLater(World& world, TaskState& task, const api::Attempt& attempt) {
  TaskStatus& status = task.object.status;
  const int64_t doublings = std::min<int64_t>(status.retries, 12);
  const Duration wait =
      std::min(task.object.spec.retry.backoff * (int64_t{1} << doublings), kMaxBackoff);
  ++status.retries;
  Unbind(world, task, "Retrying", ExitText(attempt));
  status.retry_at = world.now + wait;
  const std::string message = ExitText(attempt) + "; retry " + std::to_string(status.retries) +
                              " of " + std::to_string(task.object.spec.retry.limit) + " in " +
                              FormatDuration(wait);
  HoldBack(world, task, wait);
  DescribeWaiting(world, task, TaskPhase::kPending, message);
  world.Tell(task, true, "Retrying", message);
}

}  // namespace

void NoteRun(TaskState& task) {
  const auto& result = task.object.status.result;
  if (task.shape == nullptr || !result || !result->started_at || !result->finished_at) return;
  const Duration ran = *result->finished_at - *result->started_at;
  task.shape->runs.Add(ran);
  if (task.shape->paid != nullptr) task.shape->paid->runs.Add(ran);
}

int64_t LastEnded(const TaskState& task) {
  int64_t last = 0;
  for (const api::Attempt& attempt : task.object.status.attempts)
    last = std::max(last, attempt.attempt);
  return last;
}

bool EndedByCluster(const api::Pod& pod) {
  // Reasons that the kubelet and the controllers give to pods that they end or refuse.
  static constexpr std::array<std::string_view, 12> kReasons{
      "Evicted",    "NodeLost",     "NodeShutdown",    "Terminated", "Shutdown",
      "Preempting", "NodeAffinity", "TaintToleration", "NodePorts",  "UnexpectedAdmissionError",
      "NodeName",   "OutOfpods"};
  if (pod.disrupted || pod.meta.deleted) return true;
  return std::find(kReasons.begin(), kReasons.end(), pod.reason) != kReasons.end() ||
         pod.reason.starts_with("OutOf");
}

void Succeed(World& world, TaskState& task, const api::Pod& pod) {
  const api::Attempt attempt = Describe(task, &pod);
  Record(task, attempt);
  SetResult(world, task, attempt, pod);
  NoteRun(task);
  Finish(world, task, TaskPhase::kSucceeded, "Completed", ExitText(attempt));
}

void FailAttempt(World& world, TaskState& task, const api::Pod& pod) {
  if (EndedByCluster(pod)) {
    LoseAttempt(world, task, FirstOf(pod.reason, "PodDeleted"),
                FirstOf(pod.message, "the pod was deleted"));
    return;
  }
  const api::Attempt attempt = Describe(task, &pod);
  Record(task, attempt);
  SetResult(world, task, attempt, pod);
  task.losses = 0;
  if (MayRetry(task.object, attempt)) {
    RetryLater(world, task, attempt);
    return;
  }
  const bool retried = task.object.status.retries > 0;
  const std::string after =
      retried ? " after " + std::to_string(task.object.status.retries) + " retries" : "";
  Finish(world, task, TaskPhase::kFailed,
         retried ? "BackoffLimitExceeded" : FirstOf(attempt.reason, "Error"),
         ExitText(attempt) + after);
}

void LoseAttempt(World& world, TaskState& task, const std::string& reason,
                 const std::string& message) {
  const api::Pod* pod = world.PodOf(task, task.binding->attempt);
  api::Attempt attempt = Describe(task, pod);
  attempt.reason = reason;
  attempt.message = message;
  if (!attempt.finished_at) attempt.finished_at = world.now;
  Record(task, attempt);
  const std::string text = "lost on server " + attempt.server + ": " + message;
  Unbind(world, task, reason, text);
  // The first loss is answered at once, a row of them ever more slowly, up to a minute.
  const int doublings = std::min(task.losses++, 6);
  if (doublings > 0) HoldBack(world, task, std::min(Duration{1000 << doublings}, Duration{60'000}));
  DescribeWaiting(world, task, TaskPhase::kPending, text);
  world.Tell(task, true, reason, text);
}

void RecordEarlier(World& world, TaskState& task) {
  const api::Pod* pod = world.PodOf(task, task.binding->attempt);
  api::Attempt attempt = Describe(task, pod);
  if (attempt.reason.empty()) attempt.reason = "Superseded";
  Record(task, attempt);
  const bool failed =
      pod != nullptr && pod->phase == api::PodPhase::kFailed && !EndedByCluster(*pod);
  task.object.status.retries += failed ? 1 : 0;
  task.binding.reset();
}

void StopAttempt(World& world, TaskState& task, const std::string& reason,
                 const std::string& message) {
  if (!task.binding) return;
  const api::Pod* pod = world.PodOf(task, task.binding->attempt);
  api::Attempt attempt = Describe(task, pod);
  attempt.reason = reason;
  attempt.message = message;
  if (!attempt.finished_at) attempt.finished_at = world.now;
  Record(task, attempt);
  Unbind(world, task, reason, "stopped on server " + attempt.server);
}

void Finish(World& world, TaskState& task, TaskPhase phase, const std::string& reason,
            const std::string& message) {
  TaskStatus& status = task.object.status;
  const int64_t generation = task.object.meta.generation;
  const bool good = phase == TaskPhase::kSucceeded;
  Dequeue(world, task);
  TellAssigned(task);
  task.binding.reset();
  task.nominated.clear();
  status.phase = phase;
  status.explanation.reset();
  status.forecast.reset();
  status.retry_at.reset();
  if (!status.result || !good) {
    if (!status.result) status.result.emplace();
    status.result->reason = reason;
    if (!message.empty()) status.result->message = message;
    if (!status.result->finished_at) status.result->finished_at = world.now;
  }
  status.result->cost = CostOfAll(status.attempts);
  ChangeConditions(task, [&](auto& conditions) {
    api::SetCondition(conditions,
                      {good ? "Complete" : "Failed", "True", reason, message, generation, {}},
                      world.now);
    api::SetProgress(conditions, good ? api::Progress::kReady : api::Progress::kStalled, reason,
                     message, generation, world.now);
  });
  task.status_due = world.now;
}

}  // namespace spillway::core
