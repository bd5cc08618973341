#include "operator/core/explain.h"

#include <algorithm>

#include "operator/core/budgets.h"
#include "operator/core/fit.h"
#include "operator/core/forecast.h"
#include "operator/core/gangs.h"
#include "operator/core/nearest_fit.h"
#include "operator/core/scaling.h"
#include "operator/core/tasks.h"

namespace spillway::core {
namespace {

// Those that lack only an amount come first, the smallest lack first; then those that may take the
// task later; then those that never will.
bool Nearer(const Tested& a, const Tested& b) {
  const auto distance = [](const Misfit& misfit) {
    if (misfit.property) return 3.0;
    if (misfit.resource.empty() || misfit.requested == 0) return 2.0;
    return static_cast<double>(misfit.requested - misfit.available) /
           static_cast<double>(misfit.requested);
  };
  return std::pair(distance(a.why), std::string_view(a.name)) <
         std::pair(distance(b.why), std::string_view(b.name));
}

std::vector<Tested> TestServers(const World& world, const Shape& shape) {
  std::vector<Tested> out;
  for (const auto& [name, server] : world.servers) {
    Misfit why;
    const bool property = !PropertiesFit(world, shape, server, &why);
    if (!property && RoomFits(shape, server, &why)) continue;
    why.property = property && why.reason != kRefusedRecently;
    out.push_back({name, why});
  }
  std::sort(out.begin(), out.end(), Nearer);
  return out;
}

std::vector<Tested> TestPools(const World& world, const Shape& shape) {
  std::vector<Tested> out;
  for (const auto& [name, pool] : world.pools) {
    Misfit why{"Available", "available", "can be asked for a server", "", 0, 0};
    if (PoolFits(shape, pool, &why)) PoolMayBuy(world, pool, &why);
    out.push_back({name, why});
  }
  for (const std::string& name : shape.placement.pools) {
    if (!world.pools.contains(name))
      out.push_back(
          {name,
           {"PoolNotFound", "not found", "ServerPool " + name + " does not exist", "", 0, 0}});
  }
  return out;
}

std::string Count(const char* what, size_t total, const std::vector<Tested>& tested) {
  std::map<std::string, int> counts;
  for (const Tested& test : tested) ++counts[test.why.summary];
  std::vector<std::pair<int, std::string>> sorted;
  for (const auto& [summary, count] : counts) sorted.emplace_back(-count, summary);
  std::sort(sorted.begin(), sorted.end());
  std::string out =
      std::to_string(total - tested.size()) + " of " + std::to_string(total) + " " + what;
  for (size_t i = 0; i < sorted.size() && i < 6; ++i) {
    out += (i == 0 ? ": " : ", ") + std::to_string(-sorted[i].first) + " " + sorted[i].second;
  }
  return out;
}

std::vector<api::Verdict> Verdicts(const std::vector<Tested>& tested) {
  std::vector<api::Verdict> out;
  for (size_t i = 0; i < tested.size() && i < kMostVerdicts; ++i) {
    out.push_back({tested[i].name, tested[i].why.reason, tested[i].why.message});
  }
  return out;
}

}  // namespace

api::Explanation Explain(const World& world, const Shape& shape) {
  const auto servers = TestServers(world, shape);
  api::Explanation out;
  out.summary = Count("servers", world.servers.size(), servers);
  out.servers = Verdicts(servers);
  const auto pools = TestPools(world, shape);
  out.nearest_fit = NearestFit(world, shape, servers, pools);
  if (shape.placement.policy == api::Policy::kLocalOnly) return out;
  out.pools = Verdicts(pools);
  for (size_t i = 0; i < pools.size() && i < kMostVerdicts; ++i) {
    out.summary += (i == 0 ? "; pools: " : ", ") + pools[i].name + " " + pools[i].why.summary;
  }
  if (pools.empty()) out.summary += "; no ServerPool to buy from";
  return out;
}

namespace {

// How long what was found out about the shape still holds.
Duration KeptFor(const World& world, const Shape& shape) {
  const bool held = std::any_of(world.pools.begin(), world.pools.end(), [&](const auto& entry) {
    return entry.second.hold_until >= shape.explained_at;  // its end is no event
  });
  if (shape.explained_moves == world.moves && !held) return kExplainAtLeastEvery;
  const size_t servers = world.servers.size();
  if (servers <= kManyServers) return Duration{0};
  // To look at ten thousand servers takes 20 ms.
  return kExplanationKept * static_cast<int64_t>(1 + servers / 1'000);
}

// One explanation for all tasks of a shape that ask at about the same time.
const std::shared_ptr<const api::Explanation>& Shared(World& world, Shape& shape) {
  if (shape.explained_at == Time{} || world.now > shape.explained_at + KeptFor(world, shape)) {
    api::Explanation now = Explain(world, shape);
    world.tested += world.servers.size();
    // Where it says the same, nothing is new for any of its tasks.
    if (shape.explanation == nullptr || *shape.explanation != now)
      shape.explanation = std::make_shared<const api::Explanation>(std::move(now));
    shape.explained_at = world.now;
    shape.explained_moves = world.moves;
  }
  return shape.explanation;
}

// What the choice with burstAfterSeconds: auto is made by.
std::string ExplainAuto(World& world, const TaskState& task) {
  if (!task.shape->placement.burst_auto || task.in_gang) return "";
  const PoolState* pool = BestPool(world, *task.shape);
  std::string numbers;
  if (pool == nullptr || !PaysToWait(world, task, *pool, &numbers)) return "";
  return "; it pays to wait: " + numbers;
}

std::string ExplainPatience(World& world, const TaskState& task) {
  const api::Placement& placement = task.shape->placement;
  if (placement.policy == api::Policy::kLocalOnly) return "";
  const Time until = task.waiting_since + placement.burst_after;
  const std::string at =
      world.now < until ? "; a cloud server may be bought at " + FormatTime(until) : "";
  return ExplainAuto(world, task) + at;
}

// The shape's explanation with what concerns this task alone.
std::shared_ptr<const api::Explanation> Personal(
    World& world, const TaskState& task, const std::shared_ptr<const api::Explanation>& shared) {
  const std::string group = ExplainGang(task);
  const std::string patience = ExplainPatience(world, task) + ExplainBudget(world, task);
  if (group.empty() && patience.empty()) return shared;
  api::Explanation own = *shared;
  own.summary = (group.empty() ? "" : group + "; ") + own.summary + patience;
  return std::make_shared<const api::Explanation>(std::move(own));
}

}  // namespace

bool ExplainTask(World& world, TaskState& task) {
  if (!task.queued) return false;
  const Time first = std::max(task.waiting_since, task.object.meta.created) + kExplainAfter;
  if (world.now < first) {
    world.WakeTask(task, first);
    return false;
  }
  const bool due =
      world.now >= task.writer.last + task.explain_after || !task.object.status.explanation;
  if (!due) {
    world.WakeTask(task, task.writer.last + task.explain_after);
    return false;
  }
  const auto& shared = Shared(world, *task.shape);
  ForecastTask(world, task);
  task.explain_after = std::min(task.explain_after * 2, kExplainAtLeastEvery);
  world.WakeTask(task, world.now + task.explain_after);
  if (task.object.status.explanation == shared && task.status_due == kNever) return false;
  task.object.status.explanation = task.nominated.empty() ? Personal(world, task, shared) : shared;
  if (task.nominated.empty())
    DescribeWaiting(world, task, api::TaskPhase::kPending, task.object.status.explanation->summary);
  task.status_due = std::min(task.status_due, world.now);
  return true;
}

}  // namespace spillway::core
