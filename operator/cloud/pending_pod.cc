#include "operator/cloud/pending_pod.h"

#include <utility>

#include "operator/cloud/objects.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::CloudServer;
using api::Json;
using std::chrono::seconds;

constexpr std::chrono::milliseconds kLookEvery{1'000};
// What was forgotten, such as by another leader, is looked for no less often.
constexpr seconds kLookAnyway{30};
// A keeper that ends again and again is not made again all the time.
constexpr seconds kRenewAgain{30};
constexpr int64_t kPodsPerPage = 500;
constexpr int kMostPodPages = 20;

// Whichever pod keeps its node, it is the same server.
CloudServer ServerFrom(const OwnPod& pod) {
  CloudServer out;
  out.kind = "Pod";
  out.ns = pod.meta.ns;
  out.name = pod.keeper ? KeeperName(pod.request_uid) : pod.meta.name;
  out.uid = pod.meta.uid;
  out.request_uid = pod.request_uid;
  out.pool = pod.pool;
  out.node_name = pod.node_name;
  out.provider_id = pod.provider_id;
  out.deleting = pod.meta.deleted.has_value();
  out.launched = !pod.node_name.empty();
  return out;
}

// Not said by any autoscaler: kube-scheduler's own words, or none yet.
std::string NothingSaid(const OwnPod& placeholder) {
  return "no autoscaler has answered pod " + placeholder.meta.key() + " yet" +
         (placeholder.message.empty() ? "" : ": " + placeholder.message);
}

CloudServer Waiting(const OwnPod& placeholder, const Verdict& verdict) {
  CloudServer out = ServerFrom(placeholder);
  out.launched = verdict.coming;
  out.error = verdict.error;
  out.message = verdict.message.empty() ? NothingSaid(placeholder) : verdict.message;
  return out;
}

// Admission refuses with 403 whatever its reason.
Result<Ensured> NotCreated(const Error& error) {
  if (error.kind != ErrorKind::kForbidden ||
      error.message.find("cannot create resource") != std::string::npos)
    return error;
  const bool quota = error.message.find("exceeded quota") != std::string::npos;
  return Ensured(
      Refusal{quota ? CloudError::kQuotaExceeded : CloudError::kInvalidRequest, error.message});
}

}  // namespace

api::EngineTraits PendingPod::traits() const {
  api::EngineTraits out{kPendingPod, true};
  out.pod_annotations = KeepAnnotations();
  out.bare_nodes = out.removes_nodes = out.drains = true;
  out.ending_taints = {"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"};
  return out;
}

Source PendingPod::source() {
  return Poll{kLookEvery,
              [this](std::stop_token stop) -> Result<std::vector<CloudServer>> {
                if (Idle()) return std::vector<CloudServer>{};
                return Look(std::move(stop));
              },
              {}};
}

void PendingPod::Heed(const Known& known) {
  const std::lock_guard lock(mutex_);
  named_ = !known.pools.empty() || !known.requests.empty();
}

bool PendingPod::Idle() const {
  const std::lock_guard lock(mutex_);
  return !named_ && found_nothing_ && Clock::now() < *found_nothing_ + kLookAnyway;
}

Result<Json> PendingPod::List(const kube::Resource& resource, const std::string& selector,
                              std::stop_token stop) {
  Json out = Json::array();
  std::string next;
  for (int page = 0; page < kMostPodPages; ++page) {
    kube::Request request = kube::ListRequest(resource, ns_, kPodsPerPage, next);
    request.path += "&" + selector;
    const auto answer = kube::Call(transport_, request, stop);
    if (!answer) return answer.error();
    for (const Json& item : api::GetArray(*answer, "items")) out.push_back(item);
    next = api::GetString(api::GetObject(*answer, "metadata"), "continue");
    if (next.empty()) return out;
  }
  return Invalid("there are more than " + std::to_string(kPodsPerPage * kMostPodPages) + " " +
                 resource.plural + " of " + selector + " in namespace " + ns_);
}

