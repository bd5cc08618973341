#include "operator/core/provisioning/state.h"

#include <algorithm>
#include <utility>

namespace spillway::core {

const PoolState* PoolOf(const Provisioning& provisioning, const ScaleState& scale) {
  const auto pool = provisioning.pools.find(scale.object.pool);
  return pool == provisioning.pools.end() ? nullptr : &pool->second;
}

void RecordEvent(Context& context, const ScaleState& scale, bool warning, std::string reason,
                 std::string message) {
  RecordEvent(context, Kind::kScale, scale.object.meta, warning, std::move(reason),
              std::move(message));
}

void ReportScale(Context& context, const ScaleState& scale, api::ScalePhase before) {
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
  milestone.since_request =
      std::max(context.now - status.requested_at.value_or(context.now), Duration{0});
  context.milestones.emplace_back(std::move(milestone));
}

}  // namespace spillway::core
