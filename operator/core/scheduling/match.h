// Whether a server's properties satisfy what a task asks for. No amounts here: see ledger.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/core_v1.h"
#include "operator/api/task_request.h"

namespace spillway::core {

// One alternative of a required node affinity; all of its expressions must hold.
struct NodeSelectorTerm {
  std::vector<api::Requirement> labels;
  std::vector<api::Requirement> fields;  // metadata.name only, as Kubernetes has it
  bool operator==(const NodeSelectorTerm&) const = default;
};

// Operators and their treatment of a missing key are those of node affinity
// (k8s.io/apimachinery/pkg/labels); Version is ours. value: nothing if the key is missing.
bool Matches(const api::Requirement& requirement, const std::optional<std::string>& value);

// The first taint that keeps pods away and is not tolerated; null if there is none.
// PreferNoSchedule never keeps a pod away.
const api::Taint* FindUntolerated(const std::vector<api::Taint>& taints,
                                  const std::vector<api::Toleration>& tolerations);

std::vector<NodeSelectorTerm> DecodeNodeAffinity(const api::Json& pod_spec);
// Whether the pod asks for anything that is not decided here, so that kube-scheduler must bind it:
// claims of volumes or devices (which may be bound only once it has chosen a node), affinity or
// anti-affinity to other pods, topology spread, scheduling gates and groups.
bool NeedsScheduler(const api::Json& pod_spec);
// Whether it has volumes of claims, which may have to be made first.
bool HasVolumeClaims(const api::Json& pod_spec);
// An empty list of terms means there is no affinity, and matches.
bool MatchesAny(const std::vector<NodeSelectorTerm>& terms, const api::StringMap& labels,
                const std::string& node_name);

}  // namespace spillway::core
