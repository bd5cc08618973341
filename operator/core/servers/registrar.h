// Which servers there are and whether they take tasks.
#pragma once

#include "operator/core/servers/state.h"

namespace spillway::core {

// Between tries to register a server that were refused.
inline constexpr BackoffRange kRegister{std::chrono::milliseconds(5'000), kRefused.last};
// Why a RegisteredServer that somebody deletes at once is made again later.
inline constexpr char kDeletedAtOnce[] = "was deleted as soon as it was made";

// A node whose Lease was not renewed for this long is not ready. The kubelet renews every 10 s, and
// the node controller gives up after 50 s.
inline constexpr Duration kHeartbeatTimeout{40'000};
// Between two writes of a server's status, unless its phase changes.
inline constexpr Duration kServerStatusEvery{10'000};
// Even when nothing else changes, the heartbeat is written this often.
inline constexpr Duration kHeartbeatEvery{300'000};
// And of many servers so seldom that there are at most about three such writes a second.
inline constexpr Duration kHeartbeatEach{300};

// Nobody there can be told to end anything: it does not exist, calls itself not ready, or is
// silent.
bool IsDown(const Context& context, const NodeState& node);
// That the server ends, when and why.
std::string DescribeEnding(const Ending& ending);
// The server takes no task from now on, and those on it are told. Told again, it ends since the
// first time.
void EndServer(Context& context, Servers& servers, ServerState& server, Ending ending);
// Those on a node are told for which nothing is registered any more. What was said first stands.
const Ending& EndNode(Servers& servers, const std::string& name, const Ending& ending);
// The node's readiness, for every node; wakes the tasks of those that were lost.
void CheckNodes(Context& context, Servers& servers);
void CheckNode(Context& context, Servers& servers, const std::string& name);
// By its own condition, whatever its Lease and the node controller's taints say.
bool CallsItselfReady(const NodeState& node);
// The node, or what is registered for it, has changed: its servers are matched and judged anew.
void NodeChanged(Context& context, Servers& servers, const std::string& name);
// Of several servers that name one node the oldest counts.
void ChooseServer(Servers& servers, const std::string& node);
// Deletes the RegisteredServer, once.
void Unregister(Context& context, Servers& servers, ServerState& server);
// Registers labelled nodes, takes back what was registered for a label that is gone, and decides
// for each server of a node that has changed whether it takes tasks.
void RegisterAndJudge(Context& context, Servers& servers);
// Writes statuses: on a change of phase at once, otherwise at a bounded rate.
void DescribeServers(Context& context, Servers& servers);

}  // namespace spillway::core
