// What the provisioning room takes up of what was seen: pools, purchases, what the engines have,
// and how our writes and requests have ended.
#pragma once

#include <string>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// A state that is older than the one known is ignored.
void OnSeen(World& world, const api::ServerPool& object);
void OnSeen(World& world, const api::ScaleRequest& object);
void OnSeen(World& world, const api::CloudServer& object);
void OnPoolGone(World& world, const std::string& name);
void OnScaleGone(World& world, const std::string& name);
// key: of the engine's object.
void OnCloudServerGone(World& world, const std::string& engine, const std::string& key);
// Its purchase may register it again. at_once: see OnRegistrationGone in servers/observe.h.
void OnRegistrationGone(World& world, const std::string& server, bool at_once);
void OnScaleOutcome(World& world, const Outcome& outcome);
// Of the creation of a RegisteredServer that a purchase may have led to.
void OnRegistrationOutcome(World& world, const Outcome& outcome);
void OnCloudServerOutcome(World& world, const Outcome& outcome);

}  // namespace spillway::core
