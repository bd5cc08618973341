#include "operator/cloud/placeholder.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/foreign_text.h"
#include "operator/cloud/objects.h"
#include "operator/cloud/words.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;

constexpr char kProviderAnnotation[] = "spillway.dev/provider-id";
constexpr char kNodePoolLabel[] = "karpenter.sh/nodepool";
constexpr char kDefaultImage[] = "registry.k8s.io/pause:3.10";

// As the strictest Pod Security Standard wants it. It need not even run: a pod that is bound
// counts.
Json Container(const std::string& image, Json resources) {
  return {{"name", "pause"},
          {"image", image},
          {"resources", std::move(resources)},
          {"securityContext",
           {{"allowPrivilegeEscalation", false},
            {"readOnlyRootFilesystem", true},
            {"capabilities", {{"drop", {"ALL"}}}}}}};
}

Json BareSpec(const std::string& image, Json resources, Json tolerations) {
  return {{"containers", {Container(image, std::move(resources))}},
          {"tolerations", std::move(tolerations)},
          {"automountServiceAccountToken", false},
          {"enableServiceLinks", false},
          {"terminationGracePeriodSeconds", 0},
          {"securityContext",
           {{"runAsNonRoot", true},
            {"runAsUser", 65535},
            {"runAsGroup", 65535},
            {"seccompProfile", {{"type", "RuntimeDefault"}}}}}};
}

bool MayBeOvercommitted(const std::string& resource) {
  return resource == "cpu" || resource == "memory" || resource == "ephemeral-storage";
}

// Of anything but these a container's limit must be what it requests; pods are none of it.
Json RoomOf(const api::ServerPool& pool) {
  Json requests = Json::object(), limits = Json::object();
  for (const auto& [name, quantity] : api::EncodeResources(pool.spec.resources)) {
    if (name == "pods") continue;
    requests[name] = quantity;
    if (!MayBeOvercommitted(name)) limits[name] = quantity;
  }
  Json out{{"requests", std::move(requests)}};
  if (!limits.empty()) out["limits"] = std::move(limits);
  return out;
}

Json Tolerations(const api::ServerPool& pool) {
  Json out = Json::array();
  for (const api::Taint& taint : api::NodeTaints(pool.meta.name, pool.spec.taints)) {
    out.push_back({{"key", taint.key},
                   {"operator", "Equal"},
                   {"value", taint.value},
                   {"effect", taint.effect}});
  }
  return out;
}

// The pool's requirements, those of the tasks that the server is bought for, and no node that has
// such a pod already.
Json Affinity(const api::ServerPool& pool) {
  Json wanted = Json::array();
  for (const api::Requirement& each : pool.spec.requirements) {
    Json one{{"key", each.key}, {"operator", each.op}};
    if (!each.values.empty()) one["values"] = each.values;
    wanted.push_back(std::move(one));
  }
  Json out{
      {"podAntiAffinity",
       {{"requiredDuringSchedulingIgnoredDuringExecution",
         {{{"topologyKey", "kubernetes.io/hostname"},
           {"labelSelector",
            {{"matchExpressions", {{{"key", api::kRequestLabel}, {"operator", "Exists"}}}}}}}}}}}};
  if (!wanted.empty()) {
    out["nodeAffinity"] = {{"requiredDuringSchedulingIgnoredDuringExecution",
                            {{"nodeSelectorTerms", {{{"matchExpressions", std::move(wanted)}}}}}}};
  }
  return out;
}

// Those of Karpenter that the pod leaves; empty: any.
std::vector<std::string> NodePoolsOf(const Json& spec) {
  std::vector<std::string> out;
  const Json& wanted =
      api::GetObject(api::GetObject(api::GetObject(spec, "affinity"), "nodeAffinity"),
                     "requiredDuringSchedulingIgnoredDuringExecution");
  for (const Json& term : api::GetArray(wanted, "nodeSelectorTerms")) {
    for (const Json& each : api::GetArray(term, "matchExpressions")) {
      if (api::GetString(each, "key") != kNodePoolLabel || api::GetString(each, "operator") != "In")
        continue;
      for (const Json& value : api::GetArray(each, "values")) {
        if (value.is_string()) out.push_back(value.get<std::string>());
      }
    }
  }
  return out;
}

std::string WhyNotScheduled(const Json& status) {
  for (const Json& condition : api::GetArray(status, "conditions")) {
    if (api::GetString(condition, "type") == "PodScheduled")
      return api::GetString(condition, "message");
  }
  return "";
}

std::string EndOf(const Json& status) {
  const std::string reason = api::GetString(status, "reason"),
                    message = api::GetString(status, "message");
  return "its pod has ended" + (reason.empty() ? "" : ": " + reason) +
         (message.empty() ? "" : ": " + message);
}

