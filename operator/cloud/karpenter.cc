#include "operator/cloud/karpenter.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <utility>

#include "operator/base/foreign_text.h"
#include "operator/cloud/objects.h"
#include "operator/cloud/words.h"
#include "operator/kube/deadline.h"

namespace spillway::cloud {
namespace {

using api::Json;

// Whose claims are remembered to have been given back by us.
constexpr size_t kMostReleased = 1'000;

// So long the watch of claims waits for the Events of one.
constexpr std::chrono::milliseconds kWatchWaits{3'000};

// The engine's words.
std::string MessageOf(const Json& object) {
  return Bounded(api::GetString(object, "message"), kMostConditionMessage);
}

// The pool's requirements, and those of the tasks that the server is bought for.
Json Requirements(const api::ServerPool& pool) {
  Json out = api::GetArray(pool.spec.backend, "requirements");
  for (size_t i = out.size(); i < pool.spec.requirements.size(); ++i) {
    const api::Requirement& each = pool.spec.requirements[i];
    out.push_back({{"key", each.key}, {"operator", each.op}, {"values", each.values}});
  }
  return out;
}

// The condition's status, and its message where it is not True.
std::pair<bool, std::string> Condition(const Json& object, const std::string& type) {
  for (const Json& condition : api::GetArray(api::GetObject(object, "status"), "conditions")) {
    if (api::GetString(condition, "type") != type) continue;
    const bool current = api::GetInt(condition, "observedGeneration", 0) == 0 ||
                         api::GetInt(condition, "observedGeneration") ==
                             api::GetInt(api::GetObject(object, "metadata"), "generation");
    const bool is_true = api::GetString(condition, "status") == "True" && current;
    return {is_true, is_true ? "" : MessageOf(condition)};
  }
  return {false, ""};
}

// By its label, or by its taint, where a policy takes labels away.
std::string PoolOf(const api::ObjectMeta& meta, const Json& object) {
  if (const auto pool = meta.labels.find(api::kPoolLabel); pool != meta.labels.end())
    return pool->second;
  for (const Json& taint : api::GetArray(api::GetObject(object, "spec"), "taints")) {
    if (api::GetString(taint, "key") == api::kPoolTaint) return api::GetString(taint, "value");
  }
  return "";
}

// By when Karpenter ends a claim that is deleted, whatever its drain waits for; nothing if it
// waits.
std::optional<Time> EndOf(const Json& object, const api::ObjectMeta& meta) {
  const Json& annotations = api::GetObject(api::GetObject(object, "metadata"), "annotations");
  if (const auto at = api::GetTime(annotations, "karpenter.sh/nodeclaim-termination-timestamp"))
    return at;
  const auto grace =
      ParseDuration(api::GetString(api::GetObject(object, "spec"), "terminationGracePeriod"));
  return grace ? std::optional(*meta.deleted + *grace) : std::nullopt;
}

}  // namespace

std::string NodeClaimName(const std::string& request_uid) { return "spw-" + request_uid; }

Json NodeClaimBody(const std::string& request_name, const std::string& request_uid,
                   const api::ServerPool& pool) {
  const Json& node_class = api::GetObject(pool.spec.backend, "nodeClassRef");
  Json labels = pool.spec.labels;
  labels[api::kRequestLabel] = request_uid;
  labels[api::kPoolLabel] = pool.meta.name;
  labels[api::GetString(node_class, "group") + "/" +
         absl::AsciiStrToLower(api::GetString(node_class, "kind"))] =
      api::GetString(node_class, "name");
  Json requests = api::EncodeResources(pool.spec.resources);
  return {{"apiVersion", "karpenter.sh/v1"},
          {"kind", "NodeClaim"},
          {"metadata",
           {{"name", NodeClaimName(request_uid)},
            {"labels", std::move(labels)},
            {"ownerReferences", OwnedBy(request_name, request_uid)}}},
          {"spec",
           {{"nodeClassRef", node_class},
            {"requirements", Requirements(pool)},
            {"resources", {{"requests", std::move(requests)}}},
            {"taints", api::EncodeTaints(api::NodeTaints(pool.meta.name, pool.spec.taints))},
            {"expireAfter", "Never"},
            {"terminationGracePeriod", "10m"}}}};
}

Result<api::CloudServer> DecodeNodeClaim(const Json& object) {
  const api::ObjectMeta meta = api::DecodeMeta(object);
  const auto owner = std::find_if(meta.owners.begin(), meta.owners.end(), [&](const auto& each) {
    return each.controller && each.ours && each.kind == "ScaleRequest" &&
           meta.name == NodeClaimName(each.uid);
  });
  if (owner == meta.owners.end())
    return Invalid("NodeClaim " + meta.name + " is not of a ScaleRequest of Spillway");
  const Json& status = api::GetObject(object, "status");
  api::CloudServer server;
  server.kind = "NodeClaim";
  server.name = meta.name;
  server.uid = meta.uid;
  server.resource_version = meta.resource_version;
  server.request_uid = owner->uid;
  server.pool = PoolOf(meta, object);
  const auto [launched, launch_message] = Condition(object, "Launched");
  const auto [registered, register_message] = Condition(object, "Registered");
  server.launched = launched;
  server.ready = Condition(object, "Ready").first;
  server.deleting = meta.deleted.has_value();
  if (server.deleting) server.ends_at = EndOf(object, meta);
  server.node_name = api::GetString(status, "nodeName");
  server.provider_id = api::GetString(status, "providerID");
  server.message = !launched ? launch_message : !registered ? register_message : "";
  return server;
}

Refusal DiagnoseEvents(const Json& event_list) {
  for (const Json& event : api::GetArray(event_list, "items")) {
    const std::string reason = api::GetString(event, "reason"), message = MessageOf(event);
    if (reason.find("InsufficientCapacity") != std::string::npos)
      return {api::CloudError::kInsufficientCapacity, message};
    if (message.find("uota") != std::string::npos ||
        message.find("LimitExceeded") != std::string::npos) {
      return {api::CloudError::kQuotaExceeded, message};
    }
    if (reason.find("NodeClassNotReady") != std::string::npos)
      return {api::CloudError::kInvalidRequest, message};
  }
  // Karpenter deletes a claim that it cannot launch; without an Event capacity is the likeliest
  // reason.
  return {api::CloudError::kInsufficientCapacity,
          "Karpenter deleted the NodeClaim before its node was ready"};
}

std::string InterruptionIn(const Json& event_list) {
  for (const Json& event : api::GetArray(event_list, "items")) {
    const std::string reason = api::GetString(event, "reason");
    if (HasAny(reason, {"Interrupt", "Preempt", "InstanceTerminating", "InstanceStopping"}))
      return reason + ": " + MessageOf(event);
  }
  return "";
}

api::EngineTraits Karpenter::traits() const {
  api::EngineTraits out{kKarpenter, false, {{"karpenter.sh/do-not-disrupt", "true"}}};
  out.drains = true;
  return out;
}

Source Karpenter::source() {
  return Watch{kNodeClaims, "", [this](const Json& object, std::stop_token stop) {
                 return Decode(object, std::move(stop));
               }};
}

Result<api::CloudServer> Karpenter::Decode(const Json& object, std::stop_token stop) {
  auto server = DecodeNodeClaim(object);
  if (!server || !server->deleting || server->node_name.empty() || IsReleased(server->uid))
    return server;
  const kube::Deadline deadline(kWatchWaits, std::move(stop));
  const std::string why = InterruptionIn(EventsOf(server->name, deadline.token()));
  if (why.empty()) return server;
  server->ending = "NodeClaim " + server->name + " is interrupted by its cloud: " + why;
  server->ends_at.reset();
  return server;
}

bool Karpenter::IsReleased(const std::string& uid) const {
  const std::lock_guard lock(mutex_);
  return std::find(released_.begin(), released_.end(), uid) != released_.end();
}

Json Karpenter::EventsOf(const std::string& claim, std::stop_token stop) {
  kube::Request request = kube::ListRequest(kube::kEvents, "", 50, "");
  request.path += "&fieldSelector=involvedObject.name%3D" + claim;
  const auto events = kube::Call(transport_, request, std::move(stop));
  return events ? *events : Json::object();
}

Result<Ensured> Karpenter::Ensure(const std::string& request_name, const std::string& request_uid,
                                  const api::ServerPool& pool, std::stop_token stop) {
  auto made = CreateOrGet(transport_, kNodeClaims, "",
                          NodeClaimBody(request_name, request_uid, pool), stop);
  if (!made) {
    Error error = made.error();
    if (error.kind == ErrorKind::kNotFound)
      error.message =
          "Karpenter is not installed in this cluster (no NodeClaim API): " + error.message;
    return error;
  }
  auto server = DecodeNodeClaim(*made);
  if (!server)
    return TakeBack(transport_, kNodeClaims, *made, "NodeClaim", "owner reference", stop);
  return Ensured(std::move(*server));
}

Result<Unit> Karpenter::Release(const api::CloudServer& server, std::stop_token stop) {
  {
    const std::lock_guard lock(mutex_);
    released_.push_back(server.uid);
    if (released_.size() > kMostReleased) released_.pop_front();
  }
  return DeleteObject(transport_, kNodeClaims, server, std::move(stop));
}

Refusal Karpenter::Diagnose(const api::CloudServer& server, std::stop_token stop) {
  return DiagnoseEvents(EventsOf(server.name, std::move(stop)));
}

}  // namespace spillway::cloud
