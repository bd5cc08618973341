#include "operator/core/scheduling/fit.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <span>

#include "operator/base/quantity.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/servers/load.h"

namespace spillway::core {
namespace {

using api::Policy;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

bool Fail(FitError* why, FitError misfit) {
  if (why != nullptr) *why = std::move(misfit);
  return false;
}

std::string Describe(const api::Requirement& requirement) {
  std::string out = requirement.key + " " + requirement.op;
  for (size_t i = 0; i < requirement.values.size(); ++i)
    out += (i == 0 ? " " : ", ") + requirement.values[i];
  return out;
}

bool OriginFits(const Shape& shape, const std::string& pool, bool cloud, int64_t price,
                FitError* why) {
  const api::Placement& placement = shape.placement;
  if (shape.paid != nullptr && price > 0) {
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
                          ", the task requires " + Describe(requirement),
                      "", 0, 0});
  }
  return true;
}

// Stands for a label that is there, with a value that is not known before the server is.
constexpr char kSomeValue[] = "(any)";

// The values that the label may have on a future server of the pool; none: it will not be there,
// for all that is known.
std::vector<std::string> MayBe(const std::string& key, const PoolState& pool) {
  const api::ServerPoolSpec& spec = pool.object.spec;
  if (const auto at = spec.labels.find(key); at != spec.labels.end()) return {at->second};
  if (key == api::kPoolLabel) return {pool.object.meta.name};
  bool some = key == kHostnameLabel;
  std::vector<std::string> values;
  for (const api::Requirement& each : spec.requirements) {
    if (each.key != key) continue;
    if (each.op == "DoesNotExist") return {};
    some = true;
    if (each.op == "In" && values.empty()) values = each.values;
  }
  std::erase_if(values, [&](const std::string& value) {
    return std::any_of(spec.requirements.begin(), spec.requirements.end(),
                       [&](const auto& each) { return each.key == key && !Matches(each, value); });
  });
  if (values.empty() && some) values = {kSomeValue};
  return values;
}

// What the labels of a future server may be, less with each wish that they must meet.
class FutureLabels {
 public:
  explicit FutureLabels(const PoolState& pool) : pool_(pool) {}

  const std::vector<std::string>& Of(const std::string& key) {
    const auto at = known_.find(key);
    return at != known_.end() ? at->second : known_[key] = MayBe(key, pool_);
  }
  // Whether the label can meet all of them at once.
  template <typename Wishes>
  bool Meets(const std::string& key, const Wishes& wishes) {
    const auto& values = Of(key);
    const auto good = [&](const std::optional<std::string>& value) {
      return std::all_of(wishes.begin(), wishes.end(),
                         [&](const auto& wish) { return wish.key != key || Matches(wish, value); });
    };
    if (values.empty()) return good(std::nullopt);
    return std::any_of(values.begin(), values.end(), good);
  }
  void Narrow(const api::Requirement& wish) {
    Of(wish.key);
    std::erase_if(known_[wish.key],
                  [&](const std::string& value) { return !Matches(wish, value); });
  }
  std::string Text(const std::string& key) {
    std::string out;
    for (const std::string& value : Of(key)) out += (out.empty() ? "" : " or ") + value;
    return out.empty() ? "missing" : out;
  }

 private:
  const PoolState& pool_;
  std::map<std::string, std::vector<std::string>> known_;
};

bool MayMatchAny(const std::vector<NodeSelectorTerm>& terms, FutureLabels& labels) {
  const auto field = [](const api::Requirement& wish) {
    return wish.key == "metadata.name" && Matches(wish, std::string(kSomeValue));
  };
  return terms.empty() ||
         std::any_of(terms.begin(), terms.end(), [&](const NodeSelectorTerm& term) {
           return !(term.labels.empty() && term.fields.empty()) &&
                  std::all_of(
                      term.labels.begin(), term.labels.end(),
                      [&](const auto& wish) { return labels.Meets(wish.key, term.labels); }) &&
                  std::all_of(term.fields.begin(), term.fields.end(), field);
         });
}

