#include "operator/core/provisioning/launch.h"

#include <algorithm>
#include <utility>

#include "operator/core/provisioning/bare_nodes.h"
#include "operator/core/provisioning/changed_purchases.h"
#include "operator/core/provisioning/delays.h"
#include "operator/core/provisioning/endings.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/hearsay.h"
#include "operator/core/provisioning/joining.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/releases.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/admission.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;
using api::ScalePhase;
using api::ScaleStatus;
using std::chrono::seconds;

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
    // It will be heard of, or this times out.
    if (why->reason != kUnknownEngine) return NoteDelay(world, scale, why->message, kSayRefusal);
    return FailScale(world, scale, CloudError::kInvalidRequest, why->message);
  }
  status.backend_engine = engine;
  status.price_per_hour = api::FormatPrice(pool->second.object.spec.price_micros);
  scale.ensured = scale.asking = true;
  scale.sent_at = world.now;
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

void NoteProvisioning(World& world, ScaleState& scale, const CloudServer& server) {
  ScaleStatus& status = scale.object.status;
  // A try that failed may have called it requested again since it was seen first.
  const bool fresh = status.backend_uid != server.uid || status.phase < ScalePhase::kProvisioning;
  scale.hearsay.reset();
  NoteBackend(status, server);
  if (fresh) {
    SetPhase(world, scale, ScalePhase::kProvisioning,
             server.kind + " " + server.name + " was made");
  }
}

void Provision(World& world, ScaleState& scale, const CloudServer& server) {
  ScaleStatus& status = scale.object.status;
  scale.diagnose_sent = false;  // that was asked of one before, or too early
  scale.asked_before_until = {};
  NoteProvisioning(world, scale, server);
  if (server.error != CloudError::kNone)
    return FailScale(world, scale, server.error, server.message);
  if (!server.message.empty() && server.message != status.message && !server.ready) {
    SetPhase(world, scale, ScalePhase::kProvisioning, server.message);
  }
  if (!server.ready) return NoteEngineSays(world, scale, server.message, server.launched);
  if (const std::string waits = AwaitNode(world, scale, server); !waits.empty()) {
    if (waits != status.message) SetPhase(world, scale, ScalePhase::kProvisioning, waits);
    return NoteDelay(world, scale, waits, kSayProgress);
  }
  RegisterServer(world, scale, server);
  status.ready_at = world.now;
  SetPhase(world, scale, ScalePhase::kReady, "node " + server.node_name + " is ready");
  RecordEvent(world, scale, false, "ServerReady",
              "node " + server.node_name + " of pool " + scale.object.pool + " is ready after " +
                  FormatDuration(world.now - status.requested_at.value_or(world.now)));
  if (const auto pool = world.provisioning.pools.find(scale.object.pool);
      pool != world.provisioning.pools.end())
    NoteBoot(pool->second, scale);
}

bool TimedOut(World& world, const ScaleState& scale) {
  const Time until =
      scale.object.status.requested_at.value_or(world.now) + ProvisionTimeout(world, scale);
  if (world.now < until) world.WakeAt(until);
  return world.now >= until;
}

// A leader before has registered it without having told so: then it has to go, with those who run
// there, if its engine has taken it away, replaces its machine or calls it failed.
bool ReleaseUntold(World& world, ScaleState& scale, const CloudServer* server) {
  const ServerState* registered = OwnServer(world, scale);
  if (registered == nullptr) return false;
  ScaleState told = scale;
  if (server != nullptr) NoteBackend(told.object.status, *server);
  told.object.status.node_name = registered->object.spec.node_name;
  const std::string why = WhyTaken(world, told, server);
  if (why.empty()) return false;
  scale.object.status = std::move(told.object.status);
  BeginRelease(world, scale, why);
  return true;
}

// What may have been asked for, by a leader before or in vain, is asked for again only while
// somebody waits for it and it is not too late: it would be bought to be given back.
bool MayAsk(World& world, const ScaleState& scale) {
  const bool first = scale.asked_before_until == Time{} && scale.asking_again.failures == 0;
  return scale.ensured || first || (IsWanted(world, scale) && !TimedOut(world, scale));
}

// The API server has the purchase.
void Announce(World& world, const ScaleState& scale) {
  const auto pool = world.provisioning.pools.find(scale.object.pool);
  if (pool != world.provisioning.pools.end()) pool->second.creation.Succeed();
  if (scale.object.for_tasks.empty()) return;
  if (const TaskState* task = world.tasks.ByUid(scale.object.for_tasks.front().uid)) {
    RecordEvent(world, *task, false, "Scaling",
                "no registered server has room; asking pool " + scale.object.pool +
                    " for a server (ScaleRequest " + scale.object.meta.name + ")");
  }
}

