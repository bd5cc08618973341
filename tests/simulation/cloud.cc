#include "tests/simulation/cloud.h"

namespace spillway::simulation {

using api::CloudServer;

constexpr char kStarting[] = "agent.example/not-ready";

Result<cloud::Ensured> Cloud::Ensure(const std::string&, const std::string& request_uid,
                                     const api::ServerPool& pool, std::stop_token) {
  const std::string name = cloud::NodeClaimName(request_uid);
  if (const auto* claim = api_.Get<CloudServer>(name)) return cloud::Ensured(*claim);
  const Mood mood = moods_[pool.meta.name];
  pool_of_[name] = pool.meta.name;
  if (mood == Mood::kRefuses) return Invalid("spec.requirements: not allowed");
  if (mood == Mood::kUnauthenticated)
    return Error{ErrorKind::kForbidden, "nodeclaims is forbidden", std::nullopt};
  CloudServer claim;
  claim.kind = "NodeClaim";
  claim.name = name;
  claim.engine = cloud::kKarpenter;
  claim.request_uid = request_uid;
  claim.pool = pool.meta.name;
  api_.Put(claim);
  return cloud::Ensured(*api_.Get<CloudServer>(name));
}

bool Cloud::Answered(const std::string& request_uid) const {
  return pool_of_.contains(cloud::NodeClaimName(request_uid));
}

Result<Unit> Cloud::Release(const CloudServer& server, std::stop_token) {
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

cloud::Refusal Cloud::Diagnose(const CloudServer&, std::stop_token) {
  return {api::CloudError::kInsufficientCapacity, "no capacity"};
}

bool Cloud::Move(Random& random) {
  const auto& claims = api_.All(Kind::kCloudServer);
  const auto* entry = random.Any(claims);
  if (entry == nullptr) return false;
  const CloudServer claim = std::get<CloudServer>(*entry->second);
  if (claim.deleting) return TakeAway(claim), true;
  if (!claim.ending.empty()) {
    if (claim.ends_at && api_.now < *claim.ends_at) return false;
    return Delete(claim), true;
  }
  if (claim.ready) return Arrive(claim);
  const Mood mood = moods_[pool_of_[claim.name]];
  if (mood == Mood::kStuck) return false;
  if (mood == Mood::kNoCapacity) return TakeAway(claim), true;
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
  if (known == nullptr) return false;
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
    const auto* spec = api_.Get<api::ServerPool>(pool);
    api::Node node;
    node.meta.name = "cloud-" + std::to_string(++nodes_);
    node.meta.labels[api::kPoolLabel] = pool;
    node.taints = {{api::kPoolTaint, pool, "NoSchedule"}};
    if (spec != nullptr) node.allocatable = spec->spec.resources;
    if (slow_) {
      node.allocatable.cpu_milli -= 300;
      node.taints.push_back({kStarting, "", "NoSchedule"});
    }
    node.max_pods = 110;
    node.ready = api::NodeReady::kTrue;
    api_.Put(node);
    next.node_name = node.meta.name;
  } else {
    next.ready = true;
  }
  api_.Put(next);
}

// The node goes first, as it does when a claim's finalizer is worked off.
void Cloud::TakeAway(const CloudServer& claim) {
  if (!claim.node_name.empty() && api_.Get<api::Node>(claim.node_name) != nullptr) {
    api_.Remove(Kind::kNode, claim.node_name);
    api_.Remove(Kind::kLease, "kube-node-lease/" + claim.node_name);
    return;
  }
  api_.Remove(Kind::kCloudServer, claim.name);
}

bool Cloud::Announce(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kCloudServer));
  if (entry == nullptr) return false;
  CloudServer claim = std::get<CloudServer>(*entry->second);
  if (claim.deleting || !claim.ready || !claim.ending.empty()) return false;
  claim.ending = "spot notice";
  if (!random.OneIn(3)) claim.ends_at = api_.now + std::chrono::seconds(5 + random.Pick(300));
  api_.Put(claim);
  return true;
}

bool Cloud::DeleteAny(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kCloudServer));
  if (entry == nullptr) return false;
  Delete(std::get<CloudServer>(*entry->second));
  return true;
}

}  // namespace spillway::simulation
