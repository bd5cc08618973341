#include "operator/core/tasks/attempt_times.h"

#include <algorithm>

namespace spillway::core {
namespace {

// Clocks of nodes that are kept right differ from ours by less.
constexpr Duration kClockSkew{5'000};

std::optional<Time> EarlierOf(std::optional<Time> a, std::optional<Time> b) {
  return a && (!b || *a < *b) ? a : b;
}

// Before it, nothing of the attempt can have run. In whole seconds, as nodes tell times.
// created: by the API server, whose clock may be ahead of ours.
Time EarliestStart(const TaskState& task, Time created, Time now) {
  return std::chrono::floor<std::chrono::seconds>(
      std::max(task.binding->assigned_at, std::min(created, now)));
}

}  // namespace

std::optional<Time> FirstStart(const api::Pod& pod) {
  const auto running = EarlierOf(pod.started, pod.init_started);
  return pod.termination ? EarlierOf(pod.termination->started, running) : running;
}

void BoundTimes(const TaskState& task, Time created, Time now, api::Attempt& attempt) {
  const Time first = EarliestStart(task, created, now), last = std::max(first, now);
  if (!attempt.started_at) {
    if (attempt.finished_at) attempt.finished_at = std::clamp(*attempt.finished_at, first, last);
    return;
  }
  const Time from = *attempt.started_at;
  const bool seen = task.running_since != kNever && (from < first || from > last);
  const Time start = seen ? std::clamp(task.running_since, first, last) : from;
  attempt.started_at = std::clamp(start, first, last);
  if (!attempt.finished_at) return;
  const Time to = *attempt.finished_at;
  if (to < from) {  // the clock was set meanwhile
    attempt.finished_at = std::clamp(to, *attempt.started_at, last);
    return;
  }
  const Duration ran = std::min(to - from, last - first);
  const Time latest = std::max(first, now + std::chrono::seconds(1)) - ran;
  attempt.started_at = std::clamp(start, first, std::max(first, latest));
  attempt.finished_at = *attempt.started_at + ran;
}

Time RunsSince(const World& world, const TaskState& task, const api::Pod& pod) {
  if (task.running_since != kNever) return task.running_since;
  const Time first = EarliestStart(task, pod.meta.created, world.now);
  const Time from = FirstStart(pod).value_or(world.now);
  // A clock that is so far off says nothing of when.
  if (from < first - kClockSkew) return std::max(first, world.now);
  return std::clamp(from, first, std::max(first, world.now));
}

}  // namespace spillway::core
