#include "operator/core/scheduling/fit.h"

#include <algorithm>
#include <limits>

#include "operator/base/quantity.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/servers/load.h"

namespace spillway::core {
namespace {

using api::Policy;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

bool LabelsFit(const Shape& shape, const api::StringMap& labels, const api::StringMap& capabilities,
               const std::string& node_name, FitError* why) {
  const auto os = shape.os.empty() ? labels.end() : labels.find(kOsLabel);
  if (!OsFits(shape, os == labels.end() ? std::nullopt : std::optional(os->second), why))
    return false;
  for (const auto& [key, value] : shape.node_selector) {
    const auto at = labels.find(key);
    if (at != labels.end() && at->second == value) continue;
    return Fail(why, {"NodeSelectorMismatch", "node selector " + key,
                      "label " + key + " is " + (at == labels.end() ? "missing" : at->second) +
                          ", the node selector wants " + value,
                      "", 0, 0});
  }
  if (!MatchesAny(shape.affinity, labels, node_name)) {
    return Fail(why, {"NodeAffinityMismatch", "node affinity",
                      "no term of the required node affinity matches its labels", "", 0, 0});
  }
  for (const api::Requirement& requirement : shape.requirements) {
    const auto value = ValueOf(requirement.key, capabilities, labels);
    if (Matches(requirement, value)) continue;
    return Fail(why, {"RequirementMismatch", "capability " + requirement.key,
                      "has " + requirement.key + (value ? " " + *value : " not set") +
                          ", the task requires " + FormatRequirement(requirement),
                      "", 0, 0});
  }
  return true;
}

bool CountsFit(const Shape& shape, const ServerState& server, FitError* why) {
  const NodeUsage& usage = *server.usage;
  const int64_t tasks = usage.tasks, exclusive = usage.exclusive;
  if (exclusive > 0)
    return Fail(
        why, {"ExclusiveTask", "taken by an exclusive task", "runs an exclusive task", "", 0, 0});
  if (shape.exclusive && tasks > 0) {
    return Fail(
        why, {"NotEmpty", "not empty for an exclusive task",
              "runs " + std::to_string(tasks) + " tasks, the task wants it for itself", "", 0, 0});
  }
  const auto& most = server.object.spec.max_tasks;
  if (most && tasks >= *most) {
    return Fail(
        why, {"TooManyTasks", "at its limit of tasks",
              "runs " + std::to_string(tasks) + " of at most " + std::to_string(*most) + " tasks",
              "", 0, 0});
  }
  if (usage.pods >= server.max_pods) {
    return Fail(why, {"TooManyPods", "too many pods",
                      "has " + std::to_string(usage.pods) + " of at most " +
                          std::to_string(server.max_pods) + " pods",
                      "", 0, 0});
  }
  for (const std::string& port : shape.host_ports) {
    if (usage.host_ports.contains(port))
      return Fail(
          why, {"HostPortTaken", "host port " + port, "host port " + port + " is taken", "", 0, 0});
  }
  return true;
}

bool Insufficient(const char* resource, int64_t requested, int64_t available, FitError* why) {
  const std::string name = resource;
  return Fail(why, {"InsufficientResource", "insufficient " + name,
                    DescribeLack(name, requested, std::max<int64_t>(available, 0), "free"), name,
                    requested, std::max<int64_t>(available, 0)});
}

// requests fit into free = total - used.
bool AmountsFit(const api::Resources& requests, const api::Resources& total,
                const api::Resources& used, FitError* why) {
  const auto test = [&](const char* name, int64_t want, int64_t have) {
    return want == 0 || want <= have || Insufficient(name, want, have, why);
  };
  if (!test("cpu", requests.cpu_milli, total.cpu_milli - used.cpu_milli)) return false;
  if (!test("memory", requests.memory, total.memory - used.memory)) return false;
  if (!test("ephemeral-storage", requests.ephemeral, total.ephemeral - used.ephemeral))
    return false;
  for (const auto& [name, want] : requests.extended) {
    const auto offered = total.extended.find(name);
    const auto taken = used.extended.find(name);
    const int64_t have = (offered == total.extended.end() ? 0 : offered->second) -
                         (taken == used.extended.end() ? 0 : taken->second);
    if (!test(name.c_str(), want, have)) return false;
  }
  return true;
}

std::string Unusable(const ServerState& server) {
  if (server.phase == "Cordoned") return "cordoned";
  if (server.phase == "Overloaded") return "overloaded";
  return server.reason == "NoMeasurement" || server.reason == "StaleMeasurement"
             ? "without a fresh measurement"
             : "not ready";
}

bool AcceptsFit(const World& world, const Shape& shape, const ServerState& server, FitError* why) {
  const ServerRefusal* refusal = PassedOver(world, shape, server);
  if (refusal == nullptr) return true;
  return Fail(why, {kRefusedRecently, "refused such a pod recently",
                    "refused a pod of this kind at " + FormatTime(refusal->at) + ": " +
                        refusal->why + "; passed over until " + FormatTime(refusal->until),
                    "", 0, 0});
}

}  // namespace

std::vector<api::Toleration> CloudTolerations(std::vector<api::Toleration> tolerations) {
  tolerations.push_back({api::kPoolTaint, "Exists", "", ""});
  return tolerations;
}

std::string FormatRequirement(const api::Requirement& requirement) {
  std::string out = requirement.key + " " + requirement.op;
  for (size_t i = 0; i < requirement.values.size(); ++i)
    out += (i == 0 ? " " : ", ") + requirement.values[i];
  return out;
}

std::string FormatAmount(const std::string& resource, int64_t amount) {
  if (resource == "cpu") return FormatMilli(amount);
  if (resource == "memory" || resource == "ephemeral-storage") return FormatBytes(amount);
  return std::to_string(amount);
}

std::string DescribeLack(const std::string& resource, int64_t requested, int64_t available,
                         const char* what) {
  return "requests " + FormatAmount(resource, requested) + " " + resource + ", " +
         FormatAmount(resource, available) + " " + what + " (" +
         FormatAmount(resource, requested - available) + " short)";
}

const api::Taint* Untolerated(const std::vector<api::Taint>& taints, const Shape& shape,
                              bool cloud) {
  return FindUntolerated(taints, cloud ? CloudTolerations(shape.tolerations) : shape.tolerations);
}

std::string FormatTaint(const api::Taint& taint) {
  return taint.key + (taint.value.empty() ? "" : "=" + taint.value) + ":" + taint.effect;
}

std::optional<std::string> ValueOf(const std::string& key, const api::StringMap& capabilities,
                                   const api::StringMap& labels) {
  if (const auto at = capabilities.find(key); at != capabilities.end()) return at->second;
  if (const auto at = labels.find(key); at != labels.end()) return at->second;
  return std::nullopt;
}

bool OriginFits(const Shape& shape, const std::string& pool, bool cloud, int64_t price,
                FitError* why) {
  const api::Placement& placement = shape.placement;
  if (shape.paid != nullptr && price > shape.payable_micros) {
    return Fail(why, {"BudgetExceeded", "beyond the budget",
                      "costs " + api::FormatPrice(price) +
                          " per hour, which the Budget of the namespace does not cover",
                      "", 0, 0});
  }
  if (placement.policy == Policy::kLocalOnly && cloud) {
    return Fail(why, {"PlacementPolicy", "cloud server for a LocalOnly task",
                      "is a cloud server, the task is LocalOnly", "", 0, 0});
  }
  if (placement.policy == Policy::kCloudOnly && !cloud) {
    return Fail(why, {"PlacementPolicy", "local server for a CloudOnly task",
                      "is a local server, the task is CloudOnly", "", 0, 0});
  }
  const auto& pools = placement.pools;
  if (cloud && !pools.empty() && std::find(pools.begin(), pools.end(), pool) == pools.end()) {
    return Fail(why, {"PoolNotAllowed", "of another pool",
                      "pool " + pool + " is not in spec.placement.pools", "", 0, 0});
  }
  if (placement.max_price_micros && price > *placement.max_price_micros) {
    return Fail(why, {"PriceTooHigh", "too expensive",
                      "costs " + api::FormatPrice(price) + " per hour, over maxPricePerHour " +
                          api::FormatPrice(*placement.max_price_micros),
                      "", 0, 0});
  }
  return true;
}

bool OriginFits(const Shape& shape, const ServerState& server, FitError* why) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  return OriginFits(shape, spec.pool, spec.cloud, spec.price_micros, why);
}