// The wishes that a new server must meet for the shape: those of its affinity by the first term
// that can be met.
std::vector<api::Requirement> WishesOf(const Shape& shape, const PoolState& pool) {
  std::vector<api::Requirement> out;
  if (!shape.os.empty()) out.push_back({kOsLabel, "In", {shape.os}});
  for (const auto& [key, value] : shape.node_selector) out.push_back({key, "In", {value}});
  for (const api::Requirement& wish : shape.requirements) {
    if (!pool.object.spec.capabilities.contains(wish.key)) out.push_back(wish);
  }
  FutureLabels labels(pool);
  for (const api::Requirement& wish : out) labels.Narrow(wish);
  for (const NodeSelectorTerm& term : shape.affinity) {
    if (!MayMatchAny({term}, labels)) continue;
    out.insert(out.end(), term.labels.begin(), term.labels.end());
    break;
  }
  return out;
}

// As LabelsFit, of a server that does not exist yet.
bool FutureLabelsFit(const Shape& shape, const PoolState& pool, FitError* why) {
  FutureLabels labels(pool);
  // A pool that says nothing of it gives what most do.
  if (!shape.os.empty() && labels.Of(kOsLabel).empty() && !OsFits(shape, "linux", why))
    return false;
  if (!shape.os.empty() && !labels.Of(kOsLabel).empty() &&
      !labels.Meets(kOsLabel, std::vector<api::Requirement>{{kOsLabel, "In", {shape.os}}}))
    return OsFits(shape, labels.Text(kOsLabel), why);
  const auto meets = [&](const api::Requirement& wish) {
    if (!labels.Meets(wish.key, std::span(&wish, 1))) return false;
    labels.Narrow(wish);
    return true;
  };
  for (const auto& [key, value] : shape.node_selector) {
    if (meets({key, "In", {value}})) continue;
    return Fail(
        why, {"NodeSelectorMismatch", "node selector " + key,
              "label " + key + " is " + labels.Text(key) + ", the node selector wants " + value, "",
              0, 0});
  }
  const api::StringMap& capabilities = pool.object.spec.capabilities;
  for (const api::Requirement& wish : shape.requirements) {
    const auto at = capabilities.find(wish.key);
    if (at != capabilities.end() ? Matches(wish, at->second) : meets(wish)) continue;
    const std::string has = at != capabilities.end() ? at->second : labels.Text(wish.key);
    return Fail(why, {"RequirementMismatch", "capability " + wish.key,
                      "has " + wish.key + " " + (has == "missing" ? "not set" : has) +
                          ", the task requires " + Describe(wish),
                      "", 0, 0});
  }
  if (MayMatchAny(shape.affinity, labels)) return true;
  return Fail(why, {"NodeAffinityMismatch", "node affinity",
                    "no term of the required node affinity matches its labels", "", 0, 0});
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

// "requests 4 cpu, 1 free (3 short)".
std::string Lack(const std::string& resource, int64_t requested, int64_t available,
                 const char* what) {
  return "requests " + FormatAmount(resource, requested) + " " + resource + ", " +
         FormatAmount(resource, available) + " " + what + " (" +
         FormatAmount(resource, requested - available) + " short)";
}

bool Insufficient(const char* resource, int64_t requested, int64_t available, FitError* why) {
  const std::string name = resource;
  return Fail(why, {"InsufficientResource", "insufficient " + name,
                    Lack(name, requested, std::max<int64_t>(available, 0), "free"), name, requested,
                    std::max<int64_t>(available, 0)});
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

std::string FormatAmount(const std::string& resource, int64_t amount) {
  if (resource == "cpu") return FormatMilli(amount);
  if (resource == "memory" || resource == "ephemeral-storage") return FormatBytes(amount);
  return std::to_string(amount);
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

bool OriginFits(const Shape& shape, const ServerState& server, FitError* why) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  return OriginFits(shape, spec.pool, spec.cloud, spec.price_micros, why);
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

bool RoomFits(const Shape& shape, const ServerState& server, FitError* why) {
  if (!server.schedulable) {
    return Fail(why, {server.reason, Unusable(server), server.message, "", 0, 0});
  }
  return CountsFit(shape, server, why) &&
         AmountsFit(shape.requests, server.offered, server.usage->used, why) &&
         LoadFits(shape.requests, server, why) && ReservationFits(shape, server, why);
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

void Room::Move(const Shape& other, int64_t sign) {
  if (sign > 0) {
    free_ -= other.requests;
  } else {
    free_ += other.requests;
  }
  tasks_ += sign;
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

api::Resources PoolRoom(const PoolState& pool) {
  return pool.observed ? Min(pool.object.spec.resources, *pool.observed)
                       : pool.object.spec.resources;
}

std::optional<std::string> FutureLabel(const std::string& key, const PoolState& pool) {
  const auto values = MayBe(key, pool);
  return values.empty() || values.front() == kSomeValue ? std::nullopt
                                                        : std::optional(values.front());
}

std::vector<api::Requirement> Narrowed(const Shape& shape, const PoolState& pool) {
  FutureLabels labels(pool);
  std::set<std::string> keys;
  for (const api::Requirement& wish : WishesOf(shape, pool)) {
    if (labels.Of(wish.key).size() < 2) continue;
    labels.Narrow(wish);
    keys.insert(wish.key);
  }
  std::vector<api::Requirement> out;
  for (const std::string& key : keys) {
    const auto& left = labels.Of(key);
    if (!left.empty() && left.size() < MayBe(key, pool).size()) out.push_back({key, "In", left});
  }
  return out;
}

bool PoolFits(const Shape& shape, const PoolState& pool, FitError* why) {
  const api::ServerPoolSpec& spec = pool.object.spec;
  if (!OriginFits(shape, pool.object.meta.name, true, spec.price_micros, why)) return false;
  if (!TaintsFit(spec.taints, shape, true, why) || !FutureLabelsFit(shape, pool, why)) return false;
  if (auto misfit = AmountsMisfit(shape.requests, PoolRoom(pool))) {
    misfit->reason = "ServerTooSmall";
    misfit->message =
        Lack(misfit->resource, misfit->requested, misfit->available, "on a server of the pool");
    return Fail(why, std::move(*misfit));
  }
  return true;
}

int64_t PoolServers(const World& world, const std::string& pool) {
  const auto known = world.provisioning.pools.find(pool);
  const int64_t orphans = known == world.provisioning.pools.end() ? 0 : known->second.orphans;
  return orphans +
         std::count_if(
             world.provisioning.scales.begin(), world.provisioning.scales.end(),
             [&](const auto& entry) {
               const ScaleState& scale = entry.second;
               const api::ScalePhase phase = scale.object.status.phase;
               if (scale.object.pool != pool) return false;
               return (phase != api::ScalePhase::kFailed && phase != api::ScalePhase::kReleased) ||
                      scale.asking || world.provisioning.cloud_servers.Has(scale.object.meta.uid);
             });
}

bool PoolMayBuy(const World& world, const PoolState& pool, FitError* why) {
  const std::string& name = pool.object.meta.name;
  if (pool.object.meta.deleted)
    return Fail(why, {"PoolDeleted", "being deleted", "the pool is being deleted", "", 0, 0});
  if (auto misfit = EngineMisfit(world, pool.object.spec.engine))
    return Fail(why, std::move(*misfit));
  if (world.now < pool.hold_until) {
    return Fail(why, {ToString(pool.error), ToString(pool.error),
                      "backing off until " + FormatTime(pool.hold_until) + " after " +
                          ToString(pool.error) + ": " + pool.error_message,
                      "", 0, 0});
  }
  const int64_t servers = PoolServers(world, name);
  if (servers >= pool.object.spec.max_servers) {
    return Fail(why, {"PoolFull", "full",
                      "has " + std::to_string(servers) + " of at most " +
                          std::to_string(pool.object.spec.max_servers) + " servers",
                      "", 0, 0});
  }
  return true;
}

}  // namespace spillway::core
