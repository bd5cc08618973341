// What the schemas in crds/ refuse of a status, as far as the operator could come to write it.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/core/world.h"

namespace spillway {

namespace status_schema {

inline bool IsOneOf(const api::Json& value, const std::vector<std::string_view>& known) {
  return value.is_string() &&
         std::find(known.begin(), known.end(), value.get_ref<const std::string&>()) != known.end();
}

inline std::vector<std::string_view> Phases(core::Kind kind) {
  if (kind == core::Kind::kTask)
    return {"Pending",   "Scaling", "Assigned",  "Running",
            "Succeeded", "Failed",  "Cancelled", "Suspended"};
  if (kind == core::Kind::kScale)
    return {"Requested", "Provisioning", "Ready", "Failed", "Releasing", "Released"};
  return {"Ready", "Overloaded", "Cordoned", "NotReady"};
}

// Times have years of four digits.
inline bool IsTime(const api::Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  return text.size() == 20 && text[4] == '-' && text[10] == 'T' && text[19] == 'Z' &&
         std::all_of(text.begin(), text.begin() + 4, [](char c) { return c >= '0' && c <= '9'; });
}

inline std::string FaultOfTimes(const api::Json& json) {
  static const std::set<std::string> kTimes{
      "lastTransitionTime", "assignedAt", "startedAt",  "finishedAt",        "retryAt",
      "estimatedStartTime", "observedAt", "endedUntil", "lastHeartbeatTime", "periodStart",
      "periodEnd",          "readyAt",    "launchedAt", "requestedAt"};
  if (!json.is_structured()) return "";
  for (const auto& [key, value] : json.items()) {
    if (kTimes.contains(key) && !IsTime(value)) return key + ": " + value.dump();
    if (const std::string fault = FaultOfTimes(value); !fault.empty()) return fault;
  }
  return "";
}

inline std::string FaultOfConditions(const api::Json& conditions) {
  std::set<std::string> types;
  for (const api::Json& each : conditions) {
    if (!types.insert(each.at("type").get<std::string>()).second) return "twice: " + each.dump();
    if (!IsOneOf(each.at("status"), {"True", "False", "Unknown"})) return each.dump();
  }
  return types.size() > 16 ? std::to_string(types.size()) + " conditions" : "";
}

}  // namespace status_schema

// Why the API server would refuse the status; empty if it would take it.
inline std::string StatusFault(core::Kind kind, const api::Json& status) {
  using namespace status_schema;  // NOLINT(google-build-using-namespace): of this file
  if (status.contains("phase") && !IsOneOf(status["phase"], Phases(kind)))
    return "phase: " + status["phase"].dump();
  if (status.contains("errorClass") &&
      !IsOneOf(status["errorClass"], {"InsufficientCapacity", "QuotaExceeded", "InvalidRequest",
                                      "Transient", "Unauthenticated", "ProvisionTimeout"}))
    return "errorClass: " + status["errorClass"].dump();
  if (status.contains("attempts") && status["attempts"].size() > 10)
    return std::to_string(status["attempts"].size()) + " attempts";
  const std::string fault = FaultOfConditions(status.at("conditions"));
  return fault.empty() ? FaultOfTimes(status) : fault;
}

}  // namespace spillway
