#include "operator/core/pod_body.h"

namespace spillway::core {

using api::Json;

std::string PodName(const api::TaskRequest& task, int64_t attempt) {
  return task.meta.name + "-" + std::to_string(attempt);
}

Json PodBody(const api::TaskRequest& task, const Binding& binding) {
  const Json& source = *task.spec.pod_template;
  Json meta = api::GetObject(source, "metadata");
  meta["name"] = binding.pod_name;
  meta["namespace"] = task.meta.ns;
  Json& labels = meta["labels"];
  labels[api::kTaskLabel] = "true";
  labels[api::kTaskNameLabel] = task.meta.name;
  labels[api::kAttemptLabel] = std::to_string(binding.attempt);
  if (task.spec.exclusive) labels[api::kExclusiveLabel] = "true";
  meta["ownerReferences"] = {{{"apiVersion", api::kGroupVersion},
                              {"kind", "TaskRequest"},
                              {"name", task.meta.name},
                              {"uid", task.meta.uid},
                              {"controller", true}}};
  Json spec = api::GetObject(source, "spec");
  spec["nodeName"] = binding.node;
  spec["restartPolicy"] = "Never";
  if (binding.cloud) {
    meta["annotations"]["karpenter.sh/do-not-disrupt"] = "true";
    spec["tolerations"].push_back({{"key", api::kPoolTaint}, {"operator", "Exists"}});
  }
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", std::move(meta)},
          {"spec", std::move(spec)}};
}

Json Body(const Write& write) { return write.body; }

}  // namespace spillway::core
