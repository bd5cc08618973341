#include "operator/runtime/world_gauges.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>

#include "operator/core/provisioning/engines.h"
#include "operator/core/scheduling/admission.h"
#include "operator/runtime/gauges.h"
#include "operator/runtime/metrics.h"

namespace spillway::runtime {
namespace {

using api::TaskPhase;

// Why servers and pools do not take a task; see core/fit.cc.
constexpr std::string_view kVerdicts[] = {"PlacementPolicy",
                                          "PoolNotAllowed",
                                          "PriceTooHigh",
                                          "UntoleratedTaint",
                                          "OperatingSystem",
                                          "NodeSelectorMismatch",
                                          "NodeAffinityMismatch",
                                          "RequirementMismatch",
                                          "ExclusiveTask",
                                          "NotEmpty",
                                          "TooManyTasks",
                                          "TooManyPods",
                                          "HostPortTaken",
                                          "InsufficientResource",
                                          "NodeNotFound",
                                          "RefusedRecently",
                                          "Reserved",
                                          "ServerTooSmall",
                                          "PoolDeleted",
                                          "PoolFull",
                                          "PoolNotFound",
                                          "UnknownEngine",
                                          "EngineSilent",
                                          "NodesUnseen",
                                          "EngineUnseen",
                                          "Cordoned",
                                          "Overloaded",
                                          "NotReady",
                                          "NoMeasurement",
                                          "StaleMeasurement"};

double Money(int64_t micros) { return static_cast<double>(micros) / 1e6; }

// Of the server or pool that is the nearest to taking it.
std::string NearestVerdict(const core::TaskState& task) {
  const auto& explanation = task.object.status.explanation;
  if (explanation == nullptr) return "Queued";  // for a moment
  const auto& of = explanation->servers.empty() ? explanation->pools : explanation->servers;
  if (of.empty()) return "NoServer";
  const bool known =
      std::find(std::begin(kVerdicts), std::end(kVerdicts), of[0].reason) != std::end(kVerdicts);
  return known ? of[0].reason : "Other";
}

bool HasLivePod(const core::TaskState& task) {
  return task.owner != nullptr &&
         std::any_of(task.owner->pods.begin(), task.owner->pods.end(),
                     [](const auto& pod) { return !pod.second->terminal(); });
}

void AddTasks(const core::World& world, Gauges& out) {
  std::map<TaskPhase, double> phases;
  std::map<std::string, std::map<std::string, double>> pending;  // by namespace and reason
  std::map<std::string, double> sums;
  double oldest = 0;
  for (const auto& [key, task] : world.tasks.by_key) {
    ++phases[task.object.status.phase];
    const std::string reason = PendingReason(world, task);
    if (reason.empty()) continue;
    ++pending[task.object.meta.ns][reason];
    ++sums[task.object.meta.ns];
    oldest = std::max(oldest,
                      std::chrono::duration<double>(world.now - task.object.meta.created).count());
  }
  for (const TaskPhase phase :
       {TaskPhase::kPending, TaskPhase::kScaling, TaskPhase::kAssigned, TaskPhase::kRunning,
        TaskPhase::kSucceeded, TaskPhase::kFailed, TaskPhase::kCancelled, TaskPhase::kSuspended}) {
    const double unseen = phase == TaskPhase::kPending ? phases[TaskPhase::kNone] : 0;
    out.Add("spillway_tasks", "TaskRequests by phase.", {{"phase", api::ToString(phase)}},
            phases[phase] + unseen);
  }
  out.Add("spillway_pending_oldest_seconds", "Age of the oldest task that waits; 0 if none does.",
          {}, oldest);
  // Those with the most tasks have series of their own.
  std::vector<std::pair<double, std::string>> order;
  order.reserve(sums.size());
  for (const auto& [ns, sum] : sums) order.emplace_back(-sum, ns);
  std::sort(order.begin(), order.end());
  std::map<std::string, double> others;
  for (size_t i = 0; i < order.size(); ++i) {
    for (const auto& [reason, count] : pending[order[i].second]) {
      if (i < kMostNamespaces) {
        out.Add("spillway_pending_tasks", "Tasks that wait, by namespace and reason.",
                {{"namespace", order[i].second}, {"reason", reason}}, count);
      } else {
        others[reason] += count;
      }
    }
  }
  for (const auto& [reason, count] : others)
    out.Add("spillway_pending_tasks", "Tasks that wait, by namespace and reason.",
            {{"namespace", kOtherNamespaces}, {"reason", reason}}, count);
}

using Amounts = std::map<std::pair<std::string, std::string>, double>;  // by origin and resource

void Sum(Amounts& amounts, const std::string& origin, const api::Resources& resources) {
  amounts[{origin, "cpu"}] += static_cast<double>(resources.cpu_milli) / 1'000;
  amounts[{origin, "memory"}] += static_cast<double>(resources.memory);
  size_t extended = 0;
  for (const auto& [name, amount] : resources.extended) {
    if (extended++ == kMostResources) break;
    amounts[{origin, name}] += static_cast<double>(amount);
  }
}

void AddAmounts(Gauges& out, const std::string& name, const std::string& help,
                const Amounts& amounts) {
  for (const auto& [of, amount] : amounts)
    out.Add(name, help, {{"origin", of.first}, {"resource", of.second}}, amount);
}

void AddServers(const core::World& world, Gauges& out) {
  std::map<std::string, double> phases;
  Amounts allocatable, requested, used;
  for (const auto& [name, server] : world.servers.by_name) {
    ++phases[server.phase];
    if (!server.schedulable || server.node == nullptr || !server.node->object) continue;
    const std::string origin = server.object.spec.cloud ? "Cloud" : "Local";
    Sum(allocatable, origin, server.node->object->allocatable);
    if (server.usage != nullptr) Sum(requested, origin, server.usage->used);
    if (const auto& load = server.node->load) {
      used[{origin, "cpu"}] += static_cast<double>(load->cpu_milli) / 1'000;
      used[{origin, "memory"}] += static_cast<double>(load->memory);
    }
  }
  for (const char* phase : {"Ready", "Overloaded", "Cordoned", "NotReady"})
    out.Add("spillway_servers", "RegisteredServers by phase.", {{"phase", phase}}, phases[phase]);
  AddAmounts(out, "spillway_servers_allocatable",
             "What servers that take tasks offer; cpu in cores, memory in bytes.", allocatable);
  AddAmounts(out, "spillway_servers_requested", "What all pods on these servers request.",
             requested);
  AddAmounts(out, "spillway_servers_used", "What these servers were measured to use.", used);
}

// What a ScaleRequest's server is to its pool.
const char* StateOf(const core::ScaleState& scale) {
  using api::ScalePhase;
  switch (scale.object.status.phase) {
    case ScalePhase::kReady:
      return !scale.joined ? "Joining" : scale.idle_since != kNever ? "Idle" : "InUse";
    case ScalePhase::kReleasing:
      return "Releasing";
    case ScalePhase::kFailed:
    case ScalePhase::kReleased:
      return nullptr;
    default:
      return "Ordered";
  }
}

// Empty if servers can be bought from it.
std::string WhyHeld(const core::World& world, const core::PoolState& pool) {
  if (const auto misfit = core::PoolMisfit(world, pool.object)) return misfit->reason;
  return world.now < pool.hold_until ? api::ToString(pool.error) : "";
}

void AddPools(const core::World& world, Gauges& out) {
  std::map<std::string, std::map<std::string, double>> states;
  for (const auto& [name, scale] : world.provisioning.scales) {
    if (const char* state = StateOf(scale)) ++states[scale.object.pool][state];
  }
  for (const auto& [name, pool] : world.provisioning.pools) {
    const Gauges::Labels labels{{"pool", name}};
    const api::ServerPoolSpec& spec = pool.object.spec;
    for (const char* state : {"Ordered", "Joining", "InUse", "Idle", "Releasing"})
      out.Add("spillway_pool_servers", "Bought servers by pool and state.",
              {{"pool", name}, {"state", state}}, states[name][state]);
    out.Add("spillway_pool_limit", "maxServers of the pool.", labels,
            static_cast<double>(spec.max_servers));
    out.Add("spillway_pool_stock", "minServers and warmSpares of the pool.", labels,
            static_cast<double>(spec.min_servers + spec.warm_spares));
    const std::string held = WhyHeld(world, pool);
    out.Add("spillway_pool_held",
            "1 while nothing is bought from the pool after a failure, or for its engine.",
            {{"pool", name}, {"reason", held}}, held.empty() ? 0 : 1);
    out.Add("spillway_pool_spent_this_month", "What the pool's servers have cost in this month.",
            labels, Money(pool.object.status.spent_micros));
    out.Add("spillway_pool_price_per_hour", "Price of one server of the pool.", labels,
            Money(spec.price_micros));
  }
}

void AddBudgets(const core::World& world, Gauges& out) {
  for (const auto& [key, budget] : world.budgets.by_key) {
    const Gauges::Labels labels{{"namespace", budget.object.meta.ns},
                                {"budget", budget.object.meta.name}};
    const api::BudgetStatus& status = budget.object.status;
    out.Add("spillway_budget_amount", "Amount of the Budget for each period.", labels,
            Money(budget.object.spec.amount_micros));
    out.Add("spillway_budget_spent", "Spent in the period.", labels, Money(status.spent_micros));
    out.Add("spillway_budget_committed", "Expected of what runs or waits for a bought server.",
            labels, Money(status.committed_micros));
    out.Add("spillway_budget_held_tasks", "Tasks that wait because they cannot be paid.", labels,
            static_cast<double>(status.held));
  }
}

}  // namespace

std::string PendingReason(const core::World& world, const core::TaskState& task) {
  const TaskPhase phase = task.object.status.phase;
  if (api::Finished(phase) || phase == TaskPhase::kSuspended || task.binding ||
      task.shape == nullptr)
    return "";
  if (task.object.meta.deleted) return "";
  if (!task.nominated.empty()) return "ServerOrdered";
  if (core::ExplainAdmission(task) != nullptr)
    return task.admission->quota ? "QuotaExceeded" : "FailedCreate";
  if (world.now < task.not_before) return "Backoff";
  if (!task.queued && task.creating) return "FailedCreate";
  if (!task.queued) return HasLivePod(task) ? "PreviousPod" : "Held";
  if (task.in_gang && static_cast<int64_t>(task.gang->members.size()) < task.gang->size)
    return "GroupIncomplete";
  if (task.account->held.contains(*task.key)) return "BudgetExceeded";
  return NearestVerdict(task);
}

std::vector<prometheus::MetricFamily> DescribeWorld(const core::World& world) {
  Gauges out;
  AddTasks(world, out);
  AddServers(world, out);
  AddPools(world, out);
  AddBudgets(world, out);
  return std::move(out).Families();
}

}  // namespace spillway::runtime
