#include "operator/core/tasks/lost_pods.h"

#include <chrono>

#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

// Whether what is known of the kind is as new as the pod's binding. If not, its node may have come
// back before that: another leader knew more. pod: null if it is not there.
bool KnowsSince(const World& world, Kind kind, const api::Pod* pod) {
  if (pod == nullptr) return true;
  const auto known = world.servers.pods.find(pod->meta.key());
  return known == world.servers.pods.end() ||
         world.seen_up_to[static_cast<size_t>(kind)] >= known->second.bound_by;
}

const NodeState* FindNode(const World& world, const std::string& name) {
  const auto node = world.servers.nodes.find(name);
  return node == world.servers.nodes.end() ? nullptr : &node->second;
}

// node: null if none is known by that name.
bool Vanished(const World& world, const NodeState* node, const api::Pod* pod) {
  return (node == nullptr || node->gone) && KnowsSince(world, Kind::kNode, pod);
}

// A watch that hangs must not make a node look lost: either the node's own watch has been heard of
// since it was well, and recently, and has not called it ready for so long, or that of the Leases
// has, and tells of a kubelet that was silent for so long. One that was silent, called itself
// ready, and later did not, was well in between, in whichever order the two watches tell of it.
bool KnownToBeDown(const World& world, const NodeState& node, const api::Pod* pod) {
  const Time lease = world.HeardOf(Kind::kLease);
  const bool silent = node.renewed && world.HearsOf(Kind::kLease) &&
                      KnowsSince(world, Kind::kLease, pod) &&
                      lease >= node.not_ready_since + kLostServerGrace &&
                      lease >= node.heard + kHeartbeatTimeout + kLostServerGrace;
  const bool told = world.HearsOf(Kind::kNode) && KnowsSince(world, Kind::kNode, pod) &&
                    node.told_since != kNever &&
                    world.HeardOf(Kind::kNode) >= node.told_since + kLostServerGrace;
  return silent || told;
}

}  // namespace

bool NodeVanished(const World& world, const api::Pod& pod) {
  return Vanished(world, FindNode(world, pod.node_name), &pod);
}

std::optional<std::string> NodeLost(const World& world, const std::string& name,
                                    const api::Pod* pod, Time* wake) {
  // kube-scheduler has not bound the pod yet, and may bind it to another node.
  if (name.empty() || (pod != nullptr && pod->intended)) return std::nullopt;
  const NodeState* node = FindNode(world, name);
  if (Vanished(world, node, pod)) return "node " + name + " no longer exists";
  // Not seen yet: the check of all nodes takes it up.
  if (node == nullptr || !node->object) {
    *wake = world.now + std::chrono::seconds(5);
    return std::nullopt;
  }
  const Time since = node->not_ready_since;
  if (since == kNever) return std::nullopt;
  if (world.news < since + kLostServerGrace) {
    *wake = world.ByNews(since + kLostServerGrace);
    return std::nullopt;
  }
  if (!KnownToBeDown(world, *node, pod)) {
    *wake = world.now + std::chrono::seconds(5);
    return std::nullopt;
  }
  return "node " + name + " has not been ready for " + FormatDuration(world.news - since);
}

const api::Pod* Lingering(const World& world, const TaskState& task, Time* wake) {
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (!pod->terminal() && !NodeLost(world, pod->node_name, pod, wake)) return pod;
  }
  return nullptr;
}

}  // namespace spillway::core