// Cluster Autoscaler lists why each of its groups is of no help; what may pass stands for the
// group that fits.
CloudError WhyNotTriggered(const std::string& said) {
  if (said.find("backoff") != std::string::npos) return CloudError::kInsufficientCapacity;
  if (HasAny(said, {"quota"}) ||
      (HasAny(said, {"max", "limit"}) && HasAny(said, {"reached", "exceed"})))
    return CloudError::kQuotaExceeded;
  if (HasAny(said, {"not ready", "unhealthy"})) return CloudError::kTransient;
  return CloudError::kInvalidRequest;
}

// In the words of the clouds, which GKE and others pass on.
CloudError WhyScaleUpFailed(const std::string& said) {
  if (HasAny(said, {"quota", "limitexceeded", "limit exceeded"})) return CloudError::kQuotaExceeded;
  if (HasAny(said, {"permission", "credential", "forbidden", "unauthorized", "not authorized",
                    "authentication"}))
    return CloudError::kUnauthenticated;
  if (HasAny(said, {"out of resources", "stockout", "exhausted", "capacity", "insufficient"}))
    return CloudError::kInsufficientCapacity;
  return CloudError::kTransient;
}

using NodePoolNames = std::vector<std::string>;

// Of a part of what Karpenter says: "... (NodePool=name)".
bool NamesOther(const std::string& part, const NodePoolNames& node_pools) {
  if (node_pools.empty()) return false;
  return std::none_of(node_pools.begin(), node_pools.end(), [&](const std::string& each) {
    return part.find("nodepool=" + absl::AsciiStrToLower(each) + ")") != std::string::npos;
  });
}

// Of one NodePool. An offering is what the cloud has to give; where a type fails for several
// reasons at once, that may pass.
CloudError WhyNodePoolRefused(const std::string& part, const NodePoolNames& node_pools) {
  if (HasAny(part, {"has the required offering", "had a required offering", "offering tuple"}))
    return CloudError::kInsufficientCapacity;
  const bool full = HasAny(part, {"exceed limits", "limits have been exhausted"});
  if (full && !NamesOther(part, node_pools)) return CloudError::kQuotaExceeded;
  return part.find("no nodepools found") != std::string::npos ? CloudError::kTransient
                                                              : CloudError::kInvalidRequest;
}

// Karpenter lists why each of its NodePools is of no help: of one that is full before it looks
// whether the pod could use it at all, and of one of which nothing is to be had, nothing.
CloudError WhyKarpenterRefused(const std::string& said, const NodePoolNames& node_pools) {
  bool quota = false, transient = false;
  for (size_t begin = 0, end; begin < said.size(); begin = end + 1) {
    end = std::min(said.find(';', begin), said.size());
    const CloudError why = WhyNodePoolRefused(said.substr(begin, end - begin), node_pools);
    if (why == CloudError::kInsufficientCapacity) return why;
    quota = quota || why == CloudError::kQuotaExceeded;
    transient = transient || why == CloudError::kTransient;
  }
  return quota       ? CloudError::kQuotaExceeded
         : transient ? CloudError::kTransient
                     : CloudError::kInvalidRequest;
}

bool IsKarpenters(const Json& event, const std::string& said) {
  const std::string by = api::GetString(api::GetObject(event, "source"), "component") +
                         api::GetString(event, "reportingComponent");
  return by.find("karpenter") != std::string::npos || said.starts_with("failed to schedule pod");
}

// When it was said last, then by its version: times are of whole seconds.
std::pair<Time, int64_t> SaidAt(const Json& event) {
  Time at{};
  const Json &series = api::GetObject(event, "series"), &meta = api::GetObject(event, "metadata");
  for (const auto& time :
       {api::GetTime(event, "lastTimestamp"), api::GetTime(event, "eventTime"),
        api::GetTime(series, "lastObservedTime"), api::GetTime(meta, "creationTimestamp")}) {
    if (time) at = std::max(at, *time);
  }
  return {std::chrono::floor<std::chrono::seconds>(at), api::DecodeMeta(event).resource_version};
}

}  // namespace

api::StringMap KeepAnnotations() {
  return {{"cluster-autoscaler.kubernetes.io/safe-to-evict", "false"},
          {"karpenter.sh/do-not-disrupt", "true"}};
}

std::string PlaceholderName(const std::string& request_uid) { return "spw-" + request_uid; }
std::string KeeperName(const std::string& request_uid) {
  return PlaceholderName(request_uid) + "-keeper";
}
std::string OtherKeeperName(const std::string& request_uid) {
  return KeeperName(request_uid) + "-2";
}

Json PlaceholderBody(const std::string& ns, const std::string& request_name,
                     const std::string& request_uid, const api::ServerPool& pool) {
  const std::string image = api::GetString(pool.spec.backend, "image"),
                    priority = api::GetString(pool.spec.backend, "priorityClassName");
  Json spec = BareSpec(image.empty() ? kDefaultImage : image, RoomOf(pool), Tolerations(pool));
  spec["affinity"] = Affinity(pool);
  if (!priority.empty()) spec["priorityClassName"] = priority;
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", PlaceholderName(request_uid)},
            {"namespace", ns},
            {"labels", {{api::kRequestLabel, request_uid}, {api::kPoolLabel, pool.meta.name}}},
            {"annotations", KeepAnnotations()},
            {"ownerReferences", OwnedBy(request_name, request_uid)}}},
          {"spec", std::move(spec)}};
}

