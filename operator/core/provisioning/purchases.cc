// PlanPurchases of scaling.h.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/bought.h"
#include "operator/core/provisioning/patience.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/preemption.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

bool MayUseCloud(const Shape& shape) { return shape.placement.policy != api::Policy::kLocalOnly; }

ScaleState& CreateScaleRequest(World& world, const PoolState& pool, const std::string& need,
                               int64_t number) {
  const std::string name = PurchaseName(need, number);
  ScaleState& scale = world.provisioning.scales[name];
  scale.object.meta.name = name;
  scale.object.meta.labels = {{api::kPoolLabel, pool.object.meta.name},
                              {kPoolGenerationLabel, std::to_string(pool.object.meta.generation)}};
  scale.object.pool = pool.object.meta.name;
  const api::ServerPoolSpec& spec = pool.object.spec;
  if (const EngineFeed* engine = world.Engine(spec.engine);
      engine != nullptr && engine->traits.external) {
    scale.object.engine = spec.engine;
    scale.object.backend = spec.backend;
    scale.object.finalizers = {api::kLeaseFinalizer};
  }
  scale.room = PoolRoom(pool);
  scale.creating = true;
  return scale;
}

// So long a registration that nobody answers keeps tasks from having a server bought.
constexpr Duration kRegisteredWithin{10'000};

// A node that is being registered may take what waits: a moment's patience saves a purchase.
bool Registering(World& world) {
  bool any = false;
  for (const auto& [name, node] : world.servers.nodes) {
    const Time until = node.registering_since + kRegisteredWithin;
    if (!node.registering || !node.object || world.now >= until) continue;
    world.WakeAt(until);
    any = true;
  }
  return any;
}

// What a plan comes to, beside its nominations.
struct Plan {
  std::vector<ScaleState*> fresh;  // bought in it
  std::vector<UnpaidTask> held;
  std::optional<bool> registering;  // looked at once
  // Of the shape that is planned for: nothing is bought yet for one of it, for a reason of its own;
  // and no server on its way has room for it, whatever that costs.
  bool paused = false, nothing_coming = false;
};

// The price of the server that the shape would wait for, whatever is left to pay it; nothing if
// there is none.
std::optional<int64_t> PriceAhead(const World& world, const Shape& shape) {
  if (const ScaleState* coming = FindInflight(world, shape)) {
    const auto pool = world.provisioning.pools.find(coming->object.pool);
    if (pool != world.provisioning.pools.end()) return pool->second.object.spec.price_micros;
  }
  const PoolState* pool = BestPool(world, shape);
  if (pool == nullptr) return std::nullopt;
  return pool->object.spec.price_micros;
}

// Whether nothing is bought for the task yet, since the last server that was did not take it. It is
// looked at again when that is over.
bool MustWait(World& world, TaskState& task) {
  auto until = RefusedInCloud(world, task);
  // Others give way to it meanwhile: a server would be bought to be given back.
  const Reservation* kept = ReservationOn(world.scheduling, task.shape->reserved);
  if (!until && kept != nullptr && kept->made_way && kept->stopped && kept->start > world.now &&
      kept->start <= world.now + kWorthWaiting &&
      task.shape->waiting.First(world).position.task == &task)
    until = kept->start;
  if (until) world.tasks.Wake(task, *until);
  return until.has_value();
}

// The first server on its way that has room, or a new one; null if there is neither. paused: set if
// that is for what became of the last one that was bought for the task, which says nothing of
// others of its shape.
ScaleState* ServerFor(World& world, TaskState& task, Plan& plan, bool* paused) {
  const int64_t most = PayableUpTo(world, task);
  if (!plan.nothing_coming) {
    if (const ScaleState* coming = FindInflight(world, *task.shape, most))
      return &world.provisioning.scales.at(coming->object.meta.name);
    plan.nothing_coming = task.account->budgets.empty();
  }
  const Bought bought = BoughtFor(world, task.uid());
  *paused = bought.lasting > 0 || MustWait(world, task);
  if (*paused) return nullptr;
  const PoolState* pool = BestPool(world, *task.shape, most);
  if (!plan.registering) plan.registering = Registering(world);
  if (pool == nullptr || *plan.registering) return nullptr;
  ScaleState& scale = CreateScaleRequest(world, *pool, task.uid(), bought.last + 1);
  scale.object.meta.labels[api::kTaskNameLabel] = task.object.meta.name;
  scale.object.shape = EncodeResources(task.shape->requests);
  plan.fresh.push_back(&scale);
  plan.nothing_coming = false;
  return &scale;
}

constexpr size_t kMostBuyers = 100;

// minServers and warmSpares: purchases that no task has asked for, named after their pool.
void KeepStock(World& world, std::vector<ScaleState*>& fresh) {
  for (auto& [name, pool] : world.provisioning.pools) {
    for (int64_t lacks = PoolLacks(world, pool); lacks > 0 && PoolMayBuy(world, pool, nullptr);
         --lacks) {
      fresh.push_back(&CreateScaleRequest(world, pool, pool.object.meta.uid,
                                          BoughtFor(world, pool.object.meta.uid).last + 1));
      world.WakeAt(world.now);  // promised to a task, it is stock no more
    }
  }
}

// Lets the task wait for a server on its way, or for a new one. False if there is neither for any
// task of its shape. next: set to when it may, if not yet.
bool PlanTask(World& world, TaskState& task, Plan& plan, Time* next) {
  if (task.planned == world.provisioning.plan) return true;
  const Time patient_until = task.waiting_since + task.shape->placement.burst_after;
  if (world.now < patient_until) {
    *next = std::min(*next, patient_until);
    return true;
  }
  std::string numbers;
  if (task.shape->placement.burst_auto && !FindInflight(world, *task.shape)) {
    const PoolState* pool = BestPool(world, *task.shape);
    Rank(world, *task.shape);
    if (pool != nullptr && PaysToWait(world, task, *pool, &numbers)) {
      *next = std::min(*next, world.now + kForecastKept);
      return true;
    }
    if (!numbers.empty()) numbers = "; it pays to buy: " + numbers;
  }
  auto& fresh = plan.fresh;
  bool paused = false;
  ScaleState* scale = ServerFor(world, task, plan, &paused);
  if (scale == nullptr) {
    plan.paused = plan.paused || paused;
    if (paused && task.account->budgets.empty()) return true;
    const auto price = PriceAhead(world, *task.shape);
    if (!price || MayPay(world, task, *price)) return paused;
    plan.held.push_back({&task, {*price, 0}});
    return true;
  }
  Nominate(world, task, *scale, numbers);
  const api::ObjectMeta& meta = task.object.meta;
  const bool new_one = std::find(fresh.begin(), fresh.end(), scale) != fresh.end();
  if (new_one && scale->object.for_tasks.size() < kMostBuyers) {
    scale->object.for_tasks.push_back({meta.ns, meta.name, meta.uid});
  }
  return true;
}

void PlanShape(World& world, Shape& shape, Plan& plan) {
  if (world.now < shape.burst_at) return world.WakeAt(shape.burst_at);
  Time next = kNever;
  plan.paused = plan.nothing_coming = false;
  const bool refused = shape.waiting.AnyOf(
      [&](const QueuePosition& position) { return !PlanTask(world, *position.task, plan, &next); });
  if (next != kNever) world.WakeAt(next);
  if (refused) return;  // nor for the others of this shape
  // What the last purchase of a task becomes is not known before, so it is looked at in each step.
  shape.burst_at = plan.paused ? Time{} : next;
}

// Whether servers can be had for all that the group lacks: a part of them would be paid for in
// vain.
bool MayBuyAll(const World& world, const std::vector<TaskState*>& unplaced) {
  std::vector<std::pair<const PoolState*, api::Resources>> rooms;  // of servers that would be new
  std::map<const PoolState*, int64_t> bought;
  for (const TaskState* task : unplaced) {
    const Shape& shape = *task->shape;
    if (!MayUseCloud(shape)) return false;
    if (FindInflight(world, shape) != nullptr) continue;
    const auto room = std::find_if(rooms.begin(), rooms.end(), [&](const auto& each) {
      return PoolFits(shape, *each.first, nullptr) && !shape.exclusive &&
             !AmountsMisfit(shape.requests, each.second);
    });
    if (room != rooms.end()) {
      room->second -= shape.requests;
      continue;
    }
    const PoolState* pool = BestPool(world, shape);
    if (pool == nullptr || BoughtFor(world, task->uid()).lasting > 0) return false;
    const api::ServerPoolSpec& spec = pool->object.spec;
    if (PoolPlacesTaken(world, pool->object.meta.name) + ++bought[pool] > spec.max_servers)
      return false;
    rooms.emplace_back(pool, shape.exclusive ? api::Resources{} : PoolRoom(*pool));
    if (!shape.exclusive) rooms.back().second -= shape.requests;
  }
  return true;
}

// Whether the group can be paid; if not, its members are held.
bool PayAll(const World& world, const std::vector<TaskState*>& unplaced, Plan& plan) {
  int64_t need = 0, dearest = 0;
  for (const TaskState* task : unplaced) {
    const int64_t price = PriceAhead(world, *task->shape).value_or(0);
    need += EstimateCost(*task->shape, price);
    dearest = std::max(dearest, price);
  }
  if (dearest == 0 || need <= LeftOf(world.budgets, *unplaced.front()->account)) return true;
  for (TaskState* task : unplaced) plan.held.push_back({task, {0, need}});
  return false;
}

// All are looked at, so that each is woken.
bool MustAnyWait(World& world, const std::vector<TaskState*>& unplaced) {
  return std::count_if(unplaced.begin(), unplaced.end(),
                       [&](TaskState* task) { return MustWait(world, *task); }) > 0;
}

void PlanGang(World& world, const Gang& gang, Plan& plan) {
  // What it lacked when it was tried last says nothing any more. It is not tried while its pods
  // cannot be created.
  if (WorthTrying(world, gang)) return;
  std::vector<TaskState*> unplaced;
  for (const std::string& key : gang.unplaced) {
    const auto member = gang.members.find(key);
    if (member == gang.members.end() || !member->second->queued) return;
    if (member->second->planned != world.provisioning.plan) unplaced.push_back(member->second);
  }
  if (unplaced.empty() || !Complete(gang) || MustAnyWait(world, unplaced) ||
      !MayBuyAll(world, unplaced) || !PayAll(world, unplaced, plan))
    return;
  Time next = kNever;
  for (TaskState* task : unplaced) {
    plan.nothing_coming = false;  // they are of several shapes
    PlanTask(world, *task, plan, &next);
  }
  if (next != kNever) world.WakeAt(next);
}

void Send(World& world, const std::vector<ScaleState*>& fresh) {
  for (ScaleState* scale : fresh) {
    scale->asked = scale->object;
    scale->sent_at = world.now;
    world.effects.push_back(Write{Verb::kCreate, Kind::kScale, "", scale->object.meta.name, "", 0,
                                  EncodeNew(scale->object), std::nullopt});
  }
}

// Of each purchase that exists, whether any task waits for it.
std::vector<bool> WhichArePromised(const World& world) {
  std::vector<bool> out;
  for (const auto& [name, scale] : world.provisioning.scales) {
    if (scale.created) out.push_back(scale.nominated > 0);
  }
  return out;
}

}  // namespace

