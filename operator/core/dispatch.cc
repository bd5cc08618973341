#include "operator/core/dispatch.h"

#include <string>
#include <utility>
#include <vector>

#include "operator/core/budgets/observe.h"
#include "operator/core/provisioning/bare_nodes.h"
#include "operator/core/provisioning/observe.h"
#include "operator/core/scheduling/observe.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/servers/observe.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/observe.h"
#include "operator/core/tasks/observe_pods.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/world.h"

namespace spillway::core {
namespace {

void ServerGone(World& world, const ServerState& server) {
  ReleaseServer(world, server);
  OnServerGone(world.servers, std::string(server.object.meta.name));
}

struct Observer {
  World& world;
  template <typename Other>
  void operator()(const Other& object) const {
    OnSeen(world, object);
  }
  void operator()(const api::Budget& object) const { OnSeen(world, world.budgets, object); }
  void operator()(const api::Node& object) const { OnSeen(world, world.servers, object); }
  void operator()(const api::NodeLease& object) const { OnSeen(world, world.servers, object); }
  void operator()(const api::RegisteredServer& object) const {
    if (const ServerState* replaced = ReplacedBy(world.servers, object))
      ServerGone(world, *replaced);
    OnSeen(world, world.servers, object);
  }
};

// By somebody else than this process.
bool IsDeletedAtOnce(const World& world, const ServerState& server) {
  return !server.deletion.sent && world.now < server.object.meta.created + kRegister.last;
}

void RegistrationGone(World& world, const std::string& name) {
  const auto server = world.servers.by_name.find(name);
  const bool known = server != world.servers.by_name.end();
  const bool at_once = known && IsDeletedAtOnce(world, server->second);
  if (known) ServerGone(world, server->second);
  OnRegistrationGone(world, world.servers, name, at_once);
  OnRegistrationGone(world, name, at_once);
}

void OnKeyGone(World& world, Kind kind, const std::string& engine, const std::string& key) {
  switch (kind) {
    case Kind::kTask:
      return OnTaskGone(world, key);
    case Kind::kPod:
      return OnPodGone(world, key);
    case Kind::kNode:
      return OnNodeGone(world, world.servers, key);
    case Kind::kCloudServer:
      return OnCloudServerGone(world, engine, key);
    case Kind::kPool:
      return OnPoolGone(world, key);
    case Kind::kScale:
      return OnScaleGone(world, key);
    case Kind::kServer:
      return RegistrationGone(world, key);
    case Kind::kLease:
      return OnLeaseGone(world.servers, key);
    case Kind::kPriorityClass:
      return OnPriorityClassGone(world, key);
    case Kind::kNamespace:
      return OnNamespaceGone(world, key);
    case Kind::kBudget:
      return OnBudgetGone(world.budgets, key);
  }
}

// The version of what is known under the key; 0 if nothing is, or only what was asked for.
template <typename Map, typename Version>
void Collect(const Map& map, const Listed& listed, std::vector<std::string>& out, Version version) {
  for (const auto& [key, value] : map) {
    const auto [name, seen] = version(key, value);
    if (seen > 0 && seen <= listed.resource_version && !listed.keys.contains(name))
      out.push_back(name);
  }
}

std::vector<std::string> Missing(const World& world, const Listed& listed) {
  std::vector<std::string> out;
  const auto by_meta = [](const std::string& key, const auto& state) {
    return std::pair(key, state.object.meta.resource_version);
  };
  switch (listed.kind) {
    case Kind::kTask:
      Collect(world.tasks.by_key, listed, out, by_meta);
      break;
    case Kind::kServer:
      Collect(world.servers.by_name, listed, out, by_meta);
      break;
    case Kind::kPool:
      Collect(world.provisioning.pools, listed, out, by_meta);
      break;
    case Kind::kScale:
      Collect(world.provisioning.scales, listed, out, by_meta);
      break;
    case Kind::kPod:
      Collect(world.servers.pods, listed, out, [](const auto& key, const auto& pod) {
        return std::pair(key, pod.object.meta.resource_version);
      });
      break;
    case Kind::kNode:
      Collect(world.servers.nodes, listed, out, [](const auto& key, const auto& node) {
        return std::pair(key, node.object ? node.object->meta.resource_version : 0);
      });
      break;
    case Kind::kCloudServer:
      world.provisioning.cloud_servers.ForEach([&](const api::CloudServer& server) {
        const std::string key = server.key();
        if (server.engine == listed.engine && server.resource_version <= listed.resource_version &&
            !listed.keys.contains(key))
          out.push_back(key);
      });
      break;
    case Kind::kPriorityClass:
      Collect(world.scheduling.priority_classes, listed, out,
              [](const auto& key, const auto& each) {
                return std::pair(key, each.meta.resource_version);
              });
      break;
    case Kind::kBudget:
      Collect(world.budgets.by_key, listed, out, by_meta);
      break;
    case Kind::kLease:  // told of by its watch alone: a list is as new as all that is known
      Collect(world.servers.nodes, listed, out, [](const auto& name, const auto& node) {
        return std::pair("kube-node-lease/" + name, int64_t{node.renewed ? 1 : 0});
      });
      break;
    case Kind::kNamespace:  // what is in them tells more than whether they are there
      break;
  }
  return out;
}

// The version of what is known under the key; 0 if nothing is.
int64_t KnownVersion(const World& world, const Gone& gone) {
  const auto in = [&](const auto& map) {
    const auto at = map.find(gone.key);
    return at == map.end() ? 0 : at->second.object.meta.resource_version;
  };
  switch (gone.kind) {
    case Kind::kTask:
      return in(world.tasks.by_key);
    case Kind::kServer:
      return in(world.servers.by_name);
    case Kind::kPool:
      return in(world.provisioning.pools);
    case Kind::kScale:
      return in(world.provisioning.scales);
    case Kind::kPod:
      return in(world.servers.pods);
    case Kind::kBudget:
      return in(world.budgets.by_key);
    case Kind::kCloudServer:
      return world.provisioning.cloud_servers.VersionOf(gone.engine, gone.key);
    case Kind::kNode:  // the others are never told of by an answer before the watch tells of them
    case Kind::kPriorityClass:
    case Kind::kNamespace:
    case Kind::kLease:
      return 0;
  }
  return 0;
}

}  // namespace

void Observe(World& world, const Object& object) { std::visit(Observer{world}, object); }

void Forget(World& world, const Gone& gone) {
  // An answer has told of the one that was made under its name since.
  if (gone.resource_version > 0 && KnownVersion(world, gone) > gone.resource_version) return;
  if (gone.kind == Kind::kTask) {
    const auto task = world.tasks.by_key.find(gone.key);
    if (task != world.tasks.by_key.end() && task->second.uid() != gone.uid) return;
  }
  if (gone.kind == Kind::kPod) {
    const auto pod = world.servers.pods.find(gone.key);
    if (pod != world.servers.pods.end() && pod->second.object.meta.uid != gone.uid) return;
  }
  OnKeyGone(world, gone.kind, gone.engine, gone.key);
}

void ForgetOthers(World& world, const Listed& listed) {
  for (const std::string& key : Missing(world, listed))
    OnKeyGone(world, listed.kind, listed.engine, key);
  if (listed.kind == Kind::kTask && !world.Synced(Kind::kTask)) DropClaims(world);
}

void Conclude(World& world, const Outcome& outcome) {
  if (outcome.object) {
    const Object& object = *outcome.object;
    const int64_t* seen_up_to = world.SeenUpTo(KindOf(object), EngineOf(object));
    // Older than what was delivered: seen already, and perhaps gone again.
    if (seen_up_to != nullptr && VersionOf(object) > *seen_up_to) Observe(world, object);
  }
  switch (outcome.kind) {
    case Kind::kTask:
      return OnTaskOutcome(world, outcome);
    case Kind::kPod:
      return OnPodOutcome(world, outcome);
    case Kind::kServer:
      OnServerOutcome(world, world.servers, outcome);
      return OnRegistrationOutcome(world, outcome);
    case Kind::kPool:
      return ConcludeStatus(world, world.provisioning.pools, outcome);
    case Kind::kScale:
      return OnScaleOutcome(world, outcome);
    case Kind::kCloudServer:
      return OnCloudServerOutcome(world, outcome);
    case Kind::kBudget:
      return ConcludeStatus(world, world.budgets.by_key, outcome);
    case Kind::kNode:
      return OnNodeOutcome(world, outcome);
    case Kind::kLease:
    case Kind::kPriorityClass:
    case Kind::kNamespace:
      return;
  }
}

}  // namespace spillway::core
