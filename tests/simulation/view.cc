// What a process knows of the API server's objects, next to what there is.
#include <functional>
#include <limits>

#include "operator/core/provisioning/engines.h"
#include "operator/core/world.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using core::World;
// Takes the key and the version of each object that is known.
using Tell = std::function<void(const std::string& key, int64_t version)>;

template <typename Map>
void TellAll(const Map& map, const Tell& tell) {
  for (const auto& [key, state] : map) tell(key, state.object.meta.resource_version);
}

// A polled engine has no versions: what it has said counts.
void TellCloudServers(const World& world, const ApiServer& api, const Tell& tell) {
  world.provisioning.cloud_servers.ForEach([&](const api::CloudServer& server) {
    if (!core::IsPolled(world, server.engine)) return tell(server.key(), server.resource_version);
    api::CloudServer said = server;
    const auto* there = api.Get<api::CloudServer>(server.key());
    if (there != nullptr) said.resource_version = there->resource_version;
    const bool is_so = there != nullptr && said == *there;
    tell(server.key(), is_so ? there->resource_version : std::numeric_limits<int64_t>::max());
  });
}

void TellPriorityClasses(const World& world, const Tell& tell) {
  for (const auto& [name, each] : world.scheduling.priority_classes)
    tell(name, each.meta.resource_version);
}

void TellNodes(const World& world, const Tell& tell) {
  for (const auto& [name, node] : world.servers.nodes) {
    if (node.object) tell(name, node.object->meta.resource_version);
  }
}

// Of Leases and Namespaces only what they say is kept.
void TellKnown(const World& world, const ApiServer& api, Kind kind, const Tell& tell) {
  switch (kind) {
    case Kind::kTask:
      return TellAll(world.tasks.by_key, tell);
    case Kind::kServer:
      return TellAll(world.servers.by_name, tell);
    case Kind::kPool:
      return TellAll(world.provisioning.pools, tell);
    case Kind::kScale:
      return TellAll(world.provisioning.scales, tell);
    case Kind::kPod:
      return TellAll(world.servers.pods, [&](const std::string& pod, int64_t version) {
        if (world.ready() || !world.tasks.early_gone.contains(pod)) tell(pod, version);
      });
    case Kind::kNode:
      return TellNodes(world, tell);
    case Kind::kCloudServer:
      return TellCloudServers(world, api, tell);
    case Kind::kPriorityClass:
      return TellPriorityClasses(world, tell);
    case Kind::kBudget:
      return TellAll(world.budgets.by_key, tell);
    case Kind::kLease:
    case Kind::kNamespace:
      return;
  }
}

}  // namespace

std::optional<std::string> Checks::ViewDiffers(const Replica& replica) const {
  for (size_t i = 0; i < core::kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (kind == Kind::kLease || kind == Kind::kNamespace) continue;
    const std::string what = core::ToString(kind);
    std::map<std::string, int64_t> known;
    TellKnown(replica.core().world(), api_, kind, [&](const std::string& key, int64_t version) {
      if (version > 0) known[key] = version;  // else it was only asked for
    });
    for (const auto& [key, object] : api_.All(kind)) {
      const auto at = known.find(key);
      if (at == known.end()) return what + " " + key + " is not known";
      const int64_t version = core::VersionOf(*object);
      if (at->second != version)
        return what + " " + key + " is known as v" + std::to_string(at->second) + ", and is v" +
               std::to_string(version);
      known.erase(at);
    }
    if (!known.empty()) return what + " " + known.begin()->first + " is known, and gone";
  }
  return std::nullopt;
}

}  // namespace spillway::simulation
