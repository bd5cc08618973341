#include "operator/core/servers/registrar.h"

#include <algorithm>

#include "operator/core/scheduling/fit.h"
#include "operator/core/servers/load.h"

namespace spillway::core {
namespace {

using api::NodeReady;

// Why the node does not take tasks at the moment; empty if it does.
std::pair<std::string, std::string> NotReadyReason(const World& world, const NodeState& node) {
  if (node.object->meta.deleted) return {"NodeDeleting", "the node is being deleted"};
  if (node.object->ready != NodeReady::kTrue) {
    const std::string& message = node.object->ready_message;
    return {"NodeNotReady",
            message.empty() ? "the node has not reported that it is ready" : message};
  }
  for (const api::Taint& taint : node.object->taints) {
    // The node controller takes it off a moment after the node is ready.
    if (IsReadinessTaint(taint))
      return {"NodeNotReady", "the node still has the taint " + taint.key};
  }
  if (node.renewed && world.HeardOf(Kind::kLease) >= node.heard + kHeartbeatTimeout) {
    return {"HeartbeatLost", "the node's Lease was renewed last " +
                                 FormatDuration(world.news - node.heard) + " ago"};
  }
  return {};
}

void CheckOne(World& world, const std::string& name, NodeState& node) {
  // Nodes are as far as the pod on it, and it is not among them: it is no more.
  if (!node.object && !node.gone && node.named_by > 0 &&
      world.seen_up_to[static_cast<size_t>(Kind::kNode)] >= node.named_by) {
    node.gone = true;
    WakeTasksOn(world, name);
  }
  const bool lost = !node.object || !NotReadyReason(world, node).first.empty();
  if (lost == (node.not_ready_since != kNever)) return;
  node.not_ready_since = lost ? world.news : kNever;
  ++world.explain.generation;
  world.servers.to_reconcile.insert(name);
  WakeTasksOn(world, name);
}

void Judge(World& world, ServerState& server) {
  const auto set = [&](const char* phase, std::string reason, std::string message) {
    server.phase = phase;
    server.reason = std::move(reason);
    server.message = std::move(message);
    server.usable = server.phase == "Ready" && !server.releasing && !server.object.meta.deleted;
  };
  const api::RegisteredServerSpec& spec = server.object.spec;
  const auto node = world.servers.nodes.find(spec.node_name);
  if (node == world.servers.nodes.end() || !node->second.object) {
    return set("NotReady", "NodeNotFound", "node " + spec.node_name + " does not exist");
  }
  if (const ServerState* other = node->second.server; other != &server) {
    return set("NotReady", "DuplicateNode",
               "node " + spec.node_name + " is registered already, as " + other->object.meta.name);
  }
  if (auto [reason, message] = NotReadyReason(world, node->second); !reason.empty()) {
    return set("NotReady", std::move(reason), std::move(message));
  }
  if (server.releasing) return set("NotReady", "Releasing", "the server is being given back");
  if (spec.cordoned) return set("Cordoned", "Cordoned", "cordoned by spec.cordoned");
  if (node->second.object->unschedulable)
    return set("Cordoned", "NodeUnschedulable", "the node is cordoned");
  if (const auto why = JudgeLoad(world, server))
    return set(why->reason == "Overloaded" ? "Overloaded" : "NotReady", why->reason, why->message);
  set("Ready", "Ready", "");
}

api::RegisteredServerStatus Describe(const World& world, const ServerState& server) {
  api::RegisteredServerStatus status = server.object.status;
  status.observed_generation = server.object.meta.generation;
  status.phase = server.phase;
  const auto node = world.servers.nodes.find(server.object.spec.node_name);
  if (node != world.servers.nodes.end() && node->second.object) {
    const NodeUsage& usage = world.servers.ledger.On(node->first);
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
                   server.object.meta.generation, world.now);
  return status;
}

// Cheap to compare, unlike the status itself.
ServerDigest Digest(const World& world, const ServerState& server) {
  ServerDigest digest{server.phase, server.reason, server.object.meta.generation, 0, {}, {}, 0};
  const auto node = world.servers.nodes.find(server.object.spec.node_name);
  if (node == world.servers.nodes.end() || !node->second.object) return digest;
  const NodeUsage& usage = world.servers.ledger.On(node->first);
  digest.tasks = usage.tasks;
  digest.used = usage.used;
  digest.allocatable = node->second.object->allocatable;
  if (const auto load = LoadOf(node->second))
    digest.load = 1 + load->cpu_percent / 5 + 1'000 * (load->memory_percent / 5);
  return digest;
}

// At a bounded rate for all servers together: of ten thousand, each is written less often.
Duration HeartbeatEvery(const World& world) {
  return std::max(kHeartbeatEvery,
                  kHeartbeatEach * static_cast<int64_t>(world.servers.by_name.size()));
}

Duration PauseAfter(const World& world, ServerDigest old, const ServerDigest& now) {
  if (old == now) return HeartbeatEvery(world);
  old.load = now.load;
  // The load of a great many is written seldom: it changes all the time.
  const auto servers = static_cast<int64_t>(world.servers.by_name.size());
  return old == now ? std::max(kServerStatusEvery, kHeartbeatEach * servers) : kServerStatusEvery;
}

void DescribeServer(World& world, ServerState& server) {
  if (server.writer.in_flight) return;  // looked at again with its outcome
  const ServerDigest digest = Digest(world, server);
  const bool turned = server.phase != server.object.status.phase;
  const Duration pause = PauseAfter(world, server.digest, digest);
  if (!turned && world.now < server.writer.last + pause)
    return world.servers.Wake(server, server.writer.last + pause);
  api::RegisteredServerStatus status = Describe(world, server);
  Time wake = kNever;
  if (!WriteStatus(world, server.writer, Kind::kServer, server.object.meta, EncodeStatus(status),
                   &wake))
    return world.servers.Wake(server, wake);
  server.writer.last = world.now;
  server.object.status = std::move(status);
  server.digest = digest;
  world.servers.Wake(server, world.now + HeartbeatEvery(world));
}

void RegisterNode(World& world, const std::string& name, NodeState& node) {
  if (!node.object || node.object->meta.deleted) return;
  const auto label = node.object->meta.labels.find(api::kRegisterLabel);
  const bool wanted = label != node.object->meta.labels.end() && label->second == "true";
  if (!wanted || node.registering || node.server != nullptr ||
      world.servers.by_name.contains(name) || world.now < node.registration.not_before)
    return;
  api::RegisteredServer server;
  server.meta.name = name;
  server.spec.node_name = name;
  node.registering = true;
  world.effects.push_back(
      Write{Verb::kCreate, Kind::kServer, "", name, "", 0,
            EncodeNew(server, {"Node", name, node.object->meta.uid, false}, "v1"), std::nullopt});
}

// What the server's node offers counts once, by the server that counts for it.
void CountCapacity(World& world, ServerState& server) {
  const NodeState& node = *server.node;
  const bool counts = node.server == &server && node.object;
  const api::Resources offered = counts ? node.object->allocatable : api::Resources{};
  server.max_pods = counts ? node.object->max_pods : 0;
  if (offered == server.offered) return;
  world.servers.capacity -= server.offered;
  world.servers.capacity += offered;
  server.offered = offered;
}

// Takes back what was registered for a label that is gone.
void TakeBack(World& world, ServerState& server, const NodeState& node) {
  if (!node.object) return;
  const auto& owners = server.object.meta.owners;
  const auto& labels = node.object->meta.labels;
  const auto label = labels.find(api::kRegisterLabel);
  const bool ours = std::any_of(owners.begin(), owners.end(),
                                [](const auto& owner) { return owner.kind == "Node"; });
  if (!ours) return;
  if (label == labels.end() || label->second != "true") return Unregister(world, server);
  if (!server.deletion.sent) server.releasing = false;  // its deletion was refused in the meantime
}

}  // namespace

bool CallsItselfReady(const NodeState& node) {
  return node.object && node.object->ready == NodeReady::kTrue &&
         std::none_of(node.object->taints.begin(), node.object->taints.end(), IsReadinessTaint);
}

void WakeTasksOn(World& world, const std::string& node) {
  world.servers.ledger.ForEachOwner(node, [&](const Owner& owner) {
    if (owner.task != nullptr) world.tasks.to_reconcile.insert(*owner.task->key);
  });
}

void NodeChanged(World& world, const std::string& name) {
  ++world.explain.generation;
  world.servers.to_reconcile.insert(name);
  for (const std::string& server : world.servers.nodes[name].servers) {
    const uint32_t slot = world.servers.by_name.at(server).slot;
    world.servers.property_log.Add(slot);
    world.servers.capacity_log.Add(slot);
  }
}

void ChooseServer(World& world, const std::string& name) {
  NodeState& node = world.servers.nodes[name];
  ServerState* first = nullptr;
  for (const std::string& each : node.servers) {
    ServerState& server = world.servers.by_name.at(each);
    const auto rank = [](const ServerState& state) {
      return std::pair(state.object.meta.created, state.object.meta.name);
    };
    if (first == nullptr || rank(server) < rank(*first)) first = &server;
  }
  if (node.server == first) return;
  if (node.server != nullptr) world.servers.Misplace(*node.server);
  node.server = first;
  world.servers.ledger.Keep(name).slot = first == nullptr ? NodeUsage::kNoSlot : first->slot;
  WakeTasksOn(world, name);
}

void Unregister(World& world, ServerState& server) {
  if (!std::exchange(server.releasing, true))
    world.servers.to_reconcile.insert(server.object.spec.node_name);
  Time wake = kNever;
  if (!MayDelete(world, server.deletion, &wake)) return world.WakeAt(wake);
  server.deletion.sent = true;
  world.effects.push_back(Write{Verb::kDelete, Kind::kServer, "", server.object.meta.name,
                                server.object.meta.uid, 0, nullptr, std::nullopt});
}

void CheckNode(World& world, const std::string& name) {
  if (const auto node = world.servers.nodes.find(name); node != world.servers.nodes.end())
    CheckOne(world, name, node->second);
}

void CheckNodes(World& world) {
  std::erase_if(world.servers.nodes, [&](const auto& entry) {
    const NodeState& node = entry.second;
    if (!node.gone || !node.servers.empty() || world.servers.ledger.On(entry.first).pods > 0)
      return false;
    // It may be of a node of this name that is on its way to us.
    if (node.load && world.now < node.load->observed + kLoadKept) return false;
    world.servers.ledger.Forget(entry.first);
    return true;
  });
  for (auto& [name, node] : world.servers.nodes) {
    CheckOne(world, name, node);
    if (node.register_at != Time{} && world.now >= node.register_at) {
      node.register_at = Time{};
      world.servers.to_reconcile.insert(name);
    }
  }
}

void RegisterAndJudge(World& world) {
  // Judging may make a node dirty again, so that it is done in a second round.
  for (int round = 0; round < 2; ++round) {
    for (const std::string& name : std::exchange(world.servers.to_reconcile, {})) {
      const auto at = world.servers.nodes.find(name);
      if (at == world.servers.nodes.end()) continue;
      RegisterNode(world, name, at->second);
      // So that the end of what its servers are judged by is noticed as well.
      CheckOne(world, name, at->second);
      for (const std::string& each : at->second.servers) {
        ServerState& server = world.servers.by_name.at(each);
        CountCapacity(world, server);
        TakeBack(world, server, at->second);
        const bool before = server.usable;
        const int64_t cpu = CpuHeadroom(server), memory = MemoryHeadroom(server);
        Judge(world, server);
        world.servers.Touch(server);
        const bool grown = !before || CpuHeadroom(server) > cpu || MemoryHeadroom(server) > memory;
        if (at->second.server == &server)
          Reindex(world.servers, *server.usage, server.usable && grown);
      }
    }
  }
}

void DescribeServers(World& world) {
  while (!world.servers.wakes.empty() && world.servers.wakes.begin()->first <= world.now) {
    const std::string name = world.servers.wakes.begin()->second;
    world.servers.wakes.erase(world.servers.wakes.begin());
    world.servers.by_name.at(name).wake = kNever;
    world.servers.Touch(world.servers.by_name.at(name));
  }
  for (const uint32_t slot : std::exchange(world.servers.touched, {})) {
    world.servers.slots[slot]->touched = false;
    DescribeServer(world, *world.servers.slots[slot]);
  }
  if (!world.servers.wakes.empty()) world.WakeAt(world.servers.wakes.begin()->first);
}

}  // namespace spillway::core
