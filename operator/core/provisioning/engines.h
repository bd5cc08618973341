// Which engine has the servers of a pool, and whether it can be asked.
#pragma once

#include <optional>
#include <string>

#include "operator/core/fit_error.h"
#include "operator/core/provisioning/state.h"

namespace spillway::core {

struct World;

inline constexpr char kUnknownEngine[] = "UnknownEngine";

// Why servers cannot be had of the engine; nothing if they can.
std::optional<FitError> EngineMisfit(const Context& context, const std::string& engine);
// Why no server can be had of the pool, whatever became of those before; nothing if one can.
std::optional<FitError> PoolMisfit(const Context& context, const api::ServerPool& pool);
// Of a pool from which servers can be had now, PoolMisfit changes by time alone: once a watch that
// has broken has been silent for too long.
void WakeWhenUnseen(Context& context, const std::string& engine);
bool IsPolled(const Context& context, const std::string& engine);
// The engine that was asked for the purchase, or that will be; empty if its pool is gone before any
// was asked.
std::string EngineOf(const Provisioning& provisioning, const ScaleState& scale);
// What the engine of the server wants on pods there.
api::StringMap PodAnnotations(const World& world, const api::RegisteredServerSpec& server);

}  // namespace spillway::core
