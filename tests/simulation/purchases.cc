// What is bought, and how much of it.
#include <algorithm>

#include "operator/cloud/karpenter.h"
#include "operator/core/world.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using api::TaskRequest;
using std::chrono::seconds;

constexpr auto kNone = api::CloudError::kNone;
// Less than that of every pool, by what clocks may differ.
constexpr Duration kProvisionTimeout = seconds(250);

std::string Need(const std::string& scale) { return scale.substr(0, scale.rfind('-')); }

}  // namespace

// It will be paid for, or is, and its server is not there yet.
bool Checks::IsInflight(const api::ScaleRequest& scale) const {
  if (scale.status.phase != api::ScalePhase::kNone &&
      scale.status.phase != api::ScalePhase::kRequested &&
      scale.status.phase != api::ScalePhase::kProvisioning)
    return false;
  // Given up, and on its way back, by a process that has waited for so long; its status may not
  // have told of that yet.
  std::optional<Time> since = scale.status.requested_at;
  for (const auto& [asked, at] : engine_asked_) {
    if (asked.second == scale.meta.uid && (!since || at < *since)) since = at;
  }
  if (since && api_.now >= *since + kProvisionTimeout) return false;
  const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
  // Its machine was there, and the engine replaces it: that one is given back.
  if (witness_.WasReady(scale.meta.uid)) return false;
  if (claim != nullptr) return !claim->deleting && !claim->ready && claim->error == kNone;
  return !cloud_.Answered(scale.meta.uid) && !asked_in_vain_.contains(scale.meta.uid);
}

void Checks::CheckPurchase(const core::Write& write) {
  if (overlap_ || api_.Get<api::ScaleRequest>(write.key()) != nullptr) return;  // or refused
  if (made_.contains(write.name)) return;
  for (const auto& [name, object] : api_.All(Kind::kPool)) {
    // A pool's stock may want several servers at once, but never more than the pool may have.
    if (write.name.starts_with("spw-" + UidOf(*object) + "-")) return;
  }
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    if (Need(name) == Need(write.name) && !made_again_.contains(name) &&
        IsInflight(std::get<api::ScaleRequest>(*object)))
      Violate("bought-twice", write.name + " beside " + name);
  }
}

void Checks::BoundPurchases(std::optional<Pace> pace) {
  pace_ = pace;
  paced_since_ = api_.now;
  begun_ = 1;
  bought_.clear();
}

void Checks::Made(const core::Write& write) {
  if (!made_.insert(write.name).second) made_again_.insert(write.name);
}

// One that was made: what is refused costs nothing.
void Checks::CountPurchase(const core::Write& write) {
  Made(write);
  if (!pace_) return;
  ++bought_meanwhile_;
  const int bought = ++bought_[Need(write.name)];
  const auto minutes = (api_.now - paced_since_) / std::chrono::minutes(1);
  if (bought > pace_->at_first * begun_ + pace_->per_hour * minutes / 60)
    Violate("purchases-bound", write.name + " is server " + std::to_string(bought) +
                                   " that is bought for the same in " + std::to_string(minutes) +
                                   " minutes");
}

// By a clock that is ahead, a Lease that was there when the process began looks old until it is
// renewed.
bool Checks::LooksSilent(const Replica& replica, const api::Node& node) const {
  return replica.born() >= node.meta.created && replica.now() >= api_.now + seconds(30) &&
         api_.now < node.meta.created + seconds(25);
}

