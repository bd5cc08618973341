#include "operator/core/scaling.h"

#include <algorithm>

#include "operator/core/budgets.h"
#include "operator/core/fit.h"
#include "operator/core/registrar.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;
using api::ScalePhase;
using api::ScaleStatus;
using std::chrono::seconds;

const CloudServer* ServerOf(const World& world, const ScaleState& scale) {
  const auto at = world.cloud_servers.find(scale.object.meta.uid);
  return scale.object.meta.uid.empty() || at == world.cloud_servers.end() ? nullptr : &at->second;
}

void SetPhase(World& world, ScaleState& scale, ScalePhase phase, const std::string& message) {
  ScaleStatus& status = scale.object.status;
  status.phase = phase;
  status.message = message;
  const api::Progress progress = phase == ScalePhase::kReady || phase == ScalePhase::kReleased
                                     ? api::Progress::kReady
                                 : phase == ScalePhase::kFailed ? api::Progress::kStalled
                                                                : api::Progress::kReconciling;
  const std::string reason =
      phase == ScalePhase::kFailed ? ToString(status.error) : ToString(phase);
  api::SetProgress(status.conditions, progress, reason, message, scale.object.meta.generation,
                   world.now);
}

// How long a pool is left alone after a failure. Capacity comes and goes; a quota or a wrong
// setting waits for a person.
Duration HoldAfter(CloudError error, int failures) {
  const int doublings = std::min(failures - 1, 5);
  switch (error) {
    case CloudError::kInsufficientCapacity:
      return std::min<Duration>(seconds(30) * (1 << doublings), seconds(600));
    case CloudError::kQuotaExceeded:
      return seconds(600);
    case CloudError::kInvalidRequest:
      return seconds(600);
    case CloudError::kUnauthenticated:
      return seconds(60);
    case CloudError::kProvisionTimeout:
      return seconds(300);
    default:
      return std::min<Duration>(seconds(5) * (1 << doublings), seconds(300));
  }
}

void HoldPool(World& world, const std::string& name, CloudError error, const std::string& message,
              Time from) {
  const auto pool = world.pools.find(name);
  if (pool == world.pools.end()) return;
  PoolState& state = pool->second;
  state.hold_until = from + HoldAfter(error, ++state.failures);
  state.error = error;
  state.error_message = message;
  world.WakeAt(state.hold_until);
}

void AskRelease(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  if (server == nullptr || server->deleting || scale.released == server->uid) return;
  scale.released = server->uid;
  world.effects.push_back(AskCloud{
      AskCloud::Op::kRelease, scale.object.meta.name, scale.object.meta.uid, {}, {}, *server});
}

void FailScale(World& world, ScaleState& scale, CloudError error, const std::string& message) {
  scale.object.status.error = error;
  scale.object.status.finished_at = world.now;
  SetPhase(world, scale, ScalePhase::kFailed, message);
  HoldPool(world, scale.object.pool, error, message, world.now);
  world.Tell(scale, true, ToString(error), "pool " + scale.object.pool + ": " + message);
  AskRelease(world, scale);
}

// The engine's object is gone before its server was ready: ask the engine why, then fail.
void Vanished(World& world, ScaleState& scale) {
  if (scale.diagnose_sent) return;
  scale.diagnose_sent = true;
  CloudServer last;
  last.kind = scale.object.status.backend_kind;
  last.name = scale.object.status.backend_name;
  last.uid = scale.object.status.backend_uid;
  world.effects.push_back(AskCloud{
      AskCloud::Op::kDiagnose, scale.object.meta.name, scale.object.meta.uid, {}, {}, last});
}

void Ensure(World& world, ScaleState& scale) {
  ScaleStatus& status = scale.object.status;
  if (!status.requested_at) {
    status.requested_at = world.now;
    SetPhase(world, scale, ScalePhase::kRequested,
             "asking pool " + scale.object.pool + " for a server");
  }
  if (scale.ensured || !scale.created) return;
  if (world.now < scale.retry_at) return world.WakeAt(scale.retry_at);
  const auto pool = world.pools.find(scale.object.pool);
  if (pool == world.pools.end()) {
    return FailScale(world, scale, CloudError::kInvalidRequest,
                     "pool " + scale.object.pool + " does not exist");
  }
  status.price_per_hour = api::FormatPrice(pool->second.object.spec.price_micros);
  scale.ensured = scale.asking = true;
  world.effects.push_back(AskCloud{AskCloud::Op::kEnsure,
                                   scale.object.meta.name,
                                   scale.object.meta.uid,
                                   pool->second.object,
                                   pool->second.object.spec.resources,
                                   {}});
}

