// ServerPool: a kind of cloud server that may be bought. Mirrors crds/serverpools.yaml.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/core_v1.h"
#include "operator/api/meta.h"
#include "operator/api/task_request.h"

namespace spillway::api {

struct ServerPoolSpec {
  int64_t priority = 0;
  StringMap capabilities, labels;
  // What else the engine is asked for. The labels of every server that it provides satisfy each.
  // First those that its part of backend lists as requirements, in their order.
  std::vector<Requirement> requirements;
  std::vector<Taint> taints;
  Resources resources;  // what a server of the pool offers to tasks
  int64_t min_servers = 0, max_servers = 10, warm_spares = 0;
  Duration billing_quantum{0};  // 0: by the second
  int64_t price_micros = 0;     // per hour
  Duration idle_before_release{300000}, provision_timeout{900000};
  // The member of spec.backend that names the engine; empty if there is none, or more than one.
  std::string engine;
  // What is written under it; the engine's own module reads it.
  Json backend;
};

struct ServerPoolStatus {
  int64_t observed_generation = 0;
  int64_t servers = 0, ready = 0, pending = 0;
  // In this month (UTC), in millionths of the currency unit: by all servers, as of a moment ago,
  // and by those that ended, up to and with the one that ended then.
  int64_t spent_micros = 0, ended_micros = 0;
  std::optional<Time> ended_until;
  std::vector<Condition> conditions;
  bool operator==(const ServerPoolStatus&) const = default;
};

struct ServerPool {
  ObjectMeta meta;
  ServerPoolSpec spec;
  ServerPoolStatus status;
};

// The taints of each of the pool's Nodes: its own, and the one that keeps pods of others away.
std::vector<Taint> NodeTaints(const std::string& pool, std::vector<Taint> own);
// What an engine's part of spec.backend lists as requirements.
std::vector<Requirement> DecodeRequirements(const Json& backend);
Result<ServerPool> DecodeServerPool(const Json& object);
Json EncodeStatus(const ServerPoolStatus& status);

}  // namespace spillway::api
