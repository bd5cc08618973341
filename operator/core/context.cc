#include "operator/core/context.h"

#include <utility>

namespace spillway::core {

bool Context::ready() const {
  if (!measured) return false;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    if (!synced[kind] && static_cast<Kind>(kind) != Kind::kCloudServer) return false;
  }
  // One that cannot be listed is not waited for for ever: servers that are there need none, and
  // what it has is neither judged nor added to before it has said what that is.
  return std::all_of(engines.begin(), engines.end(), [&](const auto& entry) {
    const EngineFeed& engine = entry.second;
    return engine.synced || engine.traits.polled || engine.let_go;
  });
}

const EngineFeed* Context::Engine(const std::string& name) const {
  const auto at = engines.find(name);
  return at == engines.end() ? nullptr : &at->second;
}

int64_t* Context::SeenUpTo(Kind kind, const std::string& engine) {
  if (kind != Kind::kCloudServer) return &seen_up_to[static_cast<size_t>(kind)];
  const auto at = engines.find(engine);
  return at == engines.end() ? nullptr : &at->second.seen_up_to;
}

void Context::MarkSynced(Kind kind, const std::string& engine) {
  if (kind != Kind::kCloudServer) synced[static_cast<size_t>(kind)] = true;
  const auto at = engines.find(engine);
  if (at == engines.end()) return;
  at->second.synced = true;
  ++at->second.lists;
}

bool Context::IsBehind() const {
  const auto is = [&](Kind kind) { return behind[static_cast<size_t>(kind)]; };
  return is(Kind::kTask) || is(Kind::kServer) || is(Kind::kNode) || is(Kind::kPod);
}

void Context::Hear(Kind kind, const std::string& engine) {
  if (kind == Kind::kCloudServer) {
    const auto feed = engines.find(engine);
    if (feed != engines.end()) {
      feed->second.heard.Hear(now);
      if (feed->second.traits.polled) return;
    }
  }
  news = heard_at == Time{} ? now : news + std::clamp(now - heard_at, Duration{0}, kMostSilence);
  heard_at = now;
  heard_of[static_cast<size_t>(kind)] = news;
  heard[static_cast<size_t>(kind)].Hear(now);
}

void RecordEvent(Context& context, Kind kind, const api::ObjectMeta& meta, bool warning,
                 std::string reason, std::string message, int64_t attempt) {
  context.effects.push_back(Note{kind, meta.ns, meta.name, meta.uid, warning, std::move(reason),
                                 std::move(message), attempt});
}

}  // namespace spillway::core
