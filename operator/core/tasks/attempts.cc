#include "operator/core/tasks/attempts.h"

#include <algorithm>
#include <array>

#include "operator/base/foreign_text.h"
#include "operator/base/saturate.h"
#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/attempt_times.h"
#include "operator/core/tasks/ending_servers.h"
#include "operator/core/tasks/milestones.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/tasks.h"

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

api::Attempt Describe(const TaskState& task, const api::Pod* pod, Time now) {
  api::Attempt attempt{
      task.binding->attempt, task.binding->server, task.binding->pod_name, {}, "", "", {}, {}};
  if (pod != nullptr) {
    attempt.started_at = FirstStart(*pod);
    attempt.reason = pod->reason;
    attempt.message = pod->message;
    if (const auto& end = pod->termination) {
      attempt.exit_code = end->exit_code;
      attempt.reason = FirstOf(attempt.reason, end->reason);
      if (end->exit_code != 0)
        attempt.message = FirstOf(end->message, attempt.message);  // else it is the output
      if (end->exit_code != 0 && !end->container.empty())
        attempt.message =
            end->container + (attempt.message.empty() ? " failed" : ": " + attempt.message);
      attempt.finished_at = end->finished;
    }
    if (pod->terminal() && !attempt.finished_at) attempt.finished_at = now;
  }
  const bool seen_running = task.running_since != kNever;
  if (!attempt.started_at && seen_running) attempt.started_at = task.running_since;
  BoundTimes(task, pod != nullptr ? pod->meta.created : Time{}, now, attempt);
  return attempt;
}

api::Attempt Describe(const World& world, const TaskState& task, const api::Pod* pod) {
  return Describe(task, pod, world.now);
}

void Record(World& world, TaskState& task, api::Attempt attempt) {
  attempt.cost_micros = CostOfAttempt(task, attempt);
  NoteSpent(*task.account, attempt);
  ReportAttempt(world, task, attempt);
  TaskStatus& status = task.object.status;
  status.spent_micros =
      std::min(SaturatingAdd(status.spent_micros, attempt.cost_micros), api::kMostMicros);
  if (!status.started_at) status.started_at = attempt.started_at;
  status.attempts.push_back(std::move(attempt));
  if (status.attempts.size() > TaskStatus::kMaxAttempts)
    status.attempts.erase(status.attempts.begin());
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
  task.running_since = kNever;
  task.assigned_written = false;
  task.WaitAnew(world.now);
  task.status_due = world.now;
  ChangeConditions(task, [&](auto& conditions) {
    api::SetCondition(conditions,
                      {"Assigned", "False", reason, message, task.object.meta.generation, {}},
                      world.now);
  });
}

std::string ExitText(const api::Attempt& attempt, const api::Pod& pod) {
  std::string text =
      attempt.exit_code ? "exit code " + std::to_string(*attempt.exit_code) : "no exit code";
  if (!attempt.reason.empty()) text += " (" + attempt.reason + ")";
  const bool named = pod.termination && pod.termination->exit_code != 0;
  if (named && !pod.termination->container.empty()) text += " of " + pod.termination->container;
  return text + " on server " + attempt.server;
}

// What its kubelet and the container that ended it say, as one line.
std::string WordsOf(const api::Pod& pod) {
  constexpr size_t kMostWords = 1024;
  std::string words = pod.message;
  const auto& end = pod.termination;
  if (end && end->exit_code != 0 && !end->message.empty() && end->message != words)
    words += (words.empty() ? "" : "; ") + end->message;
  return OneLine(words, kMostWords);
}

bool MayRetry(const api::TaskRequest& task, const api::Attempt& attempt) {
  const api::Retry& retry = task.spec.retry;
  if (task.status.retries >= retry.limit || task.spec.cancel || task.meta.deleted) return false;
  const auto& codes = retry.on_exit_codes;
  return codes.empty() || (attempt.exit_code && std::find(codes.begin(), codes.end(),
                                                          *attempt.exit_code) != codes.end());
}

