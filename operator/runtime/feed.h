// What is followed for the core: the kinds of the API server, and what each engine has.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/engine.h"
#include "operator/core/events.h"
#include "operator/core/world.h"
#include "operator/kube/watcher.h"

namespace spillway::runtime {

// Something that is watched through the API server.
struct Feed {
  core::Kind kind = core::Kind::kTask;
  std::string engine = {};  // of kCloudServer
  kube::WatchTarget watch = {};
  // Never throws.
  std::function<Result<core::Object>(const api::Json&)> decode = {};
};

// Of any kind but kCloudServer.
Feed FeedOf(core::Kind kind);
// Of a watched engine, which must outlive it. Looks again, until stopped, while the engine could
// not look up what belongs to a server.
Feed FeedOf(const cloud::Engine& engine, const cloud::Watch& watch, std::stop_token stop);

// An event of a watch as the core takes it, and what could not be read of it.
struct Told {
  core::Event event;
  std::optional<Error> unreadable;
};
// An object that can no longer be read counts as deleted, since what was known of it is outdated.
// During a list, pass no event on for it and leave its key out of the list.
Told Tell(const Feed& feed, kube::WatchEvent what, const api::Json& object);

// What the engine has to do with, as the core has seen it.
cloud::Known KnownOf(const core::World& world, const std::string& engine);
// Asks the engine once what it has: each of its servers, and that these are all.
Result<std::vector<core::Event>> AskAll(const std::string& engine, const cloud::Poll& poll,
                                        std::stop_token stop);

}  // namespace spillway::runtime
