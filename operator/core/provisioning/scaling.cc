#include "operator/core/provisioning/scaling.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/bare_nodes.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;
using api::ScalePhase;
using api::ScaleStatus;
using std::chrono::seconds;

const CloudServer* ServerOf(const World& world, const ScaleState& scale) {
  const std::string& uid = scale.object.meta.uid;
  return uid.empty()
             ? nullptr
             : world.provisioning.cloud_servers.For(uid, EngineOf(world.provisioning, scale));
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

constexpr BackoffRange kAskAgain{seconds(2), seconds(60)};
// A registration takes milliseconds; after this it is said that there is none.
constexpr Duration kSlowRegistration{10'000};

// How long a pool is left alone after a failure. Capacity comes and goes; a quota or a wrong
// setting waits for a person.
Duration HoldAfter(CloudError error, int failures) {
  const auto doubled = [&](seconds first, seconds most) {
    return std::min<Duration>(first * (1 << std::min(failures - 1, 5)), most);
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
      return seconds(300);
    default:
      return doubled(seconds(5), seconds(300));
  }
}

// The pool of the name may have been made after the purchase, which then was another's.
// at_least: what its engine asked for.
void HoldPool(World& world, const ScaleState& scale, CloudError error, const std::string& message,
              Time from, Duration at_least = Duration{0}) {
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (pool == world.provisioning.pools.end() || !IsOf(scale, pool->second)) return;
  PoolState& state = pool->second;
  state.hold_until = from + std::max(HoldAfter(error, ++state.failures), at_least);
  state.error = error;
  state.error_message = message;
  world.WakeAt(state.hold_until);
}

// An engine that has said yes to a release, and has not begun, is asked again.
constexpr Duration kReleaseAgain{60'000};

// The API server keeps it until what was bought for it was given back.
bool IsHeld(const ScaleState& scale) {
  const auto& finalizers = scale.object.finalizers;
  return std::find(finalizers.begin(), finalizers.end(), api::kLeaseFinalizer) != finalizers.end();
}

// Nothing is seen of a server for it, which does not say that there is none: the request for it may
// have arrived. The engine finds it by the uid alone.
std::optional<CloudServer> Unseen(const World& world, const ScaleState& scale) {
  const std::string engine = EngineOf(world.provisioning, scale);
  if (!IsHeld(scale) || scale.given_back || scale.asking || EngineMisfit(world, engine))
    return std::nullopt;
  CloudServer out;
  out.engine = engine;
  out.kind = scale.object.status.backend_kind;
  out.name = scale.object.status.backend_name;
  out.uid = out.request_uid = scale.object.meta.uid;
  return out;
}

void AskRelease(World& world, ScaleState& scale) {
  if (world.now < scale.release_at) return world.WakeAt(scale.release_at);
  const CloudServer* server = ServerOf(world, scale);
  const auto unseen = server == nullptr ? Unseen(world, scale) : std::nullopt;
  if (unseen) server = &*unseen;
  if (server == nullptr || server->deleting) return;
  // Whoever took the request may have lost it: the server is paid for until it is seen to end.
  const Time again = scale.released_at + kReleaseAgain;
  if (scale.released == server->uid && world.now < again) return world.WakeAt(again);
  scale.released = server->uid;
  scale.released_at = world.now;
  world.effects.push_back(
      AskCloud{AskCloud::Op::kRelease, scale.object.meta.name, scale.object.meta.uid, {}, *server});
}

void FailScale(World& world, ScaleState& scale, CloudError error, const std::string& message,
               Duration at_least = Duration{0}) {
  scale.object.status.error = error;
  scale.object.status.finished_at = world.now;
  SetPhase(world, scale, ScalePhase::kFailed, message);
  HoldPool(world, scale, error, message, world.now, at_least);
  RecordEvent(world, scale, true, ToString(error), "pool " + scale.object.pool + ": " + message);
  AskRelease(world, scale);
}

// The engine's object is gone before its server was ready: ask the engine why, then fail.
void Vanished(World& world, ScaleState& scale) {
  if (scale.diagnose_sent) return;
  scale.diagnose_sent = true;
  CloudServer last;
  last.engine = EngineOf(world.provisioning, scale);
  last.kind = scale.object.status.backend_kind;
  last.ns = scale.object.status.backend_ns;
  last.name = scale.object.status.backend_name;
  last.uid = scale.object.status.backend_uid;
  world.effects.push_back(
      AskCloud{AskCloud::Op::kDiagnose, scale.object.meta.name, scale.object.meta.uid, {}, last});
}

// Null if it is bought as stock, or nobody is left of those that it is bought for.
const TaskState* FirstBuyer(const World& world, const ScaleState& scale) {
  for (const api::TaskRef& buyer : scale.object.for_tasks) {
    const TaskState* task = world.tasks.ByUid(buyer.uid);
    if (task != nullptr && task->shape != nullptr) return task;
  }
  return nullptr;
}

void Ensure(World& world, ScaleState& scale) {
  ScaleStatus& status = scale.object.status;
  if (!status.requested_at) {
    status.requested_at = world.now;
    SetPhase(world, scale, ScalePhase::kRequested,
             "asking pool " + scale.object.pool + " for a server");
  }
  if (scale.ensured || !scale.created) return;
  if (world.now < scale.asking_again.not_before) return world.WakeAt(scale.asking_again.not_before);
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (pool == world.provisioning.pools.end()) {
    return FailScale(world, scale, CloudError::kInvalidRequest,
                     "pool " + scale.object.pool + " does not exist");
  }
  const std::string engine =
      scale.object.engine.empty() ? pool->second.object.spec.engine : scale.object.engine;
  if (const auto why = EngineMisfit(world, engine)) {
    if (why->reason != kUnknownEngine) return;  // it will be heard of, or this times out
    return FailScale(world, scale, CloudError::kInvalidRequest, why->message);
  }
  status.backend_engine = engine;
  status.price_per_hour = api::FormatPrice(pool->second.object.spec.price_micros);
  scale.ensured = scale.asking = true;
  scale.asked_before_until = {};
  api::ServerPool asked = pool->second.object;
  if (!scale.object.engine.empty()) {
    asked.spec.backend = scale.object.backend;
    asked.spec.engine = engine;
    asked.spec.requirements = api::DecodeRequirements(scale.object.backend);
  }
  if (const TaskState* buyer = FirstBuyer(world, scale)) {
    for (api::Requirement& each : Narrowed(*buyer->shape, pool->second))
      asked.spec.requirements.push_back(std::move(each));
  }
  world.effects.push_back(AskCloud{AskCloud::Op::kEnsure, scale.object.meta.name,
                                   scale.object.meta.uid, std::move(asked)});
}

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

ServerState* RegisteredFor(World& world, const ScaleState& scale) {
  const std::string& node = scale.object.status.node_name;
  return node.empty() ? nullptr : world.servers.On(node);
}

void DeleteServer(World& world, ScaleState& scale) {
  ServerState* server = RegisteredFor(world, scale);
  if (server != nullptr && server->object.spec.scale_request == scale.object.meta.name)
    Unregister(world, world.servers, *server);
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

void Provision(World& world, ScaleState& scale, const CloudServer& server) {
  ScaleStatus& status = scale.object.status;
  const bool fresh = status.backend_uid != server.uid;
  scale.asked_before_until = {};
  NoteBackend(status, server);
  if (fresh) {
    SetPhase(world, scale, ScalePhase::kProvisioning,
             server.kind + " " + server.name + " was made");
  }
  if (server.error != CloudError::kNone)
    return FailScale(world, scale, server.error, server.message);
  if (!server.message.empty() && server.message != status.message && !server.ready) {
    SetPhase(world, scale, ScalePhase::kProvisioning, server.message);
  }
  if (!server.ready) return;
  if (const std::string waits = AwaitNode(world, scale, server); !waits.empty()) {
    if (waits != status.message) SetPhase(world, scale, ScalePhase::kProvisioning, waits);
    return;
  }
  RegisterServer(world, scale, server);
  status.ready_at = world.now;
  SetPhase(world, scale, ScalePhase::kReady, "node " + server.node_name + " is ready");
  RecordEvent(world, scale, false, "ServerReady",
              "node " + server.node_name + " of pool " + scale.object.pool + " is ready after " +
                  FormatDuration(world.now - status.requested_at.value_or(world.now)));
  if (const auto pool = world.provisioning.pools.find(scale.object.pool);
      pool != world.provisioning.pools.end()) {
    pool->second.failures = 0;
    pool->second.hold_until = Time{};
    NoteBoot(pool->second, scale);
  }
}

Duration ProvisionTimeout(const World& world, const ScaleState& scale) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  return pool == nullptr ? Duration(seconds(900)) : pool->object.spec.provision_timeout;
}

bool TimedOut(World& world, const ScaleState& scale) {
  const Time until =
      scale.object.status.requested_at.value_or(world.now) + ProvisionTimeout(world, scale);
  if (world.now < until) world.WakeAt(until);
  return world.now >= until;
}

void BeginRelease(World& world, ScaleState& scale, const std::string& why) {
  SetPhase(world, scale, ScalePhase::kReleasing, why);
  RecordEvent(world, scale, false, "Releasing", why);
  DeleteServer(world, scale);  // now, so that it takes no task in this very step
}

void Pending(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  if (server != nullptr && !server->deleting) {
    Provision(world, scale, *server);
  } else if (scale.object.status.phase == ScalePhase::kProvisioning) {
    if (server == nullptr) return Vanished(world, scale);
  } else if (scale.ensured || scale.asked_before_until == Time{} ||
             (IsWanted(world, scale) && !TimedOut(world, scale))) {
    Ensure(world, scale);
  } else if (world.now < scale.asked_before_until) {
    return world.WakeAt(scale.asked_before_until);  // it would be bought to be given back
  }
  const bool waits = scale.object.status.phase == ScalePhase::kRequested ||
                     scale.object.status.phase == ScalePhase::kProvisioning;
  if (waits && TimedOut(world, scale)) {
    const std::string last = scale.object.status.message;
    FailScale(world, scale, CloudError::kProvisionTimeout,
              "the server was not ready in time; last: " + last);
  }
}

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
  if (server.usage->tasks > 0) return "";
  if (const auto* taint = ForeignTaint(*server.node->object, PoolOf(world.provisioning, scale)))
    return "taint " + FormatTaint(*taint);
  const auto why = RefusesBuyers(world, scale, server);
  if (!why) return "";
  *too_small = TooSmall(*why);
  return why->message;
}

// What it really offers, without what runs there already for tasks: after a restart that may be
// much.
void TakeSize(World& world, ScaleState& scale, const ServerState& server) {
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (scale.sized || !server.schedulable || pool == world.provisioning.pools.end() ||
      !IsOf(scale, pool->second))
    return;
  scale.sized = true;
  api::Resources room = server.node->object->allocatable;
  room -= server.usage->used;
  room += server.usage->used_by_tasks;
  pool->second.observed = room;
}

// What keeps it from joining is told to those who wait for it.
void TellLack(World& world, ScaleState& scale, std::string lacks) {
  if (scale.lacks == lacks) return;
  scale.lacks = std::move(lacks);
  SetPhase(world, scale, ScalePhase::kReady,
           "node " + scale.object.status.node_name + " is ready" +
               (scale.lacks.empty() ? "" : ", but takes no task: " + scale.lacks));
  for (const std::string& key : world.provisioning.nominated) {
    const auto task = world.tasks.by_key.find(key);
    if (task != world.tasks.by_key.end() && task->second.nominated == scale.object.meta.name)
      TellNominated(world, task->second, scale);
  }
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

bool AwaitJoin(World& world, ScaleState& scale, const ServerState& server) {
  bool too_small = false;
  std::string lacks = Lacks(world, scale, server, &too_small);
  if (!lacks.empty()) return AwaitUse(world, scale, std::move(lacks), too_small);
  scale.joined = true;
  TellLack(world, scale, "");
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
                  scale.registration_error.empty()
                      ? name + " is not there, or names another node"
                      : name + " could not be created: " + scale.registration_error,
                  false);
}

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

bool IsTheOne(const ScaleStatus& status, const CloudServer& server) {
  return status.backend_uid == server.uid && status.node_name == server.node_name;
}

// Under the name of the one that was ready there is another by now, such as by the hand of another
// leader: that is the one that is paid for.
void TakeOther(ScaleState& scale, const CloudServer& server) {
  NoteBackend(scale.object.status, server);
  scale.server_sent = scale.joined = scale.hosted = scale.sized = false;
  scale.idle_since = scale.unusable_since = kNever;
}

// Why the server that was ready cannot be used any more, by no doing of ours.
std::string WhyTaken(const ScaleStatus& status, const CloudServer* server) {
  const std::string what = status.backend_kind + " " + status.backend_name;
  if (server == nullptr) return what + " is gone, which Spillway had not asked for";
  if (server->deleting) return what + " is being deleted, which Spillway had not asked for";
  return what + " was replaced by another of that name, which is not ready";
}

void InUse(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  const bool other = server != nullptr && !IsTheOne(scale.object.status, *server);
  if (server == nullptr || server->deleting || (other && !server->ready)) {
    return BeginRelease(world, scale, WhyTaken(scale.object.status, server));
  }
  if (server->error != CloudError::kNone) {
    return BeginRelease(world, scale,
                        "its engine calls it unusable (" + std::string(ToString(server->error)) +
                            "): " + server->message);
  }
  if (other) TakeOther(scale, *server);
  const ServerState* registered = RegisteredFor(world, scale);
  if (registered == nullptr) {
    if (!AwaitRegistration(world, scale, *server)) return;
  } else {
    TakeSize(world, scale, *registered);
    scale.hosted = scale.hosted || registered->usage->tasks > 0;
    if (!scale.joined && !AwaitJoin(world, scale, *registered)) return;
  }
  if (scale.joined) {
    if (const std::string why = Useless(world, scale); !why.empty())
      return BeginRelease(world, scale, why);
  }
  const bool busy = scale.nominated > 0 || (registered != nullptr && registered->usage->tasks > 0);
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

// Whether the API server has it as it is here.
bool StatusStands(const ScaleState& scale) {
  return !scale.writer.in_flight &&
         scale.writer.written == Fingerprint(EncodeStatus(scale.object.status));
}

void Release(World& world, ScaleState& scale) {
  DeleteServer(world, scale);
  AskRelease(world, scale);
  if (ServerOf(world, scale) != nullptr || scale.asking) return;  // there may be one yet
  if ((IsHeld(scale) && !scale.given_back) || !NodeGone(world, scale)) return;
  // Of a request that is open as far as anyone else can see, another leader may make a server.
  const bool never_asked = !scale.ensured && scale.object.status.backend_name.empty();
  if (never_asked && !StatusStands(scale)) return;
  scale.object.status.finished_at = world.now;
  SetPhase(world, scale, ScalePhase::kReleased, "given back: " + scale.object.status.message);
}

// On a change of phase, at the end, and once in a while: each is a write.
void UpdateCost(World& world, ScaleState& scale, bool moved) {
  ScaleStatus& status = scale.object.status;
  const CloudServer* server = ServerOf(world, scale);
  if (!status.launched_at && server != nullptr && server->launched) status.launched_at = world.now;
  const auto since = CostsSince(status);
  const int64_t price = api::ParsePrice(status.price_per_hour).value_or(0);
  if (price == 0 || !since) return;
  const Time next = scale.writer.last + kCostEvery;
  if (!moved && status.finished_at) return;
  if (!moved && world.now < next) return world.WakeAt(next);
  const Duration used = status.finished_at.value_or(world.now) - *since;
  status.cost_so_far = api::FormatPrice(CostOf(price, used));
}

// What was bought for it was given back: its finalizer is taken away.
void LetGo(World& world, ScaleState& scale) {
  if (!IsHeld(scale) || !scale.given_back || ServerOf(world, scale) != nullptr ||
      !NodeGone(world, scale))
    return;
  Time wake = kNever;
  if (!MayDelete(world, scale.letting_go, &wake)) return world.WakeAt(wake);
  scale.letting_go.sent = true;
  const auto& finalizers = scale.object.finalizers;
  const auto at = std::find(finalizers.begin(), finalizers.end(), api::kLeaseFinalizer);
  const std::string path = "/metadata/finalizers/" + std::to_string(at - finalizers.begin());
  world.effects.push_back(Write{Verb::kPatch,
                                Kind::kScale,
                                "",
                                scale.object.meta.name,
                                scale.object.meta.uid,
                                0,
                                {{{"op", "test"}, {"path", path}, {"value", api::kLeaseFinalizer}},
                                 {{"op", "remove"}, {"path", path}}},
                                std::nullopt});
}

void Ended(World& world, ScaleState& scale) {
  AskRelease(world, scale);
  DeleteServer(world, scale);
  LetGo(world, scale);
  if (scale.object.meta.deleted) return;
  const Time until = scale.object.status.finished_at.value_or(world.now) + kKeepEnded;
  if (world.now < until) return world.WakeAt(until);
  if (ServerOf(world, scale) != nullptr) return;
  Time wake = kNever;
  if (!MayDelete(world, scale.deletion, &wake)) return world.WakeAt(wake);
  scale.deletion.sent = true;
  world.effects.push_back(Write{Verb::kDelete, Kind::kScale, "", scale.object.meta.name,
                                scale.object.meta.uid, 0, nullptr, std::nullopt});
}

// Not if its engine is one that the pool named before.
bool IsAskedOf(const World& world, const ScaleState& scale, const CloudServer& server) {
  const std::string engine = EngineOf(world.provisioning, scale);
  return engine.empty() || engine == server.engine;
}

void ReleaseOrphan(World& world, CloudServer& server) {
  if (const auto pool = world.provisioning.pools.find(server.pool);
      pool != world.provisioning.pools.end())
    ++pool->second.orphans;
  if (server.deleting) return;
  if (world.now < world.provisioning.orphans_at) return world.WakeAt(world.provisioning.orphans_at);
  const auto [asked, first] =
      world.provisioning.orphans_asked.try_emplace({server.engine, server.key()}, world.now);
  if (!first && world.now < asked->second + kReleaseAgain)
    return world.WakeAt(asked->second + kReleaseAgain);
  asked->second = world.now;
  server.deleting = true;
  world.effects.push_back(AskCloud{AskCloud::Op::kRelease, "", server.request_uid, {}, server});
}

// A server whose request is gone was bought for nobody.
void ReleaseOrphans(World& world) {
  for (auto& [name, pool] : world.provisioning.pools) pool.orphans = 0;
  if (world.provisioning.cloud_servers.empty()) return;
  std::unordered_map<std::string_view, const ScaleState*> known;
  for (const auto& [name, scale] : world.provisioning.scales)
    known.emplace(scale.object.meta.uid, &scale);
  world.provisioning.cloud_servers.ForEach([&](CloudServer& server) {
    const auto scale = known.find(server.request_uid);
    if (scale == known.end() || !IsAskedOf(world, *scale->second, server))
      ReleaseOrphan(world, server);
  });
}

// Why nothing can be seen of the server that the purchase had, if nothing can: the engine's first
// list is still to come, or it was asked by a version of the operator that had the engine.
std::optional<FitError> OutOfSight(const World& world, const ScaleState& scale) {
  if (scale.object.status.backend_name.empty()) return std::nullopt;
  auto why = EngineMisfit(world, EngineOf(world.provisioning, scale));
  const bool ended = why && why->reason == kUnknownEngine && scale.object.status.finished_at;
  return ended ? std::nullopt : why;
}

// What cannot be seen is neither judged nor given up.
void LeaveAlone(World& world, ScaleState& scale, const FitError& why) {
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
      return Pending(world, scale);
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
    if (!scale.created) continue;
    const ScalePhase before = scale.object.status.phase;
    scale.object.status.observed_generation = scale.object.meta.generation;
    if (const auto why = OutOfSight(world, scale)) {
      LeaveAlone(world, scale, *why);
    } else {
      Advance(world, scale);
    }
    UpdateCost(world, scale, scale.object.status.phase != before);
    KeepStatus(world, scale, Kind::kScale);
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

void ScaleCreated(World& world, ScaleState& scale, const Outcome& outcome) {
  scale.creating = false;
  const bool by_another = outcome.error && outcome.error->kind == ErrorKind::kAlreadyExists;
  if (by_another && !scale.created) scale.asked_before_until = world.now + kLateArrival;
  // It is seen, or will be; where it was seen by now, another leader has made it.
  if (!outcome.error || by_another || scale.created) return;
  HoldPool(world, scale, CloudError::kTransient, outcome.error->message, world.now);
  world.provisioning.not_created[scale.object.meta.name] = outcome.error->message;
  world.provisioning.scales.erase(scale.object.meta.name);
}

namespace {

// A release that is refused is asked for again ever more slowly: it costs money as long as it
// lasts, so the wait stays short.
void ReleaseAsked(World& world, ScaleState& scale, const std::optional<Error>& error) {
  if (!error || error->kind == ErrorKind::kNotFound) {
    scale.refusals = 0;
    scale.given_back = true;
    return;
  }
  scale.released.clear();
  scale.release_at =
      world.now +
      std::min<Duration>(seconds(2) * (1 << std::min(scale.refusals++, 6)), seconds(60));
  world.WakeAt(scale.release_at);
  if (scale.refusals == 1)
    RecordEvent(world, scale, true, "ReleaseRefused",
                "the server could not be given back: " + error->message);
}

// The engine's own word, or what the error of the request suggests.
CloudError ClassOf(const Outcome& outcome) {
  if (outcome.error_class != CloudError::kNone) return outcome.error_class;
  switch (outcome.error->kind) {
    case ErrorKind::kInvalid:
    case ErrorKind::kNotFound:
      return CloudError::kInvalidRequest;
    case ErrorKind::kForbidden:
      return CloudError::kUnauthenticated;
    default:
      return CloudError::kTransient;
  }
}

}  // namespace

void CloudAsked(World& world, ScaleState& scale, const Outcome& outcome) {
  if (outcome.verb == Verb::kCreate) scale.asking = false;
  if (outcome.verb == Verb::kDelete) return ReleaseAsked(world, scale, outcome.error);
  if (!outcome.error || outcome.error->kind == ErrorKind::kAlreadyExists) return;
  // It was withdrawn meanwhile, or has timed out.
  if (scale.object.status.phase > ScalePhase::kProvisioning) return;
  const CloudError kind = ClassOf(outcome);
  const Duration at_least = outcome.error->retry_after.value_or(seconds(0));
  if (kind == CloudError::kTransient) {
    scale.ensured = false;
    if (scale.asking_again.Fail(world.now, scale.object.meta.uid, outcome.error->message,
                                kAskAgain))
      SetPhase(
          world, scale, ScalePhase::kRequested,
          "pool " + scale.object.pool + " could not be asked: " + outcome.error->message + kAgain);
    scale.asking_again.not_before = std::max(scale.asking_again.not_before, world.now + at_least);
    return world.WakeAt(scale.asking_again.not_before);
  }
  FailScale(world, scale, kind, outcome.error->message, at_least);
}

void Diagnosed(World& world, const CloudDiagnosis& diagnosis) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.meta.uid != diagnosis.request_uid) continue;
    if (scale.object.status.phase == ScalePhase::kProvisioning)
      FailScale(world, scale, diagnosis.error, diagnosis.message);
    return;
  }
}

void NoteBoot(PoolState& pool, const ScaleState& scale) {
  const ScaleStatus& status = scale.object.status;
  if (!IsOf(scale, pool)) return;
  if (status.requested_at && status.ready_at)
    pool.boot.Add(*status.ready_at - *status.requested_at);
}

void RememberFailure(World& world, const ScaleState& scale) {
  const ScaleStatus& status = scale.object.status;
  if (status.error == CloudError::kNone || !status.finished_at) return;
  HoldPool(world, scale, status.error, status.message, *status.finished_at);
}

}  // namespace spillway::core