std::string WithWords(const std::string& text, const std::string& words) {
  return words.empty() ? text : text + ": " + words;
}

void RetryLater(World& world, TaskState& task, const std::string& exit, const std::string& words) {
  TaskStatus& status = task.object.status;
  const int64_t doublings = std::min<int64_t>(status.retries, 12);
  const Duration wait =
      std::min(task.object.spec.retry.backoff * (int64_t{1} << doublings), kMaxBackoff);
  ++status.retries;
  Unbind(world, task, "Retrying", WithWords(exit, words));
  status.retry_at = world.now + wait;
  const std::string message = WithWords(exit + "; retry " + std::to_string(status.retries) +
                                            " of " + std::to_string(task.object.spec.retry.limit) +
                                            " at " + FormatTime(*status.retry_at),
                                        words);
  BackOff(world, task, wait);
  DescribeWaiting(world, task, TaskPhase::kPending, message);
  RecordEvent(world, task, true, "Retrying", message);
}

// Its end was asked for while it ran: it was seen so, or it has ended since. A node's clock, as
// brought to the API server's, tells to the second. Ours may be behind that.
bool EndedOnRequest(const World& world, const TaskState& task, const api::Pod& pod) {
  if (const auto seen = SeenToEndOnRequest(world, pod)) return *seen;
  const auto asked = pod.asked_to_end ? pod.asked_to_end : pod.meta.deleted;
  const auto finished = Describe(task, &pod, std::max(world.now, *asked)).finished_at;
  return !finished || *finished >= std::chrono::floor<std::chrono::seconds>(*asked);
}

// The result is set; everything else that the end of a task brings.
void End(World& world, TaskState& task, TaskPhase phase, const std::string& reason,
         const std::string& message) {
  TaskStatus& status = task.object.status;
  const int64_t generation = task.object.meta.generation;
  const bool good = phase == TaskPhase::kSucceeded;
  Dequeue(world, task);
  TellAssigned(task);
  task.binding.reset();
  task.running_since = kNever;
  task.nominated.clear();
  status.phase = phase;
  status.explanation.reset();
  status.forecast.reset();
  status.retry_at.reset();
  status.result->cost = status.spent_micros > 0 ? api::FormatPrice(status.spent_micros) : "";
  ChangeConditions(task, [&](auto& conditions) {
    api::SetCondition(conditions,
                      {good ? "Complete" : "Failed", "True", reason, message, generation, {}},
                      world.now);
    api::SetProgress(conditions, good ? api::Progress::kReady : api::Progress::kStalled, reason,
                     message, generation, world.now);
  });
  task.status_due = world.now;
  ReportEnd(world, task, reason, message);
}

// It was lost more often than it may be.
void EndLost(World& world, TaskState& task, const std::string& last) {
  const std::string message = last + "; lost " + std::to_string(task.object.status.losses) +
                              " times, and spec.retry.lossLimit is " +
                              std::to_string(task.object.spec.retry.loss_limit);
  Finish(world, task, TaskPhase::kFailed, "LossLimitExceeded", message);
  RecordEvent(world, task, true, "LossLimitExceeded", message);
}

}  // namespace

void LosePod(World& world, TaskState& task, const api::Pod& pod) {
  const bool forgotten = !pod.asked_to_end && pod.termination && pod.termination->lost;
  std::string message = pod.meta.deleted ? "the pod was deleted" : "the cluster has ended the pod";
  if (forgotten)
    message = "the node does not know how it ended, as after a reboot (exit code " +
              std::to_string(pod.termination->exit_code) + ", " + pod.termination->reason + ")";
  LoseAttempt(world, task, FirstOf(pod.reason, forgotten ? pod.termination->reason : "PodDeleted"),
              FirstOf(pod.message, message));
}

