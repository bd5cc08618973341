#include "operator/core/servers/observe.h"

#include <algorithm>

#include "operator/core/scheduling/reservations.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/world.h"

namespace spillway::core {

void OnSeen(World& world, const api::Node& object) {
  NodeState& node = world.servers.nodes[object.meta.name];
  if (node.object && node.object->meta.resource_version >= object.meta.resource_version) return;
  const bool same =
      node.object && node.object->meta.labels == object.meta.labels &&
      node.object->taints == object.taints && node.object->allocatable == object.allocatable &&
      node.object->unschedulable == object.unschedulable && node.object->ready == object.ready &&
      node.object->meta.uid == object.meta.uid && node.object->max_pods == object.max_pods;
  // One that comes under its name begins anew: what was known of the one before, and a Lease that
  // is left of it, say nothing of how long this one has been silent.
  if (!node.object || node.object->meta.uid != object.meta.uid)
    node.not_ready_since = node.told_since = kNever;
  node.object = object;
  node.gone = false;
  if (CallsItselfReady(node)) {
    node.told_since = kNever;
  } else {
    node.told_since = std::min(node.told_since, world.news);
  }
  if (!same) NodeChanged(world, object.meta.name);
  CheckNode(world, object.meta.name);
}

void OnNodeGone(World& world, const std::string& name) {
  const auto node = world.servers.nodes.find(name);
  if (node == world.servers.nodes.end()) return;
  node->second.object.reset();
  node->second.gone = true;
  node->second.registering = false;
  NodeChanged(world, name);
  CheckNode(world, name);
  WakeTasksOn(world, name);
}

void OnSeen(World& world, const api::NodeLease& lease) {
  NodeState& node = world.servers.nodes[lease.meta.name];
  if (node.renewed == lease.renewed) return;
  // At first sight its own time counts, if it is not ahead of ours; later the moment of its
  // arrival.
  const bool first = !node.renewed;
  node.renewed = lease.renewed;
  const bool old = first && lease.renewed && *lease.renewed < world.now;
  node.heard = old ? world.news - (world.now - *lease.renewed) : world.news;
  CheckNode(world, lease.meta.name);
}

void OnLeaseGone(World& world, const std::string& key) {
  const auto slash = key.find('/');
  if (slash == std::string::npos) return;
  if (const auto node = world.servers.nodes.find(key.substr(slash + 1));
      node != world.servers.nodes.end())
    node->second.renewed.reset();
}

namespace {

// Its node has one server less.
void Detach(World& world, ServerState& server) {
  const std::string& name = server.object.spec.node_name;
  NodeState& node = world.servers.nodes[name];
  node.servers.erase(server.object.meta.name);
  ChooseServer(world, name);
  world.servers.to_reconcile.insert(name);
}

void ServerDeleted(World& world, const Outcome& outcome) {
  const auto at = world.servers.by_name.find(outcome.key);
  if (at == world.servers.by_name.end() || at->second.object.meta.uid != outcome.request_uid)
    return;
  ServerState& server = at->second;
  if (Deleted(world, server.deletion, outcome.request_uid, outcome.error))
    RecordEvent(world, server, true, kDeleteFailed,
                "could not be deleted: " + outcome.error->message + kAgain);
  if (!server.deletion.sent)
    world.servers.nodes[server.object.spec.node_name].register_at =
        server.deletion.backoff.not_before;
}

}  // namespace

void OnServerGone(World& world, const std::string& name) {
  const auto at = world.servers.by_name.find(name);
  if (at == world.servers.by_name.end()) return;
  ServerState& server = at->second;
  world.servers.capacity -= server.offered;
  if (server.reservation) GiveUpReservation(world, *server.reservation->shape);
  Detach(world, server);
  world.servers.index.Free(server.slot);
  world.servers.slots[server.slot] = nullptr;
  world.servers.property_log.Add(server.slot);
  if (server.wake != kNever) world.servers.wakes.erase({server.wake, name});
  if (server.touched) std::erase(world.servers.touched, server.slot);
  world.servers.by_name.erase(at);
}

void OnSeen(World& world, const api::RegisteredServer& object) {
  const auto at = world.servers.by_name.find(object.meta.name);
  if (at != world.servers.by_name.end()) {
    if (at->second.object.meta.resource_version >= object.meta.resource_version) return;
    if (at->second.object.meta.uid != object.meta.uid) OnServerGone(world, object.meta.name);
  }
  const bool added = !world.servers.by_name.contains(object.meta.name);
  ServerState& server = world.servers.by_name[object.meta.name];
  if (added) {
    server.object = object;
    server.slot = world.servers.index.Claim();
    world.servers.slots.resize(world.servers.index.slots());
    world.servers.slots[server.slot] = &server;
    server.writer.written = Fingerprint(EncodeStatus(object.status));
  } else {
    const bool same = server.object.meta.generation == object.meta.generation &&
                      server.object.meta.deleted == object.meta.deleted;
    if (!same) Detach(world, server);
    server.object.meta = object.meta;
    server.object.spec = object.spec;
    if (same) return;  // an echo of our own status
  }
  NodeState& node = world.servers.nodes[object.spec.node_name];
  server.node = &node;
  server.usage = &world.servers.ledger.Keep(object.spec.node_name);
  node.registering = false;
  node.servers.insert(object.meta.name);
  ChooseServer(world, object.spec.node_name);
  NodeChanged(world, object.spec.node_name);
}

void OnServerOutcome(World& world, const Outcome& outcome) {
  const auto server = world.servers.by_name.find(outcome.key);
  if (outcome.verb == Verb::kPatchStatus) {
    if (server != world.servers.by_name.end()) world.servers.Touch(server->second);
    return ConcludeStatus(world, world.servers.by_name, outcome);
  }
  if (outcome.verb == Verb::kDelete) return ServerDeleted(world, outcome);
  if (!outcome.error) return;
  const std::string& why = outcome.error->message;
  if (const auto node = world.servers.nodes.find(outcome.key); node != world.servers.nodes.end()) {
    node->second.registering = false;
    node->second.registration.Fail(world.now, outcome.key, why, kRegister);
    node->second.register_at = node->second.registration.not_before;
  }
}

}  // namespace spillway::core
