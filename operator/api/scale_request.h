// ScaleRequest: one cloud server from its purchase to its release. Mirrors crds/scalerequests.yaml.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/meta.h"

namespace spillway::api {

struct TaskRef {
  std::string ns, name, uid;
  bool operator==(const TaskRef&) const = default;
};

enum class ScalePhase { kNone, kRequested, kProvisioning, kReady, kFailed, kReleasing, kReleased };
const char* ToString(ScalePhase phase);

// Keeps a ScaleRequest until the server that was bought outside of the cluster was given back.
inline constexpr char kLeaseFinalizer[] = "spillway.dev/lease";

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
  // What its engine has for it: backend_engine is set once that was asked, the rest once it is
  // seen.
  std::string backend_engine, backend_kind, backend_ns, backend_name, backend_uid;
  std::string node_name, provider_id;
  CloudError error = CloudError::kNone;
  std::string message;
  std::optional<Time> requested_at;
  // Its engine was first seen to have a server for it: without one it has cost nothing.
  std::optional<Time> launched_at;
  std::optional<Time> ready_at, finished_at;
  std::string price_per_hour, cost_so_far;
  std::vector<Condition> conditions;
  bool operator==(const ScaleStatus&) const = default;
};

struct ScaleRequest {
  ObjectMeta meta;
  std::string pool;
  StringMap shape;
  std::vector<TaskRef> for_tasks;
  // Of an engine outside of the API server: what spec.backend of the pool said when this was
  // bought, so that the server can be given back whatever becomes of the pool. Empty otherwise.
  std::string engine;
  Json backend;
  std::vector<std::string> finalizers;
  ScaleStatus status;
};

Result<ScaleRequest> DecodeScaleRequest(const Json& object);
Json EncodeStatus(const ScaleStatus& status);
Json EncodeNew(const ScaleRequest& scale);

}  // namespace spillway::api
