#include "operator/core/explain/forecast.h"

#include <algorithm>

#include "operator/core/provisioning/patience.h"
#include "operator/core/scheduling/estimates.h"

namespace spillway::core {
namespace {

// Whether a reader would call it another forecast.
bool Differs(const api::Forecast& told, const api::Forecast& now, Time at) {
  // A member of a group has no place of its own, which is place 0.
  const bool nearer =
      now.position != told.position &&
      (now.position <= 3 || now.position * 2 <= told.position || now.position > told.position * 2);
  if (nearer || told.start.has_value() != now.start.has_value()) return true;
  if (!now.start) return false;
  const Duration left = std::max<Duration>(*now.start - at, Duration{0});
  const Duration moved =
      *now.start > *told.start ? *now.start - *told.start : *told.start - *now.start;
  return moved > std::max<Duration>(left / 2, Duration{30'000});
}

}  // namespace

void ForecastTask(World& world, TaskState& task) {
  Shape& shape = *task.shape;
  const Time foreseen_at = shape.foreseen_at;
  Rank(world, shape);
  api::Forecast now;
  now.position = task.in_gang ? 0 : task.rank;
  if (const auto estimate = EstimateStart(world, task)) {
    now.start = std::chrono::floor<std::chrono::seconds>(estimate->start);
    now.basis = estimate->basis;
  }
  if (shape.foreseen_at != foreseen_at) world.explain.tested += world.servers.by_name.size();
  auto& told = task.object.status.forecast;
  if (told && !Differs(*told, now, world.now)) return;
  told = std::move(now);
  task.status_due = std::min(task.status_due, world.now);
}

}  // namespace spillway::core
