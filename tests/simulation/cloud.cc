#include "tests/simulation/cloud.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "operator/cloud/cluster_api.h"
#include "operator/cloud/pending_pod.h"
#include "operator/cloud/rest.h"

namespace spillway::simulation {
namespace {

using api::CloudError;
using api::CloudServer;

constexpr char kStarting[] = "agent.example/not-ready";
constexpr std::chrono::milliseconds kPollEvery{1'000};

constexpr Manner kManners[] = {
    {cloud::kKarpenter, "NodeClaim"},
    {cloud::kRest, "Lease", true},
    {cloud::kClusterApi, "MachineSet", true, true},
    {cloud::kPendingPod, "Pod", true, false, false},
};

const Manner& MannerOf(const std::string& engine) {
  return *std::find_if(std::begin(kManners), std::end(kManners),
                       [&](const Manner& manner) { return engine == manner.engine; });
}

Error NoAnswer() {
  return {ErrorKind::kUnavailable, "the engine does not answer", std::nullopt, true};
}

// Nothing is sold.
bool IsClosed(Cloud::Mood mood) {
  return mood != Cloud::Mood::kGood && mood != Cloud::Mood::kUseless;
}

// One of its engines, as the operator knows them.
class Seller final : public cloud::Engine {
 public:
  Seller(Cloud& cloud, const Manner& manner) : cloud_(cloud), manner_(manner) {}

  api::EngineTraits traits() const override { return {manner_.engine, manner_.polled}; }
  // Of a watch a replica delivers what is in the API server.
  cloud::Source source() override {
    if (!manner_.polled) return cloud::Watch{cloud::kNodeClaims};
    return cloud::Poll{kPollEvery, [this](std::stop_token) -> Result<std::vector<CloudServer>> {
                         return cloud_.List(manner_.engine);
                       }};
  }
  Result<cloud::Ensured> Ensure(const std::string&, const std::string& request_uid,
                                const api::ServerPool& pool, std::stop_token) override {
    return cloud_.Ensure(manner_, request_uid, pool);
  }
  Result<Unit> Release(const CloudServer& server, std::stop_token) override {
    return cloud_.Release(server);
  }
  cloud::Refusal Diagnose(const CloudServer& server, std::stop_token) override {
    return cloud_.Diagnose(manner_, server);
  }

 private:
  Cloud& cloud_;
  const Manner& manner_;
};

}  // namespace

Cloud::Cloud(ApiServer& api, cloud::Engines& engines,
             std::function<void(const std::string&)> happened)
    : api_(api), happened_(std::move(happened)) {
  for (const Manner& manner : kManners) engines.Add(std::make_unique<Seller>(*this, manner));
}

const char* Cloud::AnyEngine(Random& random) {
  return kManners[random.Pick(std::size(kManners))].engine;
}

std::vector<std::string> Cloud::Names() {
  std::vector<std::string> out;
  for (const Manner& manner : kManners) {
    for (const char* what : {" sells", " takes back", " was asked in vain"})
      out.push_back(std::string(manner.engine) + what);
    for (const char* what : {" refuses", " has no capacity"}) {
      if (manner.refuses) out.push_back(std::string(manner.engine) + what);
    }
  }
  for (const char* what : {"a machine is replaced", "a successor was used", "a successor was not",
                           "a server goes before the answer"})
    out.push_back(what);
  return out;
}

Result<cloud::Ensured> Cloud::Ensure(const Manner& manner, const std::string& request_uid,
                                     const api::ServerPool& pool) {
  const std::string name = cloud::NodeClaimName(request_uid);
  if (silent_ == manner.engine) return NoAnswer();
  if (const auto* claim = api_.Get<CloudServer>(name)) return cloud::Ensured(*claim);
  const Mood mood = moods_[pool.meta.name];
  pool_of_[name] = pool.meta.name;
  const std::string engine = manner.engine;
  if (mood == Mood::kRefuses && manner.refuses) {
    happened_(engine + " refuses");
    const char* why = "spec.requirements: not allowed";
    if (manner.polled) return cloud::Ensured(cloud::Refusal{CloudError::kInvalidRequest, why});
    return Invalid(why);
  }
  if (mood == Mood::kUnauthenticated && manner.refuses)
    return Error{ErrorKind::kForbidden, "nodeclaims is forbidden", std::nullopt};
  CloudServer claim;
  claim.kind = manner.kind;
  claim.name = name;
  claim.engine = engine;
  claim.request_uid = request_uid;
  claim.pool = pool.meta.name;
  size_of_[name] = pool.spec.resources;
  api_.Put(claim);
  const CloudServer made = *api_.Get<CloudServer>(name);
  if (!manner.polled) GiveUpAtOnce(made, mood == Mood::kNoCapacity ? 2 : 12);
  return cloud::Ensured(made);
}

// One of so many goes before the answer is heard, and another is gone by then.
void Cloud::GiveUpAtOnce(const CloudServer& claim, size_t one_of) {
  const size_t way = std::hash<std::string>{}(claim.name) % one_of;
  if (way > 1) return;
  happened_("a server goes before the answer");
  Delete(claim);
  if (way == 1) TakeAway(*api_.Get<CloudServer>(claim.name));
}

Result<std::vector<CloudServer>> Cloud::List(const std::string& engine) const {
  if (silent_ == engine) return NoAnswer();
  std::vector<CloudServer> out;
  for (const auto& [name, object] : api_.All(Kind::kCloudServer)) {
    const auto& claim = std::get<CloudServer>(*object);
    if (claim.engine == engine) out.push_back(claim);
  }
  return out;
}

bool Cloud::Answered(const std::string& request_uid) const {
  return pool_of_.contains(cloud::NodeClaimName(request_uid));
}

bool Cloud::IsDying(const std::string& node) const {
  return std::any_of(dying_.begin(), dying_.end(),
                     [&](const auto& entry) { return entry.second == node; });
}

Result<Unit> Cloud::Release(const CloudServer& server) {
  if (silent_ == server.engine) return NoAnswer();
  Delete(server);
  return Unit{};
}

void Cloud::Delete(const CloudServer& server) {
  const auto* claim = api_.Get<CloudServer>(server.name);
  if (claim == nullptr || claim->uid != server.uid || claim->deleting) return;
  CloudServer marked = *claim;
  marked.deleting = true;
  marked.ready = false;
  api_.Put(marked);
}

cloud::Refusal Cloud::Diagnose(const Manner& manner, const CloudServer& server) const {
  if (!manner.polled) return {CloudError::kInsufficientCapacity, "no capacity"};
  return {CloudError::kTransient, server.kind + " " + server.name + " is gone"};
}

// A watched one fails by being gone; of another it is said why it will not come, until it is
// released.
bool Cloud::Refuse(const CloudServer& claim) {
  if (claim.error != CloudError::kNone) return false;
  happened_(claim.engine + " has no capacity");
  if (!MannerOf(claim.engine).polled) return TakeAway(claim), true;
  CloudServer failed = claim;
  failed.error = CloudError::kInsufficientCapacity;
  failed.message = "no capacity";
  api_.Put(failed);
  return true;
}

bool Cloud::Move(Random& random) {
  const auto& claims = api_.All(Kind::kCloudServer);
  const auto* entry = random.Any(claims);
  if (entry == nullptr) return false;
  const CloudServer claim = std::get<CloudServer>(*entry->second);
  if (claim.deleting) return TakeAway(claim), true;
  if (dying_.contains(claim.name)) {
    if (random.OneIn(2)) return EndDying(claim);
  } else if (!claim.ending.empty()) {
    if (claim.ends_at && api_.now < *claim.ends_at) return false;
    return Delete(claim), true;
  }
  if (claim.error != CloudError::kNone) return false;
  if (claim.ready && MannerOf(claim.engine).replaces &&
      api_.Get<api::Node>(claim.node_name) == nullptr)
    return dying_.contains(claim.name) ? EndDying(claim) : (Replace(claim, false), true);
  if (claim.ready) return Arrive(claim);
  const Mood mood = moods_[pool_of_[claim.name]];
  const bool refuses = MannerOf(claim.engine).refuses;
  if (mood == Mood::kStuck || (IsClosed(mood) && !refuses)) return false;
  if (mood == Mood::kNoCapacity) return Refuse(claim);
  if (!claim.launched) {
    CloudServer next = claim;
    next.launched = true;
    api_.Put(next);
    return true;
  }
  Provide(claim);
  return true;
}

// An agent of the node, such as a network plugin, is ready as well.
bool Cloud::Arrive(const CloudServer& claim) {
  const auto* known = api_.Get<api::Node>(claim.node_name);
  if (known == nullptr || moods_[pool_of_[claim.name]] == Mood::kUseless) return false;
  api::Node node = *known;
  if (std::erase_if(node.taints, [](const api::Taint& taint) { return taint.key == kStarting; }) ==
      0)
    return false;
  api_.Put(node);
  return true;
}

void Cloud::Provide(const CloudServer& claim) {
  CloudServer next = claim;
  if (claim.node_name.empty()) {
    const std::string& pool = pool_of_[claim.name];
    api::Node node;
    node.meta.name = "cloud-" + std::to_string(++nodes_);
    node.meta.labels[api::kPoolLabel] = pool;
    node.taints = {{api::kPoolTaint, pool, "NoSchedule"}};
    node.allocatable = size_of_[claim.name];
    if (slow_) node.allocatable.cpu_milli -= 300;
    if (slow_ || moods_[pool] == Mood::kUseless)
      node.taints.push_back({kStarting, "", "NoSchedule"});
    node.max_pods = 110;
    node.ready = api::NodeReady::kTrue;
    api_.Put(node);
    next.node_name = node.meta.name;
    next.ending.clear();
  } else {
    next.ready = true;
    happened_(claim.engine + " sells");
  }
  api_.Put(next);
}

void Cloud::RemoveNode(const std::string& name) {
  api_.Remove(Kind::kNode, name);
  api_.Remove(Kind::kLease, "kube-node-lease/" + name);
}

// The node goes first, as it does when a claim's finalizer is worked off.
void Cloud::TakeAway(const CloudServer& claim) {
  if (dying_.contains(claim.name)) return static_cast<void>(EndDying(claim));
  if (!claim.node_name.empty() && api_.Get<api::Node>(claim.node_name) != nullptr)
    return RemoveNode(claim.node_name);
  if (claim.deleting)
    happened_(claim.engine + (claim.node_name.empty() ? " was asked in vain" : " takes back"));
  if (replaced_.contains(claim.name)) {
    const bool used = api_.witness->Hosted(claim.node_name);
    happened_(used ? "a successor was used" : "a successor was not");
  }
  api_.Remove(Kind::kCloudServer, std::string(claim.name));
}

// Its node is drained, and the successor may be there before that is over.
void Cloud::Replace(const CloudServer& claim, bool at_once) {
  happened_("a machine is replaced");
  replaced_.insert(claim.name);
  dying_[claim.name] = claim.node_name;
  CloudServer next = claim;
  next.node_name.clear();
  next.ready = false;
  next.ending = "the machine of node " + claim.node_name + " is being deleted";
  api_.Put(next);
  for (int i = 0; at_once && i < 2; ++i) Provide(*api_.Get<CloudServer>(claim.name));
}

bool Cloud::EndDying(const CloudServer& claim) {
  RemoveNode(dying_.at(claim.name));
  dying_.erase(claim.name);
  if (claim.ending.empty()) return true;
  CloudServer next = claim;
  next.ending.clear();
  api_.Put(next);
  return true;
}

bool Cloud::Announce(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kCloudServer));
  if (entry == nullptr) return false;
  CloudServer claim = std::get<CloudServer>(*entry->second);
  if (claim.deleting || !claim.ready || !claim.ending.empty()) return false;
  if (MannerOf(claim.engine).polled && random.OneIn(3)) {
    claim.error = CloudError::kTransient;
    claim.message = "the machine has failed";
    claim.ready = false;
    api_.Put(claim);
    return true;
  }
  if (MannerOf(claim.engine).replaces) {
    if (dying_.contains(claim.name)) return false;
    return Replace(claim, random.OneIn(2)), true;
  }
  claim.ending = "spot notice";
  if (!random.OneIn(3)) claim.ends_at = api_.now + std::chrono::seconds(5 + random.Pick(300));
  api_.Put(claim);
  return true;
}

bool Cloud::DeleteAny(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kCloudServer));
  if (entry == nullptr) return false;
  const CloudServer claim = std::get<CloudServer>(*entry->second);
  const Manner& manner = MannerOf(claim.engine);
  if (manner.replaces && !claim.deleting && !claim.node_name.empty() && !random.OneIn(4)) {
    if (dying_.contains(claim.name)) return false;
    return Replace(claim, random.OneIn(2)), true;
  }
  if (!manner.polled || manner.replaces || random.OneIn(2)) return Delete(claim), true;
  // Nobody is told before the next list.
  for (int i = 0; i < 2 && api_.Get<CloudServer>(claim.name) != nullptr; ++i) TakeAway(claim);
  return true;
}

}  // namespace spillway::simulation
