#include "operator/core/servers/state.h"

#include <algorithm>

#include "operator/base/prefetch.h"
#include "operator/core/servers/load.h"

namespace spillway::core {

void Servers::Wake(ServerState& server, Time time) {
  if (time >= server.wake) return;
  const std::string& name = server.object.meta.name;
  if (server.wake != kNever) wakes.erase({server.wake, name});
  server.wake = time;
  wakes.insert({time, name});
}

const ServerState* Servers::On(const std::string& node) const {
  const auto at = nodes.find(node);
  return at == nodes.end() ? nullptr : at->second.server;
}

ServerState* Servers::On(const std::string& node) {
  return const_cast<ServerState*>(std::as_const(*this).On(node));
}

void RecordEvent(Context& context, const ServerState& server, bool warning, std::string reason,
                 std::string message) {
  RecordEvent(context, Kind::kServer, server.object.meta, warning, std::move(reason),
              std::move(message));
}

void Reindex(Servers& servers, const NodeUsage& usage, bool grown) {
  if (usage.slot == NodeUsage::kNoSlot) return;
  ServerState& server = *servers.slots[usage.slot];
  servers.Touch(server);
  servers.Misplace(server);
  if (grown && server.schedulable) servers.capacity_log.Add(server.slot);
}

void UpdateIndex(Servers& servers) {
  for (const uint32_t slot : servers.misplaced) {
    ServerState* server = servers.slots[slot];
    if (server == nullptr) continue;
    server->misplaced = false;
    if (!server->schedulable || server->node->server != server) {
      servers.index.Remove(slot);
      continue;
    }
    const api::Resources &total = server->offered, &used = server->usage->used;
    servers.index.Put(slot, {server->object.spec.cloud, server->object.spec.price_micros,
                             server->usage->tasks == 0,
                             std::min(total.cpu_milli - used.cpu_milli, CpuHeadroom(*server)),
                             std::min(total.memory - used.memory, MemoryHeadroom(*server))});
  }
  servers.misplaced.clear();
}

void Book(Servers& servers, Ledger::Entry& pod, const NodeUsage& node, Footprint footprint) {
  const NodeUsage* left = nullptr;
  const NodeUsage* usage = servers.ledger.Take(pod, node, std::move(footprint), &left);
  if (usage != nullptr) Reindex(servers, *usage, usage == left);
  if (left != nullptr && left != usage) Reindex(servers, *left, true);
}

namespace {

// Somebody takes the room soon. What is read of the server then:
void PrefetchForBinding(const Servers& servers, uint32_t slot) {
  if (slot >= servers.slots.size()) return;
  const ServerState* server = servers.slots[slot];
  if (server == nullptr) return;
  __builtin_prefetch(server);
  Prefetch(&server->object.meta.name);
  Prefetch(&server->object.spec);
}

}  // namespace

void Unbook(Servers& servers, Ledger::Entry& pod) {
  if (!pod.counted()) return;
  PrefetchForBinding(servers, servers.ledger.Announce(pod));
  Reindex(servers, *servers.ledger.Release(pod), true);
}

}  // namespace spillway::core
