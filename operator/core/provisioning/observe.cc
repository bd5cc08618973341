#include "operator/core/provisioning/observe.h"

#include <chrono>
#include <utility>

#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/hearsay.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/servers/observe.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/world.h"

namespace spillway::core {

void OnSeen(World& world, const api::ServerPool& object) {
  const auto known = world.provisioning.pools.find(object.meta.name);
  // One of the same name that was made anew has nothing to do with it.
  if (known != world.provisioning.pools.end() && known->second.object.meta.uid != object.meta.uid &&
      known->second.object.meta.resource_version < object.meta.resource_version)
    world.provisioning.pools.erase(known);
  const bool added = !world.provisioning.pools.contains(object.meta.name);
  PoolState& pool = world.provisioning.pools[object.meta.name];
  if (!added && pool.object.meta.resource_version >= object.meta.resource_version) return;
  if (added) TakeStatus(pool.writer, EncodeStatus(object.status));
  if (!added && pool.object.meta.generation != object.meta.generation) {
    pool.hold_until = Time{};  // what was wrong may be fixed
    pool.failures = 0;
    pool.creation.Succeed();
    pool.observed.reset();
  }
  if (added || pool.object.meta.generation != object.meta.generation)
    world.budgets.prices_moved = true;
  const api::ServerPoolStatus status = added ? object.status : pool.object.status;
  pool.object = object;
  pool.object.status = status;
  if (!added) return SeeStatus(world, pool, object.status);
  for (const auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.pool != object.meta.name) continue;
    RememberFailure(world, scale);
    NoteBoot(pool, scale);
  }
}

void OnPoolGone(World& world, const std::string& name) {
  world.provisioning.pools.erase(name);
  world.budgets.prices_moved = true;
}

namespace {

// The phases of a purchase only ever go forward, whoever leads.
bool Further(api::ScalePhase a, api::ScalePhase b) {
  const auto rank = [](api::ScalePhase phase) {
    switch (phase) {
      case api::ScalePhase::kFailed:
      case api::ScalePhase::kReleased:
        return 5;
      case api::ScalePhase::kReleasing:
        return 4;
      case api::ScalePhase::kReady:
        return 3;
      case api::ScalePhase::kProvisioning:
        return 2;
      case api::ScalePhase::kRequested:
        return 1;
      case api::ScalePhase::kNone:
        break;
    }
    return 0;
  };
  return rank(a) > rank(b);
}

// Its engine may have been asked, and nothing of it is known.
bool MayBeAsked(api::ScalePhase phase) {
  return phase == api::ScalePhase::kNone || phase == api::ScalePhase::kRequested;
}

}  // namespace

void OnSeen(World& world, const api::ScaleRequest& object) {
  const auto at = world.provisioning.scales.find(object.meta.name);
  if (at != world.provisioning.scales.end() && at->second.created) {
    ScaleState& scale = at->second;
    if (scale.object.meta.resource_version >= object.meta.resource_version) return;
    if (scale.object.meta.uid == object.meta.uid) {
      scale.object.meta = object.meta;
      scale.object.finalizers = object.finalizers;
      if (Further(object.status.phase, scale.object.status.phase)) {  // another leader's work
        scale.object.status = object.status;
        TakeHearsay(world, scale);
        scale.settled.reset();
        TakeStatus(scale.writer, EncodeStatus(object.status));
        RememberFailure(world, scale);
      } else {
        SeeStatus(world, scale, object.status);
      }
      return;
    }
  }
  const bool ours = at != world.provisioning.scales.end() && !at->second.created;
  ScaleState& scale = world.provisioning.scales[object.meta.name];
  const int64_t nominated = scale.nominated;
  Delay delay = std::move(scale.delay);
  std::optional<api::ScaleRequest> asked = std::move(scale.asked);
  auto untold = std::move(scale.untold);
  const Time asked_before_until = ours ? scale.asked_before_until : world.now + kLateArrival;
  scale = {};
  scale.object = object;
  scale.nominated = nominated;
  scale.delay = std::move(delay);
  scale.asked = std::move(asked);
  scale.untold = std::move(untold);
  scale.created = true;
  scale.costed_at = world.now;
  scale.seen_ended = object.status.finished_at.has_value();
  TakeStatus(scale.writer, EncodeStatus(object.status));
  TakeHearsay(world, scale);
  if (const auto pool = world.provisioning.pools.find(object.pool);
      pool != world.provisioning.pools.end())
    NoteBoot(pool->second, scale);
  // A purchase that was asked for before a restart is asked for again: the name makes it the same.
  if (MayBeAsked(object.status.phase)) scale.asked_before_until = asked_before_until;
  RememberFailure(world, scale);
}

