// ScaleRequest: one cloud server from its purchase to its release. Mirrors crds/scalerequests.yaml.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/meta.h"

namespace spillway::api {

struct TaskRef {
  std::string ns, name, uid;
};

enum class ScalePhase { kNone, kRequested, kProvisioning, kReady, kFailed, kReleasing, kReleased };
const char* ToString(ScalePhase phase);

// The reasons that an engine may give; each has its own answer in core/scaling.
enum class CloudError {
  kNone,
  kInsufficientCapacity,
  kQuotaExceeded,
  kInvalidRequest,
  kTransient,
  kUnauthenticated,
  kProvisionTimeout,
};
const char* ToString(CloudError error);

struct ScaleStatus {
  int64_t observed_generation = 0;
  ScalePhase phase = ScalePhase::kNone;
  std::string backend_kind, backend_name, backend_uid;
  std::string node_name, provider_id;
  CloudError error = CloudError::kNone;
  std::string message;
  std::optional<Time> requested_at, ready_at, finished_at;
  std::string price_per_hour, cost_so_far;
  std::vector<Condition> conditions;
  bool operator==(const ScaleStatus&) const = default;
};

struct ScaleRequest {
  ObjectMeta meta;
  std::string pool;
  StringMap shape;
  std::vector<TaskRef> for_tasks;
  ScaleStatus status;
};

Result<ScaleRequest> DecodeScaleRequest(const Json& object);
Json EncodeStatus(const ScaleStatus& status);
Json EncodeNew(const ScaleRequest& scale);

// What an engine says of a server that was asked of it, whatever the engine.
struct CloudServer {
  std::string kind, name, uid;  // of the engine's own object
  int64_t resource_version = 0;
  std::string request_uid;  // the ScaleRequest that it serves
  std::string pool;         // of that; empty if it is not known
  bool launched = false;    // the engine has accepted it: from here on it costs
  bool ready = false;       // its Node is Ready and may be used
  bool deleting = false;
  std::string node_name, provider_id;
  CloudError error = CloudError::kNone;
  std::string message;
};

}  // namespace spillway::api
