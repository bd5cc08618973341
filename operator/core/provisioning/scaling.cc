#include "operator/core/provisioning/scaling.h"

#include <algorithm>

#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/delays.h"
#include "operator/core/provisioning/endings.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/hearsay.h"
#include "operator/core/provisioning/joining.h"
#include "operator/core/provisioning/launch.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/releases.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

using api::CloudServer;
using api::ScalePhase;
using api::ScaleStatus;
using std::chrono::seconds;

// Why a server that has joined can do nothing for its money; empty if it can.
std::string Useless(World& world, const ScaleState& scale) {
  const auto node = world.servers.nodes.find(scale.object.status.node_name);
  if (node == world.servers.nodes.end() || node->second.not_ready_since == kNever) return "";
  const Time until = node->second.not_ready_since + kLostServerAfter;
  if (world.news >= until)
    return "its node has not been ready for " +
           FormatDuration(world.news - node->second.not_ready_since);
  world.WakeAt(world.ByNews(until));
  return "";
}

// When an idle server is given back: after its pool's time, just before its next billing step, and
// never while the pool wants it as stock.
Time KeptUntil(const World& world, const ScaleState& scale) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  if (pool == nullptr) return world.now;
  if (KeptAsStock(world, *pool)) return kNever;
  const api::ServerPoolSpec& spec = pool->object.spec;
  const Time idle = scale.idle_since + spec.idle_before_release;
  if (spec.billing_quantum <= Duration{0}) return idle;
  // The step that is paid for when the server has been idle for long enough is used up to its last
  // part.
  const Time begin = scale.object.status.requested_at.value_or(world.now);
  const Duration margin = std::min<Duration>(spec.billing_quantum / 10, seconds(60));
  const auto steps = (std::max(idle, begin) + margin - begin) / spec.billing_quantum + 1;
  return begin + spec.billing_quantum * steps - margin;
}

// Under the name of the one that was ready there is another by now, such as by the hand of another
// leader: that is the one that is paid for.
void TakeOther(ScaleState& scale, const CloudServer& server) {
  NoteBackend(scale.object.status, server);
  scale.server_sent = scale.joined = scale.hosted = false;
  scale.room_seen.reset();
  scale.idle_since = scale.unusable_since = kNever;
}

// What is registered under its name may be the machine before, by a registration that came late.
void EndPredecessor(World& world, const ScaleState& scale) {
  ServerState* server = OwnServer(world, scale);
  if (server == nullptr || server->object.spec.node_name == scale.object.status.node_name) return;
  if (server->usage->tasks == 0) return Unregister(world, world.servers, *server);
  if (server->ending) return;
  EndServer(world, world.servers, *server, Ending{"its machine was replaced", {}, world.now});
}

// Also one that must not run twice, and is in no queue while no status can tell of it.
bool Waits(const World& world, const TaskState& task) {
  const api::TaskPhase phase = task.object.status.phase;
  const bool may_begin = task.object.spec.retry.loss_limit == 0 && !api::Finished(phase) &&
                         phase != api::TaskPhase::kSuspended;
  return task.queued || (may_begin && task.binding == nullptr && world.now >= task.not_before &&
                         world.now < task.tenant->unrecorded_until);
}

// Nobody used the server for as long as its pool keeps it. Whoever it was bought for and waits all
// the same would not use the next one either.
void GiveBackIdle(World& world, ScaleState& scale, const ServerState* registered) {
  if (registered != nullptr) {
    for (const api::TaskRef& buyer : scale.object.for_tasks) {
      TaskState* task = world.tasks.ByUid(buyer.uid);
      if (task == nullptr || !Waits(world, *task)) continue;
      NoteUnusedInCloud(world, *task, registered->object.meta.name);
    }
  }
  BeginRelease(world, scale, "idle for " + FormatDuration(world.now - scale.idle_since));
}

