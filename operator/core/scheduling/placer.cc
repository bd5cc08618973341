#include "operator/core/scheduling/placer.h"

#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/servers/load.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/pod_usage.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

void Match(const World& world, Shape& shape, uint32_t slot) {
  const ServerState* server = world.servers.slots[slot];
  if (server != nullptr && PropertiesFit(world, shape, *server, nullptr)) {
    shape.fits.Set(slot);
  } else {
    shape.fits.Clear(slot);
  }
}

// Takes up what has changed in servers' properties since the last time.
void RefreshMatches(const World& world, Shape& shape) {
  const uint64_t end = world.servers.property_log.end();
  if (shape.matched && world.servers.property_log.Knows(shape.properties_read)) {
    for (uint64_t i = shape.properties_read; i < end; ++i)
      Match(world, shape, world.servers.property_log.at(i));
  } else {
    for (uint32_t slot = 0; slot < world.servers.slots.size(); ++slot) Match(world, shape, slot);
    shape.matched = true;
  }
  shape.properties_read = end;
}

// The cheap part of RoomFits, without a word on why.
bool MayHaveRoom(const api::Resources& requests, const ServerState& server) {
  if (!server.schedulable) return false;
  const api::Resources &total = server.offered, &used = server.usage->used;
  return requests.cpu_milli <= total.cpu_milli - used.cpu_milli &&
         requests.memory <= total.memory - used.memory && LoadFits(requests, server, nullptr);
}

// How empty the server would be left, from 0 (full) to 1: the mean of cpu and memory.
double Leftover(const Shape& shape, const ServerState& server) {
  const api::Resources &total = server.offered, &used = server.usage->used;
  const auto share = [](int64_t whole, int64_t taken) {
    return whole <= 0 ? 0.0 : static_cast<double>(whole - taken) / static_cast<double>(whole);
  };
  return (share(total.cpu_milli, used.cpu_milli + shape.requests.cpu_milli) +
          share(total.memory, used.memory + shape.requests.memory)) /
         2;
}

// Of so many servers that are equally good the fullest is chosen.
constexpr int kMostCompared = 4;

const ServerState* SearchAmong(const World& world, const Shape& shape, const Bits& among) {
  const ServerState* best = nullptr;
  const void* of = nullptr;
  double best_left = 2;
  int compared = 0;
  world.servers.index.Search(among, shape.requests.cpu_milli, shape.requests.memory,
                             [&](uint32_t slot, const void* cell) {
                               if (best != nullptr && cell != of) return true;
                               const ServerState& server = *world.servers.slots[slot];
                               if (!RoomFits(shape, server, nullptr)) return false;
                               const double left = Leftover(shape, server);
                               if (left < best_left) {
                                 best = &server;
                                 best_left = left;
                               }
                               of = cell;
                               return ++compared == kMostCompared;
                             });
  return best;
}

// Servers that have refused such a pod are the last ones.
const ServerState* SearchIndex(const World& world, const Shape& shape) {
  if (const auto refused = RefusedBefore(world, shape); !refused.empty()) {
    Bits others = shape.fits;
    for (const uint32_t slot : refused) others.Clear(slot);
    if (const ServerState* server = SearchAmong(world, shape, others)) return server;
  }
  return SearchAmong(world, shape, shape.fits);
}

// A server that grew, and on which no waiting task found room, need not be tried by this shape
// either, as long as it has tasks that wait.
void SkipTried(const World& world, Shape& shape) {
  shape.capacity_read = std::max(shape.capacity_read, world.scheduling.tried_capacity);
}

// The servers that may have grown since the shape was refused, best first.
void GatherGrown(const World& world, Shape& shape) {
  const uint64_t end = world.servers.capacity_log.end();
  for (uint64_t i = shape.capacity_read; i < end; ++i) {
    shape.retry_slots.push_back(world.servers.capacity_log.at(i));
  }
  shape.capacity_read = end;
  std::erase_if(shape.retry_slots, [&](uint32_t slot) {
    return world.servers.slots[slot] == nullptr || !shape.fits.Test(slot);
  });
  const auto refused = RefusedBefore(world, shape);
  const auto rank = [&](uint32_t slot) {
    const auto& spec = world.servers.slots[slot]->object.spec;
    return std::tuple(std::binary_search(refused.begin(), refused.end(), slot), spec.cloud,
                      spec.price_micros, slot);
  };
  std::sort(shape.retry_slots.begin(), shape.retry_slots.end(),
            [&](uint32_t a, uint32_t b) { return rank(a) < rank(b); });
  shape.retry_slots.erase(std::unique(shape.retry_slots.begin(), shape.retry_slots.end()),
                          shape.retry_slots.end());
}

