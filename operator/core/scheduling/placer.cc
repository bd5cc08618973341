#include "operator/core/scheduling/placer.h"

#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/assume.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/preemption.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/search.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

void Bind(World& world, Decisions& decisions, TaskState& task, const ServerState& server) {
  // Before its room is taken, which would change the order.
  auto others = task.shape->via_scheduler ? OtherNodes(world, *task.shape, server)
                                          : std::vector<std::string>{};
  decisions.Bind(task, server, std::move(others));
  AssumePod(world, task, *server.usage);
  CreationSent(world, task);
  Dequeue(world, task);
  task.nominated.clear();
  NoteMadeWay(world, task);
  Commit(world, task, EstimateCost(*task.shape, server.object.spec.price_micros));
  ReleaseReservation(world, *task.shape);
}

// What is tried next: the first task of a shape, a group as a whole, or the first of a namespace's
// tasks.
struct Head {
  Shape* shape = nullptr;
  Gang* gang = nullptr;
  Tenant* tenant = nullptr;
  Turn turn = {{.priority = std::numeric_limits<int64_t>::max()}};  // before all
  bool refused = false;  // the one whose turn it is: the namespace's next one is meant

  bool operator<(const Head& other) const { return other.turn < turn; }  // the first on top
};

// Where it stands by now; false if nothing is left.
bool Refresh(const World& world, Head& head) {
  if (head.shape != nullptr) {
    if (head.shape->waiting.empty()) return false;
    head.turn = head.shape->waiting.First(world);
    return true;
  }
  if (head.gang != nullptr) {
    if (head.gang->waiting.empty()) return false;
    head.turn.position = *head.gang->waiting.begin();
  } else {
    const Positions& firsts = head.tenant->firsts;
    const QueuePosition& from = head.turn.position;
    auto at = firsts.begin();
    if (std::exchange(head.refused, false)) {
      at = firsts.upper_bound(from);
    } else if (at != firsts.end() && at->task != from.task) {  // mostly it is the first
      at = firsts.lower_bound(from);
    }
    if (at == firsts.end()) return false;
    head.turn.position = *at;
  }
  head.turn.share = ShareOf(world, *head.turn.position.task->tenant);
  return true;
}

// Those to be tried, the one whose turn it is on top of the heap.
class Heads {
 public:
  bool empty() const { return heads_.empty(); }
  void Push(const Head& head) {
    heads_.push_back(head);
    std::push_heap(heads_.begin(), heads_.end());
  }
  Head Pop() {
    std::pop_heap(heads_.begin(), heads_.end());
    const Head head = heads_.back();
    heads_.pop_back();
    return head;
  }
  void DropTenants() {
    heads_.erase(std::remove_if(heads_.begin(), heads_.end(),
                                [](const Head& head) { return head.tenant != nullptr; }),
                 heads_.end());
    std::make_heap(heads_.begin(), heads_.end());
  }

 private:
  absl::InlinedVector<Head, 4> heads_;
};

// True if the task may not start yet: it waits elsewhere until it may.
bool AwaitsStart(World& world, Decisions& decisions, TaskState& task) {
  if (decisions.MayStart(task)) return false;
  Dequeue(world, task);
  decisions.AwaitStart(task);
  return true;
}

// False if no server has room for the shape. unpaid: those that cannot be paid wait in no queue
// until all others were tried; then they wait as tasks of another shape, and theirs may be gone.
bool PlaceFirst(World& world, Decisions& decisions, Shape& shape, TaskState& first,
                std::vector<UnpaidTask>& unpaid) {
  const ServerState* server = BestServer(world, shape);
  if (server == nullptr) return false;
  const int64_t price = server->object.spec.price_micros;
  // Both take the task out of this queue: it waits for money, or for a pod on a node that looked
  // lost when the task was queued and is back.
  if (!MayPay(world, first, price)) {
    Dequeue(world, first);
    unpaid.push_back({&first, {price, 0}});
  } else if (!AwaitsStart(world, decisions, first)) {
    Bind(world, decisions, first, *server);
  }
  return true;
}

void PlaceTogether(World& world, Decisions& decisions, Gang& gang, std::vector<UnpaidTask>& held) {
  for (const QueuePosition& position : Positions(gang.waiting)) {
    Admission& admission = *position.task->admission;
    DoubtOld(world, admission);
    if (!MayCreate(world, admission)) return CloseGate(world, admission);
    if (AwaitsStart(world, decisions, *position.task)) return;
  }
  std::vector<std::pair<TaskState*, int64_t>> unpaid;  // and their prices
  int64_t need = 0;
  const auto choose = [&](Shape& shape) {
    UpdateIndex(world.servers);
    world.scheduling.placing = &gang;
    const ServerState* server = SelectServer(world, shape);
    world.scheduling.placing = nullptr;
    return server;
  };
  PlaceGang(
      world, gang, choose,
      [&](const GangPlaces& places) {
        int64_t committed = 0;
        for (const auto& [task, server] : places) {
          const int64_t price = server->object.spec.price_micros;
          if (price > 0) unpaid.emplace_back(task, price);
          need += EstimateCost(*task->shape, price);
          committed += task->committed;
        }
        return unpaid.empty() ||
               need - committed <= LeftOf(world.budgets, *places.front().first->account);
      },
      [&](TaskState& task, const ServerState& server) { Bind(world, decisions, task, server); });
  for (auto& [task, price] : unpaid) {
    if (task->queued) held.push_back({task, {price, need}});
  }
}

