// DescribePools and CostsSince of scaling.h.
#include <algorithm>

#include "operator/base/saturate.h"
#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/scaling.h"

namespace spillway::core {
namespace {

using api::ScalePhase;

// What the server has cost in the month, from its purchase to its end, or by now.
int64_t CostInMonth(const api::ScaleStatus& status, Time month, Time now) {
  const auto since = CostsSince(status);
  if (!since) return 0;
  const Time begin = std::max(*since, month);
  const int64_t price = api::ParsePrice(status.price_per_hour).value_or(0);
  return CostOf(price, status.finished_at.value_or(now) - begin);
}

// Whether it costs more by the moment. By our clock that may begin later: that of the leader that
// asked for it may have been ahead.
bool IsPaidFor(const api::ScaleStatus& status) {
  return !status.finished_at && CostsSince(status) &&
         api::ParsePrice(status.price_per_hour).value_or(0) > 0;
}

// Each server that ended is counted once: its ScaleRequest does not stay. After a restart, those
// that ended up to status.ended_until were.
void CountSpending(World& world, PoolState& pool) {
  api::ServerPoolStatus& status = pool.object.status;
  const auto [month, end] = api::PeriodOf(api::BudgetPeriod::kMonth, world.now);
  world.WakeAt(end);
  if (!status.ended_until || *status.ended_until < month) {
    status.ended_micros = 0;
    status.ended_until = month;
  }
  const int64_t ended = status.ended_micros;
  const Time until = *status.ended_until;
  int64_t running = 0;
  bool paid_for = false;
  for (auto& [name, scale] : world.provisioning.scales) {
    if (!IsOf(scale, pool)) continue;
    const auto& finished = scale.object.status.finished_at;
    const int64_t cost = CostInMonth(scale.object.status, month, world.now);
    paid_for = paid_for || IsPaidFor(scale.object.status);
    if (!finished) {
      running = SaturatingAdd(running, cost);
    } else if (!std::exchange(scale.counted, true) && (!scale.seen_ended || *finished > until)) {
      status.ended_micros = SaturatingAdd(status.ended_micros, cost);
      status.ended_until = std::max(*status.ended_until, *finished);
    }
  }
  // A server in use costs more by the moment; that alone is told once in a while.
  const Time next = pool.spent_at + kCostEvery;
  if (status.ended_micros == ended && world.now < next) {
    // What one had cost that is gone is taken off then as well.
    if (paid_for || status.spent_micros != status.ended_micros) world.WakeAt(next);
    return;
  }
  status.spent_micros = SaturatingAdd(status.ended_micros, running);
  pool.spent_at = world.now;
}

// Whether servers can be bought from it now; if not, why, and what happens next.
void DescribeAvailability(World& world, PoolState& pool) {
  api::ServerPoolStatus& status = pool.object.status;
  const int64_t generation = pool.object.meta.generation;
  const auto misfit = PoolMisfit(world, pool.object);
  const bool held = !misfit && world.now < pool.hold_until;
  if (held) world.WakeAt(pool.hold_until);
  WakeWhenUnseen(world, pool.object.spec.engine);
  const std::string reason = misfit ? misfit->reason : held ? ToString(pool.error) : "Available";
  // The time at which it ends, not what is left: that would change with every write.
  const std::string message = misfit ? misfit->message
                              : held
                                  ? "backing off until " + FormatTime(pool.hold_until) + " after " +
                                        ToString(pool.error) + ": " + pool.error_message
                                  : "";
  const auto set = [&](const char* type, bool on) {
    api::SetCondition(status.conditions,
                      {type, on ? "True" : "False", reason, message, generation, {}}, world.now);
  };
  set("Available", !held && !misfit);
  set("BackingOff", held);
  const auto progress = misfit && misfit->reason == kUnknownEngine ? api::Progress::kStalled
                        : misfit                                   ? api::Progress::kReconciling
                                                                   : api::Progress::kReady;
  api::SetProgress(status.conditions, progress, held ? "BackingOff" : reason, message, generation,
                   world.now);
}

void DescribePool(World& world, PoolState& pool) {
  api::ServerPoolStatus& status = pool.object.status;
  const api::ObjectMeta& meta = pool.object.meta;
  status.observed_generation = meta.generation;
  status.servers = PoolServers(world, meta.name);
  status.ready = std::count_if(world.provisioning.scales.begin(), world.provisioning.scales.end(),
                               [&](const auto& entry) {
                                 return entry.second.object.pool == meta.name &&
                                        entry.second.object.status.phase == ScalePhase::kReady;
                               });
  status.pending = std::count_if(
      world.provisioning.scales.begin(), world.provisioning.scales.end(), [&](const auto& entry) {
        return entry.second.object.pool == meta.name && IsInflight(entry.second) &&
               entry.second.object.status.phase != ScalePhase::kReady;
      });
  CountSpending(world, pool);
  DescribeAvailability(world, pool);
}

}  // namespace

std::optional<Time> CostsSince(const api::ScaleStatus& status) {
  return status.launched_at || status.ready_at ? status.requested_at : std::nullopt;
}

void DescribePools(World& world) {
  for (auto& [name, pool] : world.provisioning.pools) {
    DescribePool(world, pool);
    KeepStatus(world, pool, Kind::kPool);
  }
}

}  // namespace spillway::core
