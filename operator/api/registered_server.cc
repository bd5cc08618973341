#include "operator/api/registered_server.h"

#include "operator/api/task_request.h"

namespace spillway::api {
namespace {

std::optional<ServerLoad> DecodeLoad(const Json& load) {
  const auto observed = GetTime(load, "observedAt");
  if (!observed) return std::nullopt;
  return ServerLoad{GetInt(load, "cpuPercent"), GetInt(load, "memoryPercent"), *observed};
}

}  // namespace

Result<RegisteredServer> DecodeRegisteredServer(const Json& object) {
  RegisteredServer server;
  server.meta = DecodeMeta(object);
  const Json& spec = GetObject(object, "spec");
  server.spec.node_name = GetString(spec, "nodeName");
  if (server.spec.node_name.empty()) return Invalid("a RegisteredServer without spec.nodeName");
  server.spec.capabilities = GetStringMap(spec, "capabilities");
  server.spec.max_tasks = GetOptionalInt(GetObject(spec, "limits"), "maxTasks");
  const Json& limits = GetObject(spec, "limits");
  server.spec.max_cpu_percent = GetOptionalInt(limits, "cpuUtilizationPercent");
  server.spec.max_memory_percent = GetOptionalInt(limits, "memoryUtilizationPercent");
  server.spec.requires_metrics = GetString(spec, "metricsPolicy") == "Require";
  server.spec.cordoned = GetBool(spec, "cordoned");
  server.spec.cloud = GetString(spec, "origin") == "Cloud";
  server.spec.pool = GetString(spec, "poolName");
  server.spec.scale_request = GetString(spec, "scaleRequestName");
  server.spec.price_micros = ParsePrice(GetString(spec, "pricePerHour")).value_or(0);
  const Json& status = GetObject(object, "status");
  server.status = {GetInt(status, "observedGeneration"),
                   GetString(status, "phase"),
                   GetInt(status, "tasks"),
                   GetStringMap(status, "allocatable"),
                   GetStringMap(status, "allocated"),
                   DecodeLoad(GetObject(status, "load")),
                   GetTime(status, "lastHeartbeatTime"),
                   DecodeConditions(status)};
  return server;
}

Json EncodeStatus(const RegisteredServerStatus& status) {
  Json json{{"observedGeneration", status.observed_generation},
            {"tasks", status.tasks},
            {"allocatable", status.allocatable},
            {"allocated", status.allocated},
            {"conditions", EncodeConditions(status.conditions)}};
  if (!status.phase.empty()) json["phase"] = status.phase;
  if (status.load) {
    json["load"] = {{"cpuPercent", status.load->cpu_percent},
                    {"memoryPercent", status.load->memory_percent},
                    {"observedAt", FormatTime(status.load->observed_at)}};
  }
  if (status.last_heartbeat) json["lastHeartbeatTime"] = FormatTime(*status.last_heartbeat);
  return BoundedStatus(std::move(json));
}

Json EncodeNew(const RegisteredServer& server, const OwnerReference& owner,
               const std::string& owner_api) {
  const RegisteredServerSpec& spec = server.spec;
  Json json{{"apiVersion", kGroupVersion},
            {"kind", "RegisteredServer"},
            {"metadata",
             {{"name", server.meta.name},
              {"labels", server.meta.labels},
              {"ownerReferences",
               {{{"apiVersion", owner_api},
                 {"kind", owner.kind},
                 {"name", owner.name},
                 {"uid", owner.uid}}}}}},
            {"spec",
             {{"nodeName", spec.node_name},
              {"origin", spec.cloud ? "Cloud" : "Local"},
              {"pricePerHour", FormatPrice(spec.price_micros)}}}};
  if (!spec.capabilities.empty()) json["spec"]["capabilities"] = spec.capabilities;
  if (!spec.pool.empty()) json["spec"]["poolName"] = spec.pool;
  if (!spec.scale_request.empty()) json["spec"]["scaleRequestName"] = spec.scale_request;
  return json;
}

}  // namespace spillway::api
