// The few fields of core/v1, coordination.k8s.io/v1 and scheduling.k8s.io/v1 that Spillway reads.
#pragma once

#include <string>
#include <vector>

#include "operator/api/meta.h"
#include "operator/api/resources.h"
#include "operator/base/boxed.h"

namespace spillway::api {

struct Taint {
  std::string key, value, effect;
  bool operator==(const Taint&) const = default;
};

struct Toleration {
  std::string key, op, value, effect;  // op: Equal (or empty), Exists, Lt, Gt
  bool operator==(const Toleration&) const = default;
};

enum class NodeReady { kTrue, kFalse, kUnknown };

struct Node {
  ObjectMeta meta;
  Resources allocatable;
  int64_t max_pods = 0;
  std::vector<Taint> taints;
  bool unschedulable = false;
  NodeReady ready = NodeReady::kUnknown;
  std::string ready_message;
  std::string provider_id;
};

enum class PodPhase { kPending, kRunning, kSucceeded, kFailed, kUnknown };

// How the pod's containers ended: of several, the first of the spec that failed, else the first.
struct Termination {
  int64_t exit_code = 0;
  std::string reason, message;
  // By the node's clock, from the first start to the last end of all but the sidecars; no start if
  // nothing ever ran.
  std::optional<Time> started, finished;
  std::string container{};  // "init container fetch": whose end it is; empty if it has only one
  bool lost = false;        // the node does not know how it ended
};

// Of a container that ended and was started again in its pod.
struct Restarts {
  std::string container;  // "container main" or "sidecar proxy"
  int64_t count = 0;
  int64_t exit_code = 0;  // of the last end, and its reason
  std::string reason;
  bool backing_off = false;  // it is down now: CrashLoopBackOff
};

// What else a pod was admitted with that decides where it may run.
struct Admitted {
  StringMap node_selector;
  Json affinity;               // a pod's spec with nothing else
  bool for_scheduler = false;  // which is to bind it: its affinity names the node as well
  std::vector<Toleration> tolerations;
};

struct Pod {
  ObjectMeta meta;
  std::string node_name;  // where it runs, or is to run
  // It is not bound: the node's name is only what its annotation says (kNodeAnnotation), which
  // anybody may write.
  bool intended = false;
  PodPhase phase = PodPhase::kPending;
  Resources requests;
  std::vector<std::string> host_ports;          // "TCP/8080"
  std::string reason, message;                  // of the pod, such as Evicted
  std::string waiting_reason, waiting_message;  // of a container, such as ErrImagePull
  // kube-scheduler says that it has no node for it, or not yet: waiting_reason is that of its
  // condition PodScheduled, such as Unschedulable.
  bool unscheduled = false;
  // By the node's clock, of the first container and of the first init container, but of no sidecar.
  std::optional<Time> started, init_started;
  std::optional<Termination> termination;
  Boxed<Admitted> admitted;  // only in the answer to its creation
  Boxed<Restarts> restarts;  // of the one that was started again most often; null: none was
  bool disrupted = false;    // condition DisruptionTarget: ended by the cluster, not by the task
  bool started_any = false;  // a container, of whatever kind, ran or was started
  // When it was asked to end: by its deletion, or by a disruption.
  std::optional<Time> asked_to_end;
  Duration grace{30'000};  // how long it may take to end once it is asked to

  bool terminal() const { return phase == PodPhase::kSucceeded || phase == PodPhase::kFailed; }
};

// A heartbeat: the Lease of a node.
struct NodeLease {
  ObjectMeta meta;
  std::optional<Time> renewed;
};

// What a node uses, as metrics.k8s.io measured it: the mean over the window that ends at observed.
struct NodeMetrics {
  std::string node;
  Time observed{};
  Duration window{0};
  int64_t cpu_milli = 0, memory = 0;  // memory: bytes
};

// scheduling.k8s.io/v1
struct PriorityClass {
  ObjectMeta meta;
  int64_t value = 0;
  bool global_default = false;
  bool preempts = true;  // preemptionPolicy is not Never
};

struct Namespace {
  ObjectMeta meta;
  // Of its share of the servers, in thousandths, from its label; see kFairShareLabel. At least 1.
  int64_t weight_milli = 1000;
};

Result<Node> DecodeNode(const Json& object);
Result<NodeMetrics> DecodeNodeMetrics(const Json& object);
Result<Pod> DecodePod(const Json& object);
// The same, with what it was admitted with.
Result<Pod> DecodeCreatedPod(const Json& object);
NodeLease DecodeLease(const Json& object);
PriorityClass DecodePriorityClass(const Json& object);
// A weight that is no positive quantity counts as 1.
Namespace DecodeNamespace(const Json& object);
std::vector<Toleration> DecodeTolerations(const Json& pod_spec);
std::vector<Taint> DecodeTaints(const Json& spec);
Json EncodeTaint(const Taint& taint);
Json EncodeTaints(const std::vector<Taint>& taints);
std::vector<std::string> DecodeHostPorts(const Json& pod_spec);

}  // namespace spillway::api
