#include "operator/cloud/lease.h"

#include <algorithm>
#include <array>
#include <utility>

#include "operator/base/foreign_text.h"
#include "operator/base/json.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;
using std::chrono::seconds;

constexpr int64_t kMostRetryAfter = 3600;
constexpr size_t kMostId = 64, kMostNodeName = 253, kMostProviderId = 512, kMostCode = 64;

std::optional<CloudError> ClassOf(const std::string& name) {
  for (const CloudError each :
       {CloudError::kInsufficientCapacity, CloudError::kQuotaExceeded, CloudError::kInvalidRequest,
        CloudError::kTransient, CloudError::kUnauthenticated}) {
    if (name == api::ToString(each)) return each;
  }
  return std::nullopt;
}

std::string MessageIn(const Json& error) {
  const std::string message = Bounded(api::GetString(error, "message"), kMostConditionMessage);
  return message.empty() ? OneLine(api::GetString(error, "code"), kMostCode) : message;
}

// Other characters would end a path or a header.
bool IsId(const std::string& text) {
  return !text.empty() && text.size() <= kMostId &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
         });
}

// What NodeRestriction lets a kubelet say of itself.
bool MayRegisterWith(const std::string& label) {
  static constexpr std::array kAllowed{"kubernetes.io/hostname",
                                       "kubernetes.io/arch",
                                       "kubernetes.io/os",
                                       "node.kubernetes.io/instance-type",
                                       "topology.kubernetes.io/zone",
                                       "topology.kubernetes.io/region",
                                       "beta.kubernetes.io/arch",
                                       "beta.kubernetes.io/os",
                                       "beta.kubernetes.io/instance-type"};
  const std::string domain = label.substr(0, std::min(label.find('/'), label.size()));
  const auto under = [&](std::string_view of) {
    return domain == of || domain.ends_with("." + std::string(of));
  };
  if (label.find('/') == std::string::npos || !(under("kubernetes.io") || under("k8s.io")))
    return true;
  return under("kubelet.kubernetes.io") || under("node.kubernetes.io") ||
         std::find(kAllowed.begin(), kAllowed.end(), label) != kAllowed.end();
}

Json LabelsOf(const api::ServerPool& pool) {
  Json out{{api::kPoolLabel, pool.meta.name}};
  for (const auto& [key, value] : pool.spec.labels) {
    if (MayRegisterWith(key)) out[key] = value;
  }
  return out;
}

Json RequirementsOf(const api::ServerPool& pool) {
  Json out = Json::array();
  for (const api::Requirement& each : pool.spec.requirements) {
    Json requirement{{"key", each.key}, {"operator", each.op}};
    if (!each.values.empty()) requirement["values"] = each.values;
    out.push_back(std::move(requirement));
  }
  return out;
}

void ReadNode(const Json& node, api::CloudServer& server) {
  server.node_name = OneLine(api::GetString(node, "nodeName"), kMostNodeName);
  server.provider_id = OneLine(api::GetString(node, "providerID"), kMostProviderId);
  server.ready = !server.node_name.empty() && !server.provider_id.empty();
  const std::string state = api::GetString(node, "state");
  if (state == "Stopping") server.deleting = true;
  if (state != "Leaving") return;
  server.ending = "the cloud service takes the machine away";
  if (!server.message.empty()) server.ending += ": " + server.message;
  server.ends_at = api::GetTime(node, "leavesAt");
  // Where it has not been ready yet, it will not be.
  server.error = CloudError::kInsufficientCapacity;
  server.message = server.ending + (server.ends_at ? ", at " + FormatTime(*server.ends_at) : "");
}

void ReadFailure(const Json& error, api::CloudServer& server) {
  server.error = ClassOf(api::GetString(error, "class")).value_or(CloudError::kTransient);
  if (server.message.empty())
    server.message = "the lease failed, and the cloud service does not say why";
}

}  // namespace

Result<ServiceAddress> DecodeAddress(const Json& backend) {
  ServiceAddress out{api::GetString(backend, "endpoint"),
                     api::GetString(api::GetObject(backend, "credentialsSecretRef"), "name")};
  while (out.endpoint.ends_with('/')) out.endpoint.pop_back();
  if (!out.endpoint.starts_with("https://") || out.endpoint.size() <= 8)
    return Invalid("spec.backend.rest.endpoint must begin with https://");
  if (out.secret.empty()) return Invalid("spec.backend.rest.credentialsSecretRef names no Secret");
  return out;
}

