#include "operator/api/core_v1.h"

#include <algorithm>
#include <set>

#include "operator/api/pod_status.h"
#include "operator/base/foreign_text.h"
#include "operator/base/quantity.h"

namespace spillway::api {

std::vector<Taint> DecodeTaints(const Json& spec) {
  std::vector<Taint> out;
  for (const Json& taint : GetArray(spec, "taints")) {
    out.push_back({GetString(taint, "key"), GetString(taint, "value"), GetString(taint, "effect")});
  }
  return out;
}

Json EncodeTaint(const Taint& taint) {
  return {{"key", taint.key}, {"value", taint.value}, {"effect", taint.effect}};
}

Json EncodeTaints(const std::vector<Taint>& taints) {
  Json out = Json::array();
  for (const Taint& taint : taints) out.push_back(EncodeTaint(taint));
  return out;
}

std::vector<Toleration> DecodeTolerations(const Json& pod_spec) {
  std::vector<Toleration> out;
  for (const Json& toleration : GetArray(pod_spec, "tolerations")) {
    out.push_back({GetString(toleration, "key"), GetString(toleration, "operator"),
                   GetString(toleration, "value"), GetString(toleration, "effect")});
  }
  return out;
}

std::vector<std::string> DecodeHostPorts(const Json& pod_spec) {
  std::set<std::string> out;
  const bool host_network = GetBool(pod_spec, "hostNetwork");
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : GetArray(pod_spec, list)) {
      for (const Json& port : GetArray(container, "ports")) {
        const int64_t number =
            GetInt(port, "hostPort", host_network ? GetInt(port, "containerPort") : 0);
        const std::string protocol = GetString(port, "protocol");
        if (number != 0)
          out.insert((protocol.empty() ? "TCP" : protocol) + "/" + std::to_string(number));
      }
    }
  }
  return {out.begin(), out.end()};
}

Result<Node> DecodeNode(const Json& object) {
  Node node;
  node.meta = DecodeMeta(object);
  const Json& spec = GetObject(object, "spec");
  const Json& status = GetObject(object, "status");
  const Json& allocatable = GetObject(status, "allocatable");
  auto resources = DecodeResources(allocatable);
  if (!resources) return resources.error();
  node.allocatable = std::move(*resources);
  node.max_pods = 110;
  if (const auto pods = allocatable.find("pods"); pods != allocatable.end() && pods->is_string()) {
    const auto count = ParseQuantity(pods->get_ref<const std::string&>(), Scale::kOne);
    if (count) node.max_pods = *count;
  }
  node.taints = DecodeTaints(spec);
  node.unschedulable = GetBool(spec, "unschedulable");
  node.provider_id = GetString(spec, "providerID");
  for (const Json& condition : GetArray(status, "conditions")) {
    if (GetString(condition, "type") != "Ready") continue;
    const std::string value = GetString(condition, "status");
    node.ready = value == "True"    ? NodeReady::kTrue
                 : value == "False" ? NodeReady::kFalse
                                    : NodeReady::kUnknown;
    node.ready_message = Bounded(GetString(condition, "message"), kMostOutput);
  }
  return node;
}

Result<Pod> DecodePod(const Json& object) {
  Pod pod;
  pod.meta = DecodeMeta(object);
  const Json& spec = GetObject(object, "spec");
  pod.node_name = GetString(spec, "nodeName");
  // Chosen, and not bound yet: its room there is taken already.
  if (pod.node_name.empty()) {
    pod.intended = true;
    pod.node_name =
        GetString(GetObject(GetObject(object, "metadata"), "annotations"), kNodeAnnotation);
  }
  auto requests = PodRequests(spec);
  if (!requests) return requests.error();
  pod.requests = std::move(*requests);
  pod.host_ports = DecodeHostPorts(spec);
  pod.grace = GetSeconds(spec, "terminationGracePeriodSeconds").value_or(pod.grace);
  DecodePodStatus(object, pod);
  return pod;
}

Result<Pod> DecodeCreatedPod(const Json& object) {
  auto pod = DecodePod(object);
  if (!pod) return pod;
  const Json& spec = GetObject(object, "spec");
  Admitted& admitted = pod->admitted.emplace();
  admitted.node_selector = GetStringMap(spec, "nodeSelector");
  admitted.affinity = {{"affinity", GetObject(spec, "affinity")}};
  // It may have bound it by now, where the answer was asked for once more.
  const Json& annotations = GetObject(GetObject(object, "metadata"), "annotations");
  admitted.for_scheduler = pod->intended || annotations.contains(kNodeAnnotation);
  admitted.tolerations = DecodeTolerations(spec);
  return pod;
}

Result<NodeMetrics> DecodeNodeMetrics(const Json& object) {
  NodeMetrics metrics;
  metrics.node = DecodeMeta(object).name;
  const auto observed = GetTime(object, "timestamp");
  if (metrics.node.empty() || !observed) return Invalid("NodeMetrics without name or timestamp");
  metrics.observed = *observed;
  if (const auto window = ParseDuration(GetString(object, "window"))) metrics.window = *window;
  const auto usage = DecodeResources(GetObject(object, "usage"));
  if (!usage) return usage.error();
  metrics.cpu_milli = usage->cpu_milli;
  metrics.memory = usage->memory;
  return metrics;
}

NodeLease DecodeLease(const Json& object) {
  return {DecodeMeta(object), GetTime(GetObject(object, "spec"), "renewTime")};
}

PriorityClass DecodePriorityClass(const Json& object) {
  return {DecodeMeta(object), GetInt(object, "value"), GetBool(object, "globalDefault"),
          GetString(object, "preemptionPolicy") != "Never"};
}

Namespace DecodeNamespace(const Json& object) {
  Namespace out{DecodeMeta(object)};
  const auto label = out.meta.labels.find(kFairShareLabel);
  if (label == out.meta.labels.end()) return out;
  if (const auto weight = ParseQuantity(label->second, Scale::kMilli); weight && *weight > 0)
    out.weight_milli = *weight;
  return out;
}

}  // namespace spillway::api
