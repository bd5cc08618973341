#include "operator/runtime/feed.h"

#include "operator/core/provisioning/engines.h"
#include "operator/runtime/ask_engine.h"
#include "operator/runtime/decode.h"
#include "operator/runtime/guard.h"

namespace spillway::runtime {
namespace {

constexpr std::chrono::milliseconds kLookAgain{1'000};

}  // namespace

Feed FeedOf(core::Kind kind) {
  Feed feed{kind};
  feed.watch.resource = ResourceOf(kind);
  if (kind == core::Kind::kLease) feed.watch.ns = "kube-node-lease";
  feed.decode = [kind](const api::Json& object) { return Decode(kind, object); };
  return feed;
}

Feed FeedOf(const cloud::Engine& engine, const cloud::Watch& watch, std::stop_token stop) {
  Feed feed{core::Kind::kCloudServer, engine.traits().name};
  feed.watch.resource = watch.resource;
  feed.watch.ns = watch.ns;
  feed.watch.optional = true;  // the engine may not be installed
  feed.decode = [decode = watch.decode, name = feed.engine,
                 stop](const api::Json& object) -> Result<core::Object> {
    Result<api::CloudServer> server = Invalid("");
    do {
      if (const auto thrown = Guarded([&] { server = decode(object, stop); }))
        return Invalid(*thrown);
      if (server || !server.error().retryable()) break;
      kube::SleepFor(kLookAgain, stop);
    } while (!stop.stop_requested());
    if (!server) return server.error();
    server->engine = name;
    return core::Object(std::move(*server));
  };
  return feed;
}

Told Tell(const Feed& feed, kube::WatchEvent what, const api::Json& object) {
  const api::ObjectMeta meta = api::DecodeMeta(object);
  core::Gone gone{feed.kind, meta.key(), meta.uid, meta.resource_version, feed.engine};
  if (what == kube::WatchEvent::kDelete) return {std::move(gone), std::nullopt};
  if (what == kube::WatchEvent::kBookmark)
    return {core::Bookmark{feed.kind, meta.resource_version, feed.engine}, std::nullopt};
  auto decoded = feed.decode(object);
  if (!decoded) return {std::move(gone), decoded.error()};
  return {core::Seen{std::move(*decoded), what == kube::WatchEvent::kListed}, std::nullopt};
}

cloud::Known KnownOf(const core::World& world, const std::string& engine) {
  cloud::Known out;
  for (const auto& [name, pool] : world.provisioning.pools) {
    if (pool.object.spec.engine == engine) out.pools.push_back(pool.object);
  }
  for (const auto& [name, scale] : world.provisioning.scales) {
    const bool over = scale.object.status.finished_at && scale.object.finalizers.empty();
    if (scale.created && !over && core::EngineOf(world.provisioning, scale) == engine)
      out.requests.push_back(scale.object);
  }
  return out;
}

Result<std::vector<core::Event>> AskAll(const std::string& engine, const cloud::Poll& poll,
                                        std::stop_token stop) {
  // Taken before: a server that is made meanwhile has a higher one, and is not missing in this
  // list.
  const int64_t number = NextObservation();
  Result<std::vector<api::CloudServer>> servers = Invalid("");
  if (const auto thrown = Guarded([&] { servers = poll.list(stop); })) return Invalid(*thrown);
  if (!servers) return servers.error();
  std::vector<core::Event> events;
  core::Listed listed{core::Kind::kCloudServer, number, {}, engine};
  for (api::CloudServer& server : *servers) {
    server.engine = engine;
    server.resource_version = number;
    listed.keys.insert(server.key());
    events.push_back(core::Seen{core::Object(std::move(server)), true});
  }
  events.push_back(std::move(listed));
  return events;
}

}  // namespace spillway::runtime
