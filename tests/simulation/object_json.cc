#include "tests/simulation/object_json.h"

#include "operator/base/quantity.h"

namespace spillway::simulation {
namespace {

using api::Json;

void Put(Json& json, const char* key, const std::string& text) {
  if (!text.empty()) json[key] = text;
}
void Put(Json& json, const char* key, const std::optional<int64_t>& number) {
  if (number) json[key] = *number;
}
void Put(Json& json, const char* key, const std::optional<Time>& time) {
  if (time) json[key] = FormatMicroTime(*time);
}
int64_t Seconds(Duration time) { return std::chrono::floor<std::chrono::seconds>(time).count(); }
void PutSeconds(Json& json, const char* key, const std::optional<Duration>& time) {
  if (time) json[key] = Seconds(*time);
}

Json MetaOf(const api::ObjectMeta& meta) {
  Json out{{"name", meta.name},
           {"uid", meta.uid},
           {"resourceVersion", std::to_string(meta.resource_version)},
           {"generation", meta.generation},
           {"creationTimestamp", FormatMicroTime(meta.created)}};
  Put(out, "namespace", meta.ns);
  if (!meta.labels.empty()) out["labels"] = meta.labels;
  for (const api::OwnerReference& owner : meta.owners) {
    out["ownerReferences"].push_back({{"apiVersion", owner.ours ? api::kGroupVersion : "v1"},
                                      {"kind", owner.kind},
                                      {"name", owner.name},
                                      {"uid", owner.uid},
                                      {"controller", owner.controller}});
  }
  Put(out, "deletionTimestamp", meta.deleted);
  if (meta.deleted) out["deletionGracePeriodSeconds"] = 0;
  return out;
}

Json Ours(const char* kind, const api::ObjectMeta& meta, Json spec, Json status) {
  return {{"apiVersion", api::kGroupVersion},
          {"kind", kind},
          {"metadata", MetaOf(meta)},
          {"spec", std::move(spec)},
          {"status", std::move(status)}};
}

Json RequirementsOf(const std::vector<api::Requirement>& requirements) {
  Json out = Json::array();
  for (const api::Requirement& each : requirements)
    out.push_back({{"key", each.key}, {"operator", each.op}, {"values", each.values}});
  return out;
}

Json PlacementOf(const api::Placement& placement) {
  static constexpr const char* kPolicies[] = {"PreferLocal", "LocalOnly", "CloudOnly"};
  Json out{{"policy", kPolicies[static_cast<size_t>(placement.policy)]},
           {"burstAfterSeconds", Seconds(placement.burst_after)}};
  if (placement.burst_auto) out["burstAfterSeconds"] = "auto";
  if (!placement.pools.empty()) out["pools"] = placement.pools;
  if (placement.max_price_micros)
    out["maxPricePerHour"] = api::FormatPrice(*placement.max_price_micros);
  return out;
}

Json SpecOf(const api::TaskSpec& spec) {
  Json out{{"template", *spec.pod_template},
           {"exclusive", spec.exclusive},
           {"priority", spec.priority},
           {"placement", PlacementOf(*spec.placement)},
           {"retry",
            {{"limit", spec.retry.limit},
             {"lossLimit", spec.retry.loss_limit},
             {"backoffSeconds", Seconds(spec.retry.backoff)}}},
           {"suspend", spec.suspend},
           {"cancel", spec.cancel}};
  if (!spec.requirements.empty()) out["requirements"] = RequirementsOf(spec.requirements);
  Put(out, "priorityClassName", spec.priority_class);
  if (spec.preemption != api::Preemption::kUnset)
    out["preemption"] = spec.preemption == api::Preemption::kNever ? "Never" : "Allowed";
  if (spec.group) {
    out["group"] = {{"name", spec.group->name},
                    {"size", spec.group->size},
                    {"deadlineSeconds", Seconds(spec.group->deadline)}};
  }
  if (!spec.retry.on_exit_codes.empty()) out["retry"]["onExitCodes"] = spec.retry.on_exit_codes;
  PutSeconds(out, "startDeadlineSeconds", spec.start_deadline);
  PutSeconds(out, "activeDeadlineSeconds", spec.active_deadline);
  PutSeconds(out, "ttlSecondsAfterFinished", spec.ttl_after_finished);
  PutSeconds(out, "podTTLSeconds", spec.pod_ttl);
  return out;
}

Json SpecOf(const api::RegisteredServerSpec& spec) {
  Json limits = Json::object();
  Put(limits, "maxTasks", spec.max_tasks);
  Put(limits, "cpuUtilizationPercent", spec.max_cpu_percent);
  Put(limits, "memoryUtilizationPercent", spec.max_memory_percent);
  Json out{{"nodeName", spec.node_name},
           {"origin", spec.cloud ? "Cloud" : "Local"},
           {"pricePerHour", api::FormatPrice(spec.price_micros)},
           {"metricsPolicy", spec.requires_metrics ? "Require" : "Ignore"},
           {"cordoned", spec.cordoned},
           {"capabilities", spec.capabilities},
           {"limits", std::move(limits)}};
  Put(out, "poolName", spec.pool);
  Put(out, "scaleRequestName", spec.scale_request);
  return out;
}

Json SpecOf(const api::ServerPoolSpec& spec) {
  return {{"priority", spec.priority},
          {"template",
           {{"resources", api::EncodeResources(spec.resources)},
            {"capabilities", spec.capabilities},
            {"labels", spec.labels},
            {"taints", api::EncodeTaints(spec.taints)}}},
          {"minServers", spec.min_servers},
          {"maxServers", spec.max_servers},
          {"warmSpares", spec.warm_spares},
          {"billingQuantumSeconds", Seconds(spec.billing_quantum)},
          {"pricePerHour", api::FormatPrice(spec.price_micros)},
          {"idleSecondsBeforeRelease", Seconds(spec.idle_before_release)},
          {"provisionTimeoutSeconds", Seconds(spec.provision_timeout)},
          {"backend", {{spec.engine, spec.backend.is_object() ? spec.backend : Json::object()}}}};
}

Json SpecOf(const api::BudgetSpec& spec) {
  static constexpr const char* kPeriods[] = {"Day", "Week", "Month"};
  static constexpr const char* kActions[] = {"Warn", "Hold", "Deny"};
  return {{"amount", api::FormatPrice(spec.amount_micros)},
          {"period", kPeriods[static_cast<size_t>(spec.period)]},
          {"action", kActions[static_cast<size_t>(spec.action)]},
          {"warnPercent", spec.warn_percent}};
}

// Of its one container.
Json StateOf(const api::Pod& pod) {
  if (pod.termination) {
    Json ended{{"exitCode", pod.termination->exit_code},
               {"reason", pod.termination->reason},
               {"message", pod.termination->message}};
    Put(ended, "startedAt", pod.termination->started);
    Put(ended, "finishedAt", pod.termination->finished);
    return {{"terminated", std::move(ended)}};
  }
  if (pod.phase == api::PodPhase::kRunning) {
    Json runs = Json::object();
    Put(runs, "startedAt", pod.started);
    return {{"running", std::move(runs)}};
  }
  Json waits{{"reason", pod.waiting_reason.empty() ? "ContainerCreating" : pod.waiting_reason}};
  Put(waits, "message", pod.waiting_message);
  return {{"waiting", std::move(waits)}};
}

Json StatusOf(const api::Pod& pod) {
  static constexpr const char* kPhases[] = {"Pending", "Running", "Succeeded", "Failed", "Unknown"};
  Json out{{"phase", kPhases[static_cast<size_t>(pod.phase)]}};
  Put(out, "reason", pod.reason);
  Put(out, "message", pod.message);
  // What a kubelet has taken up.
  if (pod.unscheduled) {
    out["conditions"] = {{{"type", "PodScheduled"},
                          {"status", "False"},
                          {"reason", pod.waiting_reason},
                          {"message", pod.waiting_message}}};
  } else if (pod.termination || pod.started || !pod.waiting_reason.empty()) {
    out["containerStatuses"] = {{{"name", "c"}, {"restartCount", 0}, {"state", StateOf(pod)}}};
  }
  if (pod.init_started) {
    Json state{{"startedAt", nullptr}};
    Put(state, "startedAt", pod.init_started);
    const bool over = pod.started || pod.termination;
    if (over) state["exitCode"] = 0;
    out["initContainerStatuses"] = {
        {{"name", "i"},
         {"restartCount", 0},
         {"state", {{over ? "terminated" : "running", std::move(state)}}}}};
  }
  if (pod.disrupted) {
    Json told{{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", pod.reason}};
    Put(told, "lastTransitionTime",
        pod.asked_to_end  ? pod.asked_to_end
        : pod.termination ? pod.termination->finished
                          : std::nullopt);
    out["conditions"].push_back(std::move(told));
  }
  return out;
}

// Of a pod that was made without one.
Json ManifestOf(const api::Pod& pod) {
  Json container{{"name", "c"},
                 {"image", "x"},
                 {"resources", {{"requests", api::EncodeResources(pod.requests)}}}};
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"spec",
           {{"nodeName", pod.node_name},
            {"terminationGracePeriodSeconds", Seconds(pod.grace)},
            {"containers", Json::array({std::move(container)})}}}};
}

struct Encoder {
  const Json* manifest;