const ServerState* SearchGrown(const World& world, Shape& shape) {
  GatherGrown(world, shape);
  for (size_t i = 0; i < shape.retry_slots.size(); ++i) {
    const ServerState& server = *world.servers.slots[shape.retry_slots[i]];
    if (!MayHaveRoom(shape.requests, server) || !RoomFits(shape, server, nullptr)) continue;
    // Those before it have no room; it may have room for more.
    shape.retry_slots.erase(shape.retry_slots.begin(),
                            shape.retry_slots.begin() + static_cast<std::ptrdiff_t>(i));
    return &server;
  }
  shape.retry_slots.clear();
  return nullptr;
}

const ServerState* BestServer(World& world, Shape& shape) {
  RefreshMatches(world, shape);
  SkipTried(world, shape);
  if (shape.unschedulable && world.servers.capacity_log.Knows(shape.capacity_read))
    return SearchGrown(world, shape);
  UpdateIndex(world.servers);
  const ServerState* server = SearchIndex(world, shape);
  shape.unschedulable = server == nullptr;
  shape.capacity_read = world.servers.capacity_log.end();
  shape.retry_slots.clear();
  return server;
}

// Other servers that would do as well and cost the same, for kube-scheduler to choose from.
std::vector<std::string> OtherNodes(World& world, const Shape& shape, const ServerState& chosen) {
  std::vector<std::string> out;
  UpdateIndex(world.servers);
  const api::RegisteredServerSpec& spec = chosen.object.spec;
  const auto refused = RefusedBefore(world, shape);
  const auto has_refused = [&](const ServerState& server) {
    return std::binary_search(refused.begin(), refused.end(), server.slot);
  };
  world.servers.index.Search(
      shape.fits, shape.requests.cpu_milli, shape.requests.memory, [&](uint32_t slot, const void*) {
        const ServerState& server = *world.servers.slots[slot];
        const api::RegisteredServerSpec& other = server.object.spec;
        const bool alike = other.cloud == spec.cloud && other.pool == spec.pool &&
                           other.price_micros == spec.price_micros &&
                           has_refused(server) <= has_refused(chosen);
        if (&server != &chosen && alike && RoomFits(shape, server, nullptr))
          out.push_back(other.node_name);
        return out.size() + 1 == kMostCandidates;
      });
  return out;
}

void Bind(World& world, TaskState& task, const ServerState& server) {
  const int64_t attempt = NextAttempt(task);
  // Before its room is taken, which would change the order.
  auto others = task.shape->via_scheduler ? OtherNodes(world, *task.shape, server)
                                          : std::vector<std::string>{};
  task.binding =
      BindingTo(task, server, PodName(task.object.meta.name, attempt), attempt, world.now);
  task.confirmed = false;
  task.creating = task.binding;
  AssumePod(world, task, *server.usage);
  CreationSent(world, task);
  const api::ObjectMeta& meta = task.object.meta;
  Write write{Verb::kCreate, Kind::kPod, meta.ns, task.binding->pod_name,
              meta.uid,      0,          nullptr, std::nullopt};
  write.pod = PodOrder{task.pod_template,
                       meta.name,
                       task.binding,
                       task.object.spec.exclusive,
                       task.object.spec.priority_class,
                       task.shape->via_scheduler || task.admission->by_scheduler,
                       std::move(others),
                       PodAnnotations(world, server.object.spec)};
  world.effects.emplace_back(std::move(write));
  Bound(world, task);
  ReleaseReservation(world, *task.shape);
}

bool MayFitOn(const World& world, const Shape& shape, uint32_t slot) {
  const ServerState* server = world.servers.slots[slot];
  return server != nullptr && shape.fits.Test(slot) && MayHaveRoom(shape.requests, *server);
}

// True if a server may have room for the shape; those that have grown and cannot are not looked at
// again. Cheap for a shape that was refused and for which nothing has grown since.
bool FindCandidates(const World& world, Shape& shape) {
  if (shape.waiting.empty()) return false;
  SkipTried(world, shape);
  if (!shape.unschedulable || !shape.retry_slots.empty() ||
      shape.properties_read != world.servers.property_log.end() ||
      !world.servers.capacity_log.Knows(shape.capacity_read))
    return true;
  for (const uint64_t end = world.servers.capacity_log.end(); shape.capacity_read < end;
       ++shape.capacity_read) {
    if (MayFitOn(world, shape, world.servers.capacity_log.at(shape.capacity_read))) return true;
  }
  return false;
}

