#include "operator/core/explain/nearest_fit.h"

#include <algorithm>
#include <functional>

#include "operator/core/provisioning/pool_fit.h"

namespace spillway::core {
namespace {

using api::Policy;

// What a server or a new server of a pool is like.
struct Offer {
  std::string pool;
  bool cloud = false;
  int64_t price_micros = 0;
  std::vector<api::Taint> taints;
  api::StringMap labels, capabilities;
};

Offer OfferOf(const ServerState& server) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  Offer offer{spec.pool, spec.cloud, spec.price_micros, {}, {}, spec.capabilities};
  if (server.node->object) {
    offer.taints = PropertyTaints(*server.node->object);
    offer.labels = server.node->object->meta.labels;
  }
  return offer;
}

Offer OfferOf(const PoolState& pool) {
  const api::ServerPoolSpec& spec = pool.object.spec;
  Offer offer{pool.object.meta.name, true,        spec.price_micros,
              spec.taints,           spec.labels, spec.capabilities};
  offer.labels.emplace(api::kPoolLabel, offer.pool);
  for (const api::Requirement& each : spec.requirements) {
    if (const auto value = FutureLabel(each.key, pool)) offer.labels.emplace(each.key, *value);
  }
  return offer;
}

// One change of the task.
struct Change {
  std::string text;
  double given_up = 1;  // of an amount, the part; 1 of anything else
};

std::optional<Change> LessOf(Shape& shape, const FitError& why) {
  if (why.available <= 0) return std::nullopt;
  if (why.resource == "cpu") shape.requests.cpu_milli = why.available;
  if (why.resource == "memory") shape.requests.memory = why.available;
  if (why.resource == "ephemeral-storage") shape.requests.ephemeral = why.available;
  if (shape.requests.extended.contains(why.resource))
    shape.requests.extended[why.resource] = why.available;
  return Change{
      why.resource + " " + FormatAmount(why.resource, why.available) + " instead of " +
          FormatAmount(why.resource, why.requested),
      static_cast<double>(why.requested - why.available) / static_cast<double>(why.requested)};
}

const char* Name(Policy policy) {
  if (policy == Policy::kLocalOnly) return "LocalOnly";
  return policy == Policy::kCloudOnly ? "CloudOnly" : "PreferLocal";
}

Change AnyPolicy(Shape& shape) {
  const std::string before = Name(std::exchange(shape.placement.policy, Policy::kPreferLocal));
  return {"placement.policy PreferLocal instead of " + before};
}

Change HigherPrice(Shape& shape, const Offer& offer) {
  const std::string before = api::FormatPrice(shape.placement.max_price_micros.value_or(0));
  shape.placement.max_price_micros = offer.price_micros;
  return {"placement.maxPricePerHour " + api::FormatPrice(offer.price_micros) + " instead of " +
          before};
}

std::optional<Change> Tolerate(Shape& shape, const Offer& offer) {
  const api::Taint* taint = Untolerated(offer.taints, shape, offer.cloud);
  if (taint == nullptr) return std::nullopt;
  shape.tolerations.push_back({taint->key, "Equal", taint->value, taint->effect});
  return Change{"a toleration of the taint " + FormatTaint(*taint)};
}

std::optional<Change> OtherSelector(Shape& shape, const Offer& offer) {
  for (auto& [key, value] : shape.node_selector) {
    const auto has = offer.labels.find(key);
    if (has != offer.labels.end() && has->second == value) continue;
    const std::string text = "nodeSelector " + key;
    if (has == offer.labels.end()) {
      shape.node_selector.erase(std::string(key));
      return Change{"no " + text};
    }
    const std::string before = std::exchange(value, has->second);
    return Change{text + " " + has->second + " instead of " + before};
  }
  return std::nullopt;
}

std::optional<Change> WithoutRequirement(Shape& shape, const Offer& offer) {
  for (auto at = shape.requirements.begin(); at != shape.requirements.end(); ++at) {
    const auto value = ValueOf(at->key, offer.capabilities, offer.labels);
    if (Matches(*at, value)) continue;
    const std::string key = at->key;
    shape.requirements.erase(at);
    return Change{"no requirement on " + key};
  }
  return std::nullopt;
}

// Changes the shape so that it passes the test that failed; nothing if that is not for its user.
std::optional<Change> Relax(Shape& shape, const FitError& why, const Offer& offer) {
  if (!why.resource.empty()) return LessOf(shape, why);
  if (why.reason == "PlacementPolicy") return AnyPolicy(shape);
  if (why.reason == "PriceTooHigh") return HigherPrice(shape, offer);
  if (why.reason == "UntoleratedTaint") return Tolerate(shape, offer);
  if (why.reason == "NodeSelectorMismatch") return OtherSelector(shape, offer);
  if (why.reason == "RequirementMismatch") return WithoutRequirement(shape, offer);
  if (why.reason == "PoolNotAllowed") {
    shape.placement.pools.push_back(offer.pool);
    return Change{"pool " + offer.pool + " in placement.pools"};
  }
  if (why.reason == "NodeAffinityMismatch") {
    shape.affinity.clear();
    return Change{"no required node affinity"};
  }
  if (why.reason == "NotEmpty") {
    shape.exclusive = false;
    return Change{"exclusive false"};
  }
  if (why.reason == "HostPortTaken") {
    shape.host_ports.clear();
    return Change{"no host ports"};
  }
  return std::nullopt;
}

struct Proposal {
  std::string where, text;
  int changes = 0;
  double given_up = 0;
  bool operator<(const Proposal& other) const {
    return std::tuple(changes, given_up) < std::tuple(other.changes, other.given_up);
  }
};

// fits: the test, which says why not.
std::optional<Proposal> Propose(const Shape& shape, const Offer& offer, const std::string& where,
                                const std::function<bool(const Shape&, FitError*)>& fits) {
  Shape changed;
  changed.LookLike(shape);
  changed.paid = shape.paid;
  changed.payable_micros = shape.payable_micros;
  Proposal out{where, "", 0, 0};
  for (FitError why; !fits(changed, &why); why = {}) {
    const auto change = out.changes == kMostChanges ? std::nullopt : Relax(changed, why, offer);
    if (!change) return std::nullopt;
    out.text += (out.text.empty() ? "" : " and ") + change->text;
    out.given_up += change->given_up;
    ++out.changes;
  }
  if (out.changes == 0) return std::nullopt;
  return out;
}

bool IsLargeEnough(const Shape& shape, const api::Resources& total, FitError* why) {
  const auto small = AmountsMisfit(shape.requests, total);
  if (small) *why = *small;
  return !small;
}

}  // namespace