void NoteRun(TaskState& task) {
  const auto& result = task.object.status.result;
  if (task.shape == nullptr || !result || !result->started_at || !result->finished_at) return;
  const Duration ran = *result->finished_at - *result->started_at;
  task.shape->runs.Add(ran);
  if (task.shape->paid != nullptr) task.shape->paid->runs.Add(ran);
}

int64_t LastEnded(const TaskStatus& status) {
  int64_t last = 0;
  for (const api::Attempt& attempt : status.attempts) last = std::max(last, attempt.attempt);
  return last;
}

int64_t LastEnded(const TaskState& task) { return LastEnded(task.object.status); }

bool IsAskedToEnd(const api::Pod& pod) { return pod.asked_to_end || pod.meta.deleted; }

std::optional<bool> SeenToEndOnRequest(const World& world, const api::Pod& pod) {
  if (!IsAskedToEnd(pod)) return pod.disrupted;
  const auto state = world.servers.pods.find(pod.meta.key());
  if (state == world.servers.pods.end()) return std::nullopt;
  if (state->second.seen_ending) return true;
  return state->second.seen_ended ? std::optional(false) : std::nullopt;
}

bool WasSeenToRun(const TaskState& task) { return task.object.status.phase == TaskPhase::kRunning; }

bool EndedByCluster(const World& world, const TaskState& task, const api::Pod& pod) {
  if (pod.phase == api::PodPhase::kSucceeded) return EndedOnRequest(world, task, pod);
  if (Refused(pod) || pod.disrupted || EndedOnRequest(world, task, pod)) return true;
  // What a kubelet says of a pod as a whole is its own doing in these two cases, and something that
  // happens to any pod in those.
  static constexpr std::array<std::string_view, 2> kOwn{"Evicted", "DeadlineExceeded"};
  static constexpr std::array<std::string_view, 5> kAny{"NodeLost", "NodeShutdown", "Shutdown",
                                                        "Terminated", "Preempting"};
  const auto is_in = [&](const auto& reasons) {
    return std::find(reasons.begin(), reasons.end(), pod.reason) != reasons.end();
  };
  if (is_in(kOwn)) return false;
  if (is_in(kAny) || (pod.termination && pod.termination->lost)) return true;
  // Turned away after it had run, such as by a kubelet that was restarted.
  return !pod.reason.empty() && !pod.termination;
}

void Succeed(World& world, TaskState& task, const api::Pod& pod) {
  if (EndedByCluster(world, task, pod)) return LosePod(world, task, pod);
  const api::Attempt attempt = Describe(world, task, &pod);
  const std::string exit = ExitText(attempt, pod);
  Record(world, task, attempt);
  SetResult(world, task, attempt, pod);
  NoteRun(task);
  End(world, task, TaskPhase::kSucceeded, "Completed", exit);
}

void FailAttempt(World& world, TaskState& task, const api::Pod& pod) {
  if (EndedByCluster(world, task, pod)) return LosePod(world, task, pod);
  const api::Attempt attempt = Describe(world, task, &pod);
  const std::string exit = ExitText(attempt, pod);
  Record(world, task, attempt);
  SetResult(world, task, attempt, pod);
  task.losses = 0;
  if (MayRetry(task.object, attempt)) return RetryLater(world, task, exit, WordsOf(pod));
  const int64_t retries = task.object.status.retries;
  const std::string reason =
      retries > 0 ? "BackoffLimitExceeded" : FirstOf(attempt.reason, "Error");
  const std::string message = WithWords(
      exit + (retries > 0 ? " after " + std::to_string(retries) + " retries" : ""), WordsOf(pod));
  task.object.status.result->reason = reason;
  task.object.status.result->message = message;
  End(world, task, TaskPhase::kFailed, reason, message);
}

