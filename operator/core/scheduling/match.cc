#include "operator/core/scheduling/match.h"

#include <algorithm>
#include <charconv>

#include "operator/base/version.h"

namespace spillway::core {
namespace {

std::optional<int64_t> ToInt(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

bool Compares(const std::string& op, const std::string& have,
              const std::vector<std::string>& bounds) {
  if (bounds.size() != 1) return false;
  const auto value = ToInt(have), bound = ToInt(bounds[0]);
  return value && bound && (op == "Gt" ? *value > *bound : *value < *bound);
}

bool InAnyRange(const std::string& have, const std::vector<std::string>& ranges) {
  const auto version = ParseVersion(have);
  return version && std::any_of(ranges.begin(), ranges.end(), [&](const std::string& range) {
           return VersionInRange(*version, range).value_or(false);
         });
}

bool Tolerates(const api::Toleration& toleration, const api::Taint& taint) {
  if (!toleration.effect.empty() && toleration.effect != taint.effect) return false;
  if (!toleration.key.empty() && toleration.key != taint.key) return false;
  if (toleration.op == "Exists") return true;
  if (toleration.key.empty()) return false;  // only Exists may leave the key out
  if (toleration.op == "Gt" || toleration.op == "Lt") {
    // The taint's value is compared with the toleration's (KEP-5471).
    return Compares(toleration.op, taint.value, {toleration.value});
  }
  return toleration.value == taint.value;
}

std::vector<api::Requirement> DecodeExpressions(const api::Json& list) {
  std::vector<api::Requirement> out;
  for (const api::Json& expression : list) {
    out.push_back({api::GetString(expression, "key"), api::GetString(expression, "operator"),
                   api::GetStrings(expression, "values")});
  }
  return out;
}

}  // namespace

bool Matches(const api::Requirement& requirement, const std::optional<std::string>& value) {
  const auto& values = requirement.values;
  const bool in = value && std::find(values.begin(), values.end(), *value) != values.end();
  if (requirement.op == "In") return in;
  if (requirement.op == "NotIn") return !in;
  if (requirement.op == "Exists") return value.has_value();
  if (requirement.op == "DoesNotExist") return !value.has_value();
  if (!value) return false;
  if (requirement.op == "Version") return InAnyRange(*value, values);
  return (requirement.op == "Gt" || requirement.op == "Lt") &&
         Compares(requirement.op, *value, values);
}

const api::Taint* FindUntolerated(const std::vector<api::Taint>& taints,
                                  const std::vector<api::Toleration>& tolerations) {
  for (const api::Taint& taint : taints) {
    if (taint.effect != "NoSchedule" && taint.effect != "NoExecute") continue;
    const bool tolerated =
        std::any_of(tolerations.begin(), tolerations.end(),
                    [&](const auto& toleration) { return Tolerates(toleration, taint); });
    if (!tolerated) return &taint;
  }
  return nullptr;
}

std::vector<NodeSelectorTerm> DecodeNodeAffinity(const api::Json& pod_spec) {
  const api::Json& required =
      api::GetObject(api::GetObject(api::GetObject(pod_spec, "affinity"), "nodeAffinity"),
                     "requiredDuringSchedulingIgnoredDuringExecution");
  std::vector<NodeSelectorTerm> out;
  for (const api::Json& term : api::GetArray(required, "nodeSelectorTerms")) {
    out.push_back({DecodeExpressions(api::GetArray(term, "matchExpressions")),
                   DecodeExpressions(api::GetArray(term, "matchFields"))});
  }
  return out;
}

bool NeedsScheduler(const api::Json& pod_spec) {
  const auto any = [&](const char* list) { return !api::GetArray(pod_spec, list).empty(); };
  if (any("topologySpreadConstraints") || any("resourceClaims") || any("schedulingGates"))
    return true;
  if (!api::GetObject(pod_spec, "schedulingGroup").empty()) return true;
  const api::Json& affinity = api::GetObject(pod_spec, "affinity");
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const api::Json& rules = api::GetObject(affinity, kind);
    for (const char* list : {"requiredDuringSchedulingIgnoredDuringExecution",
                             "preferredDuringSchedulingIgnoredDuringExecution"}) {
      if (!api::GetArray(rules, list).empty()) return true;
    }
  }
  return HasVolumeClaims(pod_spec);
}

bool HasVolumeClaims(const api::Json& pod_spec) {
  const api::Json& volumes = api::GetArray(pod_spec, "volumes");
  return std::any_of(volumes.begin(), volumes.end(), [](const api::Json& volume) {
    return volume.contains("persistentVolumeClaim") || volume.contains("ephemeral");
  });
}

bool MatchesAny(const std::vector<NodeSelectorTerm>& terms, const api::StringMap& labels,
                const std::string& node_name) {
  const auto label = [&](const api::Requirement& requirement) {
    const auto at = labels.find(requirement.key);
    return Matches(requirement, at == labels.end() ? std::nullopt : std::optional(at->second));
  };
  const auto field = [&](const api::Requirement& requirement) {
    return requirement.key == "metadata.name" && Matches(requirement, node_name);
  };
  return terms.empty() ||
         std::any_of(terms.begin(), terms.end(), [&](const NodeSelectorTerm& term) {
           if (term.labels.empty() && term.fields.empty()) return false;  // matches nothing
           return std::all_of(term.labels.begin(), term.labels.end(), label) &&
                  std::all_of(term.fields.begin(), term.fields.end(), field);
         });
}

}  // namespace spillway::core