std::string NearestFit(const World& world, const Shape& shape, const std::vector<Tested>& servers,
                       const std::vector<Tested>& pools, Against against) {
  std::optional<Proposal> best;
  const auto take = [&](std::optional<Proposal> proposal) {
    if (proposal && (!best || *proposal < *best)) best = std::move(proposal);
  };
  for (size_t i = 0; i < servers.size() && i < kMostTried; ++i) {
    const ServerState& server = world.servers.by_name.at(servers[i].name);
    take(Propose(shape, OfferOf(server), "server " + servers[i].name,
                 [&](const Shape& changed, FitError* why) {
                   if (!PropertiesFit(world, changed, server, why)) return false;
                   return against == Against::kFree ? RoomFits(world, changed, server, why)
                                                    : IsLargeEnough(changed, server.offered, why);
                 }));
  }
  for (const Tested& test : pools) {
    const auto pool = world.provisioning.pools.find(test.name);
    if (pool == world.provisioning.pools.end()) continue;
    take(Propose(shape, OfferOf(pool->second), "a server of pool " + test.name,
                 [&](const Shape& changed, FitError* why) {
                   return PoolFits(changed, pool->second, why) &&
                          (against == Against::kTotals || PoolMayBuy(world, pool->second, why));
                 }));
  }
  return best ? "would fit " + best->where + " with " + best->text : "";
}

}  // namespace spillway::core
