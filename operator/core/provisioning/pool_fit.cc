#include "operator/core/provisioning/pool_fit.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "operator/core/provisioning/bare_nodes.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/match.h"
#include "operator/core/scheduling/payment.h"

namespace spillway::core {
namespace {

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

bool IsOver(const ScaleState& scale) {
  const api::ScalePhase phase = scale.object.status.phase;
  return phase == api::ScalePhase::kFailed || phase == api::ScalePhase::kReleased;
}

// It is there, may be or may come, as far as this process can tell.
bool IsCounted(const World& world, const ScaleState& scale) {
  if (LeftToEngine(world, scale)) return false;
  return !IsOver(scale) || scale.asking ||
         world.provisioning.cloud_servers.Has(scale.object.meta.uid);
}

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
                          ", the task requires " + FormatRequirement(wish),
                      "", 0, 0});
  }
  if (MayMatchAny(shape.affinity, labels)) return true;
  return Fail(why, {"NodeAffinityMismatch", "node affinity",
                    "no term of the required node affinity matches its labels", "", 0, 0});
}

}  // namespace

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
    misfit->message = DescribeLack(misfit->resource, misfit->requested, misfit->available,
                                   "on a server of the pool");
    return Fail(why, std::move(*misfit));
  }
  return true;
}

std::optional<int64_t> PricePayable(const World& world, const TaskState& task, HeldTask& held) {
  const int64_t payable = std::min(PayableUpTo(world, task), held.price_micros - 1);
  std::optional<int64_t> most;
  for (const auto& [name, pool] : world.provisioning.pools) {
    const int64_t price = pool.object.spec.price_micros;
    if (pool.object.meta.deleted || pool.object.spec.max_servers == 0 ||
        !PoolFits(*task.shape, pool, nullptr))
      continue;
    if (price <= payable)
      most = std::max(most.value_or(0), price);
    else
      held.price_micros = std::min(held.price_micros, price);
  }
  return most;
}

int64_t PoolServers(const World& world, const std::string& pool) {
  const auto known = world.provisioning.pools.find(pool);
  const int64_t orphans = known == world.provisioning.pools.end() ? 0 : known->second.orphans;
  const auto& scales = world.provisioning.scales;
  return orphans + std::count_if(scales.begin(), scales.end(), [&](const auto& entry) {
           return entry.second.object.pool == pool && IsCounted(world, entry.second);
         });
}

int64_t PoolPlacesTaken(const World& world, const std::string& pool) {
  const auto& scales = world.provisioning.scales;
  return PoolServers(world, pool) +
         std::count_if(scales.begin(), scales.end(), [&](const auto& entry) {
           const ScaleState& scale = entry.second;
           return scale.object.pool == pool && IsOver(scale) && !IsCounted(world, scale) &&
                  IsOpenToOthers(scale);
         });
}

bool PoolMayBuy(const World& world, const PoolState& pool, FitError* why) {
  const std::string& name = pool.object.meta.name;
  if (pool.object.meta.deleted)
    return Fail(why, {"PoolDeleted", "being deleted", "the pool is being deleted", "", 0, 0});
  if (auto misfit = PoolMisfit(world, pool.object)) return Fail(why, std::move(*misfit));
  if (world.now < pool.hold_until) {
    return Fail(why, {ToString(pool.error), ToString(pool.error),
                      "backing off until " + FormatTime(pool.hold_until) + " after " +
                          ToString(pool.error) + ": " + pool.error_message,
                      "", 0, 0});
  }
  const int64_t servers = PoolPlacesTaken(world, name);
  if (servers >= pool.object.spec.max_servers) {
    return Fail(why, {"PoolFull", "full",
                      "has " + std::to_string(servers) + " of at most " +
                          std::to_string(pool.object.spec.max_servers) + " servers",
                      "", 0, 0});
  }
  return true;
}

}  // namespace spillway::core
