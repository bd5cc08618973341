// What the servers' room takes up of what was seen: nodes, their Leases, RegisteredServers, and how
// our writes of these have ended.
#pragma once

#include <string>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// A state that is older than the one known is ignored.
void OnSeen(World& world, const api::Node& object);
void OnSeen(World& world, const api::NodeLease& lease);
void OnSeen(World& world, const api::RegisteredServer& object);
void OnNodeGone(World& world, const std::string& name);
// key: the Lease's namespace and name.
void OnLeaseGone(World& world, const std::string& key);
void OnServerGone(World& world, const std::string& name);
void OnServerOutcome(World& world, const Outcome& outcome);

}  // namespace spillway::core
