#include "operator/core/provisioning/promises.h"

#include <algorithm>
#include <utility>

#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/launch.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/payment.h"

namespace spillway::core {
namespace {

using api::ScalePhase;

// Its server is there, and nobody has gone there: it is not ready for a moment. Or those who would
// go there are hidden until it is known what becomes of another pod of their kind.
bool IsVacantFor(const World& world, const Shape& shape, const ScaleState& scale, bool hidden) {
  if (!MayHostYet(world, scale)) return false;
  const ServerState* server = world.servers.On(scale.object.status.node_name);
  if (server == nullptr || server->releasing || server->usage->tasks > 0 ||
      server->object.spec.scale_request != scale.object.meta.name ||
      !PropertiesFit(world, shape, *server, nullptr))
    return false;
  return server->schedulable ? hidden && RoomFits(world, shape, *server, nullptr)
                             : server->phase == "NotReady";
}

// Its room can be promised to a task of the shape.
bool IsToCome(const World& world, const Shape& shape, const ScaleState& scale, bool hidden) {
  return (IsInflight(scale) && IsBelieved(world, scale)) ||
         IsVacantFor(world, shape, scale, hidden);
}

bool HasRoom(const World& world, const Shape& shape, const ScaleState& scale) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  if (pool == nullptr || AmountsMisfit(shape.requests, scale.room)) return false;
  if (scale.promised_whole || (shape.exclusive && scale.nominated > 0)) return false;
  return PoolFits(shape, *pool, nullptr);
}

bool RenewNomination(World& world, TaskState& task, ScaleState& scale) {
  if (!task.queued || task.planned == world.provisioning.plan ||
      !IsToCome(world, *task.shape, scale, task.admission->closed) ||
      !HasRoom(world, *task.shape, scale))
    return false;
  // One whose promise was taken back for want of money has it again once it can pay.
  const int64_t price = PoolOf(world.provisioning, scale)->object.spec.price_micros;
  if (task.nominated.empty() && !MayPay(world, task, price)) return false;
  Nominate(world, task, scale);
  return true;
}

// Another task has taken its server. Where it is hidden until it is known what becomes of a pod of
// its kind, nothing else is planned for it, and nobody would wait for what was bought.
void MoveNomination(World& world, TaskState& task) {
  if (!task.admission->closed || task.in_gang || task.planned == world.provisioning.plan) return;
  const ScaleState* coming = FindInflight(world, *task.shape, PayableUpTo(world, task));
  if (coming != nullptr)
    Nominate(world, task, world.provisioning.scales.at(coming->object.meta.name));
}

// Why nobody waits for the server of the purchase any more.
std::string WhyLost(const World& world, const std::string& name) {
  const auto scale = world.provisioning.scales.find(name);
  if (scale == world.provisioning.scales.end()) {
    const auto why = world.provisioning.not_created.find(name);
    return why == world.provisioning.not_created.end()
               ? "it is gone"
               : "it could not be created: " + why->second.why;
  }
  const api::ScaleStatus& status = scale->second.object.status;
  if (IsInflight(scale->second)) return "it has no room left";
  if (status.phase == ScalePhase::kReady) return "other tasks have taken its room";
  const std::string error = ToString(status.error);
  return error.empty() ? status.message : error + ": " + status.message;
}

bool IsRefusedAnew(const World& world, const std::string& name) {
  const auto refused = world.provisioning.not_created.find(name);
  return refused != world.provisioning.not_created.end() && refused->second.news;
}

// Its promise is gone.
void DropNomination(World& world, TaskState& task) {
  const bool told = IsToldOfServer(task);
  task.shape->burst_at = Time{};
  world.WakeAt(world.now);  // another server may be chosen at once
  const std::string lost = std::exchange(task.nominated, {});
  Commit(world, task, 0);
  if (!told && !IsRefusedAnew(world, lost)) return;
  world.provisioning.changes.push_back({&task, true,
                                        "ScaleRequest " + lost + " no longer provides a server: " +
                                            WhyLost(world, lost) + "; choosing again"});
}

// It is out of the queue, such as for a pod that may still run. What it was promised is not kept
// for it, nor paid for by it.
void ForgetNomination(World& world, TaskState& task) {
  if (task.binding || task.nominated.empty()) return;
  task.nominated.clear();
  Commit(world, task, 0);
}

}  // namespace

bool IsBelieved(const World& world, const ScaleState& scale) {
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  const auto& status = scale.object.status;
  // By the word of another leader alone it is neither ready nor given up.
  const bool unseen = status.phase == ScalePhase::kProvisioning && scale.hearsay;
  if (engine == nullptr || (engine->synced && !unseen)) return true;
  if (!engine->synced && world.servers.On(status.node_name) != nullptr) return false;
  return !status.requested_at || world.now < *status.requested_at + ProvisionTimeout(world, scale);
}

bool IsToldOfServer(const TaskState& task) {
  return !task.nominated.empty() && task.object.status.phase == api::TaskPhase::kScaling;
}

