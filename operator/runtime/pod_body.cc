#include "operator/runtime/pod_body.h"

#include <algorithm>

#include "operator/base/json.h"
#include "operator/core/scheduling/match.h"

namespace spillway::runtime {
namespace {

using api::Json;

// Leaves kube-scheduler no choice but these nodes: each term must hold beside what it says already.
void RequireOneOf(Json& spec, const std::vector<std::string>& nodes) {
  Json& terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
                    ["nodeSelectorTerms"];
  Json given = terms.is_array() && !terms.empty() ? terms : Json::array({Json::object()});
  terms = Json::array();
  for (const std::string& node : nodes) {
    for (Json term : given) {
      // A field can be compared with one value only.
      term["matchFields"].push_back(
          {{"key", "metadata.name"}, {"operator", "In"}, {"values", {node}}});
      terms.push_back(std::move(term));
    }
  }
}

Json PodBody(const core::Write& write, const core::PodOrder& order) {
  const Json source = ParseJson(*order.pod_template);
  Json meta = api::GetObject(source, "metadata");
  meta["name"] = write.name;
  meta["namespace"] = write.ns;
  Json& labels = meta["labels"];
  labels[api::kTaskLabel] = "true";
  labels[api::kTaskNameLabel] = order.task;
  labels[api::kAttemptLabel] = std::to_string(order.assignment->attempt);
  if (order.exclusive) labels[api::kExclusiveLabel] = "true";
  meta["ownerReferences"] = {{{"apiVersion", api::kGroupVersion},
                              {"kind", "TaskRequest"},
                              {"name", order.task},
                              {"uid", write.uid},
                              {"controller", true}}};
  Json spec = api::GetObject(source, "spec");
  const std::string& node = order.assignment->node_name;
  if (order.via_scheduler || core::NeedsScheduler(spec)) {
    std::vector<std::string> nodes{node};
    nodes.insert(nodes.end(), order.other_nodes.begin(), order.other_nodes.end());
    RequireOneOf(spec, nodes);
    meta["annotations"][api::kNodeAnnotation] = node;
  } else {
    spec["nodeName"] = node;
  }
  spec["restartPolicy"] = "Never";
  if (!order.priority_class.empty() && !spec.contains("priorityClassName"))
    spec["priorityClassName"] = order.priority_class;
  for (const auto& [key, value] : order.annotations) meta["annotations"][key] = value;
  if (order.assignment->cloud) {
    spec["tolerations"].push_back({{"key", api::kPoolTaint}, {"operator", "Exists"}});
  }
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", std::move(meta)},
          {"spec", std::move(spec)}};
}

}  // namespace

Json Body(const core::Write& write) { return write.pod ? PodBody(write, *write.pod) : write.body; }

}  // namespace spillway::runtime