void AddTenants(const World& world, Heads& heads) {
  for (Tenant* tenant : world.scheduling.tenants_waiting) {
    if (Head head{.tenant = tenant}; Refresh(world, head)) heads.Push(head);
  }
}

// Those who may find room: who was not refused yet, and where a server has changed or has more
// room, everyone.
Heads WhoMayFit(World& world, bool changed) {
  Heads heads;
  const auto add = [&](Head head) {
    if (Refresh(world, head)) heads.Push(head);
  };
  for (Shape* shape : world.scheduling.shapes.TakeUntried()) {
    if (AdvanceToCandidate(world, *shape)) add({.shape = shape});
  }
  for (auto& [name, gang] : world.scheduling.gangs) {
    if (Complete(gang) && WorthTrying(world, gang)) add({.gang = &gang});
  }
  if (changed || AdvanceToAnyCandidate(world)) AddTenants(world, heads);
  return heads;
}

// Whether one of a higher priority that asks for the same is hidden only for a moment: the room is
// kept for it that long.
bool Yields(World& world, const Shape& shape, const QueuePosition& position) {
  return shape.waiting.AnyHidden([&](const QueuePosition& hidden) {
    return hidden.priority > position.priority && AnswerIsNear(world, *hidden.task->admission);
  });
}

// Tries the head. False if there is nothing more to try by it.
bool TryHead(World& world, Decisions& decisions, Head& head, std::vector<UnpaidTask>& unpaid) {
  if (head.gang != nullptr) {
    PlaceTogether(world, decisions, *head.gang, unpaid);
    return false;
  }
  TaskState& task = *head.turn.position.task;
  Shape& shape = *task.shape;
  DoubtOld(world, *task.admission);
  if (!MayCreate(world, *task.admission)) {
    CloseGate(world, *task.admission);
    return true;
  }
  if (Yields(world, shape, head.turn.position)) {
    KeepUntried(world, shape);
    head.refused = true;
    return head.tenant != nullptr;
  }
  head.refused = (head.tenant != nullptr && !AdvanceToCandidate(world, shape)) ||
                 !PlaceFirst(world, decisions, shape, task, unpaid);
  return head.tenant != nullptr || !head.refused;
}

void PlaceShown(World& world, Decisions& decisions, std::vector<UnpaidTask>& unpaid) {
  world.scheduling.by_share = world.scheduling.tenants_waiting.size() > 1;
  const uint64_t grown = world.servers.capacity_log.end(),
                 changes = world.servers.property_log.end();
  const bool changed = world.scheduling.tried_properties != changes;
  Heads heads = WhoMayFit(world, changed);
  bool others = true;  // tasks behind the first of a refused shape may still find room
  while (!heads.empty()) {
    Head head = heads.Pop();
    const Turn before = head.turn;
    if (!Refresh(world, head)) continue;
    if (before < head.turn) {  // others were bound since
      heads.Push(head);
      continue;
    }
    const size_t kept = world.scheduling.reserved.size();
    const bool goes_on = TryHead(world, decisions, head, unpaid);
    // Its reservation is free for all others now, also for those that were refused before.
    if (world.scheduling.reserved.size() < kept) {
      heads.DropTenants();
      AddTenants(world, heads);
      others = true;
      if (head.tenant != nullptr) continue;
    }
    if (!goes_on) continue;
    // Mostly nothing is left that any other could use: no more of them is looked at.
    if (others && !head.refused && !changed && !AdvanceToAnyCandidate(world)) {
      others = false;
      heads.DropTenants();
    }
    if ((others || head.tenant == nullptr) && Refresh(world, head)) heads.Push(head);
  }
  world.scheduling.tried_capacity = std::max(world.scheduling.tried_capacity, grown);
  world.scheduling.tried_properties = changes;
}

// Where this is not enough, the rest has its turn in the next step.
constexpr int kMostRounds = 64;

}  // namespace

std::vector<UnpaidTask> PlaceWaiting(World& world, Decisions& decisions) {
  std::vector<UnpaidTask> unpaid;
  for (int round = 0; round < kMostRounds; ++round) {
    OpenGates(world);
    PlaceShown(world, decisions, unpaid);
    if (world.scheduling.closed.empty() || world.now < world.scheduling.gates_at) break;
  }
  if (!world.scheduling.closed.empty()) world.WakeAt(world.scheduling.gates_at);
  return unpaid;
}

}  // namespace spillway::core
