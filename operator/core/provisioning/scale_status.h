// What every step of a purchase does to its status, and to its pool.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// Between two requests to an engine, of which the first was refused or not answered.
inline constexpr BackoffRange kAskAgain{std::chrono::seconds(2), std::chrono::seconds(60)};

// What its engine has for the purchase, as far as was seen; null if nothing.
const api::CloudServer* ServerOf(const World& world, const ScaleState& scale);
// Registered on its node, be it another's; null if nothing is.
ServerState* RegisteredFor(World& world, const ScaleState& scale);
// Registered for the purchase, on whatever node: a leader before may have done that and not told of
// that node. Null if nothing is.
ServerState* OwnServer(World& world, const ScaleState& scale);

void SetPhase(World& world, ScaleState& scale, api::ScalePhase phase, const std::string& message);
void NoteBackend(api::ScaleStatus& status, const api::CloudServer& server);
// Whether the API server has its status as it is here.
bool StatusStands(const ScaleState& scale);
// Nobody has asked its engine, and the API server does not show yet what became of it: to another
// leader it is open.
bool IsOpenToOthers(const ScaleState& scale);
// Leaves the pool alone for a while from then on, or for as long as a failure before asks for. The
// pool of the name may have been made after the purchase, which then was another's. at_least: what
// its engine asked for.
void HoldPool(World& world, const ScaleState& scale, api::CloudError error,
              const std::string& message, Time from, Duration at_least = Duration{0});
// The purchase does not exist: the API server has refused it. scale may be the one that is erased.
void NoteNotCreated(World& world, const ScaleState& scale, const std::string& why);
// The server of the purchase is of use: what failed before it came is over.
void EndHold(World& world, const ScaleState& scale);
// Ends it without a server that would be of use.
void EndScale(World& world, ScaleState& scale, api::CloudError error, const std::string& message);
// Ends it, holds its pool, and gives back what its engine may have for it. Where a leader before
// has registered its server, those who run there are told, and have the time of any release.
void FailScale(World& world, ScaleState& scale, api::CloudError error, const std::string& message,
               Duration at_least = Duration{0});

}  // namespace spillway::core
