#include "operator/core/servers/load.h"

#include <algorithm>
#include <utility>

#include "operator/base/saturate.h"

namespace spillway::core {
namespace {

bool Watched(const api::RegisteredServerSpec& spec) {
  return spec.requires_metrics || spec.max_cpu_percent || spec.max_memory_percent;
}

// When the last measurement was made, by our clock. The node's clock may be wrong: what follows
// another one of the same node is as old as its arrival. The first may have been there for long,
// which only the node's clock tells.
Time MadeAt(const NodeState& node) {
  const bool follows = node.object && node.load_before >= node.object->meta.created;
  return follows ? node.load_arrived : std::min(node.load_arrived, node.load->observed);
}

Time KeptUntil(const NodeState& node) { return MadeAt(node) + kLoadKept; }

// The last measurement, if it is of this node and not of one that had its name before.
const api::NodeMetrics* Last(const NodeState& node) {
  const bool of_it = node.load && node.object && MadeAt(node) >= node.object->meta.created;
  return of_it ? &*node.load : nullptr;
}

// Of two copies of metrics-server one may be behind the other: what is older than the last says
// nothing, unless nothing newer has come for so long that the node's clock was set back.
bool IsNews(const Context& context, const NodeState& node, const api::NodeMetrics& metrics) {
  if (!node.load || metrics.observed > node.load->observed) return true;
  return metrics.observed < node.load->observed && context.now >= KeptUntil(node);
}

int64_t Percent(int64_t part, int64_t whole) {
  return whole <= 0 ? 100 : SaturatingMultiply(part, 100) / whole;
}

int64_t Headroom(const std::optional<int64_t>& limit, int64_t total, int64_t measured,
                 int64_t unmeasured) {
  if (!limit) return std::numeric_limits<int64_t>::max();
  return SaturatingSubtract(total * *limit / 100, SaturatingAdd(measured, unmeasured));
}

// Why the use of one resource is too high; nothing if it is not.
std::optional<FitError> Over(const char* name, const std::optional<int64_t>& limit, int64_t used,
                             int64_t total, bool was_over) {
  if (!limit) return std::nullopt;
  const int64_t below = *limit - std::min(kOverloadMargin, *limit / 2);
  if (used * 100 <= (was_over ? below : *limit) * total) return std::nullopt;
  const std::string measured = std::to_string(Percent(used, total));
  return FitError{"Overloaded", "overloaded",
                  std::string("its ") + name + " was measured at " + measured + "%, its limit is " +
                      std::to_string(*limit) + "%; it takes tasks again at " +
                      std::to_string(below) + "%"};
}

bool TooMuch(const char* name, int64_t requested, int64_t headroom, int64_t limit, int64_t measured,
             int64_t unmeasured, int64_t total, FitError* why) {
  if (why == nullptr) return false;
  const auto percent = [&](int64_t amount) { return std::to_string(Percent(amount, total)) + "%"; };
  *why = {"Overloaded",
          "overloaded",
          std::string("its ") + name + " would reach " +
              percent(SaturatingAdd(measured + requested, unmeasured)) + ", over its limit of " +
              std::to_string(limit) + "%: measured " + percent(measured) +
              ", bound since and not measured yet " + percent(unmeasured) + ", requested " +
              percent(requested),
          name,
          requested,
          std::max<int64_t>(headroom, 0)};
  return false;
}

void TakeUp(Context& context, Servers& servers, NodeState& node, const api::NodeMetrics& metrics) {
  ServerState* server = node.server;
  const bool watched = server != nullptr && Watched(server->object.spec);
  const int64_t cpu = watched ? CpuHeadroom(*server) : 0;
  const int64_t memory = watched ? MemoryHeadroom(*server) : 0;
  node.load_before = std::exchange(node.load_arrived, context.now);
  node.load = metrics;
  servers.ledger.Measured(metrics.node, metrics.observed - metrics.window);
  if (watched) {
    ++context.generation;
    servers.to_reconcile.insert(metrics.node);
    if (CpuHeadroom(*server) > cpu || MemoryHeadroom(*server) > memory)
      servers.capacity_log.Add(server->slot);
  } else if (server != nullptr) {
    servers.Touch(*server);
  }
}

}  // namespace

void Measure(Context& context, Servers& servers, const Measured& measured) {
  context.measured = true;
  for (const api::NodeMetrics& metrics : measured.nodes) {
    NodeState& node = servers.nodes[metrics.node];  // which may come later
    if (IsNews(context, node, metrics)) TakeUp(context, servers, node, metrics);
  }
}

void ForgetOldLoads(Context& context, Servers& servers) {
  if (context.now >= servers.load_until) {
    servers.load_until = kNever;
    for (const auto& [name, node] : servers.nodes) {
      if (node.server == nullptr || !node.load || !Watched(node.server->object.spec)) continue;
      const Time until = KeptUntil(node);
      if (context.now < until) {
        servers.load_until = std::min(servers.load_until, until);
      } else if (node.server->schedulable || node.server->limited || node.server->overloaded) {
        servers.to_reconcile.insert(name);
      }
    }
  }
  if (servers.load_until != kNever) context.WakeAt(servers.load_until);
}

std::optional<FitError> JudgeLoad(Context& context, Servers& servers, ServerState& server) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  const bool was_over = std::exchange(server.overloaded, false);
  server.limited = false;
  if (!Watched(spec)) return std::nullopt;
  const api::NodeMetrics* load = Last(*server.node);
  if (load == nullptr || context.now >= KeptUntil(*server.node)) {
    if (!spec.requires_metrics) return std::nullopt;
    if (load == nullptr)
      return FitError{
          "NoMeasurement", "without a fresh measurement",
          "metricsPolicy is Require, and metrics.k8s.io has no measurement of its node"};
    // The time and not the age, which would change with every look.
    return FitError{"StaleMeasurement", "without a fresh measurement",
                    "metricsPolicy is Require, and its node was measured last at " +
                        FormatTime(load->observed) + ", more than " + FormatDuration(kLoadKept) +
                        " ago"};
  }
  servers.load_until = std::min(servers.load_until, KeptUntil(*server.node));
  server.limited = spec.max_cpu_percent || spec.max_memory_percent;
  const api::Resources& total = server.offered;
  auto over = Over("cpu", spec.max_cpu_percent, load->cpu_milli, total.cpu_milli, was_over);
  if (!over) over = Over("memory", spec.max_memory_percent, load->memory, total.memory, was_over);
  server.overloaded = over.has_value();
  return over;
}

