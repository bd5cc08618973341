#include "operator/cloud/cluster_api.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "operator/base/foreign_text.h"
#include "operator/cloud/objects.h"
#include "operator/cloud/words.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;
using std::chrono::seconds;
using std::chrono::steady_clock;

// How often the API server is asked while a server is on its way, comes back or is expected...
constexpr std::chrono::milliseconds kMoving{1'000};
// ...and while all of them are in use, or there are none.
constexpr seconds kSettled{5};
constexpr int64_t kPage = 500;

struct Words {
  std::string status, reason, message;
  std::string all() const { return reason + " " + message; }
};

Words ConditionOf(const Json& object, const char* type) {
  for (const Json& condition : api::GetArray(api::GetObject(object, "status"), "conditions")) {
    if (api::GetString(condition, "type") != type) continue;
    return {api::GetString(condition, "status"), api::GetString(condition, "reason"),
            Bounded(api::GetString(condition, "message"), kMostConditionMessage)};
  }
  return {};
}

std::string Said(const Words& words) {
  if (words.message.empty()) return words.reason;
  return words.reason.empty() ? words.message : words.reason + ": " + words.message;
}

const api::OwnerReference* Controller(const api::ObjectMeta& meta) {
  const auto at = std::find_if(meta.owners.begin(), meta.owners.end(),
                               [](const auto& each) { return each.controller; });
  return at == meta.owners.end() ? nullptr : &*at;
}

// The machine that counts: of those that nobody deletes the oldest, which keeps what is in use.
// Null if there is none; one that is dying is never that.
const Json* Living(const api::ObjectMeta& set, const std::vector<const Json*>& machines) {
  const Json* best = nullptr;
  api::ObjectMeta best_meta;
  for (const Json* machine : machines) {
    api::ObjectMeta meta = api::DecodeMeta(*machine);
    const api::OwnerReference* owner = Controller(meta);
    if (owner == nullptr || owner->uid != set.uid || meta.ns != set.ns || meta.deleted) continue;
    if (best != nullptr &&
        std::tie(best_meta.created, best_meta.name) <= std::tie(meta.created, meta.name))
      continue;
    best = machine;
    best_meta = std::move(meta);
  }
  return best;
}

bool IsDying(const api::ObjectMeta& set, const Json& machine) {
  const api::ObjectMeta meta = api::DecodeMeta(machine);
  const api::OwnerReference* owner = Controller(meta);
  const Json& node = api::GetObject(api::GetObject(machine, "status"), "nodeRef");
  return owner != nullptr && owner->uid == set.uid && meta.ns == set.ns && meta.deleted &&
         !node.empty();
}

// Final, in the words of Cluster API itself: providers say so of machines that will never work.
std::pair<CloudError, std::string> Terminal(const Json& machine) {
  const Json& old =
      api::GetObject(api::GetObject(api::GetObject(machine, "status"), "deprecated"), "v1beta1");
  const std::string reason = api::GetString(old, "failureReason");
  const Words words{"", reason,
                    Bounded(api::GetString(old, "failureMessage"), kMostConditionMessage)};
  if (reason.empty() && words.message.empty()) return {CloudError::kNone, ""};
  const CloudError by_words = ClassOfWords(words.all());
  if (by_words == CloudError::kQuotaExceeded || by_words == CloudError::kUnauthenticated)
    return {by_words, Said(words)};
  if (reason == "InsufficientResources") return {CloudError::kInsufficientCapacity, Said(words)};
  if (reason == "InvalidConfiguration" || reason == "UnsupportedChange")
    return {CloudError::kInvalidRequest, Said(words)};
  return {by_words == CloudError::kNone ? CloudError::kTransient : by_words, Said(words)};
}

// Reasons of providers, and of Cluster API itself, that tell of the machine and of nothing else.
bool TellsOfEnd(const std::string& reason) {
  static constexpr std::array<std::string_view, 5> kReasons{
      "InstanceTerminated", "InstanceDeleted", "InstanceNotFound", "ContainerDeleted", "Deleted"};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

// The machine was there, and will not come back. Words alone may be of an image, a subnet or a
// security group: while they are said of a machine with a Node, that must have gone silent.
bool HasEnded(const Json& machine, const Words& infrastructure, bool has_node) {
  static constexpr std::array kEnds{"terminated", "has been deleted", "does not exist"};
  if (infrastructure.status != "False") return false;
  if (TellsOfEnd(infrastructure.reason)) return true;
  const std::string node = ConditionOf(machine, "NodeReady").status;
  return (!has_node || node == "False" || node == "Unknown") &&
         HasAny(absl::AsciiStrToLower(infrastructure.all()), kEnds);
}

void TakeMachine(const Json& machine, api::CloudServer& server) {
  server.node_name =
      api::GetString(api::GetObject(api::GetObject(machine, "status"), "nodeRef"), "name");
  server.provider_id = api::GetString(api::GetObject(machine, "spec"), "providerID");
  const Words ready = ConditionOf(machine, "Ready");
  server.ready = !server.node_name.empty() && !server.provider_id.empty() && ready.status == "True";
  std::tie(server.error, server.message) = Terminal(machine);
  const Words infrastructure = ConditionOf(machine, "InfrastructureReady");
  if (server.error == CloudError::kNone &&
      HasEnded(machine, infrastructure, !server.node_name.empty()))
    std::tie(server.error, server.message) =
        std::pair(CloudError::kTransient, Said(infrastructure));
  if (server.error != CloudError::kNone || server.ready) return;
  const bool missing = infrastructure.status == "False" || infrastructure.status == "Unknown";
  server.message = Said(missing ? infrastructure : ready);
  // Of a machine that has run it is no refusal.
  if (infrastructure.status == "False" && server.node_name.empty())
    server.error = ClassOfWords(infrastructure.all());
}

// Why there is no Machine: what the pool refers to is missing.
void TakeMissing(const Json& set, api::CloudServer& server) {
  server.message = ConditionOf(set, "ScalingUp").message;
  if (absl::AsciiStrToLower(server.message).find("not exist") != std::string::npos)
    server.error = CloudError::kInvalidRequest;
}

// By its controller. Once that is gone the garbage collector takes the reference away, since the
// Cluster owns the MachineSet as well: then by its selector, which nobody can change. Empty if it
// is not ours.
std::string RequestOf(const Json& set, const api::ObjectMeta& meta) {
  if (const api::OwnerReference* owner = Controller(meta))
    return owner->ours && owner->kind == "ScaleRequest" ? owner->uid : "";
  const Json& selector = api::GetObject(api::GetObject(set, "spec"), "selector");
  return api::GetString(api::GetObject(selector, "matchLabels"), api::kRequestLabel);
}

}  // namespace

std::string MachineSetName(const std::string& request_uid) { return "spw-" + request_uid; }

CloudError ClassOfWords(const std::string& words) {
  const std::string text = absl::AsciiStrToLower(words);
  static constexpr std::array kPasses{"requestlimitexceeded", "throttl",
                                      "rate limit",           "ratelimit",
                                      "too many requests",    "toomanyrequests"};
  static constexpr std::array kQuota{"quota", "limitexceeded", "limit exceeded"};
  static constexpr std::array kCapacity{"insufficientcapacity",   "insufficientinstancecapacity",
                                        "insufficient capacity",  "insufficientresources",
                                        "insufficient resources", "outofcapacity",
                                        "out of capacity",        "no capacity",
                                        "not enough capacity",    "resource_pool_exhausted",
                                        "allocationfailed",       "no valid host",
                                        "skunotavailable",        "out of stock"};
  static constexpr std::array kCredentials{
      "unauthorized",         "unauthenticated", "authfailure", "accessdenied", "access denied",
      "invalidclienttokenid", "expiredtoken",    "credential",  "forbidden"};
  static constexpr std::array kInvalid{
      "invalidconfiguration",  "invalidparameter", "invalidrequest",
      "invalid configuration", "no such",          "unknown instance type",
      "unsupported",           "invalidami",       "invalid class",
      "doesnotexist",          "not exist"};
  if (HasAny(text, kPasses)) return CloudError::kNone;
  if (HasAny(text, kQuota)) return CloudError::kQuotaExceeded;
  if (HasAny(text, kCapacity)) return CloudError::kInsufficientCapacity;
  if (HasAny(text, kCredentials)) return CloudError::kUnauthenticated;
  if (HasAny(text, kInvalid)) return CloudError::kInvalidRequest;
  return CloudError::kNone;
}

Json MachineSetBody(const std::string& request_name, const std::string& request_uid,
                    const api::ServerPool& pool) {
  const Json& backend = pool.spec.backend;
  const std::string cluster = api::GetString(backend, "clusterName");
  const Json selector = {{api::kRequestLabel, request_uid}};
  const Json labels = {{api::kRequestLabel, request_uid},
                       {api::kPoolLabel, pool.meta.name},
                       {"cluster.x-k8s.io/cluster-name", cluster}};
  Json machine_labels = labels;
  machine_labels.update(Json(pool.spec.labels));
  Json machine = {
      {"clusterName", cluster},
      {"bootstrap", api::GetObject(backend, "bootstrap")},
      {"infrastructureRef", api::GetObject(backend, "infrastructureRef")},
      {"deletion",
       {{"nodeDrainTimeoutSeconds", api::GetInt(backend, "nodeDrainTimeoutSeconds", 600)}}}};
  for (const char* field : {"version", "failureDomain"}) {
    if (const std::string value = api::GetString(backend, field); !value.empty())
      machine[field] = value;
  }
  return {
      {"apiVersion", "cluster.x-k8s.io/v1beta2"},
      {"kind", "MachineSet"},
      {"metadata",
       {{"name", MachineSetName(request_uid)},
        {"namespace", api::GetString(backend, "namespace")},
        {"labels", labels},
        {"ownerReferences", OwnedBy(request_name, request_uid)}}},
      {"spec",
       {{"clusterName", cluster},
        {"replicas", 1},
        {"selector", {{"matchLabels", selector}}},
        {"template",
         {{"metadata", {{"labels", std::move(machine_labels)}}}, {"spec", std::move(machine)}}}}}};
}

Result<api::CloudServer> DecodeMachineSet(const Json& set,
                                          const std::vector<const Json*>& machines) {
  const api::ObjectMeta meta = api::DecodeMeta(set);
  const std::string request_uid = RequestOf(set, meta);
  if (request_uid.empty() || meta.name != MachineSetName(request_uid))
    return Invalid("MachineSet " + meta.key() + " is not of a ScaleRequest of Spillway");
  api::CloudServer server;
  server.kind = "MachineSet";
  server.ns = meta.ns;
  server.name = meta.name;
  server.uid = meta.uid;
  server.request_uid = request_uid;
  if (const auto pool = meta.labels.find(api::kPoolLabel); pool != meta.labels.end())
    server.pool = pool->second;
  server.deleting = meta.deleted.has_value();
  const Json* machine = Living(meta, machines);
  server.launched = machine != nullptr;
  if (machine != nullptr) {
    TakeMachine(*machine, server);
  } else if (!server.deleting) {
    TakeMissing(set, server);
  }
  if (server.deleting || !server.node_name.empty()) return server;
  // Cluster API drains its Node.
  for (const Json* each : machines) {
    if (IsDying(meta, *each))
      server.ending = "Machine " + api::DecodeMeta(*each).key() + " is being deleted";
  }
  return server;
}

api::EngineTraits ClusterApi::traits() const {
  api::EngineTraits out{kClusterApi, true};
  out.bare_nodes = out.drains = true;
  return out;
}

Source ClusterApi::source() {
  return Poll{kMoving, [this](std::stop_token stop) { return List(std::move(stop)); }};
}

void ClusterApi::Heed(const Known& known) {
  const bool bought =
      std::any_of(known.requests.begin(), known.requests.end(), [](const auto& request) {
        return !request.status.backend_name.empty() && !request.status.finished_at;
      });
  {
    const std::lock_guard lock(mutex_);
    bought_ = bought;
  }
  told_.notify_all();
}

Result<ClusterApi::Servers> ClusterApi::List(std::stop_token stop) {
  const bool moving = std::any_of(listed_.begin(), listed_.end(),
                                  [](const auto& each) { return !each.ready || each.deleting; });
  // Whatever Ensure has made by now is not in what was listed before.
  if (!stirred_.exchange(false) && !moving && steady_clock::now() < listed_at_ + kSettled)
    return listed_;
  auto servers = ListAnew(std::move(stop));
  if (!servers) {
    stirred_ = true;
    return servers.error();
  }
  listed_ = *servers;
  listed_at_ = steady_clock::now();
  return servers;
}

Result<std::vector<Json>> ClusterApi::ListOurs(const kube::Resource& resource,
                                               std::stop_token stop) {
  std::vector<Json> out;
  std::string next;
  do {
    kube::Request request = kube::ListRequest(resource, "", kPage, next);
    request.path += std::string("&labelSelector=") + "spillway.dev%2Frequest";
    auto page = kube::Call(transport_, request, stop);
    if (!page) return page.error();
    next = api::GetString(api::GetObject(*page, "metadata"), "continue");
    for (const Json& item : api::GetArray(*page, "items")) out.push_back(item);
  } while (!next.empty());
  return out;
}

Result<ClusterApi::Servers> ClusterApi::ListAnew(std::stop_token stop) {
  const auto sets = ListOurs(kMachineSets, stop);
  if (!sets) {
    // Not installed, or not allowed to us: who uses it is told when a server is asked for.
    const bool unused =
        sets.error().kind == ErrorKind::kNotFound || sets.error().kind == ErrorKind::kForbidden;
    if (!unused) return sets.error();
    std::unique_lock lock(mutex_);
    if (!told_.wait(lock, stop, [&] { return bought_.has_value(); }))
      return Error{ErrorKind::kCancelled, "stopped", {}};
    if (!*bought_) return Servers{};
    return sets.error();
  }
  if (sets->empty()) return Servers{};
  const auto machines = ListOurs(kMachines, stop);
  if (!machines) return machines.error();
  std::map<std::pair<std::string, std::string>, std::vector<const Json*>> of;
  for (const Json& machine : *machines) {
    const api::ObjectMeta meta = api::DecodeMeta(machine);
    if (const api::OwnerReference* owner = Controller(meta))
      of[{meta.ns, owner->uid}].push_back(&machine);
  }
  Servers out;
  for (const Json& set : *sets) {
    const api::ObjectMeta meta = api::DecodeMeta(set);
    if (auto server = DecodeMachineSet(set, of[{meta.ns, meta.uid}]))
      out.push_back(std::move(*server));
  }
  return out;
}

Result<Ensured> ClusterApi::Ensure(const std::string& request_name, const std::string& request_uid,
                                   const api::ServerPool& pool, std::stop_token stop) {
  const Json body = MachineSetBody(request_name, request_uid, pool);
  const std::string ns = api::GetString(pool.spec.backend, "namespace");
  auto made = CreateOrGet(transport_, kMachineSets, ns, body, stop);
  stirred_ = true;
  if (!made) {
    Error error = made.error();
    // Cluster API's own webhooks say what is wrong with the pool.
    if (error.kind == ErrorKind::kForbidden &&
        error.message.find("denied the request") != std::string::npos)
      return Ensured(Refusal{CloudError::kInvalidRequest, error.message});
    if (error.kind == ErrorKind::kNotFound)
      error.message =
          "Cluster API is not installed in this cluster (no MachineSet API of v1beta2), or "
          "namespace " +
          ns + " does not exist: " + error.message;
    return error;
  }
  auto server = DecodeMachineSet(*made, {});
  if (server) return Ensured(std::move(*server));
  auto taken =
      TakeBack(transport_, kMachineSets, *made, "MachineSet", "name and selector", std::move(stop));
  stirred_ = true;
  return taken;
}

Result<Unit> ClusterApi::Release(const api::CloudServer& server, std::stop_token stop) {
  auto gone = DeleteObject(transport_, kMachineSets, server, std::move(stop));
  stirred_ = true;
  return gone;
}

Refusal ClusterApi::Diagnose(const api::CloudServer& server, std::stop_token) {
  return {CloudError::kTransient, "MachineSet " + server.key() +
                                      " is gone, which Spillway had not asked for, before its "
                                      "Machine had a Node"};
}

}  // namespace spillway::cloud
