#include "operator/api/core_v1.h"

#include <algorithm>
#include <set>

#include "operator/base/foreign_text.h"
#include "operator/base/quantity.h"

namespace spillway::api {
namespace {

PodPhase DecodePhase(const std::string& phase) {
  if (phase == "Running") return PodPhase::kRunning;
  if (phase == "Succeeded") return PodPhase::kSucceeded;
  if (phase == "Failed") return PodPhase::kFailed;
  if (phase == "Unknown") return PodPhase::kUnknown;
  return PodPhase::kPending;
}

// Words of a kubelet, a controller or a container.
std::string ReasonOf(const Json& object) {
  return OneLine(GetString(object, "reason"), kMostReason);
}
std::string MessageOf(const Json& object) {
  return Bounded(GetString(object, "message"), kMostOutput);
}

void MergeTermination(const Json& terminated, Pod& pod) {
  Termination end{GetInt(terminated, "exitCode"), ReasonOf(terminated), MessageOf(terminated),
                  GetTime(terminated, "startedAt"), GetTime(terminated, "finishedAt")};
  if (!pod.termination || (pod.termination->exit_code == 0 && end.exit_code != 0)) {
    pod.termination = std::move(end);
  }
}

void DecodeContainerStatus(const Json& container, bool init, Pod& pod) {
  const Json& state = GetObject(container, "state");
  if (const Json& terminated = GetObject(state, "terminated"); !terminated.empty()) {
    // An init container counts only where it failed and so kept the others from running; a sidecar
    // that is stopped at the end also exits with an error, which is nobody's concern.
    const bool failed_init = GetInt(terminated, "exitCode") != 0 && !pod.termination;
    if (!init || failed_init) MergeTermination(terminated, pod);
  }
  if (const Json& running = GetObject(state, "running"); !running.empty() && !init) {
    const auto at = GetTime(running, "startedAt");
    if (at && (!pod.started || *at < *pod.started)) pod.started = at;
  }
  if (const Json& waiting = GetObject(state, "waiting");
      !waiting.empty() && pod.waiting_reason.empty()) {
    pod.waiting_reason = ReasonOf(waiting);
    pod.waiting_message = MessageOf(waiting);
  }
}

void DecodePodStatus(const Json& status, Pod& pod) {
  pod.phase = DecodePhase(GetString(status, "phase"));
  pod.reason = ReasonOf(status);
  pod.message = MessageOf(status);
  for (const Json& container : GetArray(status, "containerStatuses")) {
    DecodeContainerStatus(container, false, pod);
  }
  for (const Json& container : GetArray(status, "initContainerStatuses")) {
    DecodeContainerStatus(container, true, pod);
  }
  for (const Json& condition : GetArray(status, "conditions")) {
    if (GetString(condition, "type") == "PodScheduled" &&
        GetString(condition, "status") == "False") {
      pod.unscheduled_reason = GetString(condition, "reason");
      pod.unscheduled_message = GetString(condition, "message");
    }
    if (GetString(condition, "type") == "DisruptionTarget" &&
        GetString(condition, "status") == "True") {
      pod.disrupted = true;
      if (pod.reason.empty()) pod.reason = ReasonOf(condition);
      if (pod.message.empty()) pod.message = MessageOf(condition);
    }
  }
}

}  // namespace

std::vector<Taint> DecodeTaints(const Json& spec) {
  std::vector<Taint> out;
  for (const Json& taint : GetArray(spec, "taints")) {
    out.push_back({GetString(taint, "key"), GetString(taint, "value"), GetString(taint, "effect")});
  }
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
    node.ready_message = MessageOf(condition);
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
  DecodePodStatus(GetObject(object, "status"), pod);
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
