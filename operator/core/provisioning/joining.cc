#include "operator/core/provisioning/joining.h"

#include <algorithm>
#include <utility>

#include "operator/core/provisioning/launch.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/releases.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;
using api::ScalePhase;

// A registration takes milliseconds; after this it is said that there is none.
constexpr Duration kSlowRegistration{10'000};

// A taint that keeps pods away and that the pool says nothing of, such as one that an agent takes
// off once it is up; null if there is none.
const api::Taint* ForeignTaint(const api::Node& node, const PoolState* pool) {
  for (const api::Taint& taint : node.taints) {
    if (taint.effect != "NoSchedule" && taint.effect != "NoExecute") continue;
    const bool known =
        pool != nullptr && std::any_of(pool->object.spec.taints.begin(),
                                       pool->object.spec.taints.end(), [&](const auto& of_pool) {
                                         return of_pool.key == taint.key &&
                                                of_pool.effect == taint.effect;
                                       });
    if (taint.key != api::kPoolTaint && !known) return &taint;
  }
  return nullptr;
}

// Why the server takes none of the tasks that it was bought for and that wait; nothing if it takes
// one, or none waits.
std::optional<FitError> RefusesBuyers(const World& world, const ScaleState& scale,
                                      const ServerState& server) {
  std::optional<FitError> first;
  for (const api::TaskRef& buyer : scale.object.for_tasks) {
    const TaskState* task = world.tasks.ByUid(buyer.uid);
    // What may not go there at all by now has nothing to do with the server.
    if (task == nullptr || !task->queued || !OriginFits(*task->shape, server, nullptr)) continue;
    FitError why;
    if (PropertiesFit(world, *task->shape, server, &why) &&
        RoomFits(world, *task->shape, server, &why))
      return std::nullopt;
    if (!first) first = why;
  }
  return first;
}

// By its size, which will not change.
bool TooSmall(const FitError& why) {
  return why.resource == "cpu" || why.resource == "memory" || why.resource == "ephemeral-storage";
}

// What keeps the server from its first task, though its engine calls it ready; empty if nothing
// does. too_small: set if that is its size.
std::string Lacks(const World& world, const ScaleState& scale, const ServerState& server,
                  bool* too_small) {
  if (!server.schedulable) return server.message.empty() ? server.reason : server.message;
  if (const auto* taint = ForeignTaint(*server.node->object, PoolOf(world.provisioning, scale)))
    return "taint " + FormatTaint(*taint);
  const auto why = RefusesBuyers(world, scale, server);
  if (!why) return "";
  *too_small = TooSmall(*why);
  return why->message;
}

// What keeps it from joining is told to those who wait for it. The status may tell it as the leader
// before has written it.
void TellLack(World& world, ScaleState& scale, std::string lacks) {
  const std::string text = "node " + scale.object.status.node_name + " is ready" +
                           (lacks.empty() ? "" : ", but takes no task: " + lacks);
  if (scale.lacks == lacks && scale.object.status.message == text) return;
  scale.lacks = std::move(lacks);
  SetPhase(world, scale, ScalePhase::kReady, text);
  TellWaiting(world, scale);
}

void Join(World& world, ScaleState& scale) {
  scale.joined = true;
  EndHold(world, scale);
  TellLack(world, scale, "");
}

void GiveUpUseless(World& world, ScaleState& scale, const std::string& why, bool hold) {
  if (hold) HoldPool(world, scale, CloudError::kProvisionTimeout, why, world.now);
  scale.object.status.error = hold ? CloudError::kProvisionTimeout : CloudError::kNone;
  BeginRelease(world, scale, why);
}

// The server is paid for and has not been able to take a task yet, for what it lacks. False if it
// is given back. Counted from when this process saw it so: what was before a restart is not known.
bool AwaitUse(World& world, ScaleState& scale, std::string lacks, bool too_small) {
  if (scale.unusable_since == kNever) scale.unusable_since = world.news;
  const Duration patience = too_small ? kTooSmallAfter : ProvisionTimeout(world, scale);
  const Time until = scale.unusable_since + patience;
  if (world.news < until) {
    TellLack(world, scale, std::move(lacks));
    world.WakeAt(world.ByNews(until));
    return true;
  }
  // Of one that is too small its pool knows by now.
  GiveUpUseless(world, scale,
                "node " + scale.object.status.node_name + " took no task within " +
                    FormatDuration(patience) + " of being ready: " + lacks,
                !too_small);
  return false;
}

}  // namespace

