#include "operator/core/explain/forecast.h"

#include <algorithm>
#include <cstdlib>

#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/reservations.h"

namespace spillway::core {
namespace {

constexpr size_t kMostStarts = 1'000;

// The times at which tasks of the shape would start on the server, if it were given to them alone.
void AddStarts(const World& world, const Shape& shape, const ServerState& server,
               std::vector<End>& out) {
  const api::Node& node = *server.node->object;
  if (AmountsMisfit(shape.requests, node.allocatable)) return;
  Room room(shape, server);
  End at{world.now, false};
  const auto hand_out = [&] {
    while (out.size() < kMostStarts && room.Fits()) {
      out.push_back(at);
      room.Join(shape);
    }
  };
  hand_out();
  for (const Leaving& leaving : LeavingNode(world, node.meta.name, When::kProbably)) {
    if (leaving.end.time == kNever) return;
    room.Leave(*leaving.shape);
    at = {leaving.end.time, at.observed || leaving.end.observed};
    hand_out();
  }
}

void ForeseeStarts(const World& world, Shape& shape) {
  if (world.now < shape.foreseen_at + kForecastKept && shape.foreseen_at != Time{}) return;
  shape.foreseen_at = world.now;
  std::vector<End> starts;
  for (const ServerState* server : world.servers.slots) {
    if (server != nullptr && server->schedulable && shape.fits.Test(server->slot))
      AddStarts(world, shape, *server, starts);
  }
  std::sort(starts.begin(), starts.end(),
            [](const End& a, const End& b) { return a.time < b.time; });
  shape.starts.clear();
  for (const End& start : starts) {
    shape.starts.push_back(start.time);
    shape.observed = start.observed;
  }
}

const char* BasisOf(const Shape& shape) {
  return shape.observed || shape.runs.known() ? "observed run times" : "activeDeadlineSeconds";
}

// Of those before it, each is taken to run as long as its like.
std::optional<Time> StartOf(const World& world, const Shape& shape, int64_t rank) {
  const auto n = static_cast<int64_t>(shape.starts.size());
  if (n == 0 || rank < 1) return std::nullopt;
  const int64_t rounds = (rank - 1) / n;
  if (rounds > 0 && !shape.runs.known()) return std::nullopt;
  const Time first = shape.starts[static_cast<size_t>((rank - 1) % n)];
  return std::max(first, world.now) + shape.runs.value() * rounds;
}

// Whether a reader would call it another forecast.
bool Differs(const api::Forecast& told, const api::Forecast& now, Time at) {
  const bool nearer = now.position * 2 <= told.position || now.position > told.position * 2 ||
                      (now.position <= 3 && now.position != told.position);
  if (nearer || told.start.has_value() != now.start.has_value()) return true;
  if (!now.start) return false;
  const Duration left = std::max<Duration>(*now.start - at, Duration{0});
  const Duration moved =
      *now.start > *told.start ? *now.start - *told.start : *told.start - *now.start;
  return moved > std::max<Duration>(left / 2, Duration{30'000});
}

}  // namespace

End ExpectedEnd(const World& world, const TaskState& task, const std::string& node, When when) {
  // What was stopped ends soon.
  if (!task.binding || task.binding->node_name != node) return {world.now + kStopAllowance, false};
  const auto& started = task.object.status.started_at;
  const Time begin = started.value_or(task.binding->assigned_at + kStartAllowance);
  const auto& deadline = task.object.spec.active_deadline;
  End end;
  if (deadline) end.time = std::max(begin + *deadline, world.now) + kStopAllowance;
  if (task.shape->runs.known() && (!deadline || when == When::kProbably)) {
    // What has run for longer than its like ends at any moment.
    const Time expected = std::max(begin + task.shape->runs.value(), world.now + kStartAllowance);
    if (expected < end.time) end = {expected, true};
  }
  return end;
}

std::vector<Leaving> LeavingNode(const World& world, const std::string& node, When when) {
  std::vector<Leaving> out;
  world.servers.ledger.ForEachOwner(node, [&](const Owner& owner) {
    const TaskState* task = owner.task;
    if (task != nullptr && task->shape != nullptr)
      out.push_back({ExpectedEnd(world, *task, node, when), task->shape});
  });
  std::stable_sort(out.begin(), out.end(),
                   [](const Leaving& a, const Leaving& b) { return a.end.time < b.end.time; });
  return out;
}

void Rank(World& world, Shape& shape) {
  if (world.now < shape.ranked_at + kForecastKept && shape.ranked_at != Time{}) return;
  shape.ranked_at = world.now;
  int64_t rank = 0;
  shape.waiting.AnyOf([&](const QueuePosition& position) {
    position.task->rank = ++rank;
    return false;
  });
}

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

std::optional<Estimate> EstimateTurn(const World& world, Shape& shape, int64_t rank) {
  ForeseeStarts(world, shape);
  const auto start = StartOf(world, shape, rank);
  if (!start) return std::nullopt;
  return Estimate{*start, BasisOf(shape)};
}

std::optional<Estimate> EstimateStart(World& world, const TaskState& task) {
  if (!task.nominated.empty()) return EstimateArrival(world, task.nominated);
  if (task.in_gang) return std::nullopt;
  return EstimateTurn(world, *task.shape, task.rank);
}

bool PaysToWait(World& world, const TaskState& task, const PoolState& pool, std::string* numbers) {
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