std::string ExplainPurchase(const World& world, const TaskState& task) {
  if (!MayUseCloud(*task.shape) || task.in_gang || !task.nominated.empty()) return "";
  if (const auto until = RefusedInCloud(world, task))
    return "; no other server is bought for it before " + FormatTime(*until) +
           ": the one that was did not take it";
  const int64_t lasting = BoughtFor(world, task.uid()).lasting;
  if (lasting == 0) return "";
  return "; nothing else is bought for it while ScaleRequest " + PurchaseName(task.uid(), lasting) +
         " lasts";
}

const PoolState* BestPool(const World& world, const Shape& shape, int64_t most) {
  const PoolState* best = nullptr;
  for (const auto& [name, pool] : world.provisioning.pools) {
    if (pool.object.spec.price_micros > most) continue;
    if (!PoolFits(shape, pool, nullptr) || !PoolMayBuy(world, pool, nullptr)) continue;
    const auto rank = [](const PoolState& state) {
      return std::pair(-state.object.spec.priority, state.object.spec.price_micros);
    };
    if (best == nullptr || rank(pool) < rank(*best)) best = &pool;
  }
  return best;
}

bool MayBuy(const World& world, const TaskState& task) {
  const Shape& shape = *task.shape;
  if (!MayUseCloud(shape)) return false;
  if (FindInflight(world, shape) != nullptr) return true;
  return !RefusedInCloud(world, task) && BestPool(world, shape) != nullptr;
}

std::vector<UnpaidTask> PlanPurchases(World& world) {
  const std::vector<bool> before = WhichArePromised(world);
  BeginPlan(world);
  KeepPromises(world);
  const auto order =
      WaitingShapes(world, [](const Shape& shape, const TaskState&) { return MayUseCloud(shape); });
  Plan plan;
  for (auto& [turn, shape] : order) PlanShape(world, *shape, plan);
  for (auto& [name, gang] : world.scheduling.gangs) PlanGang(world, gang, plan);
  KeepStock(world, plan.fresh);
  Send(world, plan.fresh);
  DropNominations(world);
  // Which are idle, and which are spares, goes by that.
  if (WhichArePromised(world) != before) world.WakeAt(world.now);
  return std::move(plan.held);
}

}  // namespace spillway::core