Json LeaseBody(const std::string& client_ref, const api::ServerPool& pool) {
  Json out{{"clientRef", client_ref},
           {"pool", pool.meta.name},
           {"resources", api::EncodeResources(pool.spec.resources)},
           {"labels", LabelsOf(pool)},
           {"taints", api::EncodeTaints(api::NodeTaints(pool.meta.name, pool.spec.taints))},
           {"provisionTimeoutSeconds",
            std::chrono::duration_cast<seconds>(pool.spec.provision_timeout).count()}};
  if (Json requirements = RequirementsOf(pool); !requirements.empty())
    out["requirements"] = std::move(requirements);
  for (const char* key : {"offerId", "bootstrapRef"}) {
    if (const std::string text = api::GetString(pool.spec.backend, key); !text.empty())
      out[key] = text;
  }
  if (const int64_t lasts = api::GetInt(pool.spec.backend, "leaseSeconds"); lasts > 0)
    out["leaseSeconds"] = lasts;
  return out;
}

Result<Lease> DecodeLease(const Json& object) {
  Lease out;
  api::CloudServer& server = out.server;
  server.kind = "Lease";
  server.name = server.uid = server.request_uid = api::GetString(object, "id");
  if (!IsId(server.name)) return Invalid("it has no id that could be one of ours");
  server.pool = OneLine(api::GetString(object, "pool"), kMostId);
  out.client_ref = api::GetString(object, "clientRef");
  const std::string state = api::GetString(object, "state");
  const Json& error = api::GetObject(object, "error");
  server.message = MessageIn(error);
  server.launched = state != "Pending";
  const Json& nodes = api::GetArray(object, "nodes");
  if (state == "Active" && !nodes.empty()) {
    ReadNode(nodes[0], server);
  } else if (state == "Failed") {
    ReadFailure(error, server);
  } else if (state == "Releasing") {
    server.deleting = true;
  } else if (state == "Released") {
    out.released = true;
  } else if (state != "Pending" && state != "Provisioning" && state != "Active") {
    return Invalid("lease " + server.name + " is in no known state: " + OneLine(state, kMostId));
  }
  out.settled = server.ready && !server.deleting && server.error == CloudError::kNone;
  return out;
}

Result<LeasePage> DecodeLeases(const Json& object, const std::string& client_ref) {
  if (!object.is_object() || !object.contains("items") || !object["items"].is_array())
    return Invalid("it is no list of leases");
  LeasePage out;
  for (const Json& item : object["items"]) {
    const std::string ref = api::GetString(item, "clientRef");
    auto lease = DecodeLease(item);
    if (lease && ref == client_ref) out.leases.push_back(std::move(*lease));
    if (lease || (!ref.empty() && ref != client_ref)) continue;
    const std::string id = api::GetString(item, "id");
    out.unread.push_back({IsId(id) ? id : "", lease.error().message});
  }
  out.next = api::GetString(object, "continue");
  if (!out.next.empty() && !IsId(out.next)) return Invalid("its continue is no id of a lease");
  return out;
}

LeaseError ReadError(const kube::Response& response) {
  LeaseError out;
  const Json body = ParseJson(response.body);
  const Json& error = api::GetObject(body, "error");
  const auto said = ClassOf(api::GetString(error, "class"));
  out.code = OneLine(api::GetString(error, "code"), kMostCode);
  out.refusal.error =
      said.value_or(response.status == 401 ? CloudError::kUnauthenticated : CloudError::kTransient);
  out.refusal.message = MessageIn(error);
  if (!said && out.refusal.message.empty()) {
    const std::string line = OneLine(response.body, kMostLine);
    out.refusal.message = "HTTP " + std::to_string(response.status) +
                          " without an error as the API of cloud services has it" +
                          (line.empty() ? "" : ": " + line);
  }
  const int64_t after =
      std::clamp<int64_t>(api::GetInt(error, "retryAfterSeconds"), 0, kMostRetryAfter);
  const seconds header = response.retry_after.value_or(seconds(0));
  if (after > 0 || header.count() > 0)
    out.refusal.retry_after = std::max<seconds>(seconds(after), header);
  // Who is not let in has changed nothing.
  const bool clear = said || out.gone() || response.status == 401;
  out.ambiguous = response.status >= 500 || response.status < 400 || !clear;
  out.credentials = out.refusal.error == CloudError::kUnauthenticated;
  return out;
}

LeaseError NoAnswer(const Error& error) {
  LeaseError out;
  out.refusal = {CloudError::kTransient, Bounded(error.message, kMostConditionMessage),
                 error.retry_after};
  out.ambiguous = error.ambiguous;
  return out;
}

Error ToError(const LeaseError& error) {
  const Refusal& refusal = error.refusal;
  const ErrorKind kind = error.gone()                              ? ErrorKind::kNotFound
                         : refusal.error == CloudError::kTransient ? ErrorKind::kUnavailable
                         : refusal.error == CloudError::kUnauthenticated
                             ? ErrorKind::kUnauthenticated
                             : ErrorKind::kInvalid;
  return {kind, refusal.message, refusal.retry_after, error.ambiguous};
}

}  // namespace spillway::cloud
