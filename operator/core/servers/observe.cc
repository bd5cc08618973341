#include "operator/core/servers/observe.h"

#include <algorithm>

#include "operator/core/servers/registrar.h"

namespace spillway::core {

void OnSeen(Context& context, Servers& servers, const api::Node& object) {
  NodeState& node = servers.nodes[object.meta.name];
  if (node.object && node.object->meta.resource_version >= object.meta.resource_version) return;
  const bool same =
      node.object && node.object->meta.labels == object.meta.labels &&
      node.object->taints == object.taints && node.object->allocatable == object.allocatable &&
      node.object->unschedulable == object.unschedulable && node.object->ready == object.ready &&
      node.object->meta.uid == object.meta.uid && node.object->max_pods == object.max_pods;
  // One that comes under its name begins anew: what was known of the one before, and a Lease that
  // is left of it, say nothing of how long this one has been silent.
  if (!node.object || node.object->meta.uid != object.meta.uid) {
    node.not_ready_since = node.told_since = kNever;
    node.ending.reset();
    const bool appears = node.object || context.Synced(Kind::kNode);
    if (appears) node.heard = context.news;
  }
  const bool says_else = node.object && node.object->ready_message != object.ready_message;
  node.object = object;
  node.gone = false;
  if (CallsItselfReady(node)) {
    node.told_since = kNever;
  } else {
    node.told_since = std::min(node.told_since, context.news);
  }
  if (!same) NodeChanged(context, servers, object.meta.name);
  if (says_else) servers.to_reconcile.insert(object.meta.name);
  CheckNode(context, servers, object.meta.name);
}

void OnNodeGone(Context& context, Servers& servers, const std::string& name) {
  const auto node = servers.nodes.find(name);
  if (node == servers.nodes.end()) return;
  node->second.object.reset();
  node->second.gone = true;
  node->second.registering = false;
  NodeChanged(context, servers, name);
  CheckNode(context, servers, name);
  servers.disturbed.insert(name);
}

void OnSeen(Context& context, Servers& servers, const api::NodeLease& lease) {
  NodeState& node = servers.nodes[lease.meta.name];
  if (node.renewed == lease.renewed) return;
  // Of one that was there when this process began, its own time counts, if it is not ahead of ours;
  // of a renewal, the moment of its arrival: our clock and the node's may differ.
  const bool listed = !node.renewed && !context.Synced(Kind::kLease);
  node.renewed = lease.renewed;
  const bool old = listed && lease.renewed && *lease.renewed < context.now;
  node.heard = old ? context.news - (context.now - *lease.renewed) : context.news;
  CheckNode(context, servers, lease.meta.name);
}

void OnLeaseGone(Servers& servers, const std::string& key) {
  const auto slash = key.find('/');
  if (slash == std::string::npos) return;
  if (const auto node = servers.nodes.find(key.substr(slash + 1)); node != servers.nodes.end())
    node->second.renewed.reset();
}

namespace {

// What stands in its status is not what was written.
void TellAnew(Servers& servers, ServerState& server) {
  server.digest = {};
  servers.Touch(server);
}

// Its node has one server less.
void Detach(Servers& servers, ServerState& server) {
  const std::string& name = server.object.spec.node_name;
  NodeState& node = servers.nodes[name];
  node.servers.erase(server.object.meta.name);
  ChooseServer(servers, name);
  servers.to_reconcile.insert(name);
}

void ServerDeleted(Context& context, Servers& servers, const Outcome& outcome) {
  const auto at = servers.by_name.find(outcome.key);
  if (at == servers.by_name.end() || at->second.object.meta.uid != outcome.request_uid) return;
  ServerState& server = at->second;
  if (Deleted(context, server.deletion, outcome.request_uid, outcome.error))
    RecordEvent(context, server, true, kDeleteFailed,
                "could not be deleted: " + outcome.error->message + kAgain);
  if (server.deletion.sent) return;
  // It may be wanted again by now, and take tasks at once.
  const std::string& node = server.object.spec.node_name;
  servers.to_reconcile.insert(node);
  servers.nodes[node].register_at = server.deletion.backoff.not_before;
}

}  // namespace

void OnServerGone(Servers& servers, const std::string& name) {
  const auto at = servers.by_name.find(name);
  if (at == servers.by_name.end()) return;
  ServerState& server = at->second;
  servers.capacity -= server.offered;
  // Those who run there yet are told by it why they end.
  if (server.ending) servers.nodes[server.object.spec.node_name].ending = server.ending;
  Detach(servers, server);
  servers.index.Free(server.slot);
  servers.slots[server.slot] = nullptr;
  servers.property_log.Add(server.slot);
  if (server.wake != kNever) servers.wakes.erase({server.wake, name});
  if (server.touched) std::erase(servers.touched, server.slot);
  servers.by_name.erase(at);
}

const ServerState* ReplacedBy(const Servers& servers, const api::RegisteredServer& object) {
  const auto at = servers.by_name.find(object.meta.name);
  if (at == servers.by_name.end()) return nullptr;
  const api::ObjectMeta& known = at->second.object.meta;
  const bool newer = known.resource_version < object.meta.resource_version;
  return newer && known.uid != object.meta.uid ? &at->second : nullptr;
}

void OnSeen(Context& context, Servers& servers, const api::RegisteredServer& object) {
  const auto [at, added] = servers.by_name.try_emplace(object.meta.name);
  ServerState& server = at->second;
  if (!added && server.object.meta.resource_version >= object.meta.resource_version) return;
  if (added) {
    server.object = object;
    server.slot = servers.index.Claim();
    servers.slots.resize(servers.index.slots());
    servers.slots[server.slot] = &server;
    TakeStatus(server.writer, EncodeStatus(object.status));
  } else {
    const bool same = server.object.meta.generation == object.meta.generation &&
                      server.object.meta.deleted == object.meta.deleted;
    if (!same) Detach(servers, server);
    server.object.meta = object.meta;
    server.object.spec = object.spec;
    if (WrittenOver(context, server.writer, object.meta, EncodeStatus(object.status)))
      TellAnew(servers, server);
    if (same) return;  // its status alone
  }
  NodeState& node = servers.nodes[object.spec.node_name];
  server.node = &node;
  server.usage = &servers.ledger.Keep(object.spec.node_name);
  node.registering = false;
  node.servers.insert(object.meta.name);
  ChooseServer(servers, object.spec.node_name);
  NodeChanged(context, servers, object.spec.node_name);
}

namespace {

// why: what has become of its RegisteredServer.
void StayUnregistered(Context& context, Servers& servers, const std::string& name,
                      const std::string& why) {
  const auto node = servers.nodes.find(name);
  if (node == servers.nodes.end()) return;
  node->second.registering = false;
  node->second.registration.Fail(context.now, name, why, kRegister);
  node->second.register_at = node->second.registration.not_before;
}

}  // namespace

void OnRegistrationGone(Context& context, Servers& servers, const std::string& name, bool at_once) {
  if (at_once) return StayUnregistered(context, servers, name, kDeletedAtOnce);
  if (const auto node = servers.nodes.find(name); node != servers.nodes.end())
    node->second.registration.Succeed();
}

bool IsGoneAgain(const Servers& servers, const Outcome& outcome) {
  if (outcome.verb != Verb::kCreate || !outcome.object) return false;
  const std::string& name = std::get<api::RegisteredServer>(*outcome.object).meta.name;
  return name == outcome.key && !servers.by_name.contains(name);
}

void OnServerOutcome(Context& context, Servers& servers, const Outcome& outcome) {
  const auto server = servers.by_name.find(outcome.key);
  if (outcome.verb == Verb::kPatchStatus) {
    ConcludeStatus(context, servers.by_name, outcome);
    if (server == servers.by_name.end()) return;
    ServerState& state = server->second;
    servers.Touch(state);
    if (state.writer.written == state.writer.sent || state.object.meta.uid != outcome.request_uid)
      return;
    TellAnew(servers, state);
    // As soon as its writer may.
    if (outcome.error) state.object.status.phase.clear();
    return;
  }
  if (outcome.verb == Verb::kDelete) return ServerDeleted(context, servers, outcome);
  if (IsGoneAgain(servers, outcome)) return OnRegistrationGone(context, servers, outcome.key, true);
  if (outcome.error) StayUnregistered(context, servers, outcome.key, outcome.error->message);
}

}  // namespace spillway::core
