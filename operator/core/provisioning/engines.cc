#include "operator/core/provisioning/engines.h"

#include "operator/core/world.h"

namespace spillway::core {
namespace {

std::string NamesOf(const Context& context) {
  std::string out;
  for (const auto& [name, engine] : context.engines) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none" : out;
}

std::string PoolEngine(const Provisioning& provisioning, const std::string& pool) {
  const auto at = provisioning.pools.find(pool);
  return at == provisioning.pools.end() ? "" : at->second.object.spec.engine;
}

// A server would be bought, and not be seen to come.
std::optional<FitError> Unseen(const Context& context, const EngineFeed& engine) {
  const bool nodes = context.IsBlind(Kind::kNode);
  if (!nodes && !context.IsBlind(engine)) return std::nullopt;
  const std::string what = nodes ? "Nodes" : "what engine " + engine.traits.name + " has";
  return FitError{nodes ? "NodesUnseen" : "EngineUnseen",
                  nodes ? "nodes unseen" : "engine unseen",
                  what +
                      " cannot be watched, so a new server would not be seen; nothing is bought "
                      "until then. See the operator's log for why",
                  "",
                  0,
                  0};
}

}  // namespace

std::optional<FitError> EngineMisfit(const Context& context, const std::string& engine) {
  const EngineFeed* feed = context.Engine(engine);
  if (feed == nullptr) {
    const std::string what = engine.empty()
                                 ? "spec.backend does not name exactly one engine"
                                 : "spec.backend names the engine " + engine +
                                       ", which this version of the operator does not have";
    return FitError{kUnknownEngine,
                    "no such engine",
                    what + "; it has: " + NamesOf(context) +
                        ". Name one of these, or run a version that has it",
                    "",
                    0,
                    0};
  }
  if (feed->synced) return std::nullopt;
  return FitError{"EngineSilent",
                  "engine silent",
                  "engine " + engine +
                      " has not said yet what it has; nothing is bought from it before. See the "
                      "operator's log for why",
                  "",
                  0,
                  0};
}

std::optional<FitError> PoolMisfit(const Context& context, const api::ServerPool& pool) {
  auto misfit = EngineMisfit(context, pool.spec.engine);
  return misfit ? misfit : Unseen(context, *context.Engine(pool.spec.engine));
}

void WakeWhenUnseen(Context& context, const std::string& engine) {
  const auto wake = [&](bool behind, Time last) {
    if (behind && context.now < last + kFresh) context.WakeAt(last + kFresh);
  };
  const auto node = static_cast<size_t>(Kind::kNode);
  wake(context.behind[node], context.heard[node].last);
  if (const EngineFeed* feed = context.Engine(engine)) wake(feed->behind, feed->heard.last);
}

bool IsPolled(const Context& context, const std::string& engine) {
  const EngineFeed* feed = context.Engine(engine);
  return feed != nullptr && feed->traits.polled;
}

std::string EngineOf(const Provisioning& provisioning, const ScaleState& scale) {
  const std::string& asked = scale.object.status.backend_engine;
  if (asked.empty() && !scale.object.engine.empty()) return scale.object.engine;
  return asked.empty() ? PoolEngine(provisioning, scale.object.pool) : asked;
}

api::StringMap PodAnnotations(const World& world, const api::RegisteredServerSpec& server) {
  if (!server.cloud) return {};
  const auto scale = world.provisioning.scales.find(server.scale_request);
  const EngineFeed* engine = world.Engine(scale == world.provisioning.scales.end()
                                              ? PoolEngine(world.provisioning, server.pool)
                                              : EngineOf(world.provisioning, scale->second));
  return engine == nullptr ? api::StringMap{} : engine->traits.pod_annotations;
}

}  // namespace spillway::core
