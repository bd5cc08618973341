#include "operator/core/registrar.h"

#include <algorithm>

#include "operator/core/fit.h"

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
  if (node.renewed && world.news >= node.heard + kHeartbeatTimeout) {
    return {"HeartbeatLost", "the node's Lease was renewed last " +
                                 FormatDuration(world.news - node.heard) + " ago"};
  }
  return {};
}

void CheckOne(World& world, const std::string& name, NodeState& node) {
  const bool lost = !node.object || !NotReadyReason(world, node).first.empty();
  if (lost == (node.not_ready_since != kNever)) return;
  node.not_ready_since = lost ? world.news : kNever;
  world.servers_dirty = true;
  if (!lost) world.capacity_version++;
  for (auto& [key, task] : world.tasks) {
    if (task.binding && task.binding->node == name) world.dirty.insert(key);
  }
}

void Judge(const World& world, ServerState& server) {
  const auto set = [&](const char* phase, std::string reason, std::string message) {
    server.phase = phase;
    server.reason = std::move(reason);
    server.message = std::move(message);
    server.usable = server.phase == "Ready" && !server.releasing && !server.object.meta.deleted;
  };
  const api::RegisteredServerSpec& spec = server.object.spec;
  const auto node = world.nodes.find(spec.node_name);
  if (node == world.nodes.end() || !node->second.object) {
    return set("NotReady", "NodeNotFound", "node " + spec.node_name + " does not exist");
  }
  if (const auto& other = world.server_of_node.at(spec.node_name);
      other != server.object.meta.name) {
    return set("NotReady", "DuplicateNode",
               "node " + spec.node_name + " is registered already, as " + other);
  }
  if (auto [reason, message] = NotReadyReason(world, node->second); !reason.empty()) {
    return set("NotReady", std::move(reason), std::move(message));
  }
  if (server.releasing) return set("NotReady", "Releasing", "the server is being given back");
  if (spec.cordoned) return set("Cordoned", "Cordoned", "cordoned by spec.cordoned");
  if (node->second.object->unschedulable)
    return set("Cordoned", "NodeUnschedulable", "the node is cordoned");
  if (spec.requires_metrics) {
    return set("NotReady", "NoMeasurement",
               "metricsPolicy is Require, and there is no measurement of its load");
  }
  set("Ready", "Ready", "");
}

bool FirstFor(const World& world, const std::string& a, const std::string& b) {
  const auto &x = world.servers.at(a).object.meta, &y = world.servers.at(b).object.meta;
  return std::pair(x.created, x.name) < std::pair(y.created, y.name);
}

void IndexServers(World& world) {
  world.server_of_node.clear();
  for (const auto& [name, server] : world.servers) {
    auto [at, added] = world.server_of_node.emplace(server.object.spec.node_name, name);
    if (!added && FirstFor(world, name, at->second)) at->second = name;
  }
}

api::RegisteredServerStatus Describe(const World& world, const ServerState& server) {
  api::RegisteredServerStatus status = server.object.status;
  status.observed_generation = server.object.meta.generation;
  status.phase = server.phase;
  const auto node = world.nodes.find(server.object.spec.node_name);
  if (node != world.nodes.end() && node->second.object) {
    const NodeUsage& usage = world.ledger.On(node->first);
    status.tasks = usage.tasks;
    status.allocatable = EncodeResources(node->second.object->allocatable);
    status.allocated = EncodeResources(usage.used);
    status.last_heartbeat = node->second.renewed;
  }
  const api::Progress progress = server.phase == "Ready"      ? api::Progress::kReady
                                 : server.phase == "Cordoned" ? api::Progress::kHeld
                                                              : api::Progress::kReconciling;
  api::SetProgress(status.conditions, progress, server.reason, server.message,
                   server.object.meta.generation, world.now);
  return status;
}

// Cheap to compare, unlike the status itself.
ServerDigest Digest(const World& world, const ServerState& server) {
  ServerDigest digest{server.phase, server.reason, server.object.meta.generation, 0, {}, {}};
  const auto node = world.nodes.find(server.object.spec.node_name);
  if (node == world.nodes.end() || !node->second.object) return digest;
  const NodeUsage& usage = world.ledger.On(node->first);
  digest.tasks = usage.tasks;
  digest.used = usage.used;
  digest.allocatable = node->second.object->allocatable;
  return digest;
}

void DescribeServer(World& world, ServerState& server) {
  if (server.writer.in_flight) return;
  const ServerDigest digest = Digest(world, server);
  const bool turned = server.phase != server.object.status.phase;
  const Time next =
      server.writer.last + (digest == server.digest ? kHeartbeatEvery : kServerStatusEvery);
  if (!turned && world.now < next) return world.WakeAt(next);
  api::RegisteredServerStatus status = Describe(world, server);
  if (!WriteStatus(world, server.writer, Kind::kServer, server.object.meta, EncodeStatus(status)))
    return;
  server.writer.last = world.now;
  server.object.status = std::move(status);
  server.digest = digest;
}

}  // namespace

void CheckNode(World& world, const std::string& name) {
  if (const auto node = world.nodes.find(name); node != world.nodes.end())
    CheckOne(world, name, node->second);
}

void CheckNodes(World& world) {
  for (auto& [name, node] : world.nodes) CheckOne(world, name, node);
}

void RegisterNodes(World& world) {
  IndexServers(world);
  for (auto& [name, node] : world.nodes) {
    if (!node.object || node.object->meta.deleted) continue;
    const auto label = node.object->meta.labels.find(api::kRegisterLabel);
    const bool wanted = label != node.object->meta.labels.end() && label->second == "true";
    if (!wanted || node.registering || world.server_of_node.contains(name) ||
        world.servers.contains(name) || world.now < node.register_at)
      continue;  // looked at again with the next check of all servers
    api::RegisteredServer server;
    server.meta.name = name;
    server.spec.node_name = name;
    node.registering = true;
    world.effects.push_back(
        Write{Verb::kCreate, Kind::kServer, "", name, "", 0,
              EncodeNew(server, {"Node", name, node.object->meta.uid, false}, "v1"), std::nullopt});
  }
  for (auto& [name, server] : world.servers) {
    const auto& owners = server.object.meta.owners;
    const auto node = world.nodes.find(server.object.spec.node_name);
    if (server.releasing || node == world.nodes.end() || !node->second.object) continue;
    const auto& labels = node->second.object->meta.labels;
    const auto label = labels.find(api::kRegisterLabel);
    const bool ours = std::any_of(owners.begin(), owners.end(),
                                  [](const auto& owner) { return owner.kind == "Node"; });
    if (!ours || (label != labels.end() && label->second == "true")) continue;
    server.releasing = true;
    world.effects.push_back(Write{Verb::kDelete, Kind::kServer, "", name, server.object.meta.uid, 0,
                                  nullptr, std::nullopt});
  }
}

void JudgeServers(World& world) {
  for (auto& [name, server] : world.servers) {
    const bool before = server.usable;
    Judge(world, server);
    if (server.usable && !before) world.capacity_version++;
  }
}

void DescribeServers(World& world) {
  for (auto& [name, server] : world.servers) DescribeServer(world, server);
}

}  // namespace spillway::core
