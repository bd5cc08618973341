#include "operator/core/refusals.h"

#include <algorithm>

#include "operator/core/attempts.h"

namespace spillway::core {
namespace {

Shape& Kept(Shape& shape) { return shape.paid == nullptr ? shape : *shape.paid; }

void MarkChanged(World& world, uint32_t slot) {
  world.changed.Add(slot);
  world.grown.Add(slot);
  ++world.moves;
}

}  // namespace

bool NeverRan(const api::Pod& pod) { return Refused(pod) && !pod.disrupted && !pod.meta.deleted; }

void NoteRefusal(World& world, TaskState& task, const std::string& why) {
  const auto server = world.servers.find(task.binding->server);
  if (server == world.servers.end()) return;
  auto& refused = Kept(*task.shape).refused;
  if (!refused) refused.emplace();
  ServerRefusal& refusal = (*refused)[server->second.object.meta.uid];
  if (world.now < refusal.until) return;  // by another pod that was on its way there
  const int doublings = std::min(refusal.times++, 6);
  refusal.at = world.now;
  refusal.until = world.now + std::min(kPassOver * (1 << doublings), kPassOverAtMost);
  refusal.why = why;
  world.refusals_end.emplace(refusal.until, server->second.slot);
  MarkChanged(world, server->second.slot);
}

void NoteAccepted(World& world, const TaskState& task) {
  auto& refused = Kept(*task.shape).refused;
  if (!refused) return;
  const auto server = world.servers.find(task.binding->server);
  if (server == world.servers.end() || refused->erase(server->second.object.meta.uid) == 0) return;
  if (refused->empty()) refused.reset();
  MarkChanged(world, server->second.slot);
}

void EndRefusals(World& world) {
  auto& ends = world.refusals_end;
  while (!ends.empty() && ends.begin()->first <= world.now) {
    const uint32_t slot = ends.begin()->second;
    ends.erase(ends.begin());
    if (slot < world.slots.size() && world.slots[slot] != nullptr) MarkChanged(world, slot);
  }
  if (!ends.empty()) world.WakeAt(ends.begin()->first);
}

const ServerRefusal* PassedOver(const World& world, const Shape& shape, const ServerState& server) {
  const auto& refused = shape.paid == nullptr ? shape.refused : shape.paid->refused;
  if (!refused) return nullptr;
  const auto at = refused->find(server.object.meta.uid);
  return at == refused->end() || world.now >= at->second.until ? nullptr : &at->second;
}

}  // namespace spillway::core
