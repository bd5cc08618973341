#include "operator/core/core.h"

#include <algorithm>

#include "operator/core/budgets/budgets.h"
#include "operator/core/dispatch.h"
#include "operator/core/explain/explain.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/pool_fit.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/admitted_pods.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/placer.h"
#include "operator/core/scheduling/preemption.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/tenants.h"
#include "operator/core/servers/load.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/carry_out.h"
#include "operator/core/tasks/changed_pods.h"
#include "operator/core/tasks/observe_pods.h"
#include "operator/core/tasks/overruns.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/status_queue.h"
#include "operator/core/tasks/stuck.h"
#include "operator/core/tasks/tasks.h"
#include "operator/core/world.h"

namespace spillway::core {
namespace {

// Heartbeats and costs are looked at this often when nothing else happens.
constexpr Duration kCheckEvery{5'000};

// Whether any sight of the kind may tell why a task waits. Of tasks, servers and nodes most are
// echoes of a status, or heartbeats, and polled engines say again and again what they have: the
// rooms count those that are more.
bool Moves(const World& world, Kind kind, const std::string& engine) {
  if (kind == Kind::kCloudServer) return !IsPolled(world, engine);
  return kind != Kind::kTask && kind != Kind::kServer && kind != Kind::kNode &&
         kind != Kind::kLease && kind != Kind::kNamespace;
}

struct Taker {
  World& world;
  bool& versions_went_back;

  void SetBehind(Kind kind, const std::string& engine, bool behind) const {
    world.behind[static_cast<size_t>(kind)] = behind;
    const auto feed = world.engines.find(engine);
    if (feed == world.engines.end()) return;
    feed->second.behind = behind;
    if (behind) feed->second.behind_since = std::min(feed->second.behind_since, world.now);
  }
  void Advance(Kind kind, const std::string& engine, int64_t version) const {
    if (int64_t* known = world.SeenUpTo(kind, engine)) *known = std::max(*known, version);
    SetBehind(kind, engine, false);
  }
  void operator()(const Seen& seen) const {
    const std::string& engine = EngineOf(seen.object);
    world.Hear(KindOf(seen.object), engine);
    if (Moves(world, KindOf(seen.object), engine)) ++world.generation;
    Observe(world, seen.object);
    if (!seen.in_list) Advance(KindOf(seen.object), engine, VersionOf(seen.object));
  }
  void operator()(const Gone& gone) const {
    world.Hear(gone.kind, gone.engine);
    ++world.generation;
    Forget(world, gone);
    Advance(gone.kind, gone.engine, gone.resource_version);
  }
  void operator()(const Listed& listed) const {
    world.Hear(listed.kind, listed.engine);
    const int64_t* known = world.SeenUpTo(listed.kind, listed.engine);
    // What does not exist is listed without a version.
    versions_went_back = versions_went_back || (known != nullptr && listed.resource_version > 0 &&
                                                listed.resource_version < *known);
    ForgetOthers(world, listed);
    Advance(listed.kind, listed.engine, listed.resource_version);
    world.MarkSynced(listed.kind, listed.engine);
  }
  void operator()(const Bookmark& bookmark) const {
    world.Hear(bookmark.kind, bookmark.engine);
    Advance(bookmark.kind, bookmark.engine, bookmark.resource_version);
  }
  void operator()(const Behind& behind) const { SetBehind(behind.kind, behind.engine, true); }
  void operator()(const CloudDiagnosis& diagnosis) const { Diagnosed(world, diagnosis); }
  void operator()(const PodWarned& warned) const { HearPod(world, warned); }
  void operator()(const Measured& measured) const { Measure(world, world.servers, measured); }
  void operator()(const Outcome& outcome) const {
    if (outcome.verb != Verb::kPatchStatus) ++world.generation;
    Conclude(world, outcome);
  }
};

// Of alarms that are meant no more, such as far deadlines of tasks that are gone, so many are kept
// beside one for each task.
constexpr size_t kIdleAlarms = 1'000;

void WakeDue(World& world) {
  Tasks& tasks = world.tasks;
  const auto meant = [&](Time time, const std::string& key) {
    const auto task = tasks.by_key.find(key);
    return task != tasks.by_key.end() && task->second.wake == time;
  };
  tasks.wakes.Due(world.now, [&](Time time, const std::string& key) {
    if (!meant(time, key)) return;
    tasks.by_key.at(key).wake = kNever;
    tasks.to_reconcile.insert(key);
  });
  if (tasks.wakes.size() > 2 * tasks.by_key.size() + kIdleAlarms) tasks.wakes.Keep(meant);
}

void WakeDisturbed(World& world) {
  for (const std::string& node : std::exchange(world.servers.disturbed, {})) {
    world.servers.ledger.ForEachOwner(node, [&](const Owner& owner, const Demand&) {
      if (owner.task != nullptr) world.tasks.to_reconcile.insert(*owner.task->key);
    });
  }
}

void ReconcileServers(World& world) {
  if (world.now >= world.servers.next_check) {
    world.servers.next_check = world.now + kCheckEvery;
    CheckNodes(world, world.servers);
    ForgetLearned(world);
    ForgetTenants(world);
  }
  world.WakeAt(world.servers.next_check);
  ForgetOldLoads(world, world.servers);
  RegisterAndJudge(world, world.servers);
  WakeDisturbed(world);
}

// Returns those whose pod may be created now that their status tells of it.
std::vector<TaskState*> ReconcileTasks(World& world) {
  std::vector<TaskState*> recorded;
  // One task lets others be reconciled only by way of a new event, so one round is enough.
  TakeTasks(world.tasks, world.tasks.to_reconcile, [&](TaskState& task, auto key) {
    ReconcileTask(world, task);
    if (MaySend(task)) recorded.push_back(&task);
    world.tasks.touched.insert(std::move(key));
  });
  return recorded;
}

// They wait for cheaper servers, if there are such.
void HoldUnpaid(World& world, Decisions& decisions, const std::vector<UnpaidTask>& unpaid) {
  for (const UnpaidTask& each : unpaid) {
    HeldTask need = each.need;
    const auto most = need.together > 0 ? std::nullopt : PricePayable(world, *each.task, need);
    MarkOverBudget(world, decisions, *each.task, need, most);
  }
}

// Whoever a server was bought for before this process began has the money for it, as it had then,
// before others take that.
void KeepEarlierPromises(World& world) {
  if (world.provisioning.plan > 0) return;
  BeginPlan(world);
  KeepPromises(world);
  TellNominations(world);
  world.WakeAt(world.now);
}

void BuyMissing(World& world, Decisions& decisions) {
  std::vector<UnpaidTask> unpaid = PlanPurchases(world);
  TellNominations(world);
  std::erase_if(unpaid, [](const UnpaidTask& each) { return !each.task->queued; });
  HoldUnpaid(world, decisions, unpaid);
  WithdrawPurchases(world);
}

// Whether tasks wait, and servers may have room for them since they were last tried.
bool MayPlaceMore(const World& world) {
  return !world.scheduling.tenants_waiting.empty() &&
         (world.scheduling.tried_capacity != world.servers.capacity_log.end() ||
          world.scheduling.tried_properties != world.servers.property_log.end());
}

// Work that a part of the step has left to an earlier one is done at once, not with the next event.
void WakeForTheRest(World& world) {
  if (!world.tasks.to_reconcile.empty() || !world.servers.to_reconcile.empty() ||
      !world.servers.disturbed.empty() || !world.scheduling.touched_gangs.empty() ||
      MayPlaceMore(world))
    world.WakeAt(world.now);
}

// One step, in the order that ARCHITECTURE.md numbers.
void Decide(World& world) {
  CarryOut decisions(world, [&](const api::RegisteredServerSpec& server) {
    return PodAnnotations(world, server);
  });
  // 1. What time alone has made due.
  WakeDue(world);
  EndRefusals(world);
  // 2. Servers: which there are, and which take tasks.
  ReconcileServers(world);
  // 3. Tasks: follow those that run, end them, queue those that wait.
  ForgetEarlyGone(world);
  DeleteChanged(world);
  const std::vector<TaskState*> recorded = ReconcileTasks(world);
  // 4. Purchases move on; a server that is given back takes no task in this very step.
  AdvanceScales(world);
  TellNominations(world);
  ReconcileServers(world);
  for (TaskState* task : recorded) SendHeld(world, *task);
  // 5. Who waits for what: groups, money, reservations.
  FollowGangs(world, decisions);
  BeginPeriods(world, world.budgets);
  CountOverruns(world);
  EaseHeld(world);
  KeepEarlierPromises(world);
  KeepReservations(world);
  // 6. Place what waits on the servers that are there.
  HoldUnpaid(world, decisions, PlaceWaiting(world, decisions));
  // 7. Buy what is missing.
  BuyMissing(world, decisions);
  // 8. Make room, or keep it, for those that neither helped. A server may have been kept for a task
  // that has just been put aside, or that it suits no more.
  KeepReservations(world);
  Preempt(world, decisions, [&](const TaskState& task) { return MayBuy(world, task); });
  MakeReservations(world);
  // 9. Say what has changed.
  FlushTasks(world);
  ExplainWaiting(world);
  DescribeServers(world, world.servers);
  DescribePools(world);
  DescribeBudgets(world, world.budgets);
  UpdateIndex(world.servers);
  world.WakeAt(world.tasks.wakes.next());
  WakeForTheRest(world);
}

// The first list of an engine may fail for ever, as for want of a right.
void LetGoOfUnlisted(World& world) {
  for (auto& [name, engine] : world.engines) {
    if (engine.synced || engine.let_go || engine.behind_since == kNever) continue;
    engine.let_go = world.now >= engine.behind_since + kFresh;
    if (!engine.let_go) world.WakeAt(engine.behind_since + kFresh);
  }
}

}  // namespace

Core::Core(std::vector<api::EngineTraits> engines) : world_(std::make_unique<World>()) {
  for (api::EngineTraits& traits : engines) {
    const std::string name = traits.name;
    world_->engines[name] = {std::move(traits)};
  }
}
Core::~Core() = default;

StepResult Core::Step(std::span<const Event> events, Time now) {
  World& world = *world_;
  world.now = now;
  world.wake = kNever;
  for (const Event& event : events) std::visit(Taker{world, versions_went_back_}, event);
  if (versions_went_back_) return {};
  LetGoOfUnlisted(world);
  if (world.ready()) Decide(world);
  return {std::exchange(world.effects, {}), std::exchange(world.milestones, {}), world.wake};
}

}  // namespace spillway::core
