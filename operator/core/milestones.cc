#include "operator/core/milestones.h"

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

void ReportBound(World& world, const TaskState& task) {
  TaskMilestone milestone = Begin(task, Step::kBound);
  TakePlace(milestone, *task.binding);
  milestone.waited = NotNegative(world.now - MayStartSince(task));
  world.milestones.emplace_back(std::move(milestone));
}

void ReportRunning(World& world, const TaskState& task) {
  TaskMilestone milestone = Begin(task, Step::kRunning);
  TakePlace(milestone, *task.binding);
  world.milestones.emplace_back(std::move(milestone));
}

void ReportAttempt(World& world, const TaskState& task, const api::Attempt& attempt) {
  TaskMilestone milestone = Begin(task, Step::kAttemptEnded);
  TakePlace(milestone, *task.binding);
  milestone.attempt = attempt.attempt;
  milestone.reason = attempt.reason;
  milestone.message = attempt.message;
  milestone.cost_micros = attempt.cost_micros;
  if (attempt.started_at && attempt.finished_at)
    milestone.ran = NotNegative(*attempt.finished_at - *attempt.started_at);
  world.milestones.emplace_back(std::move(milestone));
}

void ReportEnd(World& world, const TaskState& task, const std::string& reason,
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
  world.milestones.emplace_back(std::move(milestone));
}

void ReportScale(World& world, const ScaleState& scale, api::ScalePhase before) {
  const api::ScaleStatus& status = scale.object.status;
  ScaleMilestone milestone;
  milestone.name = scale.object.meta.name;
  milestone.uid = scale.object.meta.uid;
  milestone.pool = scale.object.pool;
  milestone.before = before;
  milestone.phase = status.phase;
  milestone.was_ready = status.ready_at.has_value();
  milestone.error = status.error;
  milestone.message = status.message;
  milestone.since_request = NotNegative(world.now - status.requested_at.value_or(world.now));
  world.milestones.emplace_back(std::move(milestone));
}

}  // namespace spillway::core
