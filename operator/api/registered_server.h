// RegisteredServer: a Node that takes tasks. Mirrors crds/registeredservers.yaml.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/meta.h"
#include "operator/api/resources.h"

namespace spillway::api {

struct RegisteredServerSpec {
  bool cordoned = false;
  bool cloud = false;  // origin
  bool requires_metrics = false;
  int64_t price_micros = 0;  // per hour
  std::optional<int64_t> max_tasks;
  // Limits on measured use, in percent.
  std::optional<int64_t> max_cpu_percent, max_memory_percent;
  std::string node_name, pool, scale_request;
  StringMap capabilities;
};

// Measured use, in percent of what the node can allocate.
struct ServerLoad {
  int64_t cpu_percent = 0, memory_percent = 0;
  Time observed_at{};
};

struct RegisteredServerStatus {
  int64_t observed_generation = 0;
  std::string phase;  // Ready, Overloaded, Cordoned, NotReady
  int64_t tasks = 0;
  StringMap allocatable, allocated;
  std::optional<ServerLoad> load;
  std::optional<Time> last_heartbeat;
  std::vector<Condition> conditions;
};

struct RegisteredServer {
  ObjectMeta meta;
  RegisteredServerSpec spec;
  RegisteredServerStatus status;
};

Result<RegisteredServer> DecodeRegisteredServer(const Json& object);
Json EncodeStatus(const RegisteredServerStatus& status);
// The body of a server that Spillway registers itself; owner ends it.
Json EncodeNew(const RegisteredServer& server, const OwnerReference& owner,
               const std::string& owner_api);

}  // namespace spillway::api