void OnSeen(World& world, const api::CloudServer& object) {
  if (world.Engine(object.engine) == nullptr) return;
  const bool changed = world.provisioning.cloud_servers.Update(object);
  if (changed && IsPolled(world, object.engine)) ++world.generation;
}

void OnCloudServerGone(World& world, const std::string& engine, const std::string& key) {
  world.provisioning.cloud_servers.Erase(engine, key);
  world.provisioning.orphans_asked.erase({engine, key});
}

namespace {

// It came and went before its creation was answered: until then it keeps its place, so that the
// answer is not taken for that to another of its name.
void AwaitAnswer(ScaleState& scale) {
  ScaleState waits;
  waits.object = *scale.asked;
  waits.asked = std::move(scale.asked);
  waits.creating = true;
  waits.sent_at = scale.sent_at;
  waits.nominated = scale.nominated;
  waits.promised_whole = scale.promised_whole;
  waits.room = scale.room;
  waits.untold = std::move(scale.untold);
  scale = std::move(waits);
}

}  // namespace

void OnScaleGone(World& world, const std::string& name) {
  const auto at = world.provisioning.scales.find(name);
  if (at == world.provisioning.scales.end()) return;
  // What its engine still has of it is nobody's from now on.
  const std::string& uid = at->second.object.meta.uid;
  if (world.provisioning.cloud_servers.Has(uid)) world.provisioning.unknown[uid].gone = true;
  if (at->second.asked) return AwaitAnswer(at->second);
  world.provisioning.scales.erase(at);
}

namespace {

// Its server is not given back yet.
bool MayRegister(const ScaleState& scale) {
  return scale.object.status.phase <= api::ScalePhase::kReady && !scale.object.meta.deleted;
}

// why: what has become of it.
void NotRegistered(World& world, const std::string& server, const std::string& why) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (!MayBeNamed(scale, server)) continue;
    scale.server_sent = false;
    scale.registration_error = why;
    const bool news = scale.registration.Fail(world.now, server, why, kRegister);
    if (news && MayRegister(scale) && world.ready())
      RecordEvent(world, scale, true, "RegisterFailed",
                  "RegisteredServer " + server + " " + why + kAgain);
  }
}

}  // namespace

void OnRegistrationGone(World& world, const std::string& server, bool at_once) {
  if (at_once) return NotRegistered(world, server, kDeletedAtOnce);
  for (auto& [name, scale] : world.provisioning.scales) {
    if (!MayBeNamed(scale, server)) continue;
    scale.server_sent = false;
    scale.registration.Succeed();
  }
}

void OnScaleOutcome(World& world, const Outcome& outcome) {
  const auto at = world.provisioning.scales.find(outcome.key);
  if (at == world.provisioning.scales.end()) return;
  ScaleState& scale = at->second;
  if (outcome.verb == Verb::kPatchStatus)
    return ConcludeStatus(world, world.provisioning.scales, outcome);
  if (outcome.verb == Verb::kCreate) return ScaleCreated(world, scale, outcome);
  if (scale.object.meta.uid != outcome.request_uid) return;
  if (outcome.verb == Verb::kPatch) {
    if (Deleted(world, scale.letting_go, outcome.request_uid, outcome.error))
      RecordEvent(world, scale, true, kDeleteFailed,
                  "its finalizer could not be taken away: " + outcome.error->message + kAgain);
    return;
  }
  if (Deleted(world, scale.deletion, outcome.request_uid, outcome.error))
    RecordEvent(world, scale, true, kDeleteFailed,
                "could not be deleted: " + outcome.error->message + kAgain);
}

void OnRegistrationOutcome(World& world, const Outcome& outcome) {
  if (IsGoneAgain(world.servers, outcome)) return OnRegistrationGone(world, outcome.key, true);
  if (outcome.verb == Verb::kCreate && outcome.error)
    NotRegistered(world, outcome.key, "could not be created: " + outcome.error->message);
}

namespace {

// One that is refused is tried again later. What is seen of it stays as it is.
void OrphanReleased(World& world, const Outcome& outcome) {
  if (!outcome.error) return;
  api::CloudServer* server =
      world.provisioning.cloud_servers.Find(outcome.request_uid, outcome.engine, outcome.key);
  if (server == nullptr) return;
  if (outcome.error->kind == ErrorKind::kNotFound) {
    server->deleting = true;
    return;
  }
  world.provisioning.orphans_asked.erase({outcome.engine, outcome.key});
  world.provisioning.orphans_at = world.now + std::chrono::seconds(30);
}

}  // namespace

void OnCloudServerOutcome(World& world, const Outcome& outcome) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.meta.uid == outcome.request_uid) return CloudAsked(world, scale, outcome);
  }
  OrphanReleased(world, outcome);
}

}  // namespace spillway::core