void AwaitIdle(World& world, ScaleState& scale, const ServerState* registered) {
  if (scale.idle_since == kNever) scale.idle_since = world.now;
  const Time until = KeptUntil(world, scale);
  if (world.now >= until) {
    GiveBackIdle(world, scale, registered);
  } else if (until != kNever) {
    world.WakeAt(until);
  }
}

void InUse(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  if (const std::string why = WhyTaken(world, scale, server); !why.empty())
    return BeginRelease(world, scale, why);
  if (!IsTheOne(scale.object.status, *server)) TakeOther(scale, *server);
  // Whether a task runs there does not depend on whether the next one may, nor on who began it.
  const bool used = world.servers.ledger.On(scale.object.status.node_name).tasks > 0;
  if (used) NoteUse(world, scale);
  const ServerState* registered = RegisteredFor(world, scale);
  if (registered == nullptr || registered->object.spec.scale_request != scale.object.meta.name)
    EndPredecessor(world, scale);
  if (registered == nullptr) {
    if (!AwaitRegistration(world, scale, *server)) return;
  } else {
    scale.registration_error.clear();
    TakeSize(world, scale, *registered);
    if (!AwaitJoin(world, scale, *registered)) return;
  }
  // Until then nothing else is bought for those that it was bought for.
  if (MayHostYet(world, scale))
    world.WakeAt(*scale.object.status.ready_at + ProvisionTimeout(world, scale));
  if (scale.joined) {
    if (const std::string why = Useless(world, scale); !why.empty())
      return BeginRelease(world, scale, why);
  }
  if (used || scale.nominated > 0) {
    scale.idle_since = kNever;
    return;
  }
  AwaitIdle(world, scale, registered);
}

// On a change of phase, at the end, and once in a while: each is a write.
void UpdateCost(World& world, ScaleState& scale, bool moved) {
  ScaleStatus& status = scale.object.status;
  if (!status.launched_at) {
    const CloudServer* server = ServerOf(world, scale);
    if (server != nullptr && server->launched) status.launched_at = world.now;
  }
  const auto since = CostsSince(status);
  const int64_t price = api::ParsePrice(status.price_per_hour).value_or(0);
  if (price == 0 || !since) return;
  const Time next = scale.costed_at + kCostEvery;
  if (!moved && status.finished_at) return;
  if (!moved && world.now < next) return world.WakeAt(next);
  scale.costed_at = world.now;
  const Duration used = status.finished_at.value_or(world.now) - *since;
  status.cost_so_far = api::FormatPrice(CostOf(price, used));
}

// Why nothing can be seen of the server that the purchase had, if nothing can: the engine's first
// list is still to come, or it was asked by a version of the operator that had the engine.
std::optional<FitError> OutOfSight(World& world, ScaleState& scale) {
  if (scale.object.status.backend_name.empty()) return std::nullopt;
  auto why = EngineMisfit(world, EngineOf(world.provisioning, scale));
  const bool ended = scale.object.status.finished_at.has_value();
  if (why) return why->reason == kUnknownEngine && ended ? std::nullopt : why;
  const ScalePhase phase = scale.object.status.phase;
  if ((phase == ScalePhase::kProvisioning || phase == ScalePhase::kReady) &&
      KeepHearsay(world, scale))
    return FitError{"EngineBehind", "engine behind", "", "", 0, 0};
  return std::nullopt;
}

// What cannot be seen is neither judged nor given up.
void LeaveAlone(World& world, ScaleState& scale, const FitError& why) {
  NoteDelay(world, scale, why.message, kSayRefusal);
  if (why.reason != kUnknownEngine) return;
  const ScaleStatus& status = scale.object.status;
  const std::string message =
      "left alone, and may cost: this version of the operator does not have its engine" +
      (status.backend_engine.empty() ? "" : " " + status.backend_engine);
  if (status.message != message) SetPhase(world, scale, status.phase, message);
}