void RegisterServer(World& world, ScaleState& scale, const CloudServer& server) {
  if (scale.server_sent || world.servers.On(server.node_name) != nullptr) return;
  if (world.now < scale.registration.not_before) return world.WakeAt(scale.registration.not_before);
  const std::string name = ServerName(world, scale);
  if (const auto old = world.servers.by_name.find(name); old != world.servers.by_name.end()) {
    // Registered for the node that its engine gave before this one.
    if (old->second.object.spec.node_name != server.node_name)
      Unregister(world, world.servers, old->second);
    return;
  }
  const PoolState* pool = PoolOf(world.provisioning, scale);
  api::RegisteredServer object;
  object.meta.name = name;
  object.meta.labels = {{api::kPoolLabel, scale.object.pool}};
  object.spec.node_name = server.node_name;
  object.spec.cloud = true;
  object.spec.pool = scale.object.pool;
  object.spec.scale_request = scale.object.meta.name;
  if (pool != nullptr) object.spec.capabilities = pool->object.spec.capabilities;
  object.spec.price_micros = api::ParsePrice(scale.object.status.price_per_hour).value_or(0);
  const api::OwnerReference owner{"ScaleRequest", scale.object.meta.name, scale.object.meta.uid,
                                  true};
  scale.server_sent = true;
  world.effects.push_back(Write{Verb::kCreate, Kind::kServer, "", object.meta.name, "", 0,
                                EncodeNew(object, owner, api::kGroupVersion), std::nullopt});
}

namespace {

// Whether the pool still makes such servers, as far as is known.
bool IsOfItsGeneration(const ScaleState& scale, const PoolState& pool) {
  const auto& labels = scale.object.meta.labels;
  const auto at = labels.find(kPoolGenerationLabel);
  return at == labels.end() || at->second == std::to_string(pool.object.meta.generation);
}

}  // namespace

// What a new server like it offers: what runs there for others takes nothing from that. Devices and
// the pods of DaemonSets may come after the node, so it is looked at in each step.
void TakeSize(World& world, ScaleState& scale, const ServerState& server) {
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (!server.schedulable || pool == world.provisioning.pools.end() || !IsOf(scale, pool->second) ||
      !IsOfItsGeneration(scale, pool->second))
    return;
  api::Resources room = server.node->object->allocatable;
  room -= server.usage->used_by_daemons;
  if (scale.room_seen == room) return;
  scale.room_seen = room;
  pool->second.observed = std::move(room);
}

void NoteUse(World& world, ScaleState& scale) {
  scale.hosted = true;
  scale.unusable_since = world.news;
  if (!scale.joined) Join(world, scale);
}

bool AwaitJoin(World& world, ScaleState& scale, const ServerState& server) {
  if (!scale.joined) {
    bool too_small = false;
    std::string lacks = Lacks(world, scale, server, &too_small);
    if (!lacks.empty()) return AwaitUse(world, scale, std::move(lacks), too_small);
    Join(world, scale);
  }
  scale.unusable_since = kNever;
  if (!scale.lacks.empty()) TellLack(world, scale, "");
  return true;
}

// Its node is ready, and no RegisteredServer is on it.
bool AwaitRegistration(World& world, ScaleState& scale, const CloudServer& server) {
  if (world.servers.On(server.node_name) == nullptr) RegisterServer(world, scale, server);
  if (scale.unusable_since == kNever) scale.unusable_since = world.news;
  const Time due = scale.unusable_since + kSlowRegistration;
  if (scale.registration_error.empty() && world.news < due) {  // it is on its way
    world.WakeAt(world.ByNews(due));
    return true;
  }
  const std::string name = "RegisteredServer " + ServerName(world, scale);
  return AwaitUse(world, scale,
                  scale.registration_error.empty() ? name + " is not there, or names another node"
                                                   : name + " " + scale.registration_error,
                  false);
}

}  // namespace spillway::core
