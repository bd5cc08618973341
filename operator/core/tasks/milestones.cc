#include "operator/core/tasks/milestones.h"

#include <algorithm>

namespace spillway::core {
namespace {

using Step = TaskMilestone::Step;

// Without what its binding or its assignment tells.
TaskMilestone Begin(const TaskState& task, Step step) {
  const api::ObjectMeta& meta = task.object.meta;
  TaskMilestone out;
  out.step = step;
  out.ns = meta.ns;
  out.name = meta.name;
  out.uid = meta.uid;
  out.attempt = LatestAttempt(task);
  return out;
}

void TakePlace(TaskMilestone& milestone, const api::Assignment& place) {
  milestone.server = place.server;
  milestone.pool = place.pool;
  milestone.cloud = place.cloud;
}

// Creation times are to the second: within it, what counts is when the task was first seen.
Time CreatedAt(const TaskState& task) {
  const Time created = task.object.meta.created;
  return std::clamp(task.first_seen, created, created + std::chrono::seconds(1));
}

// Since when its attempt could have begun.
Time MayStartSince(const TaskState& task) {
  return task.waiting_since <= task.object.meta.created ? CreatedAt(task) : task.waiting_since;
}

Duration NotNegative(Duration time) { return std::max(time, Duration{0}); }

}  // namespace

void ReportBound(Context& context, const TaskState& task) {
  TaskMilestone milestone = Begin(task, Step::kBound);
  TakePlace(milestone, *task.binding);
  milestone.waited = NotNegative(context.now - MayStartSince(task));
  context.milestones.emplace_back(std::move(milestone));
}

void ReportRunning(Context& context, const TaskState& task) {
  TaskMilestone milestone = Begin(task, Step::kRunning);
  TakePlace(milestone, *task.binding);
  context.milestones.emplace_back(std::move(milestone));
}

void ReportAttempt(Context& context, const TaskState& task, const api::Attempt& attempt) {
  TaskMilestone milestone = Begin(task, Step::kAttemptEnded);
  TakePlace(milestone, *task.binding);
  milestone.attempt = attempt.attempt;
  milestone.reason = attempt.reason;
  milestone.message = attempt.message;
  milestone.cost_micros = attempt.cost_micros;
  if (attempt.started_at && attempt.finished_at)
    milestone.ran = NotNegative(*attempt.finished_at - *attempt.started_at);
  context.milestones.emplace_back(std::move(milestone));
}

void ReportEnd(Context& context, const TaskState& task, const std::string& reason,
               const std::string& message) {
  const api::TaskStatus& status = task.object.status;
  TaskMilestone milestone = Begin(task, Step::kEnded);
  if (status.assignment) TakePlace(milestone, *status.assignment);
  milestone.phase = status.phase;
  milestone.reason = reason;
  milestone.message = message;
  if (status.started_at) milestone.waited = NotNegative(*status.started_at - CreatedAt(task));
  const auto& result = status.result;
  if (result && result->started_at && result->finished_at)
    milestone.ran = NotNegative(*result->finished_at - *result->started_at);
  context.milestones.emplace_back(std::move(milestone));
}

}  // namespace spillway::core