bool TaintsFit(const std::vector<api::Taint>& taints, const Shape& shape, bool cloud,
               FitError* why) {
  const api::Taint* taint = Untolerated(taints, shape, cloud);
  if (taint == nullptr) return true;
  return Fail(
      why, {"UntoleratedTaint", "untolerated taint " + taint->key,
            "has the taint " + FormatTaint(*taint) + ", which the template does not tolerate", "",
            0, 0});
}

bool OsFits(const Shape& shape, const std::optional<std::string>& os, FitError* why) {
  if (shape.os.empty() || os == shape.os) return true;
  return Fail(why, {"OperatingSystem", "another operating system",
                    "runs " + os.value_or("an unknown operating system") + " (label " + kOsLabel +
                        "), the template's spec.os wants " + shape.os,
                    "", 0, 0});
}

bool PropertiesFit(const World& world, const Shape& shape, const ServerState& server,
                   FitError* why) {
  if (!OriginFits(shape, server, why)) return false;
  const api::RegisteredServerSpec& spec = server.object.spec;
  const auto node = world.servers.nodes.find(spec.node_name);
  if (node == world.servers.nodes.end() || !node->second.object) {
    return Fail(why, {"NodeNotFound", "without a node",
                      "node " + spec.node_name + " does not exist", "", 0, 0});
  }
  const api::Node& object = *node->second.object;
  return TaintsFit(PropertyTaints(object), shape, spec.cloud, why) &&
         LabelsFit(shape, object.meta.labels, spec.capabilities, object.meta.name, why) &&
         AcceptsFit(world, shape, server, why);
}

