#include "operator/core/placer.h"

#include <algorithm>
#include <queue>

#include "operator/core/fit.h"
#include "operator/core/pod_body.h"
#include "operator/core/tasks.h"

namespace spillway::core {
namespace {

void RefreshCandidates(World& world, Shape& shape) {
  if (shape.candidates_at == world.properties_version) return;
  shape.candidates_at = world.properties_version;
  shape.candidates.clear();
  for (auto& [name, server] : world.servers) {
    if (PropertiesFit(world, shape, server, nullptr)) shape.candidates.push_back(&server);
  }
  std::stable_sort(shape.candidates.begin(), shape.candidates.end(),
                   [](const auto* a, const auto* b) {
                     const auto &x = a->object.spec, &y = b->object.spec;
                     return std::pair(x.cloud, x.price_micros) < std::pair(y.cloud, y.price_micros);
                   });
}

// How empty the server would be left, from 0 (full) to 1: the mean of cpu and memory.
double Leftover(const World& world, const Shape& shape, const ServerState& server) {
  const auto& node = *world.nodes.at(server.object.spec.node_name).object;
  const api::Resources& used = world.ledger.On(node.meta.name).used;
  const auto share = [](int64_t total, int64_t taken) {
    return total <= 0 ? 0.0 : static_cast<double>(total - taken) / static_cast<double>(total);
  };
  return (share(node.allocatable.cpu_milli, used.cpu_milli + shape.requests.cpu_milli) +
          share(node.allocatable.memory, used.memory + shape.requests.memory)) /
         2;
}

const ServerState* BestServer(World& world, Shape& shape) {
  RefreshCandidates(world, shape);
  const ServerState* best = nullptr;
  double best_left = 2;
  for (const ServerState* server : shape.candidates) {
    if (best != nullptr && (server->object.spec.cloud != best->object.spec.cloud ||
                            server->object.spec.price_micros > best->object.spec.price_micros)) {
      break;  // the rest is dearer or further away
    }
    if (!RoomFits(world, shape, *server, nullptr)) continue;
    const double left = Leftover(world, shape, *server);
    if (left < best_left) {
      best = server;
      best_left = left;
    }
  }
  return best;
}

void Bind(World& world, TaskState& task, const ServerState& server) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  const int64_t attempt = NextAttempt(world, task);
  task.binding = Binding{server.object.meta.name,
                         spec.node_name,
                         PodName(task.object, attempt),
                         attempt,
                         world.now,
                         false,
                         spec.cloud};
  task.creating = true;
  const api::ObjectMeta& meta = task.object.meta;
  world.ledger.Take(ReservationOf(meta.ns + "/" + task.binding->pod_name, meta.uid), spec.node_name,
                    {task.shape->requests, task.shape->host_ports, true, task.shape->exclusive});
  world.effects.push_back(Write{Verb::kCreate, Kind::kPod, meta.ns, task.binding->pod_name,
                                meta.uid, 0, PodBody(task.object, *task.binding), std::nullopt});
  Bound(world, task, server);
}

}  // namespace

void PlaceWaiting(World& world) {
  const auto later = [](const Shape* a, const Shape* b) {
    return *b->waiting.begin() < *a->waiting.begin();
  };
  std::priority_queue<Shape*, std::vector<Shape*>, decltype(later)> heads(later);
  for (auto& [key, shape] : world.shapes) {
    if (!shape->waiting.empty() && shape->blocked_at != world.capacity_version)
      heads.push(shape.get());
  }
  while (!heads.empty()) {
    Shape* shape = heads.top();
    heads.pop();
    const ServerState* server = BestServer(world, *shape);
    if (server == nullptr) {
      shape->blocked_at = world.capacity_version;
      continue;
    }
    TaskState& task = world.tasks.at(shape->waiting.begin()->key);
    Bind(world, task, *server);  // takes it out of the queue
    if (!shape->waiting.empty()) heads.push(shape);
  }
}

}  // namespace spillway::core