void RegisterServer(World& world, ScaleState& scale, const CloudServer& server) {
  if (scale.server_sent || world.ServerOn(server.node_name) != nullptr) return;
  if (world.now < scale.register_at) return world.WakeAt(scale.register_at);
  const std::string name = ServerName(scale);
  if (const auto old = world.servers.find(name); old != world.servers.end()) {
    // Registered for the node that its engine gave before this one.
    if (old->second.object.spec.node_name != server.node_name) Unregister(world, old->second);
    return;
  }
  const auto pool = world.pools.find(scale.object.pool);
  api::RegisteredServer object;
  object.meta.name = name;
  object.meta.labels = {{api::kPoolLabel, scale.object.pool}};
  object.spec.node_name = server.node_name;
  object.spec.cloud = true;
  object.spec.pool = scale.object.pool;
  object.spec.scale_request = scale.object.meta.name;
  if (pool != world.pools.end()) object.spec.capabilities = pool->second.object.spec.capabilities;
  object.spec.price_micros = api::ParsePrice(scale.object.status.price_per_hour).value_or(0);
  const api::OwnerReference owner{"ScaleRequest", scale.object.meta.name, scale.object.meta.uid,
                                  true};
  scale.server_sent = true;
  world.effects.push_back(Write{Verb::kCreate, Kind::kServer, "", object.meta.name, "", 0,
                                EncodeNew(object, owner, api::kGroupVersion), std::nullopt});
}

ServerState* RegisteredFor(World& world, const ScaleState& scale) {
  const std::string& node = scale.object.status.node_name;
  return node.empty() ? nullptr : world.ServerOn(node);
}

void DeleteServer(World& world, ScaleState& scale) {
  ServerState* server = RegisteredFor(world, scale);
  if (server != nullptr && server->object.spec.scale_request == scale.object.meta.name)
    Unregister(world, *server);
}

void Provision(World& world, ScaleState& scale, const CloudServer& server) {
  ScaleStatus& status = scale.object.status;
  if (status.backend_uid != server.uid) {
    status.backend_kind = server.kind;
    status.backend_name = server.name;
    status.backend_uid = server.uid;
    SetPhase(world, scale, ScalePhase::kProvisioning,
             server.kind + " " + server.name + " was made");
  }
  if (!server.message.empty() && server.message != status.message && !server.ready) {
    SetPhase(world, scale, ScalePhase::kProvisioning, server.message);
  }
  status.node_name = server.node_name;
  status.provider_id = server.provider_id;
  if (!server.ready) return;
  RegisterServer(world, scale, server);
  status.ready_at = world.now;
  SetPhase(world, scale, ScalePhase::kReady, "node " + server.node_name + " is ready");
  world.Tell(scale, false, "ServerReady",
             "node " + server.node_name + " of pool " + scale.object.pool + " is ready after " +
                 FormatDuration(world.now - status.requested_at.value_or(world.now)));
  if (const auto pool = world.pools.find(scale.object.pool); pool != world.pools.end()) {
    pool->second.failures = 0;
    pool->second.hold_until = Time{};
    NoteBoot(pool->second, status);
  }
}

Duration ProvisionTimeout(const World& world, const ScaleState& scale) {
  const auto pool = world.pools.find(scale.object.pool);
  return pool == world.pools.end() ? Duration(seconds(900))
                                   : pool->second.object.spec.provision_timeout;
}

bool TimedOut(World& world, const ScaleState& scale) {
  const Time until =
      scale.object.status.requested_at.value_or(world.now) + ProvisionTimeout(world, scale);
  if (world.now < until) world.WakeAt(until);
  return world.now >= until;
}

void BeginRelease(World& world, ScaleState& scale, const std::string& why) {
  SetPhase(world, scale, ScalePhase::kReleasing, why);
  world.Tell(scale, false, "Releasing", why);
}

void Pending(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  if (server != nullptr && !server->deleting) {
    Provision(world, scale, *server);
  } else if (scale.object.status.phase == ScalePhase::kProvisioning) {
    if (server == nullptr) return Vanished(world, scale);
  } else {
    Ensure(world, scale);
  }
  const bool waits = scale.object.status.phase == ScalePhase::kRequested ||
                     scale.object.status.phase == ScalePhase::kProvisioning;
  if (waits && TimedOut(world, scale)) {
    const std::string last = scale.object.status.message;
    FailScale(world, scale, CloudError::kProvisionTimeout,
              "the server was not ready in time; last: " + last);
  }
}