// A server that was bought for the need is there, would take its task, and never had one: another
// would be as little use.
void Checks::CheckSecondPurchase(const Replica& replica, const core::Write& write) {
  if (overlap_ || !KnowsAll(replica)) return;
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*object);
    const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
    if (Need(name) != Need(write.name) || scale.status.phase != api::ScalePhase::kReady ||
        claim == nullptr || claim->deleting || claim->error != kNone || !claim->ending.empty() ||
        claim->node_name.empty() || witness_.Hosted(claim->node_name) ||
        witness_.Down(claim->node_name, seconds(120)))
      continue;
    const TaskRequest* task = nullptr;
    for (const auto& [key, each] : api_.All(Kind::kTask)) {
      if (Need(write.name) == "spw-" + UidOf(*each)) task = &std::get<TaskRequest>(*each);
    }
    const auto* node = api_.Get<api::Node>(claim->node_name);
    if (task == nullptr || node == nullptr || LooksSilent(replica, *node)) continue;
    for (const auto& [server_name, entry] : api_.All(Kind::kServer)) {
      const auto& server = std::get<api::RegisteredServer>(*entry);
      if (server.spec.node_name == claim->node_name && !Promised(*node) &&
          Wanting(server, *node) < 2 && WouldFit(*task, server, *node, api_))
        Violate("bought-twice", write.name + " beside " + name + ", which is idle; " + Says(*task));
    }
  }
}

const api::CloudServer* Checks::StillHad(const std::string& request_uid,
                                         const std::string& uid) const {
  const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(request_uid));
  return claim != nullptr && claim->uid == uid && !claim->deleting ? claim : nullptr;
}

// What is said to be gone is gone.
void Checks::CheckGone(const core::Write& write) {
  const auto* scale = api_.Get<api::ScaleRequest>(write.key());
  if (scale == nullptr || scale->status.message.find(" is gone") == std::string::npos) return;
  if (const auto* claim = StillHad(scale->meta.uid, scale->status.backend_uid))
    Violate("gone-truth",
            write.key() + " says: " + scale->status.message + ", and " + claim->engine + " has it");
}

// It is asked why there is none.
void Checks::CheckGone(const core::AskCloud& ask) {
  if (const auto* claim = StillHad(ask.request_uid, ask.server.uid))
    Violate("gone-truth",
            claim->engine + " is asked what became of " + claim->name + ", which it has");
}

// What is paid for, or asked for, of the pool.
void Checks::CheckPool(const Replica& replica, const core::Write& write) {
  if (overlap_ || !KnowsAll(replica)) return;
  const std::string pool = api::GetString(api::GetObject(write.body, "spec"), "poolName");
  const auto* object = api_.Get<api::ServerPool>(pool);
  if (object == nullptr) return;
  std::set<std::string> live{write.name};
  for (const auto& [name, purchase] : purchases_) {
    // What another process had asked for may be there under the name, and be given back by now.
    if (purchase == std::pair(replica.id(), pool) && api_.Get<api::ScaleRequest>(name) == nullptr)
      live.insert(name);
  }
  for (const auto& [name, entry] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*entry);
    if (scale.pool != pool) continue;
    const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
    if (claim != nullptr ? !claim->deleting && claim->error == kNone : IsInflight(scale))
      live.insert(name);
  }
  if (static_cast<int64_t>(live.size()) > object->spec.max_servers) {
    std::string names;
    for (const std::string& name : live) names += " " + name;
    Violate("pool-overrun", std::to_string(live.size()) + " servers of pool " + pool +
                                ", which may have " + std::to_string(object->spec.max_servers) +
                                ":" + names);
  }
}

std::set<std::string> Checks::Unnoticed(const Replica& replica) const {
  std::set<std::string> out;
  // A status waits while the creation of its object is tried again, which another process has made.
  if (replica.listed() == kNever || RefusedOfLate(core::Verb::kPatchStatus, Kind::kScale, "") ||
      RefusedOfLate(core::Verb::kCreate, Kind::kScale, "") || !cloud_.AllAnswer())
    return out;
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*object);
    const bool waits = scale.status.phase == api::ScalePhase::kRequested ||
                       scale.status.phase == api::ScalePhase::kProvisioning;
    // What another process had asked for may be made late.
    const bool late = !engine_asked_.contains({replica.id(), scale.meta.uid}) &&
                      api_.now < std::max(replica.listed(), scale.meta.created) + kTold;
    const std::string claim = cloud::NodeClaimName(scale.meta.uid);
    if (waits && !late && cloud_.Answered(scale.meta.uid) &&
        api_.Get<api::CloudServer>(claim) == nullptr)
      out.insert(name + " waits for " + claim + ", which is gone");
  }
  return out;
}

}  // namespace spillway::simulation
