#include "operator/api/task_request.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <utility>

#include "operator/base/foreign_text.h"
#include "operator/base/saturate.h"

namespace spillway::api {
namespace {

// How much of its message each of the ten listed attempts keeps; the result has the last one's in
// full.
constexpr size_t kMostAttemptMessage = 2048;
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
// Far beyond what any task comes to. A status may be anybody's: what counts on goes from there, and
// an attempt's number is a part of its pod's name.
constexpr int64_t kMostCounted = 1'000'000'000'000;

constexpr std::array<std::pair<TaskPhase, const char*>, 9> kPhases{{
    {TaskPhase::kNone, ""},
    {TaskPhase::kPending, "Pending"},
    {TaskPhase::kScaling, "Scaling"},
    {TaskPhase::kAssigned, "Assigned"},
    {TaskPhase::kRunning, "Running"},
    {TaskPhase::kSucceeded, "Succeeded"},
    {TaskPhase::kFailed, "Failed"},
    {TaskPhase::kCancelled, "Cancelled"},
    {TaskPhase::kSuspended, "Suspended"},
}};

Placement DecodePlacement(const Json& json) {
  Placement out;
  const std::string policy = GetString(json, "policy");
  if (policy == "LocalOnly") out.policy = Policy::kLocalOnly;
  if (policy == "CloudOnly") out.policy = Policy::kCloudOnly;
  out.burst_after = GetSeconds(json, "burstAfterSeconds").value_or(Duration{0});
  out.burst_auto = GetString(json, "burstAfterSeconds") == "auto";
  out.pools = GetStrings(json, "pools");
  if (json.contains("maxPricePerHour"))
    out.max_price_micros = ParsePrice(GetString(json, "maxPricePerHour"));
  return out;
}

TaskSpec DecodeSpec(const Json& json) {
  TaskSpec out;
  out.pod_template = std::make_shared<const Json>(GetObject(json, "template"));
  for (const Json& requirement : GetArray(json, "requirements")) {
    out.requirements.push_back({GetString(requirement, "key"), GetString(requirement, "operator"),
                                GetStrings(requirement, "values")});
  }
  out.exclusive = GetBool(json, "exclusive");
  out.priority = GetInt(json, "priority");
  out.priority_class = GetString(json, "priorityClassName");
  if (out.priority_class.empty() && out.priority == 0)
    out.priority_class = GetString(GetObject(*out.pod_template, "spec"), "priorityClassName");
  const std::string preemption = GetString(json, "preemption");
  if (preemption == "Allowed") out.preemption = Preemption::kAllowed;
  if (preemption == "Never") out.preemption = Preemption::kNever;
  if (json.contains("group")) {
    const Json& group = GetObject(json, "group");
    out.group = Group{GetString(group, "name"), GetInt(group, "size"),
                      GetSeconds(group, "deadlineSeconds").value_or(Duration{600'000})};
  }
  out.placement = DecodePlacement(GetObject(json, "placement"));
  out.start_deadline = GetSeconds(json, "startDeadlineSeconds");
  out.active_deadline = GetSeconds(json, "activeDeadlineSeconds");
  out.ttl_after_finished = GetSeconds(json, "ttlSecondsAfterFinished");
  out.pod_ttl = GetSeconds(json, "podTTLSeconds");
  const Json& retry = GetObject(json, "retry");
  out.retry.limit = GetCount(retry, "limit", kNoLimit);
  out.retry.loss_limit = GetCount(retry, "lossLimit", kNoLimit, Retry::kLossLimit);
  out.retry.backoff = GetSeconds(retry, "backoffSeconds").value_or(Duration{10000});
  for (const Json& code : GetArray(retry, "onExitCodes")) {
    if (code.is_number_integer()) out.retry.on_exit_codes.push_back(code.get<int64_t>());
  }
  out.suspend = GetBool(json, "suspend");
  out.cancel = GetBool(json, "cancel");
  return out;
}

Assignment DecodeAssignment(const Json& json) {
  return {GetString(json, "server"),
          GetString(json, "nodeName"),
          GetString(json, "origin") == "Cloud",
          GetString(json, "pool"),
          GetString(json, "scaleRequest"),
          GetString(json, "podName"),
          GetCount(json, "attempt", kMostCounted),
          GetTime(json, "assignedAt").value_or(Time{}),
          ParsePrice(GetString(json, "estimatedCost")).value_or(0)};
}

TaskResult DecodeResult(const Json& json) {
  return {GetOptionalInt(json, "exitCode"), GetString(json, "reason"),  GetString(json, "message"),
          GetString(json, "output"),        GetTime(json, "startedAt"), GetTime(json, "finishedAt"),
          GetString(json, "cost")};
}

TaskStatus DecodeStatus(const Json& json) {
  TaskStatus out;
  out.observed_generation = GetInt(json, "observedGeneration");
  const std::string phase = GetString(json, "phase");
  for (const auto& [value, name] : kPhases) {
    if (phase == name) out.phase = value;
  }
  out.conditions = DecodeConditions(json);
  if (json.contains("assignment"))
    out.assignment =
        std::make_shared<const Assignment>(DecodeAssignment(GetObject(json, "assignment")));
  for (const Json& attempt : GetArray(json, "attempts")) {
    out.attempts.push_back(
        {GetCount(attempt, "attempt", kMostCounted), GetString(attempt, "server"),
         GetString(attempt, "podName"), GetOptionalInt(attempt, "exitCode"),
         GetString(attempt, "reason"), GetString(attempt, "message"), GetTime(attempt, "startedAt"),
         GetTime(attempt, "finishedAt"), ParsePrice(GetString(attempt, "cost")).value_or(0)});
  }
  if (out.attempts.size() > TaskStatus::kMaxAttempts)
    out.attempts.erase(out.attempts.begin(), out.attempts.end() - TaskStatus::kMaxAttempts);
  out.retries = GetCount(json, "retries", kMostCounted);
  out.losses = GetCount(json, "losses", kMostCounted);
  int64_t listed = 0;
  for (const Attempt& attempt : out.attempts) listed = SaturatingAdd(listed, attempt.cost_micros);
  out.spent_micros =
      std::min(std::max(ParsePrice(GetString(json, "cost")).value_or(0), listed), kMostMicros);
  out.started_at = GetTime(json, "startedAt");
  out.retry_at = GetTime(json, "retryAt");
  if (json.contains("result")) out.result = DecodeResult(GetObject(json, "result"));
  return out;
}

void Put(Json& json, const char* key, const std::string& text) {
  if (!text.empty()) json[key] = text;
}

void Put(Json& json, const char* key, const std::optional<int64_t>& number) {
  if (number) json[key] = *number;
}

void Put(Json& json, const char* key, const std::optional<Time>& time) {
  if (time) json[key] = FormatTime(*time);
}

void PutCost(Json& json, const char* key, int64_t micros) {
  if (micros > 0) json[key] = FormatPrice(micros);
}

Json Encode(const Assignment& assignment) {
  Json json{{"server", assignment.server},
            {"nodeName", assignment.node_name},
            {"origin", assignment.cloud ? "Cloud" : "Local"},
            {"podName", assignment.pod_name},
            {"attempt", assignment.attempt},
            {"assignedAt", FormatTime(assignment.assigned_at)}};
  Put(json, "pool", assignment.pool);
  Put(json, "scaleRequest", assignment.scale_request);
  PutCost(json, "estimatedCost", assignment.estimated_micros);
  return json;
}

Json Encode(const Attempt& attempt) {
  Json json{{"attempt", attempt.attempt}, {"reason", OneLine(attempt.reason, kMostReason)}};
  Put(json, "server", attempt.server);
  Put(json, "podName", attempt.pod_name);
  Put(json, "exitCode", attempt.exit_code);
  Put(json, "message", Bounded(attempt.message, kMostAttemptMessage));
  Put(json, "startedAt", attempt.started_at);
  Put(json, "finishedAt", attempt.finished_at);
  PutCost(json, "cost", attempt.cost_micros);
  return json;
}

Json Encode(const TaskResult& result) {
  Json json = Json::object();
  Put(json, "exitCode", result.exit_code);
  Put(json, "reason", OneLine(result.reason, kMostReason));
  Put(json, "message", Bounded(result.message, kMostConditionMessage));
  Put(json, "output", Bounded(result.output, kMostOutput));
  Put(json, "startedAt", result.started_at);
  Put(json, "finishedAt", result.finished_at);
  Put(json, "cost", result.cost);
  return json;
}

Json Encode(const std::vector<Verdict>& verdicts) {
  Json out = Json::array();
  for (const Verdict& verdict : verdicts) {
    out.push_back(
        {{"name", verdict.name}, {"reason", verdict.reason}, {"message", verdict.message}});
  }
  return out;
}

Json Encode(const Explanation& explanation) {
  Json json{{"summary", explanation.summary}};
  if (!explanation.servers.empty()) json["servers"] = Encode(explanation.servers);
  if (!explanation.pools.empty()) json["pools"] = Encode(explanation.pools);
  Put(json, "nearestFit", explanation.nearest_fit);
  return json;
}

}  // namespace

const char* ToString(TaskPhase phase) {
  for (const auto& [value, name] : kPhases) {
    if (value == phase) return name;
  }
  return "";
}

Result<TaskRequest> DecodeTaskRequest(const Json& object) {
  if (!object.is_object() || !object.contains("spec")) return Invalid("a TaskRequest without spec");
  return TaskRequest{DecodeMeta(object), DecodeSpec(GetObject(object, "spec")),
                     DecodeStatus(GetObject(object, "status"))};
}

Json EncodeStatus(const TaskStatus& status) {
  Json json{{"observedGeneration", status.observed_generation},
            {"conditions", EncodeConditions(*status.conditions)}};
  Put(json, "phase", std::string(ToString(status.phase)));
  if (status.assignment) json["assignment"] = Encode(*status.assignment);
  for (const Attempt& attempt : status.attempts) json["attempts"].push_back(Encode(attempt));
  if (status.retries > 0) json["retries"] = status.retries;
  if (status.losses > 0) json["losses"] = status.losses;
  PutCost(json, "cost", status.spent_micros);
  Put(json, "startedAt", status.started_at);
  Put(json, "retryAt", status.retry_at);
  if (status.result) json["result"] = Encode(*status.result);
  if (status.explanation) {
    Json& explanation = json["explanation"] = Encode(*status.explanation);
    if (status.forecast) {
      if (status.forecast->position > 0) explanation["position"] = status.forecast->position;
      Put(explanation, "estimatedStartTime", status.forecast->start);
      Put(explanation, "estimateBasis", status.forecast->basis.str());
    }
  }
  return BoundedStatus(std::move(json));
}

std::optional<int64_t> ParsePrice(const std::string& text) {
  int64_t micros = 0;
  int decimals = -1;
  if (text.empty() || text[0] == '.') return std::nullopt;
  for (const char c : text) {
    if (c == '.' && decimals < 0) {
      decimals = 0;
    } else if (c >= '0' && c <= '9' && decimals < 6 && micros <= kMostMicros / 10) {
      micros = micros * 10 + (c - '0');
      decimals += decimals >= 0 ? 1 : 0;
    } else {
      return std::nullopt;
    }
  }
  for (int i = decimals < 0 ? 0 : decimals; i < 6; ++i) {
    if (micros > kMostMicros / 10) return std::nullopt;
    micros *= 10;
  }
  return micros;
}

std::string FormatPrice(int64_t micros) {
  std::string out = std::to_string(micros / 1'000'000);
  std::string decimals = std::to_string(micros % 1'000'000);
  decimals.insert(0, 6 - decimals.size(), '0');
  decimals.erase(decimals.find_last_not_of('0') + 1);
  return decimals.empty() ? out : out + "." + decimals;
}

}  // namespace spillway::api
