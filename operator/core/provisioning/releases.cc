#include "operator/core/provisioning/releases.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "operator/core/provisioning/bare_nodes.h"
#include "operator/core/provisioning/endings.h"
#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/hearsay.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::CloudServer;
using api::ScalePhase;
using std::chrono::seconds;

// An engine that has said yes to a release, and has not begun, is asked again.
constexpr Duration kReleaseAgain{60'000};
// Later than that, it is asked again whatever it wants.
constexpr Duration kLongestWait{600'000};

// The API server keeps it until what was bought for it was given back.
bool IsHeld(const ScaleState& scale) {
  const auto& finalizers = scale.object.finalizers;
  return std::find(finalizers.begin(), finalizers.end(), api::kLeaseFinalizer) != finalizers.end();
}

// Nothing is seen of a server for it, which does not say that there is none: the request for it may
// have arrived. The engine finds it by the uid alone.
std::optional<CloudServer> Unseen(const World& world, const ScaleState& scale) {
  const std::string engine = EngineOf(world.provisioning, scale);
  if (!IsHeld(scale) || scale.given_back || scale.asking || EngineMisfit(world, engine))
    return std::nullopt;
  CloudServer out;
  out.engine = engine;
  out.kind = scale.object.status.backend_kind;
  out.name = scale.object.status.backend_name;
  out.uid = out.request_uid = scale.object.meta.uid;
  return out;
}

void DeleteServer(World& world, ScaleState& scale) {
  if (ServerState* server = OwnServer(world, scale)) Unregister(world, world.servers, *server);
}

// What was bought for it was given back: its finalizer is taken away.
void LetGo(World& world, ScaleState& scale) {
  if (!IsHeld(scale) || !scale.given_back || ServerOf(world, scale) != nullptr ||
      !NodeGone(world, scale))
    return;
  Time wake = kNever;
  if (!MayDelete(world, scale.letting_go, &wake)) return world.WakeAt(wake);
  scale.letting_go.sent = true;
  const auto& finalizers = scale.object.finalizers;
  const auto at = std::find(finalizers.begin(), finalizers.end(), api::kLeaseFinalizer);
  const std::string path = "/metadata/finalizers/" + std::to_string(at - finalizers.begin());
  world.effects.push_back(Write{Verb::kPatch,
                                Kind::kScale,
                                "",
                                scale.object.meta.name,
                                scale.object.meta.uid,
                                0,
                                {{{"op", "test"}, {"path", path}, {"value", api::kLeaseFinalizer}},
                                 {{"op", "remove"}, {"path", path}}},
                                std::nullopt});
}

// Not if its engine is one that the pool named before.
bool IsAskedOf(const World& world, const ScaleState& scale, const CloudServer& server) {
  const std::string engine = EngineOf(world.provisioning, scale);
  return engine.empty() || engine == server.engine;
}

bool EngineDrains(const World& world, const std::string& name) {
  const EngineFeed* engine = world.Engine(name);
  return engine != nullptr && engine->traits.drains;
}

void ReleaseOrphan(World& world, CloudServer& server) {
  const bool vacant = VacateOrphan(world, server);
  if (server.deleting || (!vacant && !EngineDrains(world, server.engine))) return;
  if (world.now < world.provisioning.orphans_at) return world.WakeAt(world.provisioning.orphans_at);
  const auto [asked, first] =
      world.provisioning.orphans_asked.try_emplace({server.engine, server.key()}, world.now);
  if (!first && world.now < asked->second + kReleaseAgain)
    return world.WakeAt(asked->second + kReleaseAgain);
  asked->second = world.now;
  world.effects.push_back(AskCloud{AskCloud::Op::kRelease, "", server.request_uid, {}, server});
}

// Whether it is known that the ScaleRequest is gone. Where only the claim was seen of it, its watch
// has to tell what has happened since: a leader before may have made both.
bool SurelyGone(World& world, const std::string& request_uid) {
  const auto [at, fresh] = world.provisioning.unknown.try_emplace(request_uid);
  UnknownRequest& request = at->second;
  if (fresh) request.since = world.now;
  const Heard& heard = world.heard[static_cast<size_t>(Kind::kScale)];
  if (request.gone || heard.last < request.since + kBacklog) return request.gone;
  const Time until = heard.row + kBacklog;
  if (world.now < until) world.WakeAt(until);
  return request.gone = world.now >= until;
}

void ReleaseUnknown(World& world) {
  auto& provisioning = world.provisioning;
  if (provisioning.cloud_servers.empty()) return provisioning.unknown.clear();
  std::unordered_map<std::string_view, const ScaleState*> known;
  for (const auto& [name, scale] : provisioning.scales)
    known.emplace(scale.object.meta.uid, &scale);
  std::erase_if(provisioning.unknown, [&](const auto& entry) {
    return !provisioning.cloud_servers.Has(entry.first) || known.contains(entry.first);
  });
  provisioning.cloud_servers.ForEach([&](CloudServer& server) {
    const auto scale = known.find(server.request_uid);
    if (scale != known.end() && IsAskedOf(world, *scale->second, server)) return;
    const auto pool = provisioning.pools.find(server.pool);
    if (pool != provisioning.pools.end()) ++pool->second.orphans;
    // Those that run there are not stopped by mistake.
    if (scale != known.end() || SurelyGone(world, server.request_uid) || !HasTasks(world, server))
      ReleaseOrphan(world, server);
  });
}

// What is added to why the server was given back while its Node is still there.
std::string WhatIsLeft(const ScaleState& scale) {
  return "; waiting for its engine to take node " + scale.object.status.node_name +
         " away, which costs until then";
}

void SayWhatIsLeft(World& world, ScaleState& scale) {
  const std::string &said = scale.object.status.message, left = WhatIsLeft(scale);
  if (LeftToEngine(world, scale) && !said.ends_with(left))
    SetPhase(world, scale, ScalePhase::kReleasing, said + left);
}

// Another leader may have written late, in a status that does not tell of the node yet: by the node
// its registered server is found.
void NoteNode(const World& world, ScaleState& scale) {
  const CloudServer* server = ServerOf(world, scale);
  if (server != nullptr && scale.object.status.node_name.empty() && !server->node_name.empty())
    NoteBackend(scale.object.status, *server);
}

}  // namespace

void AskRelease(World& world, ScaleState& scale) {
  if (scale.releasing) return;
  if (world.now < scale.release_backoff.not_before)
    return world.WakeAt(scale.release_backoff.not_before);
  const CloudServer* server = ServerOf(world, scale);
  const auto unseen = server == nullptr ? Unseen(world, scale) : std::nullopt;
  if (unseen) server = &*unseen;
  if (server == nullptr || server->deleting) return;
  // Whoever took the request may have lost it: the server is paid for until it is seen to end.
  const Time again = scale.released_at + kReleaseAgain;
  if (scale.released == server->uid && world.now < again) return world.WakeAt(again);
  scale.released = server->uid;
  scale.released_at = world.now;
  scale.releasing = true;
  world.effects.push_back(
      AskCloud{AskCloud::Op::kRelease, scale.object.meta.name, scale.object.meta.uid, {}, *server});
}

void BeginRelease(World& world, ScaleState& scale, const std::string& why) {
  SetPhase(world, scale, ScalePhase::kReleasing, why);
  RecordEvent(world, scale, false, "Releasing", why);
  // Now, so that it takes no task in this very step.
  if (Vacate(world, scale)) DeleteServer(world, scale);
}

void Release(World& world, ScaleState& scale) {
  NoteNode(world, scale);
  const bool vacant = Vacate(world, scale);
  if (vacant) DeleteServer(world, scale);
  if (vacant || EngineDrains(world, EngineOf(world.provisioning, scale))) AskRelease(world, scale);
  if (!vacant) return;
  const bool unseen = KeepHearsay(world, scale);
  if (ServerOf(world, scale) != nullptr || scale.asking || unseen) return;  // there may be one yet
  if ((IsHeld(scale) && !scale.given_back) || !NodeGone(world, scale))
    return SayWhatIsLeft(world, scale);
  if (IsOpenToOthers(scale)) return;  // who may make a server of it
  std::string why = scale.object.status.message;
  if (const std::string left = WhatIsLeft(scale); why.ends_with(left))
    why.resize(why.size() - left.size());
  scale.object.status.finished_at = world.now;
  SetPhase(world, scale, ScalePhase::kReleased, "given back: " + why);
}

void Ended(World& world, ScaleState& scale) {
  AskRelease(world, scale);
  DeleteServer(world, scale);
  LetGo(world, scale);
  if (scale.object.meta.deleted) return;
  const Time until = scale.object.status.finished_at.value_or(world.now) + kKeepEnded;
  if (world.now < until) return world.WakeAt(until);
  // By it a server is known that comes late, and given back.
  if (ServerOf(world, scale) != nullptr || scale.asking) return;
  Time wake = kNever;
  if (!MayDelete(world, scale.deletion, &wake)) return world.WakeAt(wake);
  scale.deletion.sent = true;
  world.effects.push_back(Write{Verb::kDelete, Kind::kScale, "", scale.object.meta.name,
                                scale.object.meta.uid, 0, nullptr, std::nullopt});
}

void ReleaseOrphans(World& world) {
  std::map<std::string, int64_t> before;
  for (auto& [name, pool] : world.provisioning.pools) before[name] = std::exchange(pool.orphans, 0);
  ReleaseUnknown(world);
  // They count among the servers of their pools, by which others are kept as stock.
  for (const auto& [name, pool] : world.provisioning.pools) {
    if (pool.orphans != before[name]) world.WakeAt(world.now);
  }
}

void ReleaseAsked(World& world, ScaleState& scale, const std::optional<Error>& error) {
  scale.releasing = false;
  scale.released_at = world.now;
  if (!error || error->kind == ErrorKind::kNotFound) {
    scale.release_backoff.Succeed();
    scale.given_back = true;
    return;
  }
  scale.released.clear();
  // It costs money as long as it lasts, so the wait stays short, whatever the engine wants.
  if (scale.release_backoff.Fail(world.now, scale.object.meta.uid, error->message, kAskAgain))
    RecordEvent(world, scale, true, "ReleaseRefused",
                "the server could not be given back: " + error->message);
  const Duration wanted = std::min<Duration>(error->retry_after.value_or(seconds(0)), kLongestWait);
  Time& not_before = scale.release_backoff.not_before;
  not_before = std::max(not_before, world.now + wanted);
  world.WakeAt(scale.release_backoff.not_before);
}

}  // namespace spillway::core