void Advance(World& world, ScaleState& scale) {
  if (scale.object.meta.deleted && !scale.object.status.finished_at &&
      scale.object.status.phase != ScalePhase::kReleasing)
    BeginRelease(world, scale, "the ScaleRequest was deleted");
  switch (scale.object.status.phase) {
    case ScalePhase::kNone:
    case ScalePhase::kRequested:
    case ScalePhase::kProvisioning:
      return Launch(world, scale);
    case ScalePhase::kReady:
      return InUse(world, scale);
    case ScalePhase::kReleasing:
      return Release(world, scale);
    case ScalePhase::kFailed:
    case ScalePhase::kReleased:
      return Ended(world, scale);
  }
}

}  // namespace

void AdvanceScales(World& world) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (scale.created) TellCreated(world, scale);
    TellDelay(world, scale);
    if (!scale.created) continue;
    const ScalePhase before = scale.object.status.phase;
    const bool was_idle = scale.idle_since != kNever;
    scale.object.status.observed_generation = scale.object.meta.generation;
    if (const auto why = OutOfSight(world, scale)) {
      LeaveAlone(world, scale, *why);
    } else {
      Advance(world, scale);
    }
    const bool moved = scale.object.status.phase != before;
    // What comes next may be done at once, here or with another spare of its pool.
    if (moved || was_idle != (scale.idle_since != kNever)) world.WakeAt(world.now);
    UpdateCost(world, scale, moved);
    // Of one that is left alone nothing is said yet.
    if (scale.object.status.phase != ScalePhase::kNone) KeepStatus(world, scale, Kind::kScale);
  }
  ReleaseOrphans(world);
}

bool IsInflight(const ScaleState& scale) {
  const ScalePhase phase = scale.object.status.phase;
  return phase == ScalePhase::kNone || phase == ScalePhase::kRequested ||
         phase == ScalePhase::kProvisioning || (phase == ScalePhase::kReady && !scale.joined);
}

int64_t PoolLacks(const World& world, const PoolState& pool) {
  const api::ObjectMeta& meta = pool.object.meta;
  if (meta.deleted) return -PoolServers(world, meta.name);
  int64_t idle = 0;
  for (const auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.pool != meta.name) continue;
    const bool in_use = scale.object.status.phase == ScalePhase::kReady && scale.joined;
    idle += (IsInflight(scale) && scale.nominated == 0) || (in_use && scale.idle_since != kNever)
                ? 1
                : 0;
  }
  return std::max(pool.object.spec.min_servers - PoolServers(world, meta.name),
                  pool.object.spec.warm_spares - idle);
}

bool KeptAsStock(const World& world, const PoolState& pool) {
  const api::ServerPoolSpec& spec = pool.object.spec;
  return spec.min_servers + spec.warm_spares > 0 && PoolLacks(world, pool) >= 0;
}

bool IsOf(const ScaleState& scale, const PoolState& pool) {
  return scale.object.pool == pool.object.meta.name &&
         (!scale.created || scale.object.meta.created >= pool.object.meta.created);
}

bool IsWanted(const World& world, const ScaleState& scale) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  return scale.nominated > 0 || (pool != nullptr && KeptAsStock(world, *pool));
}

std::string ServerName(const World& world, const ScaleState& scale) {
  const std::string& uid = scale.object.meta.uid;
  std::string name = scale.object.pool + "-" + uid.substr(0, 8);
  const auto other = world.servers.by_name.find(name);
  const bool taken = other != world.servers.by_name.end() &&
                     other->second.object.spec.scale_request != scale.object.meta.name;
  return taken ? scale.object.pool + "-" + uid : name;
}

bool MayBeNamed(const ScaleState& scale, const std::string& server) {
  const std::string& uid = scale.object.meta.uid;
  return server == scale.object.pool + "-" + uid.substr(0, 8) ||
         server == scale.object.pool + "-" + uid;
}

}  // namespace spillway::core