  Json operator()(const api::TaskRequest& task) const {
    return Ours("TaskRequest", task.meta, SpecOf(task.spec), api::EncodeStatus(task.status));
  }
  Json operator()(const api::RegisteredServer& server) const {
    return Ours("RegisteredServer", server.meta, SpecOf(server.spec),
                api::EncodeStatus(server.status));
  }
  Json operator()(const api::ServerPool& pool) const {
    return Ours("ServerPool", pool.meta, SpecOf(pool.spec), api::EncodeStatus(pool.status));
  }
  Json operator()(const api::Budget& budget) const {
    return Ours("Budget", budget.meta, SpecOf(budget.spec), api::EncodeStatus(budget.status));
  }
  Json operator()(const api::ScaleRequest& scale) const {
    Json out = api::EncodeNew(scale);
    out["metadata"] = MetaOf(scale.meta);
    if (!scale.finalizers.empty()) out["metadata"]["finalizers"] = scale.finalizers;
    out["status"] = api::EncodeStatus(scale.status);
    return out;
  }
  Json operator()(const api::Pod& pod) const {
    Json out = manifest != nullptr ? *manifest : ManifestOf(pod);
    out["metadata"].update(MetaOf(pod.meta));
    if (!pod.intended) out["spec"]["nodeName"] = pod.node_name;
    out["status"] = StatusOf(pod);
    return out;
  }
  Json operator()(const api::Node& node) const {
    static constexpr const char* kReady[] = {"True", "False", "Unknown"};
    Json allocatable = api::EncodeResources(node.allocatable);
    allocatable["pods"] = std::to_string(node.max_pods);
    Json out{{"apiVersion", "v1"},
             {"kind", "Node"},
             {"metadata", MetaOf(node.meta)},
             {"spec", {{"taints", api::EncodeTaints(node.taints)}}},
             {"status",
              {{"allocatable", std::move(allocatable)},
               {"conditions",
                {{{"type", "Ready"},
                  {"status", kReady[static_cast<size_t>(node.ready)]},
                  {"message", node.ready_message}}}}}}};
    if (node.unschedulable) out["spec"]["unschedulable"] = true;
    Put(out["spec"], "providerID", node.provider_id);
    return out;
  }
  Json operator()(const api::NodeLease& lease) const {
    Json spec{{"holderIdentity", lease.meta.name}};
    Put(spec, "renewTime", lease.renewed);
    return {{"apiVersion", "coordination.k8s.io/v1"},
            {"kind", "Lease"},
            {"metadata", MetaOf(lease.meta)},
            {"spec", std::move(spec)}};
  }
  Json operator()(const api::PriorityClass& object) const {
    return {{"apiVersion", "scheduling.k8s.io/v1"},
            {"kind", "PriorityClass"},
            {"metadata", MetaOf(object.meta)},
            {"value", object.value},
            {"globalDefault", object.global_default},
            {"preemptionPolicy", object.preempts ? "PreemptLowerPriority" : "Never"}};
  }
  Json operator()(const api::Namespace& object) const {
    Json out{{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", MetaOf(object.meta)}};
    out["metadata"]["labels"][api::kFairShareLabel] = FormatMilli(object.weight_milli);
    return out;
  }
  Json operator()(const api::CloudServer&) const { return nullptr; }
};

}  // namespace

Json Encode(const core::Object& object, const Json* manifest) {
  return std::visit(Encoder{manifest}, object);
}

}  // namespace spillway::simulation