Result<OwnPod> DecodeOwnPod(const Json& object) {
  OwnPod out;
  out.meta = api::DecodeMeta(object);
  for (const api::OwnerReference& owner : out.meta.owners) {
    if (!owner.controller || !owner.ours || owner.kind != "ScaleRequest") continue;
    out.keeper =
        out.meta.name == KeeperName(owner.uid) || out.meta.name == OtherKeeperName(owner.uid);
    if (out.keeper || out.meta.name == PlaceholderName(owner.uid)) out.request_uid = owner.uid;
  }
  const auto label = out.meta.labels.find(api::kRequestLabel);
  if (out.request_uid.empty() || label == out.meta.labels.end() || label->second != out.request_uid)
    return Invalid("pod " + out.meta.key() + " is not of a ScaleRequest of Spillway");
  const Json &spec = api::GetObject(object, "spec"), &status = api::GetObject(object, "status");
  if (const auto pool = out.meta.labels.find(api::kPoolLabel); pool != out.meta.labels.end())
    out.pool = pool->second;
  out.node_name = api::GetString(spec, "nodeName");
  out.node_pools = NodePoolsOf(spec);
  out.provider_id = api::GetString(
      api::GetObject(api::GetObject(object, "metadata"), "annotations"), kProviderAnnotation);
  const std::string phase = api::GetString(status, "phase");
  out.ended = phase == "Failed" || phase == "Succeeded";
  out.message = Bounded(out.ended               ? EndOf(status)
                        : out.node_name.empty() ? WhyNotScheduled(status)
                                                : "",
                        kMostConditionMessage);
  out.object = object;
  return out;
}

Json KeeperBody(const OwnPod& pod, const std::string& node_name, const std::string& provider_id) {
  const Json& meta = api::GetObject(pod.object, "metadata");
  const Json& containers = api::GetArray(api::GetObject(pod.object, "spec"), "containers");
  const std::string image =
      containers.empty() ? kDefaultImage : api::GetString(containers.front(), "image");
  Json annotations = KeepAnnotations();
  annotations[kProviderAnnotation] = provider_id;
  // Said, so that no LimitRange says otherwise.
  Json nothing{{"requests", {{"cpu", "0"}, {"memory", "0"}}}};
  Json spec = BareSpec(image, std::move(nothing), {{{"operator", "Exists"}}});
  spec["nodeName"] = node_name;
  const std::string& uid = pod.request_uid;
  const bool other = pod.meta.name == KeeperName(uid);
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", other ? OtherKeeperName(uid) : KeeperName(uid)},
            {"namespace", pod.meta.ns},
            {"labels", {{api::kRequestLabel, uid}, {api::kPoolLabel, pod.pool}}},
            {"annotations", std::move(annotations)},
            {"ownerReferences", api::GetArray(meta, "ownerReferences")}}},
          {"spec", std::move(spec)}};
}

std::optional<Verdict> ReadEvent(const Json& event, const std::vector<std::string>& node_pools) {
  const std::string reason = api::GetString(event, "reason"),
                    message = api::GetString(event, "message");
  Verdict out{false, CloudError::kNone, Bounded(message, kMostConditionMessage)};
  const std::string said = absl::AsciiStrToLower(message);
  if (reason == "NotTriggerScaleUp") {
    out.error = WhyNotTriggered(said);
  } else if (reason == "FailedScaleUp" || reason == "FailedToScaleUpGroup") {
    out.error = WhyScaleUpFailed(said);
  } else if (reason == "FailedScheduling" && IsKarpenters(event, said)) {
    out.error = WhyKarpenterRefused(said, node_pools);
  } else if (reason == "TriggeredScaleUp" || (reason == "Nominated" && IsKarpenters(event, said))) {
    out.coming = true;
  } else {
    return std::nullopt;
  }
  return out;
}

Verdict LastVerdict(const Json& events, const std::string& name, const std::string& uid,
                    const std::vector<std::string>& node_pools) {
  Verdict out;
  std::pair<Time, int64_t> last{};
  for (const Json& event : events) {
    const Json& of = api::GetObject(event, "involvedObject");
    if (api::GetString(of, "name") != name) continue;
    if (!uid.empty() && api::GetString(of, "uid") != uid) continue;
    auto verdict = ReadEvent(event, node_pools);
    const auto at = SaidAt(event);
    if (!verdict || (!out.message.empty() && at < last)) continue;
    last = at;
    out = std::move(*verdict);
    if (out.message.empty()) out.message = api::GetString(event, "reason");
  }
  return out;
}

}  // namespace spillway::cloud
