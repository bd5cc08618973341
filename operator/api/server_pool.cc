#include "operator/api/server_pool.h"

namespace spillway::api {
namespace {

// Of a pool. Stock that is negative would be bought and given back without end.
constexpr int64_t kMostServers = 10'000;

}  // namespace

std::vector<Taint> NodeTaints(const std::string& pool, std::vector<Taint> own) {
  own.push_back({kPoolTaint, pool, "NoSchedule"});
  return own;
}

std::vector<Requirement> DecodeRequirements(const Json& backend) {
  std::vector<Requirement> out;
  for (const Json& each : GetArray(backend, "requirements"))
    out.push_back(
        {GetString(each, "key"), GetString(each, "operator"), GetStrings(each, "values")});
  return out;
}

Result<ServerPool> DecodeServerPool(const Json& object) {
  ServerPool pool;
  pool.meta = DecodeMeta(object);
  const Json& spec = GetObject(object, "spec");
  const Json& shape = GetObject(spec, "template");
  auto resources = DecodeResources(GetObject(shape, "resources"));
  if (!resources) return resources.error();
  pool.spec.resources = std::move(*resources);
  pool.spec.priority = GetInt(spec, "priority");
  pool.spec.capabilities = GetStringMap(shape, "capabilities");
  pool.spec.labels = GetStringMap(shape, "labels");
  pool.spec.taints = DecodeTaints(shape);
  pool.spec.min_servers = GetCount(spec, "minServers", kMostServers);
  pool.spec.warm_spares = GetCount(spec, "warmSpares", kMostServers);
  pool.spec.billing_quantum = GetSeconds(spec, "billingQuantumSeconds").value_or(Duration{0});
  pool.spec.max_servers = GetCount(spec, "maxServers", kMostServers, 10);
  pool.spec.price_micros = ParsePrice(GetString(spec, "pricePerHour")).value_or(0);
  pool.spec.idle_before_release =
      GetSeconds(spec, "idleSecondsBeforeRelease").value_or(std::chrono::seconds(300));
  pool.spec.provision_timeout =
      GetSeconds(spec, "provisionTimeoutSeconds").value_or(std::chrono::seconds(900));
  const Json& backend = GetObject(spec, "backend");
  if (backend.size() == 1) {
    pool.spec.engine = backend.begin().key();
    pool.spec.backend = GetObject(backend, pool.spec.engine.c_str());
  }
  pool.spec.requirements = DecodeRequirements(pool.spec.backend);
  const Json& status = GetObject(object, "status");
  pool.status = {GetInt(status, "observedGeneration"),
                 GetInt(status, "servers"),
                 GetInt(status, "ready"),
                 GetInt(status, "pending"),
                 ParsePrice(GetString(status, "spentThisMonth")).value_or(0),
                 ParsePrice(GetString(status, "spentOnEndedServers")).value_or(0),
                 GetTime(status, "endedUntil"),
                 DecodeConditions(status)};
  return pool;
}

Json EncodeStatus(const ServerPoolStatus& status) {
  Json json{{"observedGeneration", status.observed_generation},
            {"servers", status.servers},
            {"ready", status.ready},
            {"pending", status.pending},
            {"spentThisMonth", FormatPrice(status.spent_micros)},
            {"spentOnEndedServers", FormatPrice(status.ended_micros)},
            {"conditions", EncodeConditions(status.conditions)}};
  if (status.ended_until) json["endedUntil"] = FormatTime(*status.ended_until);
  return BoundedStatus(std::move(json));
}

}  // namespace spillway::api