// Why a server that is paid for can do nothing for its money; empty if it can. Counted from when
// this process saw it so: what was before a restart is not known.
std::string Useless(World& world, ScaleState& scale) {
  const auto node = world.nodes.find(scale.object.status.node_name);
  if (!scale.joined) {
    if (scale.unusable_since == kNever) scale.unusable_since = world.news;
    const Time until = scale.unusable_since + ProvisionTimeout(world, scale);
    if (world.news >= until) return "its node took no tasks in time";
    world.WakeAt(world.ByNews(until));
    return "";
  }
  if (node == world.nodes.end() || node->second.not_ready_since == kNever) return "";
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
  const auto at = world.pools.find(scale.object.pool);
  if (at == world.pools.end()) return world.now;
  if (KeptAsStock(world, at->second)) return kNever;
  const api::ServerPoolSpec& spec = at->second.object.spec;
  const Time idle = scale.idle_since + spec.idle_before_release;
  if (spec.billing_quantum <= Duration{0}) return idle;
  // The step that is paid for when the server has been idle for long enough is used up to its last
  // part.
  const Time begin = scale.object.status.requested_at.value_or(world.now);
  const Duration margin = std::min<Duration>(spec.billing_quantum / 10, seconds(60));
  const auto steps = (std::max(idle, begin) + margin - begin) / spec.billing_quantum + 1;
  return begin + spec.billing_quantum * steps - margin;
}

void InUse(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  if (server == nullptr || server->deleting) {
    return BeginRelease(world, scale, "the server was taken away");
  }
  ServerState* registered = RegisteredFor(world, scale);
  if (registered == nullptr) {
    if (world.ServerOn(server->node_name) == nullptr) RegisterServer(world, scale, *server);
    return;
  }
  if (registered->usable && !scale.joined) {
    scale.joined = true;
    if (const auto pool = world.pools.find(scale.object.pool); pool != world.pools.end()) {
      // Without what runs there already for tasks: after a restart that may be much.
      const NodeUsage& usage = *registered->usage;
      api::Resources room = registered->node->object->allocatable;
      room -= usage.used;
      room += usage.used_by_tasks;
      pool->second.observed = room;
    }
  }
  if (const std::string why = Useless(world, scale); !why.empty())
    return BeginRelease(world, scale, why);
  const bool busy = !scale.joined || registered->usage->tasks > 0;
  if (busy) {
    scale.idle_since = kNever;
    return;
  }
  if (scale.idle_since == kNever) scale.idle_since = world.now;
  const Time until = KeptUntil(world, scale);
  if (world.now >= until) {
    BeginRelease(world, scale, "idle for " + FormatDuration(world.now - scale.idle_since));
  } else if (until != kNever) {
    world.WakeAt(until);
  }
}

void Release(World& world, ScaleState& scale) {
  DeleteServer(world, scale);
  AskRelease(world, scale);
  const auto node = world.nodes.find(scale.object.status.node_name);
  const bool node_gone = node == world.nodes.end() || !node->second.object;
  if (ServerOf(world, scale) != nullptr || !node_gone) return;
  if (scale.asking) return;  // there may be a server yet
  scale.object.status.finished_at = world.now;
  SetPhase(world, scale, ScalePhase::kReleased, "given back: " + scale.object.status.message);
}

// On a change of phase, at the end, and once in a while: each is a write.
void UpdateCost(World& world, ScaleState& scale, bool moved) {
  ScaleStatus& status = scale.object.status;
  const int64_t price = api::ParsePrice(status.price_per_hour).value_or(0);
  if (price == 0 || !status.requested_at || status.backend_name.empty()) return;
  const Time next = scale.writer.last + kCostEvery;
  if (!moved && status.finished_at) return;
  if (!moved && world.now < next) return world.WakeAt(next);
  const Duration used = status.finished_at.value_or(world.now) - *status.requested_at;
  status.cost_so_far = api::FormatPrice(CostOf(price, used));
}

void Ended(World& world, ScaleState& scale) {
  AskRelease(world, scale);
  DeleteServer(world, scale);
  const Time until = scale.object.status.finished_at.value_or(world.now) + kKeepEnded;
  if (world.now < until) return world.WakeAt(until);
  if (scale.deleting || ServerOf(world, scale) != nullptr) return;
  scale.deleting = true;
  world.effects.push_back(Write{Verb::kDelete, Kind::kScale, "", scale.object.meta.name,
                                scale.object.meta.uid, 0, nullptr, std::nullopt});
}

}  // namespace