Result<std::map<std::string, PendingPod::Pair>> PendingPod::ListPods(std::stop_token stop) {
  const auto pods = List(kube::kPods, "labelSelector=spillway.dev%2Frequest", std::move(stop));
  if (!pods) return pods.error();
  std::map<std::string, Pair> out;
  for (const Json& object : *pods) {
    auto pod = DecodeOwnPod(object);
    if (!pod) continue;
    Pair& pair = out[pod->request_uid];
    if (pod->keeper && pair.keeper && pod->ended) {
      pair.former = std::move(*pod);
    } else if (pod->keeper) {
      pair.former = std::exchange(pair.keeper, std::move(*pod));
    } else {
      pair.placeholder = std::move(*pod);
    }
  }
  return out;
}

Result<std::vector<CloudServer>> PendingPod::Look(std::stop_token stop) {
  const auto pods = ListPods(stop);
  if (!pods) return pods.error();
  Json events = Json::array();
  for (const auto& [uid, pair] : *pods) {
    if (pair.keeper || !pair.placeholder || !pair.placeholder->node_name.empty()) continue;
    // Without them it is waited for until the pool's time is over.
    if (auto all = List(kube::kEvents, "fieldSelector=involvedObject.kind%3DPod", stop))
      events = std::move(*all);
    break;
  }
  std::vector<CloudServer> out;
  for (const auto& [uid, pair] : *pods) out.push_back(Advance(pair, events, stop));
  std::erase_if(renewed_, [&](const auto& each) { return !pods->contains(each.first); });
  const std::lock_guard lock(mutex_);
  found_nothing_ = pods->empty() ? std::optional(Clock::now()) : std::nullopt;
  return out;
}

CloudServer PendingPod::Advance(const Pair& pair, const Json& events, std::stop_token stop) {
  if (pair.keeper) return Kept(pair, std::move(stop));
  const OwnPod& placeholder = *pair.placeholder;
  if (placeholder.meta.deleted) return ServerFrom(placeholder);
  if (placeholder.ended) {
    CloudServer out = ServerFrom(placeholder);
    out.error = CloudError::kTransient;
    out.message = placeholder.message;
    return out;
  }
  if (!placeholder.node_name.empty()) return HandOver(placeholder, std::move(stop));
  return Waiting(placeholder, LastVerdict(events, placeholder.meta.name, placeholder.meta.uid,
                                          placeholder.node_pools));
}

CloudServer PendingPod::Kept(const Pair& pair, std::stop_token stop) {
  CloudServer out = ServerFrom(*pair.keeper);
  out.ready = !out.deleting;
  if (out.provider_id.empty()) {
    if (const auto late = ProviderOf(out.node_name, stop)) out.provider_id = *late;
  }
  // What cannot be done is tried again: meanwhile the tasks' own pods keep the server, too.
  if (pair.former) (void)Delete(*pair.former, stop);
  if (pair.keeper->ended && !out.deleting) {
    if (const auto renewed = Renew(*pair.keeper, stop)) out.uid = renewed->meta.uid;
  }
  if (!pair.placeholder || out.deleting) return out;
  if (const auto gone = Delete(*pair.placeholder, std::move(stop)); !gone) {
    out.ready = false;
    out.message = "its placeholder could not be deleted: " + gone.error().message;
  }
  return out;
}

std::optional<OwnPod> PendingPod::Renew(const OwnPod& keeper, std::stop_token stop) {
  const auto now = Clock::now();
  const auto [at, first] = renewed_.try_emplace(keeper.request_uid, now);
  if (!first && now < at->second + kRenewAgain) return std::nullopt;
  at->second = now;
  const auto made =
      kube::Call(transport_,
                 kube::CreateRequest(kube::kPods, ns_,
                                     KeeperBody(keeper, keeper.node_name, keeper.provider_id)),
                 stop);
  auto renewed = made ? DecodeOwnPod(*made) : Result<OwnPod>(made.error());
  if (!renewed) return std::nullopt;
  (void)Delete(keeper, std::move(stop));
  return std::move(*renewed);
}

Result<std::string> PendingPod::ProviderOf(const std::string& node, std::stop_token stop) {
  const auto there =
      kube::Call(transport_, kube::GetRequest(kube::kNodes, "", node), std::move(stop));
  if (!there) return there.error();
  return api::GetString(api::GetObject(*there, "spec"), "providerID");
}