// The same for any shape, where there is more room than before.
bool FindAnyCandidate(World& world) {
  if (world.scheduling.tenants_waiting.empty()) return false;
  if (!world.servers.capacity_log.Knows(world.scheduling.tried_capacity)) return true;
  for (const uint64_t end = world.servers.capacity_log.end(); world.scheduling.tried_capacity < end;
       ++world.scheduling.tried_capacity) {
    const ServerState* server =
        world.servers.slots[world.servers.capacity_log.at(world.scheduling.tried_capacity)];
    if (server != nullptr && MayHaveRoom(world.scheduling.shapes.least(), *server)) return true;
  }
  return false;
}

}  // namespace

const ServerState* SelectServer(const World& world, Shape& shape) {
  RefreshMatches(world, shape);
  return SearchIndex(world, shape);
}

namespace {

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

// False if no server has room for the shape.
bool PlaceFirst(World& world, Shape& shape, TaskState& first) {
  const ServerState* server = BestServer(world, shape);
  if (server == nullptr) return false;
  const int64_t price = server->object.spec.price_micros;
  // Both take the task out of this queue: it waits for money, or for a pod on a node that looked
  // lost when the task was queued and is back.
  if (!MayPay(world, first, price)) {
    MarkOverBudget(world, first, {price, 0});
  } else if (!DequeueIfPodLingers(world, first)) {
    Bind(world, first, *server);
  }
  return true;
}

void PlaceTogether(World& world, Gang& gang) {
  for (const QueuePosition& position : Positions(gang.waiting)) {
    Admission& admission = *position.task->admission;
    if (!MayCreate(world, admission)) return CloseGate(world, admission);
    if (DequeueIfPodLingers(world, *position.task)) return;
  }
  std::vector<std::pair<TaskState*, int64_t>> unpaid;  // and their prices
  int64_t need = 0;
  const auto choose = [&](Shape& shape) {
    UpdateIndex(world.servers);
    return SelectServer(world, shape);
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
      [&](TaskState& task, const ServerState& server) { Bind(world, task, server); });
  for (auto& [task, price] : unpaid) {
    if (task->queued) MarkOverBudget(world, *task, {price, need});
  }
}

}  // namespace

void ApplyQueueingHints(const World& world, Shape& shape) {
  if (shape.properties_read != world.servers.property_log.end() ||
      !world.servers.capacity_log.Knows(shape.capacity_read))
    shape.unschedulable = false;
  if (!shape.unschedulable) return;
  for (const uint64_t end = world.servers.capacity_log.end(); shape.capacity_read < end;
       ++shape.capacity_read) {
    const uint32_t slot = world.servers.capacity_log.at(shape.capacity_read);
    if (MayFitOn(world, shape, slot)) shape.retry_slots.push_back(slot);
  }
}

namespace {

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
    if (FindCandidates(world, *shape)) add({.shape = shape});
  }
  for (auto& [name, gang] : world.scheduling.gangs) {
    if (Complete(gang) && WorthTrying(world, gang)) add({.gang = &gang});
  }
  if (changed || FindAnyCandidate(world)) AddTenants(world, heads);
  return heads;
}

// Tries the head. False if there is nothing more to try by it.
bool TryHead(World& world, Head& head) {
  if (head.gang != nullptr) {
    PlaceTogether(world, *head.gang);
    return false;
  }
  TaskState& task = *head.turn.position.task;
  Shape& shape = *task.shape;
  if (!MayCreate(world, *task.admission)) {
    CloseGate(world, *task.admission);
    return true;
  }
  if (shape.waiting.Yields(head.turn.position)) {
    // It is not tried, and what has grown meanwhile counts as tried by all.
    SkipTried(world, shape);
    ApplyQueueingHints(world, shape);
    head.refused = true;
    return head.tenant != nullptr;
  }
  head.refused =
      (head.tenant != nullptr && !FindCandidates(world, shape)) || !PlaceFirst(world, shape, task);
  return head.tenant != nullptr || !head.refused;
}

void PlaceShown(World& world) {
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
    const bool goes_on = TryHead(world, head);
    // Its reservation is free for all others now, also for those that were refused before.
    if (world.scheduling.reserved.size() < kept) {
      heads.DropTenants();
      AddTenants(world, heads);
      others = true;
      if (head.tenant != nullptr) continue;
    }
    if (!goes_on) continue;
    // Mostly nothing is left that any other could use: no more of them is looked at.
    if (others && !head.refused && !changed && !FindAnyCandidate(world)) {
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

void PlaceWaiting(World& world) {
  for (int round = 0; round < kMostRounds; ++round) {
    OpenGates(world);
    PlaceShown(world);
    if (world.scheduling.closed.empty() || world.now < world.scheduling.gates_at) break;
  }
  if (!world.scheduling.closed.empty()) world.WakeAt(world.scheduling.gates_at);
}

}  // namespace spillway::core