void AdvanceScales(World& world) {
  for (auto& [name, scale] : world.scales) {
    if (!scale.created) continue;
    const ScalePhase before = scale.object.status.phase;
    scale.object.status.observed_generation = scale.object.meta.generation;
    switch (scale.object.status.phase) {
      case ScalePhase::kNone:
      case ScalePhase::kRequested:
      case ScalePhase::kProvisioning:
        Pending(world, scale);
        break;
      case ScalePhase::kReady:
        InUse(world, scale);
        break;
      case ScalePhase::kReleasing:
        Release(world, scale);
        break;
      case ScalePhase::kFailed:
      case ScalePhase::kReleased:
        Ended(world, scale);
        break;
    }
    UpdateCost(world, scale, scale.object.status.phase != before);
    KeepStatus(world, scale, Kind::kScale);
  }
  // A server whose request is gone was bought for nobody.
  for (auto& [uid, server] : world.cloud_servers) {
    const bool known = std::any_of(
        world.scales.begin(), world.scales.end(),
        [&, id = &uid](const auto& entry) { return entry.second.object.meta.uid == *id; });
    if (known || server.deleting) continue;
    server.deleting = true;
    world.effects.push_back(AskCloud{AskCloud::Op::kRelease, "", uid, {}, {}, server});
  }
}

bool OnItsWay(const ScaleState& scale) {
  const ScalePhase phase = scale.object.status.phase;
  return phase == ScalePhase::kNone || phase == ScalePhase::kRequested ||
         phase == ScalePhase::kProvisioning || (phase == ScalePhase::kReady && !scale.joined);
}

int64_t PoolLacks(const World& world, const PoolState& pool) {
  const api::ObjectMeta& meta = pool.object.meta;
  if (meta.deleted) return -PoolServers(world, meta.name);
  int64_t idle = 0;
  for (const auto& [name, scale] : world.scales) {
    if (scale.object.pool != meta.name) continue;
    const bool in_use = scale.object.status.phase == ScalePhase::kReady && scale.joined;
    idle +=
        (OnItsWay(scale) && scale.nominated == 0) || (in_use && scale.idle_since != kNever) ? 1 : 0;
  }
  return std::max(pool.object.spec.min_servers - PoolServers(world, meta.name),
                  pool.object.spec.warm_spares - idle);
}

bool KeptAsStock(const World& world, const PoolState& pool) {
  const api::ServerPoolSpec& spec = pool.object.spec;
  return spec.min_servers + spec.warm_spares > 0 && PoolLacks(world, pool) >= 0;
}

std::string ServerName(const ScaleState& scale) {
  return scale.object.pool + "-" + scale.object.meta.uid.substr(0, 8);
}

void ScaleCreated(World& world, ScaleState& scale, const Outcome& outcome) {
  scale.creating = false;
  if (!outcome.error || outcome.error->kind == ErrorKind::kAlreadyExists)
    return;  // it is seen, or will be
  HoldPool(world, scale.object.pool, CloudError::kTransient, outcome.error->message, world.now);
  world.scales.erase(scale.object.meta.name);
}

void CloudAsked(World& world, ScaleState& scale, const Outcome& outcome) {
  if (outcome.verb == Verb::kCreate) scale.asking = false;
  if (!outcome.error || outcome.error->kind == ErrorKind::kAlreadyExists) return;
  const Error& error = *outcome.error;
  if (outcome.verb == Verb::kDelete) {
    if (error.kind != ErrorKind::kNotFound) scale.released.clear();
    return;
  }
  const auto kind = error.kind == ErrorKind::kInvalid     ? CloudError::kInvalidRequest
                    : error.kind == ErrorKind::kForbidden ? CloudError::kUnauthenticated
                    : error.kind == ErrorKind::kNotFound  ? CloudError::kInvalidRequest
                                                          : CloudError::kTransient;
  if (kind == CloudError::kTransient) {
    scale.ensured = false;
    scale.retry_at = world.now + seconds(2);
    return world.WakeAt(scale.retry_at);
  }
  FailScale(world, scale, kind, error.message);
}

void Diagnosed(World& world, const CloudDiagnosis& diagnosis) {
  for (auto& [name, scale] : world.scales) {
    if (scale.object.meta.uid != diagnosis.request_uid) continue;
    if (scale.object.status.phase == ScalePhase::kProvisioning)
      FailScale(world, scale, diagnosis.error, diagnosis.message);
    return;
  }
}

void NoteBoot(PoolState& pool, const ScaleStatus& status) {
  if (status.requested_at && status.ready_at)
    pool.boot.Add(*status.ready_at - *status.requested_at);
}

void RememberFailure(World& world, const ScaleState& scale) {
  const ScaleStatus& status = scale.object.status;
  if (status.phase != ScalePhase::kFailed || !status.finished_at) return;
  HoldPool(world, scale.object.pool, status.error, status.message, *status.finished_at);
}

}  // namespace spillway::core
