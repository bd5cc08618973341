// What the servers' room takes up of what was seen: nodes, their Leases, RegisteredServers, and how
// our writes of these have ended.
#pragma once

#include <string>

#include "operator/core/context.h"

namespace spillway::core {

struct ServerState;
struct Servers;

// The known server that this object replaces: another uid under the same name. Null if there is
// none. REQUIRES: OnServerGone is called for it before OnSeen.
const ServerState* ReplacedBy(const Servers& servers, const api::RegisteredServer& object);
// A state that is older than the one known is ignored.
void OnSeen(Context& context, Servers& servers, const api::Node& object);
void OnSeen(Context& context, Servers& servers, const api::NodeLease& lease);
void OnSeen(Context& context, Servers& servers, const api::RegisteredServer& object);
void OnNodeGone(Context& context, Servers& servers, const std::string& name);
// key: the Lease's namespace and name.
void OnLeaseGone(Servers& servers, const std::string& key);
void OnServerGone(Servers& servers, const std::string& name);
// The RegisteredServer of a labelled node is gone. at_once: somebody has deleted it as soon as it
// was made, so that the next one is made after a growing pause.
void OnRegistrationGone(Context& context, Servers& servers, const std::string& name, bool at_once);
// The answer to a creation tells of a RegisteredServer that is not known: it has come and gone.
// REQUIRES: what the answer brings was taken up.
bool IsGoneAgain(const Servers& servers, const Outcome& outcome);
void OnServerOutcome(Context& context, Servers& servers, const Outcome& outcome);

}  // namespace spillway::core