int64_t LimitedCpuHeadroom(const ServerState& server) {
  return Headroom(server.object.spec.max_cpu_percent, server.offered.cpu_milli,
                  server.node->load->cpu_milli, server.usage->unmeasured_cpu_milli);
}

int64_t LimitedMemoryHeadroom(const ServerState& server) {
  return Headroom(server.object.spec.max_memory_percent, server.offered.memory,
                  server.node->load->memory, server.usage->unmeasured_memory);
}

bool LimitsFit(const api::Resources& requests, const ServerState& server, FitError* why) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  const api::NodeMetrics& load = *server.node->load;
  const api::Resources& total = server.offered;
  const int64_t cpu = LimitedCpuHeadroom(server), memory = LimitedMemoryHeadroom(server);
  if (requests.cpu_milli > cpu)
    return TooMuch("cpu", requests.cpu_milli, cpu, *spec.max_cpu_percent, load.cpu_milli,
                   server.usage->unmeasured_cpu_milli, total.cpu_milli, why);
  if (requests.memory > memory)
    return TooMuch("memory", requests.memory, memory, *spec.max_memory_percent, load.memory,
                   server.usage->unmeasured_memory, total.memory, why);
  return true;
}

std::optional<api::ServerLoad> LoadOf(const NodeState& node) {
  const api::NodeMetrics* load = Last(node);
  if (load == nullptr) return std::nullopt;
  const api::Resources& total = node.object->allocatable;
  return api::ServerLoad{Percent(load->cpu_milli, total.cpu_milli),
                         Percent(load->memory, total.memory), load->observed};
}

}  // namespace spillway::core
