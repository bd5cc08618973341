#include "operator/core/provisioning/patience.h"

#include <algorithm>

namespace spillway::core {

std::optional<Estimate> EstimateArrival(const World& world, const std::string& name) {
  const auto scale = world.provisioning.scales.find(name);
  if (scale == world.provisioning.scales.end()) return std::nullopt;
  const auto pool = world.provisioning.pools.find(scale->second.object.pool);
  const auto& requested = scale->second.object.status.requested_at;
  if (pool == world.provisioning.pools.end() || !requested || !pool->second.boot.known())
    return std::nullopt;
  return Estimate{std::max(*requested + pool->second.boot.value(), world.now),
                  "observed start of servers of pool " + pool->first};
}

std::optional<Estimate> EstimateStart(const World& world, const TaskState& task) {
  if (!task.nominated.empty()) return EstimateArrival(world, task.nominated);
  if (task.in_gang) return std::nullopt;
  return EstimateTurn(world, *task.shape, task.rank);
}

bool PaysToWait(const World& world, const TaskState& task, const PoolState& pool,
                std::string* numbers) {
  const Shape& shape = *task.shape;
  const auto estimate = EstimateStart(world, task);
  if (!estimate) return false;
  const Duration wait = std::max<Duration>(estimate->start - world.now, Duration{0});
  const Duration boot = pool.boot.known() ? pool.boot.value() : kBootGuess;
  const Duration run = shape.runs.known() ? shape.runs.value() : shape.deadline.value_or(wait);
  const Duration paid = std::max(pool.object.spec.billing_quantum, boot + run);
  const auto price = static_cast<double>(pool.object.spec.price_micros);
  const auto worth =
      static_cast<double>(shape.placement.max_price_micros.value_or(pool.object.spec.price_micros));
  const Duration saved = wait - boot;
  const double needed = worth <= 0 ? 0 : static_cast<double>(paid.count()) * price / worth;
  const bool pays = saved > Duration{0} && static_cast<double>(saved.count()) >= needed;
  // Times and not what is left until then, which would be another text at every look.
  *numbers = "a registered server is expected to have room at " +
             FormatTime(std::chrono::floor<std::chrono::seconds>(estimate->start)) + " (by " +
             estimate->basis + "), one of pool " + pool.object.meta.name + " takes " +
             FormatDuration(boot) + (pool.boot.known() ? " (observed)" : " (a guess)") +
             ", which would be paid for " + FormatDuration(paid) + " at " +
             api::FormatPrice(pool.object.spec.price_micros) + " per hour";
  return !pays;
}

}  // namespace spillway::core
