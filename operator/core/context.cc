#include "operator/core/context.h"

#include <utility>

namespace spillway::core {

bool Context::ready() const {
  if (!measured) return false;
  for (const bool kind : synced) {
    if (!kind) return false;
  }
  return true;
}

bool Context::IsBehind() const {
  const auto is = [&](Kind kind) { return behind[static_cast<size_t>(kind)]; };
  return is(Kind::kTask) || is(Kind::kServer) || is(Kind::kNode) || is(Kind::kPod);
}

void Context::Hear(Kind kind) {
  news = heard_at == Time{} ? now : news + std::clamp(now - heard_at, Duration{0}, kMostSilence);
  heard_at = now;
  heard_of[static_cast<size_t>(kind)] = news;
  const auto i = static_cast<size_t>(kind);
  if (now > last_of[i] + kFresh) row_of[i] = now;
  last_of[i] = now;
}

void RecordEvent(Context& context, Kind kind, const api::ObjectMeta& meta, bool warning,
                 std::string reason, std::string message, int64_t attempt) {
  context.effects.push_back(Note{kind, meta.ns, meta.name, meta.uid, warning, std::move(reason),
                                 std::move(message), attempt});
}

}  // namespace spillway::core