bool MayHostYet(const World& world, const ScaleState& scale) {
  const api::ScaleStatus& status = scale.object.status;
  if (status.phase != ScalePhase::kReady || scale.hosted || !status.ready_at) return false;
  const bool alone = std::none_of(scale.object.for_tasks.begin(), scale.object.for_tasks.end(),
                                  [&](const api::TaskRef& buyer) {
                                    const TaskState* task = world.tasks.ByUid(buyer.uid);
                                    return task != nullptr && task->gang != nullptr;
                                  });
  const PoolState* pool = PoolOf(world.provisioning, scale);
  return alone && pool != nullptr &&
         world.now < *status.ready_at + pool->object.spec.provision_timeout;
}

void BeginPlan(World& world) {
  ++world.provisioning.plan;
  for (auto& [name, scale] : world.provisioning.scales) {
    scale.nominated = 0;
    scale.promised_whole = false;
    const PoolState* pool = PoolOf(world.provisioning, scale);
    scale.room = pool == nullptr ? api::Resources{} : PoolRoom(*pool);
  }
}

void Nominate(World& world, TaskState& task, ScaleState& scale, const std::string& note) {
  scale.room -= task.shape->requests;
  ++scale.nominated;
  scale.promised_whole = task.shape->exclusive;
  task.planned = world.provisioning.plan;
  const std::string& name = scale.object.meta.name;
  world.provisioning.nominated.insert(task.object.meta.key());
  if (task.nominated == name) return;
  task.nominated = name;
  // Nothing is asked of an engine for a purchase of the process before until somebody wants it.
  if (scale.created && !scale.ensured) world.WakeAt(world.now);
  const PoolState* pool = PoolOf(world.provisioning, scale);
  if (pool != nullptr)
    Commit(world, task, EstimateCost(*task.shape, pool->object.spec.price_micros));
  if (scale.created || !scale.delay.told.empty()) return TellNominated(world, task, scale, note);
  scale.untold[*task.key] = note;
}

void KeepPromises(World& world) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (!IsInflight(scale) && !MayHostYet(world, scale)) continue;
    for (const api::TaskRef& buyer : scale.object.for_tasks) {
      TaskState* task = world.tasks.ByUid(buyer.uid);
      if (task != nullptr && (task->nominated.empty() || task->nominated == name))
        RenewNomination(world, *task, scale);
    }
  }
  std::vector<std::pair<QueuePosition, TaskState*>> waiting;
  for (const std::string& key : world.provisioning.nominated) {
    const auto task = world.tasks.by_key.find(key);
    if (task != world.tasks.by_key.end() && task->second.queued)
      waiting.emplace_back(task->second.place(), &task->second);
  }
  std::sort(waiting.begin(), waiting.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [position, task] : waiting) {
    const auto scale = world.provisioning.scales.find(task->nominated);
    if (scale == world.provisioning.scales.end() || !RenewNomination(world, *task, scale->second))
      MoveNomination(world, *task);
  }
}

void DropNominations(World& world) {
  for (auto at = world.provisioning.nominated.begin(); at != world.provisioning.nominated.end();) {
    const auto task = world.tasks.by_key.find(*at);
    if (task != world.tasks.by_key.end() && task->second.planned == world.provisioning.plan) {
      ++at;
      continue;
    }
    if (task != world.tasks.by_key.end()) {
      if (task->second.queued)
        DropNomination(world, task->second);
      else
        ForgetNomination(world, task->second);
    }
    at = world.provisioning.nominated.erase(at);
  }
  world.provisioning.not_created.clear();
}

const ScaleState* FindInflight(const World& world, const Shape& shape, int64_t most) {
  for (const auto& [name, scale] : world.provisioning.scales) {
    if (IsToCome(world, shape, scale, false) && HasRoom(world, shape, scale) &&
        world.provisioning.pools.at(scale.object.pool).object.spec.price_micros <= most)
      return &scale;
  }
  return nullptr;
}

void TellNominated(World& world, TaskState& task, const ScaleState& scale,
                   const std::string& note) {
  const bool ready = scale.object.status.phase == ScalePhase::kReady && !scale.lacks.empty();
  const std::string what =
      ready ? "waiting for node " + scale.object.status.node_name + ": " + scale.lacks
            : "waiting for a server of pool " + scale.object.pool;
  world.provisioning.changes.push_back(
      {&task, false,
       what + " (ScaleRequest " + scale.object.meta.name + ")" + scale.delay.told + note});
}

void TellCreated(World& world, ScaleState& scale) {
  for (const auto& [key, note] : std::exchange(scale.untold, {})) {
    const auto task = world.tasks.by_key.find(key);
    if (task != world.tasks.by_key.end() && task->second.nominated == scale.object.meta.name)
      TellNominated(world, task->second, scale, note);
  }
}

void TellWaiting(World& world, const ScaleState& scale) {
  for (const std::string& key : world.provisioning.nominated) {
    const auto task = world.tasks.by_key.find(key);
    if (task != world.tasks.by_key.end() && task->second.nominated == scale.object.meta.name)
      TellNominated(world, task->second, scale);
  }
}

}  // namespace spillway::core
