#include "operator/api/scale_request.h"

#include <array>
#include <utility>

namespace spillway::api {
namespace {

constexpr std::array<const char*, 7> kPhases{"",       "Requested", "Provisioning", "Ready",
                                             "Failed", "Releasing", "Released"};
constexpr std::array<const char*, 7> kErrors{
    "",          "InsufficientCapacity", "QuotaExceeded",   "InvalidRequest",
    "Transient", "Unauthenticated",      "ProvisionTimeout"};

template <typename Enum, size_t n>
Enum FromName(const std::array<const char*, n>& names, const std::string& text) {
  for (size_t i = 0; i < n; ++i) {
    if (text == names[i]) return static_cast<Enum>(i);
  }
  return Enum{};
}

ScaleStatus DecodeStatus(const Json& json) {
  ScaleStatus out;
  const Json& backend = GetObject(json, "backendRef");
  out.observed_generation = GetInt(json, "observedGeneration");
  out.phase = FromName<ScalePhase>(kPhases, GetString(json, "phase"));
  out.backend_engine = GetString(backend, "engine");
  out.backend_kind = GetString(backend, "kind");
  out.backend_ns = GetString(backend, "namespace");
  out.backend_name = GetString(backend, "name");
  out.backend_uid = GetString(backend, "uid");
  out.node_name = GetString(json, "nodeName");
  out.provider_id = GetString(json, "providerID");
  out.error = FromName<CloudError>(kErrors, GetString(json, "errorClass"));
  out.message = GetString(json, "message");
  out.requested_at = GetTime(json, "requestedAt");
  out.launched_at = GetTime(json, "launchedAt");
  out.ready_at = GetTime(json, "readyAt");
  out.finished_at = GetTime(json, "finishedAt");
  out.price_per_hour = GetString(json, "pricePerHour");
  out.cost_so_far = GetString(json, "costSoFar");
  out.conditions = DecodeConditions(json);
  return out;
}

}  // namespace

const char* ToString(ScalePhase phase) { return kPhases[static_cast<size_t>(phase)]; }
const char* ToString(CloudError error) { return kErrors[static_cast<size_t>(error)]; }

Result<ScaleRequest> DecodeScaleRequest(const Json& object) {
  ScaleRequest scale;
  scale.meta = DecodeMeta(object);
  const Json& spec = GetObject(object, "spec");
  scale.pool = GetString(spec, "poolName");
  scale.shape = GetStringMap(spec, "shape");
  for (const Json& task : GetArray(spec, "forTasks")) {
    scale.for_tasks.push_back(
        {GetString(task, "namespace"), GetString(task, "name"), GetString(task, "uid")});
  }
  if (const Json& backend = GetObject(spec, "backend"); backend.size() == 1) {
    scale.engine = backend.begin().key();
    scale.backend = GetObject(backend, scale.engine.c_str());
  }
  scale.finalizers = GetStrings(GetObject(object, "metadata"), "finalizers");
  scale.status = DecodeStatus(GetObject(object, "status"));
  return scale;
}

Json EncodeStatus(const ScaleStatus& status) {
  Json json{{"observedGeneration", status.observed_generation},
            {"conditions", EncodeConditions(status.conditions)}};
  const auto put = [&](const char* key, const std::string& text) {
    if (!text.empty()) json[key] = text;
  };
  const auto put_time = [&](const char* key, const std::optional<Time>& time) {
    if (time) json[key] = FormatTime(*time);
  };
  put("phase", ToString(status.phase));
  if (!status.backend_name.empty()) {
    Json& backend = json["backendRef"];
    backend = {
        {"kind", status.backend_kind}, {"name", status.backend_name}, {"uid", status.backend_uid}};
    if (!status.backend_engine.empty()) backend["engine"] = status.backend_engine;
    if (!status.backend_ns.empty()) backend["namespace"] = status.backend_ns;
  }
  put("nodeName", status.node_name);
  put("providerID", status.provider_id);
  put("errorClass", ToString(status.error));
  put("message", status.message);
  put("pricePerHour", status.price_per_hour);
  put("costSoFar", status.cost_so_far);
  put_time("requestedAt", status.requested_at);
  put_time("launchedAt", status.launched_at);
  put_time("readyAt", status.ready_at);
  put_time("finishedAt", status.finished_at);
  return BoundedStatus(std::move(json));
}

Json EncodeNew(const ScaleRequest& scale) {
  Json tasks = Json::array();
  for (const TaskRef& task : scale.for_tasks) {
    tasks.push_back({{"namespace", task.ns}, {"name", task.name}, {"uid", task.uid}});
  }
  Json out{
      {"apiVersion", kGroupVersion},
      {"kind", "ScaleRequest"},
      {"metadata", {{"name", scale.meta.name}, {"labels", scale.meta.labels}}},
      {"spec", {{"poolName", scale.pool}, {"shape", scale.shape}, {"forTasks", std::move(tasks)}}}};
  if (!scale.engine.empty()) out["spec"]["backend"] = {{scale.engine, scale.backend}};
  if (!scale.finalizers.empty()) out["metadata"]["finalizers"] = scale.finalizers;
  return out;
}

}  // namespace spillway::api