// Who has run for so long before it was lost begins a new row of losses.
constexpr Duration kHeldOut{60'000};

void LoseAttempt(World& world, TaskState& task, const std::string& cause,
                 const std::string& words) {
  const api::Pod* pod = PodOf(task, task.binding->attempt);
  const bool refused = pod != nullptr && Refused(*pod) && !WasSeenToRun(task);
  const auto [reason, message] =
      refused ? std::pair(cause, words) : WhyLost(world, task, cause, words);
  api::Attempt attempt = Describe(world, task, pod);
  attempt.reason = reason;
  attempt.message = message;
  if (!attempt.finished_at) attempt.finished_at = world.now;
  Record(world, task, attempt);
  TaskStatus& status = task.object.status;
  status.result.reset();
  status.losses += refused ? 0 : 1;
  const std::string text = "lost on server " + attempt.server + ": " + message;
  // Where the task is being deleted, so are its pods: nothing is unusual, nothing follows, and in a
  // moment it may be gone itself.
  if (task.object.meta.deleted) {
    Unbind(world, task, reason, text);
    task.status_due = world.now + kExplainAfter;
    return world.tasks.Wake(task, task.status_due);
  }
  if (!refused && status.losses > task.object.spec.retry.loss_limit)
    return EndLost(world, task, text);
  Unbind(world, task, reason, text);
  // The first loss is answered at once, a row of them ever more slowly, up to a minute.
  if (attempt.started_at && *attempt.finished_at >= *attempt.started_at + kHeldOut) task.losses = 0;
  const int doublings = std::min(task.losses++, 6);
  if (doublings > 0) BackOff(world, task, std::min(Duration{1000 << doublings}, Duration{60'000}));
  DescribeWaiting(world, task, TaskPhase::kPending, text);
  RecordEvent(world, task, true, reason, text);
}

void RecordEarlier(World& world, TaskState& task) {
  const api::Pod* pod = PodOf(task, task.binding->attempt);
  api::Attempt attempt = Describe(world, task, pod);
  if (attempt.reason.empty()) attempt.reason = "Superseded";
  Record(world, task, attempt);
  TaskStatus& status = task.object.status;
  const bool known = pod != nullptr && pod->terminal();
  if (known && !EndedByCluster(world, task, *pod))
    status.retries += pod->phase == api::PodPhase::kFailed ? 1 : 0;
  else
    status.losses += known && Refused(*pod) ? 0 : 1;
  task.binding.reset();
}

void StopAttempt(World& world, TaskState& task, const std::string& reason,
                 const std::string& message) {
  if (!task.binding) return;
  const api::Pod* pod = PodOf(task, task.binding->attempt);
  api::Attempt attempt = Describe(world, task, pod);
  attempt.reason = reason;
  attempt.message = message;
  if (!attempt.finished_at) attempt.finished_at = world.now;
  Record(world, task, attempt);
  task.object.status.result.reset();
  Unbind(world, task, reason, "stopped on server " + attempt.server);
}

void EraseAttempt(TaskState& task, int64_t attempt) {
  TaskStatus& status = task.object.status;
  const auto at = std::find_if(status.attempts.begin(), status.attempts.end(),
                               [&](const auto& each) { return each.attempt == attempt; });
  if (at == status.attempts.end()) return;
  TakeSpentBack(*task.account, status);
  status.spent_micros = std::max<int64_t>(0, status.spent_micros - at->cost_micros);
  status.attempts.erase(at);
  NoteSpent(*task.account, status);
}

void Finish(World& world, TaskState& task, TaskPhase phase, const std::string& reason,
            const std::string& message) {
  TaskStatus& status = task.object.status;
  const bool stopped = status.phase == TaskPhase::kAssigned || status.phase == TaskPhase::kRunning;
  api::TaskResult result;
  result.reason = reason;
  result.message = message;
  if (stopped && !status.attempts.empty()) result.started_at = status.attempts.back().started_at;
  result.finished_at = world.now;
  status.result = std::move(result);
  End(world, task, phase, reason, message);
}

}  // namespace spillway::core
