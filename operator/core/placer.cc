#include "operator/core/placer.h"

#include <algorithm>
#include <vector>

#include "operator/core/budgets.h"
#include "operator/core/fit.h"
#include "operator/core/gangs.h"
#include "operator/core/load.h"
#include "operator/core/pod_body.h"
#include "operator/core/reservations.h"
#include "operator/core/tasks.h"

namespace spillway::core {
namespace {

void Match(const World& world, Shape& shape, uint32_t slot) {
  const ServerState* server = world.slots[slot];
  if (server != nullptr && PropertiesFit(world, shape, *server, nullptr)) {
    shape.fits.Set(slot);
  } else {
    shape.fits.Clear(slot);
  }
}

// Takes up what has changed in servers' properties since the last time.
void RefreshMatches(const World& world, Shape& shape) {
  const uint64_t end = world.changed.end();
  if (shape.matched && world.changed.Knows(shape.changed_read)) {
    for (uint64_t i = shape.changed_read; i < end; ++i) Match(world, shape, world.changed.at(i));
  } else {
    for (uint32_t slot = 0; slot < world.slots.size(); ++slot) Match(world, shape, slot);
    shape.matched = true;
  }
  shape.changed_read = end;
}

// The cheap part of RoomFits, without a word on why.
bool MayHaveRoom(const Shape& shape, const ServerState& server) {
  if (!server.usable) return false;
  const api::Resources &total = server.node->object->allocatable, &used = server.usage->used;
  return shape.requests.cpu_milli <= total.cpu_milli - used.cpu_milli &&
         shape.requests.memory <= total.memory - used.memory &&
         LoadFits(shape.requests, server, nullptr);
}

// How empty the server would be left, from 0 (full) to 1: the mean of cpu and memory.
double Leftover(const Shape& shape, const ServerState& server) {
  const api::Node& node = *server.node->object;
  const api::Resources& used = server.usage->used;
  const auto share = [](int64_t total, int64_t taken) {
    return total <= 0 ? 0.0 : static_cast<double>(total - taken) / static_cast<double>(total);
  };
  return (share(node.allocatable.cpu_milli, used.cpu_milli + shape.requests.cpu_milli) +
          share(node.allocatable.memory, used.memory + shape.requests.memory)) /
         2;
}

// Of so many servers that are equally good the fullest is chosen.
constexpr int kMostCompared = 4;

const ServerState* SearchIndex(const World& world, const Shape& shape) {
  const ServerState* best = nullptr;
  const void* of = nullptr;
  double best_left = 2;
  int compared = 0;
  world.index.Search(shape.fits, shape.requests.cpu_milli, shape.requests.memory,
                     [&](uint32_t slot, const void* cell) {
                       if (best != nullptr && cell != of) return true;
                       const ServerState& server = *world.slots[slot];
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

// The servers that may have grown since the shape was refused, best first.
void GatherGrown(const World& world, Shape& shape) {
  const uint64_t end = world.grown.end();
  for (uint64_t i = shape.grown_read; i < end; ++i) {
    shape.grown.push_back(world.grown.at(i));
  }
  shape.grown_read = end;
  std::erase_if(shape.grown, [&](uint32_t slot) {
    return world.slots[slot] == nullptr || !shape.fits.Test(slot);
  });
  const auto rank = [&](uint32_t slot) {
    const auto& spec = world.slots[slot]->object.spec;
    return std::tuple(spec.cloud, spec.price_micros, slot);
  };
  std::sort(shape.grown.begin(), shape.grown.end(),
            [&](uint32_t a, uint32_t b) { return rank(a) < rank(b); });
  shape.grown.erase(std::unique(shape.grown.begin(), shape.grown.end()), shape.grown.end());
}

const ServerState* SearchGrown(const World& world, Shape& shape) {
  GatherGrown(world, shape);
  for (size_t i = 0; i < shape.grown.size(); ++i) {
    const ServerState& server = *world.slots[shape.grown[i]];
    if (!MayHaveRoom(shape, server) || !RoomFits(shape, server, nullptr)) continue;
    // Those before it have no room; it may have room for more.
    shape.grown.erase(shape.grown.begin(), shape.grown.begin() + static_cast<std::ptrdiff_t>(i));
    return &server;
  }
  shape.grown.clear();
  return nullptr;
}

const ServerState* BestServer(const World& world, Shape& shape) {
  RefreshMatches(world, shape);
  if (shape.blocked && world.grown.Knows(shape.grown_read)) return SearchGrown(world, shape);
  const ServerState* server = SearchIndex(world, shape);
  shape.blocked = server == nullptr;
  shape.grown_read = world.grown.end();
  shape.grown.clear();
  return server;
}

void Bind(World& world, TaskState& task, const ServerState& server) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  const int64_t attempt = NextAttempt(task);
  task.binding = Binding{server.object.meta.name,
                         spec.node_name,
                         PodName(task.object.meta.name, attempt),
                         attempt,
                         world.now,
                         false,
                         spec.cloud,
                         spec.price_micros};
  task.creating = PodOnItsWay{task.binding->pod_name, spec.node_name};
  Reserve(world, task, *server.usage);
  const api::ObjectMeta& meta = task.object.meta;
  Write write{Verb::kCreate, Kind::kPod, meta.ns, task.binding->pod_name,
              meta.uid,      0,          nullptr, std::nullopt};
  write.pod = PodOrder{task.pod_template,
                       meta.name,
                       spec.node_name,
                       attempt,
                       spec.cloud,
                       task.object.spec.exclusive,
                       task.object.spec.priority_class};
  world.effects.push_back(std::move(write));
  Bound(world, task, server);
  GiveUpReservation(world, *task.shape);
}

// Cheap for a shape that was refused and for which nothing has grown since.
bool MayFit(const World& world, Shape& shape) {
  if (shape.waiting.empty()) return false;
  if (!shape.blocked || !shape.grown.empty() || shape.changed_read != world.changed.end() ||
      !world.grown.Knows(shape.grown_read))
    return true;
  const uint64_t end = world.grown.end();
  for (; shape.grown_read < end; ++shape.grown_read) {
    const uint32_t slot = world.grown.at(shape.grown_read);
    const ServerState* server = world.slots[slot];
    if (server != nullptr && shape.fits.Test(slot) && MayHaveRoom(shape, *server)) return true;
  }
  return false;
}

}  // namespace

const ServerState* Choose(const World& world, Shape& shape) {
  RefreshMatches(world, shape);
  return SearchIndex(world, shape);
}

namespace {

// It will be looked at soon, and a task that has waited for long lies in no cache.
void Prefetch(const TaskState& task) {
  const char* begin = reinterpret_cast<const char*>(&task);
  for (size_t i = 0; i < sizeof(TaskState); i += 64) __builtin_prefetch(begin + i);
}

// What is tried next: the first task of a shape, or a group as a whole.
struct Head {
  Turn turn;
  Shape* shape = nullptr;
  Gang* gang = nullptr;
  bool operator<(const Head& other) const { return other.turn < turn; }  // the first on top
};

// Those to be tried, the one whose turn it is on top of the heap.
class Heads {
 public:
  bool empty() const { return heads_.empty(); }
  void Push(Head head) {
    heads_.push_back(head);
    std::push_heap(heads_.begin(), heads_.end());
  }
  Head Pop() {
    std::pop_heap(heads_.begin(), heads_.end());
    const Head head = heads_.back();
    heads_.pop_back();
    return head;
  }
  // After a binding: drops the shapes for which nothing is left, mostly all of them, for less than
  // a try of each costs.
  void Prune(const World& world) {
    if (std::erase_if(heads_, [&](const Head& head) {
          return head.shape != nullptr && !MayFit(world, *head.shape);
        }) > 0)
      std::make_heap(heads_.begin(), heads_.end());
  }

 private:
  std::vector<Head> heads_;
};

Turn TurnOf(const World& world, const Gang& gang) {
  const QueuePosition& first = *gang.waiting.begin();
  return {&first, ShareOf(world, *first.task->tenant)};
}

// False if the shape need not be tried again.
bool PlaceFirst(World& world, Shape& shape, TaskState& first) {
  const ServerState* server = BestServer(world, shape);
  if (server == nullptr) return false;
  const int64_t price = server->object.spec.price_micros;
  // What looked lost when it was queued may be well by now. Each takes it out of this queue.
  if (!MayPay(world, first, price)) {
    HoldUnpaid(world, first, {price, 0});
  } else if (!Held(world, first)) {
    Bind(world, first, *server);
  }
  return !shape.waiting.empty();
}

void PlaceTogether(World& world, Gang& gang) {
  for (const QueuePosition& position : std::set(gang.waiting)) {
    if (Held(world, *position.task)) return;
  }
  std::vector<std::pair<TaskState*, int64_t>> unpaid;  // and their prices
  int64_t need = 0;
  PlaceGang(
      world, gang, [&](Shape& shape) { return Choose(world, shape); },
      [&](const GangPlaces& places) {
        int64_t committed = 0;
        for (const auto& [task, server] : places) {
          const int64_t price = server->object.spec.price_micros;
          if (price > 0) unpaid.emplace_back(task, price);
          need += EstimateCost(*task->shape, price);
          committed += task->committed;
        }
        return unpaid.empty() || need - committed <= LeftOf(world, *places.front().first->tenant);
      },
      [&](TaskState& task, const ServerState& server) { Bind(world, task, server); });
  for (auto& [task, price] : unpaid) {
    if (task->queued) HoldUnpaid(world, *task, {price, need});
  }
}

}  // namespace

void PlaceWaiting(World& world) {
  Heads heads;
  for (Shape* shape : world.shapes.all()) {
    if (MayFit(world, *shape)) heads.Push({shape->waiting.First(world), shape});
  }
  for (auto& [name, gang] : world.gangs) {
    if (!gang.waiting.empty() && Complete(gang) && WorthTrying(world, gang))
      heads.Push({TurnOf(world, gang), nullptr, &gang});
  }
  while (!heads.empty()) {
    const Head head = heads.Pop();
    TaskState& task = *head.turn.position->task;
    if (ShareOf(world, *task.tenant) > head.turn.share) {  // others were bound since
      const Turn turn =
          head.gang != nullptr ? TurnOf(world, *head.gang) : head.shape->waiting.First(world);
      heads.Push({turn, head.shape, head.gang});
    } else if (head.gang != nullptr) {
      PlaceTogether(world, *head.gang);
    } else {
      if (PlaceFirst(world, *head.shape, task)) {
        const Turn turn = head.shape->waiting.First(world);
        Prefetch(*turn.position->task);
        heads.Push({turn, head.shape});
      }
      if (task.binding && head.shape->blocked) heads.Prune(world);
    }
  }
}

}  // namespace spillway::core
