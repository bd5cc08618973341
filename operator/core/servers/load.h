// The overload guard: what a server's node was measured to use, together with what was bound since,
// stays within the server's limits.
//
// A pod is covered by a measurement once it has run through the whole of the measurement's window;
// until then its requests are added to what was measured. So a burst of tasks between two
// measurements cannot overload a server, however old the last one is.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "operator/core/fit_error.h"
#include "operator/core/servers/state.h"
#include "operator/core/servers/taints.h"

namespace spillway::core {

// An older measurement says nothing, by our clock: see MadeAt() in load.cc. metrics-server measures
// every 15 s by default.
inline constexpr Duration kLoadKept{60'000};
// Overloaded by a measurement over its limit, a server takes tasks again once it is measured this
// many percentage points below it, or at half of it where the limit is lower than twice that.
inline constexpr int64_t kOverloadMargin = 10;

void Measure(Context& context, Servers& servers, const Measured& measured);
// Judges anew the servers whose measurement has become too old.
void ForgetOldLoads(Context& context, Servers& servers);

// Whether the server's load is in the way of any new task: reason is Overloaded, NoMeasurement or
// StaleMeasurement. Sets the server's limited and overloaded.
std::optional<FitError> JudgeLoad(Context& context, Servers& servers, ServerState& server);

// How much more may be requested there by the limits on measured use; the greatest number where
// none holds. Negative if even what is there is too much.
int64_t LimitedCpuHeadroom(const ServerState& server);
int64_t LimitedMemoryHeadroom(const ServerState& server);
inline int64_t CpuHeadroom(const ServerState& server) {
  return server.limited ? LimitedCpuHeadroom(server) : std::numeric_limits<int64_t>::max();
}
inline int64_t MemoryHeadroom(const ServerState& server) {
  return server.limited ? LimitedMemoryHeadroom(server) : std::numeric_limits<int64_t>::max();
}
// why may be null.
bool LimitsFit(const api::Resources& requests, const ServerState& server, FitError* why);
inline bool LoadFits(const api::Resources& requests, const ServerState& server, FitError* why) {
  return !server.limited || LimitsFit(requests, server, why);
}

// For the status; nothing without a measurement.
std::optional<api::ServerLoad> LoadOf(const NodeState& node);

}  // namespace spillway::core
