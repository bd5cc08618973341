#include "operator/core/provisioning/bare_nodes.h"

#include <algorithm>
#include <utility>

#include "operator/core/provisioning/engines.h"

namespace spillway::core {
namespace {

using api::Json;

// As a segment of a JSON pointer.
std::string Escaped(const std::string& key) {
  std::string out;
  for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

// What is there already stays as it is, but for our own label.
void AddLabels(const api::Node& node, const api::StringMap& wanted, Json& patch) {
  Json added = Json::array();
  for (const auto& [key, value] : wanted) {
    const auto at = node.meta.labels.find(key);
    if (at != node.meta.labels.end() && (key != api::kPoolLabel || at->second == value)) continue;
    added.push_back(
        {{"op", "add"}, {"path", "/metadata/labels/" + Escaped(key)}, {"value", value}});
  }
  if (!added.empty() && node.meta.labels.empty())
    patch.push_back({{"op", "add"}, {"path", "/metadata/labels"}, {"value", Json::object()}});
  patch.insert(patch.end(), added.begin(), added.end());
}

void AddTaints(const api::Node& node, const std::vector<api::Taint>& wanted, Json& patch) {
  bool any = !node.taints.empty();
  for (const api::Taint& taint : wanted) {
    const bool has = std::any_of(node.taints.begin(), node.taints.end(), [&](const auto& each) {
      return each.key == taint.key && each.effect == taint.effect;
    });
    if (has) continue;
    Json value = api::EncodeTaint(taint);
    if (std::exchange(any, true)) {
      patch.push_back({{"op", "add"}, {"path", "/spec/taints/-"}, {"value", std::move(value)}});
    } else {
      patch.push_back({{"op", "add"}, {"path", "/spec/taints"}, {"value", Json::array({value})}});
    }
  }
}

// Nothing if the Node lacks nothing.
Json WhatItLacks(const World& world, const ScaleState& scale, const api::Node& node) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  api::StringMap labels = pool == nullptr ? api::StringMap{} : pool->object.spec.labels;
  labels[api::kPoolLabel] = scale.object.pool;
  const auto taints = api::NodeTaints(
      scale.object.pool, pool == nullptr ? std::vector<api::Taint>{} : pool->object.spec.taints);
  Json patch = Json::array();
  AddLabels(node, labels, patch);
  AddTaints(node, taints, patch);
  return patch;
}

// Each version of the Node is asked for once.
void Equip(World& world, ScaleState& scale, const api::Node& node, Json patch) {
  if (node.meta.resource_version <= scale.equipped_at) return;
  if (world.now < scale.equipping.not_before) return world.WakeAt(scale.equipping.not_before);
  scale.equipped_at = node.meta.resource_version;
  world.effects.push_back(Write{Verb::kPatch, Kind::kNode, "", node.meta.name, node.meta.uid,
                                node.meta.resource_version, std::move(patch), std::nullopt});
}

bool HasBareNodes(const World& world, const ScaleState& scale) {
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  return engine != nullptr && engine->traits.bare_nodes;
}

// What its engine says of a Node may be wrong, and the Node another's: then it is not ours to
// delete, with what runs there.
bool WasItsNode(const World& world, const ScaleState& scale, const api::Node& node) {
  const ServerState* registered = world.servers.On(node.meta.name);
  if (registered != nullptr) return registered->object.spec.scale_request == scale.object.meta.name;
  const auto pool = node.meta.labels.find(api::kPoolLabel);
  return scale.object.status.ready_at ||
         (pool != node.meta.labels.end() && pool->second == scale.object.pool);
}

bool EngineRemoves(const World& world, const ScaleState& scale) {
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  return engine != nullptr && engine->traits.removes_nodes;
}

void NodeEquipped(World& world, ScaleState& scale, const std::optional<Error>& error) {
  // After a conflict a newer state of the Node is on its way.
  if (!error || error->kind == ErrorKind::kConflict) return;
  scale.equipped_at = 0;
  if (scale.equipping.Fail(world.now, scale.object.meta.uid, error->message))
    RecordEvent(world, scale, true, "NodeRefused",
                "Node " + scale.object.status.node_name +
                    " could not be given the labels and taints of its pool: " + error->message +
                    kAgain);
  world.WakeAt(scale.equipping.not_before);
}

}  // namespace

std::string AwaitNode(World& world, ScaleState& scale, const api::CloudServer& server) {
  if (!HasBareNodes(world, scale)) return "";
  const std::string name = "Node " + server.node_name;
  const auto at = world.servers.nodes.find(server.node_name);
  if (at == world.servers.nodes.end() || !at->second.object)
    return "its machine runs; waiting for " + name;
  const api::Node& node = *at->second.object;
  if (node.provider_id != server.provider_id) {
    return name + " has the spec.providerID \"" + node.provider_id + "\", and not \"" +
           server.provider_id + "\" as its engine says";
  }
  const ServerState* registered = world.servers.On(server.node_name);
  if (registered != nullptr && registered->object.spec.scale_request != scale.object.meta.name)
    return name + " is registered as " + registered->object.meta.name + " already";
  if (node.ready != api::NodeReady::kTrue) {
    return "waiting for " + name + " to be ready" +
           (node.ready_message.empty() ? "" : ": " + node.ready_message);
  }
  Json patch = WhatItLacks(world, scale, node);
  if (patch.empty()) return "";
  Equip(world, scale, node, std::move(patch));
  return name + " is being given the labels and taints of its pool";
}

bool NodeGone(World& world, ScaleState& scale) {
  const auto at = world.servers.nodes.find(scale.object.status.node_name);
  if (at == world.servers.nodes.end() || !at->second.object) return true;
  if (!HasBareNodes(world, scale)) return false;
  const api::Node& node = *at->second.object;
  const bool left = EngineRemoves(world, scale);
  // Another machine's, or nobody's that we know.
  if (node.provider_id != scale.object.status.provider_id) return true;
  if (node.provider_id.empty() && !left) return true;
  if (!WasItsNode(world, scale, node)) return true;
  if (left) return false;
  // It may have joined once more.
  if (std::exchange(scale.node_deleted, node.meta.uid) != node.meta.uid) scale.node_deletion = {};
  Time wake = kNever;
  if (MayDelete(world, scale.node_deletion, &wake)) {
    scale.node_deletion.sent = true;
    world.effects.push_back(Write{Verb::kDelete, Kind::kNode, "", node.meta.name, node.meta.uid, 0,
                                  nullptr, std::nullopt});
  }
  world.WakeAt(wake);
  return false;
}

bool LeftToEngine(const World& world, const ScaleState& scale) {
  const api::ScaleStatus& status = scale.object.status;
  return status.phase == api::ScalePhase::kReleasing && !status.node_name.empty() &&
         !scale.asking && !world.provisioning.cloud_servers.Has(scale.object.meta.uid) &&
         EngineRemoves(world, scale);
}

void OnNodeOutcome(World& world, const Outcome& outcome) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.status.node_name != outcome.key) continue;
    if (outcome.verb == Verb::kPatch) {
      NodeEquipped(world, scale, outcome.error);
    } else if (scale.node_deletion.sent &&
               Deleted(world, scale.node_deletion, scale.object.meta.uid, outcome.error)) {
      RecordEvent(
          world, scale, true, kDeleteFailed,
          "Node " + outcome.key + " could not be deleted: " + outcome.error->message + kAgain);
    }
  }
}

}  // namespace spillway::core
