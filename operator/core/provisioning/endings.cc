#include "operator/core/provisioning/endings.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;

// By which its engine says on its Node that it takes that away; null if there is none.
const api::Taint* EndingTaint(const World& world, const ScaleState& scale) {
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  const auto node = world.servers.nodes.find(scale.object.status.node_name);
  if (engine == nullptr || node == world.servers.nodes.end() || !node->second.object)
    return nullptr;
  const auto& known = engine->traits.ending_taints;
  for (const api::Taint& taint : node->second.object->taints) {
    if (std::find(known.begin(), known.end(), taint.key) != known.end()) return &taint;
  }
  return nullptr;
}

// The engine's latest word counts. Whoever was told to end at once is not given time afterwards.
Ending EndingOf(const World& world, const ScaleState& scale, const ServerState& server) {
  Ending out = server.ending ? *server.ending : Ending{scale.object.status.message, {}, world.now};
  const CloudServer* says = ServerOf(world, scale);
  if (says == nullptr) return out;
  if (!says->ending.empty()) out.why = says->ending;
  const bool at_once = server.ending && !server.ending->at;
  if (!at_once && (says->deleting || !says->ending.empty())) out.at = says->ends_at;
  return out;
}

// What runs there is waited for no longer.
Time WaitedUntil(const World& world, const std::string& node, const Ending& ending) {
  if (ending.at) return *ending.at;
  Duration grace{0};
  world.servers.ledger.ForEachOwner(node, [&](const Owner& owner, const Demand&) {
    for (const auto& [attempt, pod] : owner.pods) {
      if (pod->node_name == node) grace = std::max(grace, pod->grace);
    }
  });
  return ending.since + grace + kSlowEnd;
}

// No task runs there, or nobody is there to end one.
bool IsVacant(const World& world, const std::string& node) {
  const auto at = world.servers.nodes.find(node);
  return world.servers.ledger.On(node).tasks == 0 || at == world.servers.nodes.end() ||
         IsDown(world, at->second);
}

// True if those who run there have had the time that they are given.
bool WakeUnlessWaited(World& world, const std::string& node, const Ending& ending) {
  const Time until = WaitedUntil(world, node, ending);
  if (world.now < until) world.WakeAt(until);
  return world.now >= until;
}

// Tells those who run on the node of the end of its server, or of what was registered there.
bool EndOn(World& world, const std::string& node, ServerState* server, const Ending& ending) {
  if (server == nullptr) return WakeUnlessWaited(world, node, EndNode(world.servers, node, ending));
  EndServer(world, world.servers, *server, ending);
  return WakeUnlessWaited(world, node, *server->ending);
}

// Under the name of its purchase another may have been made since.
bool HasPurchase(World& world, const ServerState& server) {
  const auto scale = world.provisioning.scales.find(server.object.spec.scale_request);
  return scale != world.provisioning.scales.end() && OwnServer(world, scale->second) == &server;
}

// Where tasks may have been put for the purchase: the node of its claim, and whatever is registered
// for it, such as a machine that its engine gave before.
std::set<std::string> NodesOf(const World& world, const CloudServer& claim) {
  std::set<std::string> out;
  if (!claim.node_name.empty()) out.insert(claim.node_name);
  for (const auto& [name, server] : world.servers.by_name) {
    const auto& owners = server.object.meta.owners;
    if (server.object.spec.cloud &&
        std::any_of(owners.begin(), owners.end(),
                    [&](const auto& owner) { return owner.uid == claim.request_uid; }))
      out.insert(server.object.spec.node_name);
  }
  return out;
}

// The same as Vacate, of one node of a purchase that is gone.
bool VacateNode(World& world, const CloudServer& orphan, const std::string& node) {
  ServerState* server = world.servers.On(node);
  const std::string request = server == nullptr ? "" : server->object.spec.scale_request;
  if (server != nullptr && (!server->object.spec.cloud || HasPurchase(world, *server))) return true;
  if (IsVacant(world, node)) {
    if (server != nullptr) Unregister(world, world.servers, *server);  // it takes no task meanwhile
    return true;
  }
  const Ending ending{"ScaleRequest " + (request.empty() ? "of " + orphan.name : request) +
                          " is gone, and its server is given back",
                      {},
                      world.now};
  if (server != nullptr && server->ending) return WakeUnlessWaited(world, node, *server->ending);
  return EndOn(world, node, server, ending);
}

}  // namespace

bool IsTheOne(const api::ScaleStatus& status, const CloudServer& server) {
  return status.backend_uid == server.uid && status.node_name == server.node_name;
}

std::string WhyTaken(const World& world, const ScaleState& scale, const CloudServer* server) {
  const api::ScaleStatus& status = scale.object.status;
  // Asked in every step: nothing is put into words while all is well.
  const auto what = [&] { return status.backend_kind + " " + status.backend_name; };
  if (server == nullptr) return what() + " is gone, which Spillway had not asked for";
  if (!server->ending.empty()) return server->ending;
  if (server->deleting) return what() + " is being deleted, which Spillway had not asked for";
  if (!IsTheOne(status, *server) && !server->ready)
    return what() + " was replaced by another of that name, which is not ready";
  if (server->error != CloudError::kNone)
    return "its engine calls it unusable (" + std::string(ToString(server->error)) +
           "): " + server->message;
  if (const api::Taint* taint = EndingTaint(world, scale))
    return "node " + status.node_name + " has the taint " + taint->key +
           ", by which its engine takes it away";
  return "";
}

bool Vacate(World& world, const ScaleState& scale) {
  ServerState* server = OwnServer(world, scale);
  const std::string node =
      server != nullptr ? server->object.spec.node_name : scale.object.status.node_name;
  const bool others = server == nullptr && RegisteredFor(world, scale) != nullptr;
  if (node.empty() || others || IsVacant(world, node)) return true;
  // Without a server, another leader has bound a task to it meanwhile.
  return EndOn(world, node, server,
               server == nullptr ? Ending{scale.object.status.message, {}, world.now}
                                 : EndingOf(world, scale, *server));
}

bool HasTasks(const World& world, const CloudServer& server) {
  const auto nodes = NodesOf(world, server);
  return std::any_of(nodes.begin(), nodes.end(),
                     [&](const std::string& node) { return !IsVacant(world, node); });
}

bool VacateOrphan(World& world, const CloudServer& orphan) {
  bool vacant = true;
  for (const std::string& node : NodesOf(world, orphan))
    vacant = VacateNode(world, orphan, node) && vacant;
  return vacant;
}

}  // namespace spillway::core
