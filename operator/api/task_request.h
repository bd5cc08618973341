// TaskRequest: one run of a pod to completion. Mirrors crds/taskrequests.yaml.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/api/core_v1.h"
#include "operator/api/meta.h"
#include "operator/base/boxed.h"
#include "operator/base/shared.h"

namespace spillway::api {

struct Requirement {
  std::string key, op;
  std::vector<std::string> values;
  bool operator==(const Requirement&) const = default;
};

enum class Policy { kPreferLocal, kLocalOnly, kCloudOnly };

struct Placement {
  Policy policy = Policy::kPreferLocal;
  Duration burst_after{0};
  bool burst_auto = false;                  // burstAfterSeconds: auto
  std::vector<std::string> pools;           // empty: every pool
  std::optional<int64_t> max_price_micros;  // millionths of the currency unit per hour
};

struct Retry {
  int64_t limit = 0;
  Duration backoff{10000};
  std::vector<int64_t> on_exit_codes;  // empty: every code but 0
  int64_t loss_limit = kLossLimit;     // how often it may be lost and is run again

  // What no task meets that its servers only lose by accident.
  static constexpr int64_t kLossLimit = 64;
};

// Whether the task may displace those of a lower priority, and be displaced by those of a higher.
enum class Preemption { kUnset, kAllowed, kNever };

// Tasks of one namespace that start together.
struct Group {
  std::string name;
  int64_t size = 0;
  Duration deadline{600'000};
};

struct TaskSpec {
  // The template as it was written, for the pod's body. Shared, never changed.
  std::shared_ptr<const Json> pod_template;
  std::vector<Requirement> requirements;
  bool exclusive = false;
  int64_t priority = 0;
  // Of the task; of its pod where the task names neither a class nor a priority.
  std::string priority_class;
  Preemption preemption = Preemption::kUnset;
  Boxed<Group> group;
  Boxed<Placement> placement;
  std::optional<Duration> start_deadline, active_deadline, ttl_after_finished;
  std::optional<Duration> pod_ttl;  // after the task has ended
  Retry retry;
  bool suspend = false;
  bool cancel = false;
};

enum class TaskPhase {
  kNone,  // no status was written yet
  kPending,
  kScaling,
  kAssigned,
  kRunning,
  kSucceeded,
  kFailed,
  kCancelled,
  kSuspended,
};
const char* ToString(TaskPhase phase);
inline bool Finished(TaskPhase phase) {
  return phase == TaskPhase::kSucceeded || phase == TaskPhase::kFailed ||
         phase == TaskPhase::kCancelled;
}

struct Assignment {
  std::string server, node_name;
  bool cloud = false;  // origin: Cloud or Local
  std::string pool, scale_request, pod_name;
  int64_t attempt = 0;
  Time assigned_at{};
  int64_t estimated_micros = 0;  // what the attempt is expected to cost; 0: nothing
};

struct Attempt {
  int64_t attempt = 0;
  std::string server, pod_name;
  std::optional<int64_t> exit_code;
  std::string reason, message;
  std::optional<Time> started_at, finished_at;
  int64_t cost_micros = 0;  // the server's price times the time that it ran; 0: nothing
};

struct TaskResult {
  std::optional<int64_t> exit_code;
  std::string reason, message, output;
  std::optional<Time> started_at, finished_at;
  std::string cost;
};

// Why one server or pool does not take the task.
struct Verdict {
  std::string name, reason, message;
  bool operator==(const Verdict&) const = default;
};

struct Explanation {
  std::string summary;
  std::vector<Verdict> servers, pools;
  std::string nearest_fit;
  bool operator==(const Explanation&) const = default;
};

// When a waiting task is expected to start.
struct Forecast {
  int64_t position = 0;       // among the tasks that ask for the same, from 1; 0 if in a group
  std::optional<Time> start;  // to the second
  Text basis;
};

struct TaskStatus {
  int64_t observed_generation = 0;
  TaskPhase phase = TaskPhase::kNone;
  Shared<std::vector<Condition>> conditions;
  std::shared_ptr<const Assignment> assignment;  // null if there was none
  std::vector<Attempt> attempts;                 // the last kMaxAttempts
  int64_t retries = 0;
  int64_t losses = 0;        // attempts that were lost after they may have run
  int64_t spent_micros = 0;  // by all attempts that have ended, those not listed any more as well
  std::optional<Time> started_at, retry_at;
  Boxed<TaskResult> result;
  // Shared by tasks that wait for the same reasons, never changed; null where there is none.
  std::shared_ptr<const Explanation> explanation;
  Boxed<Forecast> forecast;  // beside an explanation

  static constexpr size_t kMaxAttempts = 10;
};

struct TaskRequest {
  ObjectMeta meta;
  TaskSpec spec;
  TaskStatus status;
};

Result<TaskRequest> DecodeTaskRequest(const Json& object);
Json EncodeStatus(const TaskStatus& status);

// The greatest amount of money, in millionths of the currency unit: a billion.
inline constexpr int64_t kMostMicros = 1'000'000'000'000'000;
// "1.20" -> 1200000; nothing if the text is no amount, or one beyond kMostMicros.
std::optional<int64_t> ParsePrice(const std::string& text);
// 1200000 -> "1.2", at most six decimals.
std::string FormatPrice(int64_t micros);

}  // namespace spillway::api
