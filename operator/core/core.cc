#include "operator/core/core.h"

#include <algorithm>

#include "operator/core/budgets/budgets.h"
#include "operator/core/dispatch.h"
#include "operator/core/explain/explain.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/placer.h"
#include "operator/core/scheduling/preemption.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/servers/load.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/stuck.h"
#include "operator/core/tasks/tasks.h"
#include "operator/core/world.h"

namespace spillway::core {
namespace {

// Heartbeats and costs are looked at this often when nothing else happens.
constexpr Duration kCheckEvery{5'000};

// Whether any sight of the kind may tell why a task waits. Of tasks, servers and nodes most are
// echoes of a status, or heartbeats: the rooms count those that are more.
bool Moves(Kind kind) {
  return kind != Kind::kTask && kind != Kind::kServer && kind != Kind::kNode &&
         kind != Kind::kLease && kind != Kind::kNamespace;
}

struct Taker {
  World& world;

  void Advance(Kind kind, int64_t version) const {
    int64_t& known = world.seen_up_to[static_cast<size_t>(kind)];
    known = std::max(known, version);
    world.behind[static_cast<size_t>(kind)] = false;
  }
  void operator()(const Seen& seen) const {
    world.Hear(KindOf(seen.object));
    if (Moves(KindOf(seen.object))) ++world.generation;
    Observe(world, seen.object);
    if (!seen.in_list) Advance(KindOf(seen.object), VersionOf(seen.object));
  }
  void operator()(const Gone& gone) const {
    world.Hear(gone.kind);
    ++world.generation;
    Forget(world, gone);
    Advance(gone.kind, gone.resource_version);
  }
  void operator()(const Listed& listed) const {
    world.Hear(listed.kind);
    ForgetOthers(world, listed);
    Advance(listed.kind, listed.resource_version);
    world.synced[static_cast<size_t>(listed.kind)] = true;
  }
  void operator()(const Bookmark& bookmark) const {
    world.Hear(bookmark.kind);
    Advance(bookmark.kind, bookmark.resource_version);
  }
  void operator()(const Behind& behind) const {
    world.behind[static_cast<size_t>(behind.kind)] = true;
  }
  void operator()(const CloudDiagnosis& diagnosis) const { Diagnosed(world, diagnosis); }
  void operator()(const PodWarned& warned) const { HearPod(world, warned); }
  void operator()(const Measured& measured) const { Measure(world, world.servers, measured); }
  void operator()(const Outcome& outcome) const {
    if (outcome.verb != Verb::kPatchStatus) ++world.generation;
    Conclude(world, outcome);
  }
};

void WakeDue(World& world) {
  world.tasks.wakes.Due(world.now, [&](Time time, const std::string& key) {
    const auto task = world.tasks.by_key.find(key);
    if (task == world.tasks.by_key.end() || task->second.wake != time) return;  // meant no more
    task->second.wake = kNever;
    world.tasks.to_reconcile.insert(key);
  });
}

void WakeDisturbed(World& world) {
  for (const std::string& node : std::exchange(world.servers.disturbed, {})) {
    world.servers.ledger.ForEachOwner(node, [&](const Owner& owner) {
      if (owner.task != nullptr) world.tasks.to_reconcile.insert(*owner.task->key);
    });
  }
}

void ReconcileServers(World& world) {
  if (world.now >= world.servers.next_check) {
    world.servers.next_check = world.now + kCheckEvery;
    CheckNodes(world, world.servers);
    ForgetLearned(world);
  }
  world.WakeAt(world.servers.next_check);
  ForgetOldLoads(world, world.servers);
  RegisterAndJudge(world, world.servers);
  WakeDisturbed(world);
}

// Empties the keys, and calls visit(task, key) with each task that still exists. The key may be
// handed on to another set as it is: after a start those of all tasks are in one.
template <typename Visit>
void TakeTasks(World& world, std::set<std::string>& keys, Visit visit) {
  for (std::set<std::string> round = std::exchange(keys, {}); !round.empty();) {
    auto key = round.extract(round.begin());
    const auto task = world.tasks.by_key.find(key.value());
    if (task != world.tasks.by_key.end()) visit(task->second, std::move(key));
  }
}

void ReconcileTasks(World& world) {
  // One task may make others dirty only by way of a new event, so one round is enough.
  TakeTasks(world, world.tasks.to_reconcile, [&](TaskState& task, auto key) {
    ReconcileTask(world, task);
    world.tasks.touched.insert(std::move(key));
  });
}

// A write that may not be needed when others have had their turn.
bool MayWait(const World& world, const TaskState& task) {
  if (api::Finished(task.object.status.phase)) return false;
  if (world.tasks.to_write.size() + task.tenant->to_write.size() > kCrowded) return true;
  return world.tasks.statuses_in_flight >= kBusy && task.binding &&
         world.now < task.binding->assigned_at + kShortTask;
}

// So that a namespace whose writes hang does not take what others need.
bool Crowds(const Tenant& tenant) {
  return tenant.statuses_in_flight >=
         (tenant.statuses_fail ? kMostWhereTheyFail : kMostStatusesOfOne);
}

// Until a status of its namespace has been answered.
void StandInLine(TaskState& task, const std::string& key) {
  if (!std::exchange(task.to_write, true)) task.tenant->to_write.push_back(key);
}

// A status is encoded when its turn has come and not before: what happens to the task until then
// costs no write of its own, and the creation of pods does not wait behind statuses.
void WriteStatuses(World& world) {
  while (!world.tasks.to_write.empty() && world.tasks.statuses_in_flight < kMostStatusesInFlight) {
    const auto task = world.tasks.by_key.find(world.tasks.to_write.front());
    world.tasks.to_write.pop_front();
    if (task == world.tasks.by_key.end() || !std::exchange(task->second.to_write, false)) continue;
    if (task->second.queued) {
      world.explain.to_explain.insert(task->first);  // by now
    } else if (MayWait(world, task->second)) {
      PutOffStatus(world, task->second);
    } else if (Crowds(*task->second.tenant)) {
      StandInLine(task->second, task->first);
    } else {
      FlushStatus(world, task->second);
    }
  }
}

void FlushTasks(World& world) {
  TakeTasks(world, world.tasks.touched, [&](TaskState& task, auto key) {
    if (task.queued) {
      world.explain.to_explain.insert(std::move(key));
    } else if (!std::exchange(task.to_write, true)) {
      world.tasks.to_write.push_back(std::move(key.value()));
    }
  });
  WriteStatuses(world);
  // By what is old, nothing is explained; and the lists come sooner when nothing else is asked for.
  if (world.IsBehind()) return;
  world.explain.tested = 0;
  for (size_t explained = 0; !world.explain.to_explain.empty() && explained < kMostExplained &&
                             world.explain.tested < kMostTested &&
                             world.tasks.statuses_in_flight < kMostExplanationsInFlight;) {
    TaskState& task = world.tasks.by_key.at(*world.explain.to_explain.begin());
    auto key = world.explain.to_explain.extract(world.explain.to_explain.begin());
    if (Crowds(*task.tenant)) {
      StandInLine(task, key.value());
      continue;
    }
    explained += ExplainTask(world, task) ? 1 : 0;
    FlushStatus(world, task);
  }
  // Otherwise the next outcome of a status brings us back.
  if (!world.explain.to_explain.empty() &&
      world.tasks.statuses_in_flight < kMostExplanationsInFlight)
    world.WakeAt(world.now);
}

void Decide(World& world) {
  WakeDue(world);
  EndRefusals(world);
  ReconcileServers(world);
  ReconcileTasks(world);
  AdvanceScales(world);
  ReconcileServers(world);  // a server that is given back takes no task in this very step
  FollowGangs(world);
  KeepBudgets(world);
  KeepReservations(world);
  PlaceWaiting(world);
  PlanPurchases(world);
  Preempt(world);
  MakeReservations(world);
  FlushTasks(world);
  DescribeServers(world, world.servers);
  DescribePools(world);
  DescribeBudgets(world);
  UpdateIndex(world.servers);
  world.WakeAt(world.tasks.wakes.next());
}

}  // namespace

Core::Core() : world_(std::make_unique<World>()) {}
Core::~Core() = default;

StepResult Core::Step(std::span<const Event> events, Time now) {
  World& world = *world_;
  world.now = now;
  world.wake = kNever;
  for (const Event& event : events) std::visit(Taker{world}, event);
  if (world.ready()) Decide(world);
  return {std::exchange(world.effects, {}), std::exchange(world.milestones, {}), world.wake};
}

}  // namespace spillway::core