bool RoomFits(const World& world, const Shape& shape, const ServerState& server, FitError* why) {
  if (!server.schedulable) {
    return Fail(why, {server.reason, Unusable(server), server.message, "", 0, 0});
  }
  return CountsFit(shape, server, why) &&
         AmountsFit(shape.requests, server.offered, server.usage->used, why) &&
         LoadFits(shape.requests, server, why) && ReservationFits(world, shape, server, why);
}

Room::Room(const Shape& of, const ServerState& on)
    : shape_(of),
      server_(on),
      free_(on.offered),
      tasks_(on.usage->tasks),
      pods_(on.usage->pods),
      exclusive_(on.usage->exclusive) {
  free_ -= on.usage->used;
  if (on.limited) {
    cpu_headroom_ = CpuHeadroom(on);
    memory_headroom_ = MemoryHeadroom(on);
  }
  for (const std::string& port : of.host_ports)
    taken_.push_back(on.usage->host_ports.contains(port));
}

void Room::Move(const Demand& other, int64_t sign) {
  if (sign > 0) {
    free_ -= other.requests;
  } else {
    free_ += other.requests;
  }
  tasks_ += other.task ? sign : 0;
  pods_ += sign;
  exclusive_ += other.exclusive ? sign : 0;
  const auto give = [&](int64_t& headroom, int64_t amount) {
    if (server_.limited && headroom != kNoLimit) headroom -= sign * amount;
  };
  give(cpu_headroom_, other.requests.cpu_milli);
  give(memory_headroom_, other.requests.memory);
  for (size_t i = 0; i < taken_.size(); ++i) {
    const auto& ports = other.host_ports;
    const bool has = std::find(ports.begin(), ports.end(), shape_.host_ports[i]) != ports.end();
    taken_[i] += has ? sign : 0;
  }
}

int64_t Room::Places() const {
  const auto& most = server_.object.spec.max_tasks;
  const int64_t pods = server_.max_pods - pods_;
  return most ? std::min(pods, *most - tasks_) : pods;
}

api::Resources Room::Left() const {
  api::Resources left = free_;
  if (!server_.limited) return left;
  left.cpu_milli = std::min(left.cpu_milli, cpu_headroom_);
  left.memory = std::min(left.memory, memory_headroom_);
  return left;
}

bool Room::Fits() const {
  return exclusive_ == 0 && (!shape_.exclusive || tasks_ == 0) && Places() > 0 &&
         std::none_of(taken_.begin(), taken_.end(), [](int64_t n) { return n > 0; }) &&
         !AmountsMisfit(shape_.requests, Left());
}

std::optional<FitError> AmountsMisfit(const api::Resources& requests, const api::Resources& room) {
  FitError why;
  if (AmountsFit(requests, room, {}, &why)) return std::nullopt;
  return why;
}

}  // namespace spillway::core
