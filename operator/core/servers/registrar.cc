#include "operator/core/servers/registrar.h"

#include <algorithm>

#include "operator/core/fit_error.h"
#include "operator/core/servers/load.h"
#include "operator/core/servers/taints.h"

namespace spillway::core {
namespace {

using api::NodeReady;

bool IsSilent(const Context& context, const NodeState& node) {
  return node.renewed && context.HeardOf(Kind::kLease) >= node.heard + kHeartbeatTimeout;
}

// Why what runs on the node may be lost with it; empty if it is well.
std::pair<std::string, std::string> DownReason(const Context& context, const NodeState& node) {
  if (node.object->meta.deleted) return {"NodeDeleting", "the node is being deleted"};
  if (!CallsItselfReady(node)) {
    const std::string& message = node.object->ready_message;
    return {"NodeNotReady",
            message.empty() ? "the node has not reported that it is ready" : message};
  }
  if (IsSilent(context, node))
    return {"HeartbeatLost", "the node's Lease was last renewed at " + FormatTime(*node.renewed)};
  return {};
}

// Why the node does not take tasks at the moment; empty if it does.
std::pair<std::string, std::string> NotReadyReason(const Context& context, const NodeState& node) {
  auto down = DownReason(context, node);
  if (!down.first.empty()) return down;
  for (const api::Taint& taint : node.object->taints) {
    // The node controller takes it off after the node is ready: a moment, or as long as that
    // controller is down. What runs there goes on.
    if (IsReadinessTaint(taint))
      return {"NodeNotReady", "the node still has the taint " + taint.key};
  }
  return {};
}

void CheckOne(Context& context, Servers& servers, const std::string& name, NodeState& node) {
  // All nodes up to the version of a pod on it were delivered, and it was not among them: it is
  // gone.
  if (!node.object && !node.gone && node.named_by > 0 &&
      context.seen_up_to[static_cast<size_t>(Kind::kNode)] >= node.named_by) {
    node.gone = true;
    servers.disturbed.insert(name);
  }
  const bool lost = !node.object || !DownReason(context, node).first.empty();
  if (lost == (node.not_ready_since != kNever)) return;
  node.not_ready_since = lost ? context.news : kNever;
  ++context.generation;
  servers.to_reconcile.insert(name);
  servers.disturbed.insert(name);
}

void Judge(Context& context, Servers& servers, ServerState& server) {
  const auto set = [&](const char* phase, std::string reason, std::string message) {
    server.phase = phase;
    server.reason = std::move(reason);
    server.message = std::move(message);
    server.schedulable =
        server.phase == "Ready" && !server.releasing && !server.object.meta.deleted;
  };
  const api::RegisteredServerSpec& spec = server.object.spec;
  const auto node = servers.nodes.find(spec.node_name);
  if (node == servers.nodes.end() || !node->second.object) {
    return set("NotReady", "NodeNotFound", "node " + spec.node_name + " does not exist");
  }
  if (const ServerState* other = node->second.server; other != &server) {
    return set("NotReady", "DuplicateNode",
               "node " + spec.node_name + " is registered already, as " + other->object.meta.name);
  }
  if (auto [reason, message] = NotReadyReason(context, node->second); !reason.empty()) {
    return set("NotReady", std::move(reason), std::move(message));
  }
  if (server.ending) return set("NotReady", "Ending", DescribeEnding(*server.ending));
  if (server.releasing) return set("NotReady", "Releasing", "the server is being given back");
  if (spec.cordoned) return set("Cordoned", "Cordoned", "cordoned by spec.cordoned");
  if (node->second.object->unschedulable)
    return set("Cordoned", "NodeUnschedulable", "the node is cordoned");
  if (const auto why = JudgeLoad(context, servers, server))
    return set(why->reason == "Overloaded" ? "Overloaded" : "NotReady", why->reason, why->message);
  set("Ready", "Ready", "");
}

api::RegisteredServerStatus Describe(const Context& context, const Servers& servers,
                                     const ServerState& server) {
  api::RegisteredServerStatus status = server.object.status;
  status.observed_generation = server.object.meta.generation;
  status.phase = server.phase;
  const auto node = servers.nodes.find(server.object.spec.node_name);
  if (node != servers.nodes.end() && node->second.object) {
    const NodeUsage& usage = servers.ledger.On(node->first);
    status.tasks = usage.tasks;
    status.allocatable = EncodeResources(node->second.object->allocatable);
    status.allocated = EncodeResources(usage.used);
    status.load = LoadOf(node->second);
    status.last_heartbeat = node->second.renewed;
  }
  // As a Node's: one that is cordoned or busy is as it should be, and takes no tasks.
  const api::Progress progress =
      server.phase == "NotReady" ? api::Progress::kReconciling : api::Progress::kReady;
  api::SetProgress(status.conditions, progress, server.reason, server.message,
                   server.object.meta.generation, context.now);
  return status;
}

// Cheap to compare, unlike the status itself.
ServerDigest Digest(const Servers& servers, const ServerState& server) {
  ServerDigest digest{server.phase, server.reason, server.object.meta.generation, 0, {}, {}, 0};
  // What a busy one says of its load changes all the time.
  if (server.phase == "NotReady") digest.reason += ": " + server.message;
  const auto node = servers.nodes.find(server.object.spec.node_name);
  if (node == servers.nodes.end() || !node->second.object) return digest;
  const NodeUsage& usage = servers.ledger.On(node->first);
  digest.tasks = usage.tasks;
  digest.used = usage.used;
  digest.allocatable = node->second.object->allocatable;
  if (const auto load = LoadOf(node->second))
    digest.load = 1 + load->cpu_percent / 5 + 1'000 * (load->memory_percent / 5);
  return digest;
}

// At a bounded rate for all servers together: of ten thousand, each is written less often.
Duration HeartbeatEvery(const Servers& servers) {
  return std::max(kHeartbeatEvery, kHeartbeatEach * static_cast<int64_t>(servers.by_name.size()));
}

Duration PauseAfter(const Servers& servers, ServerDigest old, const ServerDigest& now) {
  if (old == now) return HeartbeatEvery(servers);
  old.load = now.load;
  // The load of a great many is written seldom: it changes all the time.
  const auto count = static_cast<int64_t>(servers.by_name.size());
  return old == now ? std::max(kServerStatusEvery, kHeartbeatEach * count) : kServerStatusEvery;
}

void DescribeServer(Context& context, Servers& servers, ServerState& server) {
  if (server.writer.in_flight) return;  // looked at again with its outcome
  const ServerDigest digest = Digest(servers, server);
  const bool turned = server.phase != server.object.status.phase;
  const Duration pause = PauseAfter(servers, server.digest, digest);
  const Time due = std::max(server.writer.last + pause, server.writer.AgainAt());
  if (!turned && context.now < due) return servers.Wake(server, due);
  api::RegisteredServerStatus status = Describe(context, servers, server);
  Time wake = kNever;
  if (!WriteStatus(context, server.writer, Kind::kServer, server.object.meta, EncodeStatus(status),
                   &wake))
    return servers.Wake(server, wake);
  server.writer.last = context.now;
  server.object.status = std::move(status);
  server.digest = digest;
  servers.Wake(server, context.now + HeartbeatEvery(servers));
}

// Whether the node asks by its label to be registered, and is not one that was bought: those are
// registered for their ScaleRequests, whatever labels every node gets.
bool WantsRegistration(const api::Node& node) {
  const auto label = node.meta.labels.find(api::kRegisterLabel);
  if (label == node.meta.labels.end() || label->second != "true") return false;
  return !node.meta.labels.contains(api::kRequestLabel) &&
         std::none_of(node.taints.begin(), node.taints.end(),
                      [](const api::Taint& taint) { return taint.key == api::kPoolTaint; });
}

void RegisterNode(Context& context, Servers& servers, const std::string& name, NodeState& node) {
  if (!node.object || node.object->meta.deleted) return;
  if (!WantsRegistration(*node.object) || node.registering || node.server != nullptr ||
      servers.by_name.contains(name) || context.now < node.registration.not_before)
    return;
  api::RegisteredServer server;
  server.meta.name = name;
  server.spec.node_name = name;
  node.registering = true;
  node.registering_since = context.now;
  context.effects.push_back(
      Write{Verb::kCreate, Kind::kServer, "", name, "", 0,
            EncodeNew(server, {"Node", name, node.object->meta.uid, false}, "v1"), std::nullopt});
}

// What the server's node offers counts once, by the server that counts for it.
void CountCapacity(Servers& servers, ServerState& server) {
  const NodeState& node = *server.node;
  const bool counts = node.server == &server && node.object;
  const api::Resources offered = counts ? node.object->allocatable : api::Resources{};
  server.max_pods = counts ? node.object->max_pods : 0;
  if (offered == server.offered) return;
  servers.capacity -= server.offered;
  servers.capacity += offered;
  server.offered = offered;
}

// Takes back what was registered for a label that is gone, or before it was known whose node it is.
void UnregisterUnlabelled(Context& context, Servers& servers, ServerState& server,
                          const NodeState& node) {
  if (!node.object) return;
  const auto& owners = server.object.meta.owners;
  const bool ours = std::any_of(owners.begin(), owners.end(),
                                [](const auto& owner) { return owner.kind == "Node"; });
  if (!ours) return;
  if (!WantsRegistration(*node.object)) return Unregister(context, servers, server);
  if (!server.deletion.sent) server.releasing = false;  // its deletion was refused in the meantime
}

}  // namespace

bool CallsItselfReady(const NodeState& node) {
  return node.object && node.object->ready == NodeReady::kTrue;
}

void NodeChanged(Context& context, Servers& servers, const std::string& name) {
  ++context.generation;
  servers.to_reconcile.insert(name);
  for (const std::string& server : servers.nodes[name].servers) {
    const uint32_t slot = servers.by_name.at(server).slot;
    servers.property_log.Add(slot);
    servers.capacity_log.Add(slot);
  }
}

void ChooseServer(Servers& servers, const std::string& name) {
  NodeState& node = servers.nodes[name];
  ServerState* first = nullptr;
  for (const std::string& each : node.servers) {
    ServerState& server = servers.by_name.at(each);
    const auto rank = [](const ServerState& state) {
      return std::pair(state.object.meta.created, state.object.meta.name);
    };
    if (first == nullptr || rank(server) < rank(*first)) first = &server;
  }
  if (node.server == first) return;
  if (node.server != nullptr) servers.Misplace(*node.server);
  node.server = first;
  if (first != nullptr) node.ending.reset();  // of the one before
  servers.ledger.Keep(name).slot = first == nullptr ? NodeUsage::kNoSlot : first->slot;
  servers.disturbed.insert(name);
}

void Unregister(Context& context, Servers& servers, ServerState& server) {
  if (!std::exchange(server.releasing, true))
    servers.to_reconcile.insert(server.object.spec.node_name);
  Time wake = kNever;
  if (!MayDelete(context, server.deletion, &wake)) return context.WakeAt(wake);
  server.deletion.sent = true;
  context.effects.push_back(Write{Verb::kDelete, Kind::kServer, "", server.object.meta.name,
                                  server.object.meta.uid, 0, nullptr, std::nullopt});
}

bool IsDown(const Context& context, const NodeState& node) {
  return !CallsItselfReady(node) || IsSilent(context, node);
}

std::string DescribeEnding(const Ending& ending) {
  return "the server ends" + (ending.at ? " at " + FormatTime(*ending.at) : "") + ": " + ending.why;
}

void EndServer(Context& context, Servers& servers, ServerState& server, Ending ending) {
  if (server.ending) ending.since = server.ending->since;
  if (server.releasing && server.ending && *server.ending == ending) return;
  server.releasing = true;
  server.ending = std::move(ending);
  servers.to_reconcile.insert(server.object.spec.node_name);
  servers.disturbed.insert(server.object.spec.node_name);
  context.WakeAt(context.now);
}

const Ending& EndNode(Servers& servers, const std::string& name, const Ending& ending) {
  NodeState& node = servers.nodes.at(name);
  if (!node.ending) {
    node.ending = ending;
    servers.disturbed.insert(name);
  }
  return *node.ending;
}

void CheckNode(Context& context, Servers& servers, const std::string& name) {
  if (const auto node = servers.nodes.find(name); node != servers.nodes.end())
    CheckOne(context, servers, name, node->second);
}

namespace {

// Nothing that is there refers to the node, which is not: what came late of one that is gone, such
// as its Lease or a measurement, must not be kept for ever.
bool IsLeftOver(const Context& context, const Servers& servers, const std::string& name,
                const NodeState& node) {
  if (node.object || !node.servers.empty() || servers.ledger.On(name).pods > 0) return false;
  if (!node.gone && (node.renewed || !context.Synced(Kind::kNode))) return false;
  // It may be of a node of this name that is on its way to us.
  return !node.load || context.now >= node.load_arrived + kLoadKept;
}

}  // namespace

void CheckNodes(Context& context, Servers& servers) {
  std::erase_if(servers.nodes, [&](const auto& entry) {
    if (!IsLeftOver(context, servers, entry.first, entry.second)) return false;
    servers.ledger.Forget(entry.first);
    return true;
  });
  for (auto& [name, node] : servers.nodes) {
    CheckOne(context, servers, name, node);
    if (node.register_at != Time{} && context.now >= node.register_at) {
      node.register_at = Time{};
      servers.to_reconcile.insert(name);
    }
  }
}

void RegisterAndJudge(Context& context, Servers& servers) {
  // Judging may let a node be reconciled again: the second round does that.
  for (int round = 0; round < 2; ++round) {
    for (const std::string& name : std::exchange(servers.to_reconcile, {})) {
      const auto at = servers.nodes.find(name);
      if (at == servers.nodes.end()) continue;
      RegisterNode(context, servers, name, at->second);
      // Readiness may have ended by time alone, without any event.
      CheckOne(context, servers, name, at->second);
      for (const std::string& each : at->second.servers) {
        ServerState& server = servers.by_name.at(each);
        CountCapacity(servers, server);
        UnregisterUnlabelled(context, servers, server, at->second);
        const bool before = server.schedulable;
        const int64_t cpu = CpuHeadroom(server), memory = MemoryHeadroom(server);
        Judge(context, servers, server);
        servers.Touch(server);
        const bool grown = !before || CpuHeadroom(server) > cpu || MemoryHeadroom(server) > memory;
        if (at->second.server == &server)
          Reindex(servers, *server.usage, server.schedulable && grown);
      }
    }
  }
}

void DescribeServers(Context& context, Servers& servers) {
  while (!servers.wakes.empty() && servers.wakes.begin()->first <= context.now) {
    const std::string name = servers.wakes.begin()->second;
    servers.wakes.erase(servers.wakes.begin());
    servers.by_name.at(name).wake = kNever;
    servers.Touch(servers.by_name.at(name));
  }
  for (const uint32_t slot : std::exchange(servers.touched, {})) {
    servers.slots[slot]->touched = false;
    DescribeServer(context, servers, *servers.slots[slot]);
  }
  if (!servers.wakes.empty()) context.WakeAt(servers.wakes.begin()->first);
}

}  // namespace spillway::core
