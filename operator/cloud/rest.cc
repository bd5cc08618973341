#include "operator/cloud/rest.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace spillway::cloud {
namespace {

using api::CloudError;
using std::chrono::seconds;

// How often what the services said is told to the core. No call of a service hangs on it.
constexpr std::chrono::milliseconds kTellEvery{1'000};
constexpr seconds kLeastRenewal{20};
// A service that nothing names any more is followed for so long: what names it may be about to be
// heard of.
constexpr seconds kFollowUnnamed{120};

bool Names(const api::ScaleRequest& request) { return request.engine == kRest; }

// The services that are named, and how often leases have to be renewed there: a third of the
// shortest time after which one may expire; 0: none does.
std::map<ServiceAddress, seconds> NamedIn(const Known& known) {
  std::map<ServiceAddress, seconds> out;
  const auto take = [&](const api::Json& backend) {
    const auto address = DecodeAddress(backend);
    if (!address) return;
    seconds& renewal = out[*address];
    const int64_t lasts = api::GetInt(backend, "leaseSeconds");
    if (lasts <= 0) return;
    const seconds own = std::max(seconds(lasts / 3), kLeastRenewal);
    renewal = renewal.count() == 0 ? own : std::min(renewal, own);
  };
  for (const api::ServerPool& pool : known.pools) take(pool.spec.backend);
  for (const api::ScaleRequest& request : known.requests) {
    if (Names(request)) take(request.backend);
  }
  return out;
}

// Those whose lease is, or is to be, there.
std::vector<api::ScaleRequest> RequestsAt(const ServiceAddress& service, const Known& known) {
  std::vector<api::ScaleRequest> out;
  std::copy_if(known.requests.begin(), known.requests.end(), std::back_inserter(out),
               [&](const api::ScaleRequest& request) {
                 const auto address = DecodeAddress(request.backend);
                 return Names(request) && address && *address == service;
               });
  return out;
}

Refusal NoService(const std::string& id) {
  return {CloudError::kTransient, "it is not known which cloud service has lease " + id};
}

}  // namespace

std::optional<api::CloudServer> LastKnown(const api::ScaleRequest& request) {
  const api::ScaleStatus& status = request.status;
  if (status.backend_name.empty() || status.finished_at) return std::nullopt;
  api::CloudServer server;
  server.kind = status.backend_kind;
  server.name = status.backend_name;
  server.uid = status.backend_uid;
  server.request_uid = request.meta.uid;
  server.pool = request.pool;
  server.launched = true;
  server.ready = status.phase == api::ScalePhase::kReady;
  server.node_name = status.node_name;
  server.provider_id = status.provider_id;
  return server;
}

api::EngineTraits Rest::traits() const {
  api::EngineTraits out{kRest, true};
  out.external = out.bare_nodes = true;
  return out;
}

Source Rest::source() {
  return Poll{kTellEvery, [this](std::stop_token stop) { return List(std::move(stop)); },
              [this] { return Trouble(); }};
}

void Rest::Heed(const Known& known) {
  auto shared = std::make_shared<const Known>(known);
  {
    const std::lock_guard lock(mutex_);
    known_ = std::move(shared);
  }
  told_.notify_all();
}

Rest::ServicePtr Rest::At(const ServiceAddress& address) {
  const std::lock_guard lock(mutex_);
  Followed& followed = services_[address];
  followed.named = std::chrono::steady_clock::now();
  if (followed.service == nullptr) {
    followed.service = std::make_shared<LeaseService>(address, installation_);
    if (known_ != nullptr) {
      for (const api::ScaleRequest& request : RequestsAt(address, *known_)) {
        if (const auto last = LastKnown(request)) followed.service->Expect(last->name);
      }
    }
    followed.service->Follow();
  }
  return followed.service;
}

void Rest::FollowNamed(const Known& known) {
  for (const auto& [address, renewal] : NamedIn(known)) At(address)->RenewEvery(renewal);
  std::vector<ServicePtr> dropped;  // ended without the lock, since a call may be under way
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  for (auto at = services_.begin(); at != services_.end();) {
    const auto& [service, last_named] = at->second;
    // What it still has was forgotten, and is given back first.
    if (now - last_named < kFollowUnnamed || !service->heard().servers.empty()) {
      ++at;
      continue;
    }
    dropped.push_back(service);
    at = services_.erase(at);
  }
}

Result<std::vector<api::CloudServer>> Rest::List(std::stop_token stop) {
  std::shared_ptr<const Known> known;
  {
    std::unique_lock lock(mutex_);
    if (!told_.wait(lock, stop, [&] { return known_ != nullptr; }))
      return Error{ErrorKind::kCancelled, "stopped"};
    known = known_;
  }
  FollowNamed(*known);
  std::vector<ServicePtr> services;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [address, followed] : services_) services.push_back(followed.service);
  }
  std::map<std::string, api::CloudServer> found;
  std::set<ServiceAddress> heard;
  std::set<std::string> unread;
  for (const ServicePtr& service : services) {
    LeaseService::Heard said = service->heard();
    if (said.ever) heard.insert(service->address());
    unread.merge(said.unread);
    for (api::CloudServer& server : said.servers) {
      const std::string id = server.name;
      found.emplace(id, std::move(server));
    }
  }
  for (const api::ScaleRequest& request : known->requests) {
    const auto address = DecodeAddress(request.backend);
    const auto last = LastKnown(request);
    if (!Names(request) || !address || !last) continue;
    if (!heard.contains(*address) || unread.contains(last->name)) found.emplace(last->name, *last);
  }
  std::vector<api::CloudServer> out;
  for (auto& [id, server] : found) out.push_back(std::move(server));
  return out;
}

std::string Rest::Trouble() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [address, followed] : services_) {
    const std::string trouble = followed.service->heard().trouble;
    if (!trouble.empty()) out += (out.empty() ? "" : "; ") + trouble;
  }
  return out;
}

Rest::ServicePtr Rest::Of(const std::string& request_uid) const {
  const std::lock_guard lock(mutex_);
  if (known_ != nullptr) {
    for (const api::ScaleRequest& request : known_->requests) {
      if (request.meta.uid != request_uid || !Names(request)) continue;
      const auto address = DecodeAddress(request.backend);
      const auto at = address ? services_.find(*address) : services_.end();
      if (at != services_.end()) return at->second.service;
    }
  }
  for (const auto& [address, followed] : services_) {
    for (const api::CloudServer& server : followed.service->heard().servers) {
      if (server.name == request_uid) return followed.service;
    }
  }
  return nullptr;
}

Result<Ensured> Rest::Ensure(const std::string&, const std::string& request_uid,
                             const api::ServerPool& pool, std::stop_token stop) {
  const auto address = DecodeAddress(pool.spec.backend);
  if (!address) return Ensured(Refusal{CloudError::kInvalidRequest, address.error().message});
  return At(*address)->Ensure(request_uid, pool, std::move(stop));
}

Result<Unit> Rest::Release(const api::CloudServer& server, std::stop_token stop) {
  const ServicePtr service = Of(server.request_uid);
  if (service == nullptr) return Invalid(NoService(server.request_uid).message);
  return service->Release(server.request_uid, std::move(stop));
}

Refusal Rest::Diagnose(const api::CloudServer& server, std::stop_token stop) {
  const std::string& id = server.name.empty() ? server.request_uid : server.name;
  const ServicePtr service = Of(id);
  return service == nullptr ? NoService(id) : service->Diagnose(id, std::move(stop));
}

}  // namespace spillway::cloud