// What follows the words of a refusal; the engine may want not to be asked before.
std::string AskedAgain(Duration at_least) {
  return at_least > kAskAgain.last
             ? "; asked again after " + FormatDuration(at_least) + ", as it wants"
             : kAgain;
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

Duration ProvisionTimeout(const World& world, const ScaleState& scale) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  return pool == nullptr ? Duration(seconds(900)) : pool->object.spec.provision_timeout;
}

void Launch(World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  const bool had = server != nullptr || scale.object.status.phase == ScalePhase::kProvisioning;
  if (had && ReleaseUntold(world, scale, server)) return;
  if (server != nullptr && !server->deleting) {
    Provision(world, scale, *server);
  } else if (scale.object.status.phase == ScalePhase::kProvisioning) {
    if (server == nullptr) Vanished(world, scale);
  } else if (MayAsk(world, scale)) {
    Ensure(world, scale);
  } else if (world.now < scale.asked_before_until) {
    return world.WakeAt(scale.asked_before_until);
  }
  const bool waits = scale.object.status.phase == ScalePhase::kRequested ||
                     scale.object.status.phase == ScalePhase::kProvisioning;
  if (waits && TimedOut(world, scale)) {
    const std::string last = scale.object.status.message;
    FailScale(world, scale, CloudError::kProvisionTimeout,
              "the server was not ready in time; last: " + last);
  }
}

void ScaleCreated(World& world, ScaleState& scale, const Outcome& outcome) {
  scale.creating = false;
  if (outcome.error) scale.asked.reset();
  const bool by_another = outcome.error && outcome.error->kind == ErrorKind::kAlreadyExists;
  if (by_another && !scale.created) scale.asked_before_until = world.now + kLateArrival;
  if (!outcome.error && outcome.object &&
      RejectChanged(world, scale, std::get<api::ScaleRequest>(*outcome.object)))
    return;
  if (!outcome.error) Announce(world, scale);
  // Where it was seen by now in spite of an error, another leader has made it.
  if (scale.created) return;
  if (outcome.object) {  // it would be seen by now, if it were not gone again
    world.provisioning.scales.erase(outcome.key);
    return;
  }
  if (!outcome.error || by_another) return;  // it will be seen
  HoldPool(world, scale, CloudError::kTransient, outcome.error->message, world.now);
  NoteNotCreated(world, scale, outcome.error->message);
}

void CloudAsked(World& world, ScaleState& scale, const Outcome& outcome) {
  if (outcome.verb == Verb::kCreate) scale.asking = false;
  if (outcome.verb == Verb::kDelete) return ReleaseAsked(world, scale, outcome.error);
  // Where its server is seen by now, one of the tries has arrived.
  const CloudServer* server = ServerOf(world, scale);
  const bool there = server != nullptr && !server->deleting;
  const bool made = !outcome.error || outcome.error->kind == ErrorKind::kAlreadyExists;
  // What an answer brings with it is seen by now, or was before.
  if (!outcome.object && (made || outcome.error->ambiguous)) NoteMade(world, scale);
  // It may be on its way out by now, or gone, and never have been seen otherwise.
  if (outcome.object && scale.object.status.phase <= ScalePhase::kRequested)
    NoteProvisioning(world, scale, std::get<CloudServer>(*outcome.object));
  if (made || there) return NoDelay(world, scale);
  // It was withdrawn meanwhile, or has timed out.
  if (scale.object.status.phase > ScalePhase::kProvisioning) return;
  const CloudError kind = ClassOf(outcome);
  const Duration at_least = outcome.error->retry_after.value_or(seconds(0));
  if (kind == CloudError::kTransient) {
    scale.ensured = false;
    const std::string why = outcome.error->message + AskedAgain(at_least);
    const bool news = scale.asking_again.Fail(world.now, scale.object.meta.uid, why, kAskAgain);
    if (news)
      SetPhase(world, scale, ScalePhase::kRequested,
               "pool " + scale.object.pool + " could not be asked: " + why);
    if (news || scale.delay.why.empty())
      NoteDelay(world, scale,
                "its engine " + EngineOf(world.provisioning, scale) + " could not be asked: " + why,
                kSayRefusal);
    scale.asking_again.not_before = std::max(scale.asking_again.not_before, world.now + at_least);
    return world.WakeAt(scale.asking_again.not_before);
  }
  FailScale(world, scale, kind, outcome.error->message, at_least);
}

void Diagnosed(World& world, const CloudDiagnosis& diagnosis) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.meta.uid != diagnosis.request_uid) continue;
    const CloudServer* server = ServerOf(world, scale);
    const bool another = server != nullptr && !server->deleting;  // has come since it was asked
    scale.diagnose_sent = false;
    if (scale.object.status.phase == ScalePhase::kProvisioning && !another)
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

}  // namespace spillway::core
