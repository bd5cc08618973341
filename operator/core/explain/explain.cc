#include "operator/core/explain/explain.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "operator/base/foreign_text.h"
#include "operator/core/budgets/budgets.h"
#include "operator/core/explain/forecast.h"
#include "operator/core/explain/nearest_fit.h"
#include "operator/core/provisioning/patience.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/status_queue.h"

namespace spillway::core {
namespace {

// Whether the task itself has asked for others: more is to be said of those that it has asked for.
bool NotAskedFor(const FitError& misfit) {
  static constexpr std::array<std::string_view, 6> kOwn{
      "PlacementPolicy",      "PoolNotAllowed",      "PriceTooHigh",
      "NodeSelectorMismatch", "RequirementMismatch", "NodeAffinityMismatch"};
  return std::find(kOwn.begin(), kOwn.end(), misfit.reason) != kOwn.end();
}

// Those that lack only an amount come first, the smallest lack first; then those that may take the
// task later; then those that never will, the ones that it has not asked for last.
bool Nearer(const Tested& a, const Tested& b) {
  const auto distance = [](const FitError& misfit) {
    if (misfit.property) return NotAskedFor(misfit) ? 4.0 : 3.0;
    if (misfit.resource.empty() || misfit.requested == 0) return 2.0;
    return static_cast<double>(misfit.requested - misfit.available) /
           static_cast<double>(misfit.requested);
  };
  return std::pair(distance(a.why), std::string_view(a.name)) <
         std::pair(distance(b.why), std::string_view(b.name));
}

std::vector<Tested> TestServers(const World& world, const Shape& shape) {
  std::vector<Tested> out;
  for (const auto& [name, server] : world.servers.by_name) {
    FitError why;
    const bool property = !PropertiesFit(world, shape, server, &why);
    if (!property && RoomFits(world, shape, server, &why)) continue;
    why.property = property && why.reason != kRefusedRecently;
    out.push_back({name, why});
  }
  std::sort(out.begin(), out.end(), Nearer);
  return out;
}

// As TestServers, as if nothing ran there.
std::vector<Tested> TestTotals(const World& world, const Shape& shape) {
  std::vector<Tested> out;
  for (const auto& [name, server] : world.servers.by_name) {
    FitError why;
    why.property = !PropertiesFit(world, shape, server, &why);
    if (!why.property) {
      const auto small = AmountsMisfit(shape.requests, server.offered);
      if (!small) continue;
      why = *small;
    }
    out.push_back({name, why});
  }
  std::sort(out.begin(), out.end(), Nearer);
  return out;
}

int64_t AmountOf(const api::Resources& resources, const std::string& name) {
  if (name == "cpu") return resources.cpu_milli;
  if (name == "memory") return resources.memory;
  if (name == "ephemeral-storage") return resources.ephemeral;
  const auto at = resources.extended.find(name);
  return at == resources.extended.end() ? 0 : at->second;
}

// What the servers and the pools offer as a whole, where the task may go at all.
struct Totals {
  std::vector<const api::Resources*> servers, pools;

