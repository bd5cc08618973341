#include "operator/core/provisioning/scale_status.h"

#include <algorithm>
#include <utility>

#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/releases.h"
#include "operator/core/provisioning/scaling.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;
using api::ScalePhase;
using api::ScaleStatus;
using std::chrono::seconds;

// How long a pool is left alone after a failure. Capacity comes and goes; a quota or a wrong
// setting waits for a person.
Duration HoldAfter(CloudError error, int failures) {
  const auto doubled = [&](seconds first, seconds most) {
    return std::min<Duration>(first * (1 << std::min(failures - 1, 6)), most);
  };
  switch (error) {
    case CloudError::kInsufficientCapacity:
      return doubled(seconds(30), seconds(600));
    case CloudError::kQuotaExceeded:
      return seconds(600);
    case CloudError::kInvalidRequest:
      return seconds(600);
    case CloudError::kUnauthenticated:
      return doubled(seconds(60), seconds(600));
    case CloudError::kProvisionTimeout:
      return doubled(seconds(300), seconds(1800));
    default:
      return doubled(seconds(5), seconds(300));
  }
}

}  // namespace

const CloudServer* ServerOf(const World& world, const ScaleState& scale) {
  const std::string& uid = scale.object.meta.uid;
  return uid.empty()
             ? nullptr
             : world.provisioning.cloud_servers.For(uid, EngineOf(world.provisioning, scale));
}

ServerState* RegisteredFor(World& world, const ScaleState& scale) {
  const std::string& node = scale.object.status.node_name;
  return node.empty() ? nullptr : world.servers.On(node);
}

ServerState* OwnServer(World& world, const ScaleState& scale) {
  const auto is_own = [&](const ServerState& server) {
    return server.object.spec.scale_request == scale.object.meta.name;
  };
  ServerState* there = RegisteredFor(world, scale);
  if (there != nullptr && is_own(*there)) return there;
  const auto named = world.servers.by_name.find(ServerName(world, scale));
  return named != world.servers.by_name.end() && is_own(named->second) ? &named->second : nullptr;
}

void SetPhase(World& world, ScaleState& scale, ScalePhase phase, const std::string& message) {
  ScaleStatus& status = scale.object.status;
  const ScalePhase before = std::exchange(status.phase, phase);
  status.message = message;
  if (phase != before) ReportScale(world, scale, before);
  const api::Progress progress = phase == ScalePhase::kReady || phase == ScalePhase::kReleased
                                     ? api::Progress::kReady
                                 : phase == ScalePhase::kFailed ? api::Progress::kStalled
                                                                : api::Progress::kReconciling;
  const std::string reason =
      phase == ScalePhase::kFailed ? ToString(status.error) : ToString(phase);
  api::SetProgress(status.conditions, progress, reason, message, scale.object.meta.generation,
                   world.now);
}

void NoteBackend(ScaleStatus& status, const CloudServer& server) {
  status.backend_engine = server.engine;
  status.backend_kind = server.kind;
  status.backend_ns = server.ns;
  status.backend_name = server.name;
  status.backend_uid = server.uid;
  status.node_name = server.node_name;
  status.provider_id = server.provider_id;
}

bool StatusStands(const ScaleState& scale) {
  return !scale.writer.in_flight &&
         scale.writer.written == Fingerprint(EncodeStatus(scale.object.status));
}

bool IsOpenToOthers(const ScaleState& scale) {
  return !scale.ensured && !scale.seen_ended && scale.object.status.backend_name.empty() &&
         !StatusStands(scale);
}

void HoldPool(World& world, const ScaleState& scale, CloudError error, const std::string& message,
              Time from, Duration at_least) {
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (pool == world.provisioning.pools.end() || !IsOf(scale, pool->second)) return;
  PoolState& state = pool->second;
  // What fails while it is left alone was asked for before: that is the same failure.
  if (from >= state.hold_until) ++state.failures;
  const Time until = from + std::max(HoldAfter(error, state.failures), at_least);
  state.failed_at = std::max(state.failed_at, from);
  if (until < state.hold_until) return;  // what another failure asks for is longer
  state.hold_until = until;
  state.error = error;
  state.error_message = message;
  world.WakeAt(state.hold_until);
}

void NoteNotCreated(World& world, const ScaleState& scale, const std::string& why) {
  const std::string name = scale.object.meta.name;
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  const bool news =
      pool == world.provisioning.pools.end() || pool->second.creation.Fail(world.now, name, why);
  world.provisioning.not_created[name] = {why, news};
  world.provisioning.scales.erase(name);
}

void EndHold(World& world, const ScaleState& scale) {
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (pool == world.provisioning.pools.end() || !IsOf(scale, pool->second) ||
      scale.object.status.ready_at.value_or(world.now) < pool->second.failed_at)
    return;
  pool->second.failures = 0;
  pool->second.hold_until = Time{};
}

void EndScale(World& world, ScaleState& scale, CloudError error, const std::string& message) {
  scale.object.status.error = error;
  scale.object.status.finished_at = world.now;
  SetPhase(world, scale, ScalePhase::kFailed, message);
  RecordEvent(world, scale, true, ToString(error), "pool " + scale.object.pool + ": " + message);
}

void FailScale(World& world, ScaleState& scale, CloudError error, const std::string& message,
               Duration at_least) {
  HoldPool(world, scale, error, message, world.now, at_least);
  if (const ServerState* server = OwnServer(world, scale)) {
    scale.object.status.node_name = server->object.spec.node_name;
    scale.object.status.error = error;  // so that the next leader holds the pool as well
    return BeginRelease(world, scale, message);
  }
  EndScale(world, scale, error, message);
  AskRelease(world, scale);
}

void RememberFailure(World& world, const ScaleState& scale) {
  const ScaleStatus& status = scale.object.status;
  const bool over = status.finished_at || status.phase == ScalePhase::kReleasing;
  if (status.error == CloudError::kNone || !over) return;
  // By the clock of the process that wrote it, which may be ahead.
  const Time since = std::min(status.finished_at.value_or(world.now), world.now);
  HoldPool(world, scale, status.error, status.message, since);
}

}  // namespace spillway::core