CloudServer PendingPod::HandOver(const OwnPod& placeholder, std::stop_token stop) {
  CloudServer waiting = ServerFrom(placeholder);
  const auto provider_id = ProviderOf(placeholder.node_name, stop);
  if (!provider_id) {
    waiting.message =
        "waiting for Node " + placeholder.node_name + ": " + provider_id.error().message;
    return waiting;
  }
  const auto made = CreateOrGet(transport_, kube::kPods, ns_,
                                KeeperBody(placeholder, placeholder.node_name, *provider_id), stop);
  auto keeper = made ? DecodeOwnPod(*made) : Result<OwnPod>(made.error());
  if (!keeper) {
    waiting.message = "on Node " + placeholder.node_name + " pod " +
                      KeeperName(placeholder.request_uid) +
                      " could not take its place: " + keeper.error().message;
    return waiting;
  }
  return Kept({placeholder, std::move(*keeper), {}}, std::move(stop));
}

Result<std::optional<OwnPod>> PendingPod::Find(const std::string& name, std::stop_token stop) {
  const auto there =
      kube::Call(transport_, kube::GetRequest(kube::kPods, ns_, name), std::move(stop));
  if (!there && there.error().kind == ErrorKind::kNotFound) return std::optional<OwnPod>();
  if (!there) return there.error();
  auto pod = DecodeOwnPod(*there);
  return pod ? std::optional(std::move(*pod)) : std::nullopt;
}

Result<std::optional<OwnPod>> PendingPod::FindKeeper(const std::string& request_uid,
                                                     std::stop_token stop) {
  auto keeper = Find(KeeperName(request_uid), stop);
  if (!keeper || *keeper) return keeper;
  return Find(OtherKeeperName(request_uid), std::move(stop));
}

Result<Unit> PendingPod::Delete(const OwnPod& pod, std::stop_token stop) {
  CloudServer server = ServerFrom(pod);
  server.name = pod.meta.name;
  return DeleteObject(transport_, kube::kPods, server, std::move(stop));
}

Result<Ensured> PendingPod::Ensure(const std::string& request_name, const std::string& request_uid,
                                   const api::ServerPool& pool, std::stop_token stop) {
  {
    const std::lock_guard lock(mutex_);
    named_ = true;
    found_nothing_.reset();
  }
  // The placeholder may have given way by now.
  const auto keeper = FindKeeper(request_uid, stop);
  if (!keeper) return keeper.error();
  if (*keeper) return Ensured(ServerFrom(**keeper));
  const auto made = CreateOrGet(transport_, kube::kPods, ns_,
                                PlaceholderBody(ns_, request_name, request_uid, pool), stop);
  if (!made) return NotCreated(made.error());
  const auto placeholder = DecodeOwnPod(*made);
  if (placeholder && !placeholder->node_name.empty()) return Ensured(ServerFrom(*placeholder));
  if (placeholder) return Ensured(Waiting(*placeholder, {}));
  return TakeBack(transport_, kube::kPods, *made, "pod", "owner reference and label",
                  std::move(stop));
}

Result<Unit> PendingPod::Release(const CloudServer& server, std::stop_token stop) {
  const std::string& uid = server.request_uid;
  for (const std::string& name : {PlaceholderName(uid), KeeperName(uid), OtherKeeperName(uid)}) {
    const auto pod = Find(name, stop);
    if (!pod) return pod.error();
    if (!*pod) continue;
    if (const auto gone = Delete(**pod, stop); !gone) return gone.error();
  }
  return Unit{};
}

Refusal PendingPod::Diagnose(const CloudServer& server, std::stop_token stop) {
  const auto events =
      List(kube::kEvents, "fieldSelector=involvedObject.name%3D" + server.name, std::move(stop));
  const std::string gone = "pod " + server.key() +
                           " is gone before its node was ready, which Spillway had not asked for";
  if (!events) return {CloudError::kTransient, gone};
  const Verdict last = LastVerdict(*events, server.name, server.uid);
  if (last.message.empty()) return {CloudError::kTransient, gone};
  const CloudError error = last.error == CloudError::kNone ? CloudError::kTransient : last.error;
  return {error, gone + "; the autoscaler's last word: " + last.message};
}

}  // namespace spillway::cloud