  static int64_t Most(const std::vector<const api::Resources*>& all, const std::string& name) {
    int64_t most = 0;
    for (const api::Resources* each : all) most = std::max(most, AmountOf(*each, name));
    return most;
  }
  bool AnyFits(const Shape& shape) const {
    const auto fits = [&](const api::Resources* each) {
      return !AmountsMisfit(shape.requests, *each);
    };
    return std::any_of(servers.begin(), servers.end(), fits) ||
           std::any_of(pools.begin(), pools.end(), fits);
  }
};

Totals TotalsFor(const World& world, const Shape& shape) {
  const api::Policy policy = shape.placement.policy;
  Totals out;
  for (const auto& [name, server] : world.servers.by_name) {
    const bool cloud = server.object.spec.cloud;
    const bool may = policy == api::Policy::kLocalOnly   ? !cloud
                     : policy == api::Policy::kCloudOnly ? cloud
                                                         : true;
    if (may && server.node->object) out.servers.push_back(&server.offered);
  }
  if (policy == api::Policy::kLocalOnly) return out;
  for (const auto& [name, pool] : world.provisioning.pools)
    out.pools.push_back(&pool.object.spec.resources);
  return out;
}

// That the task is larger than everything that there is, by which resources; empty if it is not.
std::string NeverFits(const World& world, const Shape& shape) {
  const Totals totals = TotalsFor(world, shape);
  if ((totals.servers.empty() && totals.pools.empty()) || totals.AnyFits(shape)) return "";
  std::vector<std::string> names{"cpu", "memory", "ephemeral-storage"};
  for (const auto& [name, amount] : shape.requests.extended) names.push_back(name);
  std::string out;
  for (const std::string& name : names) {
    const int64_t want = AmountOf(shape.requests, name);
    const int64_t server = Totals::Most(totals.servers, name);
    const int64_t pool = Totals::Most(totals.pools, name);
    if (want <= std::max(server, pool)) continue;
    out +=
        (out.empty() ? "requests " : "; requests ") + FormatAmount(name, want) + " " + name + "; ";
    if (!totals.servers.empty()) out += "the largest server has " + FormatAmount(name, server);
    if (!totals.pools.empty())
      out += (totals.servers.empty() ? "the largest pool has " : ", the largest pool ") +
             FormatAmount(name, pool);
  }
  if (out.empty()) out = "no server and no pool has all that it requests at once";
  return out + ": it will never fit; ";
}

bool NamesPool(const Shape& shape, const std::string& name) {
  const auto& pools = shape.placement.pools;
  return std::find(pools.begin(), pools.end(), name) != pools.end();
}

// Those that the task names; of others, those that suit it; in the order in which they are asked.
void SortPools(const World& world, const Shape& shape, std::vector<Tested>& pools) {
  const auto place = [&](const Tested& test) {
    const auto pool = world.provisioning.pools.find(test.name);
    const bool known = pool != world.provisioning.pools.end();
    const int64_t priority = known ? pool->second.object.spec.priority : 0;
    const int64_t price = known ? pool->second.object.spec.price_micros : 0;
    return std::tuple(!NamesPool(shape, test.name), !known, test.why.property, -priority, price,
                      std::string_view(test.name));
  };
  std::sort(pools.begin(), pools.end(),
            [&](const Tested& a, const Tested& b) { return place(a) < place(b); });
}

std::vector<Tested> TestPools(const World& world, const Shape& shape) {
  std::vector<Tested> out;
  for (const auto& [name, pool] : world.provisioning.pools) {
    FitError why{"Available", "available", "can be asked for a server", "", 0, 0};
    if (PoolFits(shape, pool, &why)) {
      PoolMayBuy(world, pool, &why);
    } else {
      why.property = true;
    }
    out.push_back({name, why});
  }
  for (const std::string& name : shape.placement.pools) {
    if (!world.provisioning.pools.contains(name))
      out.push_back(
          {name,
           {"PoolNotFound", "not found", "ServerPool " + name + " does not exist", "", 0, 0}});
  }
  SortPools(world, shape, out);
  return out;
}

// The pools of a list that are shown: all that the task names, however many there are.
size_t ShownPools(const Shape& shape, const std::vector<Tested>& pools) {
  return std::min(pools.size(), std::max(kMostVerdicts, shape.placement.pools.size()));
}

// How much is said of one server or pool.
constexpr size_t kMostOfOne = 160;

std::string DescribePools(const Shape& shape, const std::vector<Tested>& pools) {
  if (pools.empty()) return "; no ServerPool exists, so no cloud server can be requested";
  std::string out;
  const size_t shown = ShownPools(shape, pools);
  for (size_t i = 0; i < shown; ++i) {
    const Tested& test = pools[i];
    out += i == 0 ? "; pools: " : ", ";
    out += test.name + " " + test.why.summary;
    if (NamesPool(shape, test.name)) out += " (" + OneLine(test.why.message, kMostOfOne) + ")";
  }
  if (shown < pools.size()) out += ", and " + std::to_string(pools.size() - shown) + " more";
  return out;
}

std::string Count(const char* what, size_t total, const std::vector<Tested>& tested) {
  std::map<std::string, int> counts;
  for (const Tested& test : tested) ++counts[test.why.summary];
  std::vector<std::pair<int, std::string>> sorted;
  for (const auto& [summary, count] : counts) sorted.emplace_back(-count, summary);
  std::sort(sorted.begin(), sorted.end());
  std::string out =
      std::to_string(total - tested.size()) + " of " + std::to_string(total) + " " + what + " fit";
  for (size_t i = 0; i < sorted.size() && i < 6; ++i) {
    out += (i == 0 ? ": " : ", ") + std::to_string(-sorted[i].first) + " " + sorted[i].second;
  }
  return out;
}

// What the first of those has said that were not asked because they have refused such a pod.
std::string DescribeRefusal(const std::vector<Tested>& servers) {
  const auto at = std::find_if(servers.begin(), servers.end(), [](const Tested& test) {
    return test.why.reason == kRefusedRecently;
  });
  if (at == servers.end()) return "";
  return "; " + at->name + " " + OneLine(at->why.message, kMostOfOne);
}

// What the first task of a new installation waits for.
std::string NoServers(const Shape& shape) {
  const bool wanted = shape.placement.policy != api::Policy::kCloudOnly;
  return std::string("no server is registered") +
         (wanted ? " (kubectl label node <node> spillway.dev/register=true)" : "");
}

std::vector<api::Verdict> Verdicts(const std::vector<Tested>& tested, size_t most) {
  std::vector<api::Verdict> out;
  for (size_t i = 0; i < tested.size() && i < most; ++i) {
    out.push_back({tested[i].name, tested[i].why.reason, tested[i].why.message});
  }
  return out;
}

}  // namespace

api::Explanation Explain(const World& world, const Shape& shape, bool* fits) {
  const auto servers = TestServers(world, shape);
  api::Explanation out;
  const std::string never = NeverFits(world, shape);
  const size_t total = world.servers.by_name.size();
  if (fits != nullptr) *fits = servers.size() < total;
  out.summary = never + (total == 0 ? NoServers(shape) : Count("servers", total, servers)) +
                DescribeRefusal(servers);
  out.servers = Verdicts(servers, kMostVerdicts);
  if (shape.admitted)
    out.summary +=
        " (by what such a pod asks for once it is admitted, not by "
        "its template)";
  const auto pools = TestPools(world, shape);
  out.nearest_fit =
      never.empty() ? NearestFit(world, shape, servers, pools, Against::kFree)
                    : NearestFit(world, shape, TestTotals(world, shape), pools, Against::kTotals);
  if (shape.placement.policy == api::Policy::kLocalOnly) return out;
  out.pools = Verdicts(pools, ShownPools(shape, pools));
  out.summary += DescribePools(shape, pools);
  return out;
}

namespace {

// How long what was found out about the shape still holds.
Duration KeptFor(const World& world, const Shape& shape) {
  const bool held = std::any_of(
      world.provisioning.pools.begin(), world.provisioning.pools.end(), [&](const auto& entry) {
        return entry.second.hold_until >= shape.explained_at;  // its end is no event
      });
  if (shape.explained_moves == world.generation && !held) return kExplainAtLeastEvery;
  const size_t servers = world.servers.by_name.size();
  if (servers <= kManyServers) return Duration{0};
  // To look at ten thousand servers takes 20 ms.
  return kExplanationKept * static_cast<int64_t>(1 + servers / 1'000);
}

// One explanation for all tasks of a shape that ask at about the same time.
const std::shared_ptr<const api::Explanation>& Shared(World& world, Shape& shape) {
  if (shape.explained_at == Time{} || world.now > shape.explained_at + KeptFor(world, shape)) {
    api::Explanation now = Explain(world, shape, &shape.explained_fits);
    world.explain.tested += world.servers.by_name.size();
    // Where it says the same, nothing is new for any of its tasks.
    if (shape.explanation == nullptr || *shape.explanation != now)
      shape.explanation = std::make_shared<const api::Explanation>(std::move(now));
    shape.explained_at = world.now;
    shape.explained_moves = world.generation;
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

// Why the task is held; empty if it is not.
std::string ExplainBudget(const World& world, const TaskState& task) {
  const auto held = task.account->held.find(*task.key);
  const BudgetState* budget = Tightest(world.budgets, *task.account);
  if (held == task.account->held.end() || budget == nullptr) return "";
  const int64_t most = task.shape->payable_micros;
  return (most == 0 ? "; no server with a price is used: "
                    : "; no server that costs more than " + api::FormatPrice(most) +
                          " per hour is used: ") +
         DescribeShortage(*budget, *task.account, NeedOf(task, held->second));
}

// The shape's explanation with what concerns this task alone.
std::shared_ptr<const api::Explanation> Personal(
    World& world, const TaskState& task, const std::shared_ptr<const api::Explanation>& shared) {
  if (const auto& admission = ExplainAdmission(task)) return admission;
  if (std::string turn = ExplainTurn(world, task); !turn.empty()) {
    api::Explanation own = *shared;
    own.summary = task.shape->explained_fits ? std::move(turn) : own.summary + "; " + turn;
    return std::make_shared<const api::Explanation>(std::move(own));
  }
  const std::string group = ExplainGang(task);
  const std::string patience =
      ExplainPatience(world, task) + ExplainBudget(world, task) + ExplainPurchase(world, task);
  if (group.empty() && patience.empty()) return shared;
  api::Explanation own = *shared;
  own.summary = (group.empty() ? "" : group + "; ") + own.summary + patience;
  return std::make_shared<const api::Explanation>(std::move(own));
}

// Puts the explanation into the status of a waiting task, if it says something new. False if it is
// not due.
bool ExplainTask(World& world, TaskState& task) {
  if (!task.queued) return false;
  const Time first = std::max(task.waiting_since, task.object.meta.created) + kExplainAfter;
  if (world.now < first) {
    world.tasks.Wake(task, first);
    return false;
  }
  const bool due =
      world.now >= task.writer.last + task.explain_after || !task.object.status.explanation;
  if (!due) {
    world.tasks.Wake(task, task.writer.last + task.explain_after);
    return false;
  }
  const auto& shared = Shared(world, *task.shape);
  if (const auto turn = TurnIsNear(world, task); turn && task.shape->explained_fits) {
    world.tasks.Wake(task, *turn);
    return false;
  }
  if (ExplainAdmission(task) == nullptr) {
    ForecastTask(world, task);
  } else {
    task.object.status.forecast.reset();
  }
  task.explain_after = std::min(task.explain_after * 2, kExplainAtLeastEvery);
  world.tasks.Wake(task, world.now + task.explain_after);
  const bool told = task.object.status.explanation == shared && !SaysElse(task.object.status) &&
                    ExplainAdmission(task) == nullptr && ExplainTurn(world, task).empty();
  if (told && task.status_due == kNever) return false;
  const bool scaling = IsToldOfServer(task);
  task.object.status.explanation = scaling ? shared : Personal(world, task, shared);
  if (!scaling)
    DescribeWaiting(world, task, api::TaskPhase::kPending, task.object.status.explanation->summary);
  task.status_due = std::min(task.status_due, world.now);
  return true;
}

}  // namespace

void ExplainWaiting(World& world) {
  // By what is old, nothing is explained; and the lists come sooner when nothing else is asked for.
  if (world.IsBehind()) return;
  world.explain.tested = 0;
  for (size_t explained = 0; !world.explain.to_explain.empty() && explained < kMostExplained &&
                             world.explain.tested < kMostTested &&
                             world.tasks.statuses_in_flight < kMostExplanationsInFlight;) {
    TaskState& task = world.tasks.by_key.at(*world.explain.to_explain.begin());
    auto key = world.explain.to_explain.extract(world.explain.to_explain.begin());
    if (Crowds(*task.tenant)) {
      StandInLine(task, key.value());
      continue;
    }
    explained += ExplainTask(world, task) ? 1 : 0;
    FlushStatus(world, task);
  }
  // Otherwise the next outcome of a status brings us back.
  if (!world.explain.to_explain.empty() &&
      world.tasks.statuses_in_flight < kMostExplanationsInFlight)
    world.WakeAt(world.now);
}

}  // namespace spillway::core
