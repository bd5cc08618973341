// What the servers' room owns: nodes, the servers registered for them, the pods on them and what
// those take up, and the index in which a server with room is found. Only this room writes it; the
// pods' owners belong to others and are only kept here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator/base/boxed.h"
#include "operator/core/backoff.h"
#include "operator/core/context.h"
#include "operator/core/deletion.h"
#include "operator/core/servers/ledger.h"
#include "operator/core/servers/server_index.h"
#include "operator/core/status_writer.h"

namespace spillway::core {

struct Owner;
struct ServerState;

// Of a server that is taken away, or given back, while tasks may run there.
struct Ending {
  std::string why;
  std::optional<Time> at;  // when it is gone at the latest; nothing: as soon as they have ended
  Time since{};            // when that was first known

  bool operator==(const Ending&) const = default;
};

struct PodState {
  api::Pod object;         // without its labels, which anybody may write
  Owner* owner = nullptr;  // of an attempt of a task; in Tasks::owners
  Ledger::Entry place;
  int64_t bound_by = 0;  // the version that first told that it is on its node
  // As its task says, which was seen at least once; before the tasks were listed, as it says
  // itself.
  bool task = false, exclusive = false;
  bool seen_ending = false;  // it ran on while its end was asked for
  bool seen_ended = false;   // it ended before its end was asked for
};

struct NodeState {
  std::optional<api::Node> object;
  bool gone = false;  // otherwise it may only not have been seen yet
  // The version of the first pod that was seen on it before it was; 0 if there is none.
  int64_t named_by = 0;
  std::optional<Time> renewed;  // the Lease's own time
  // All by Context::news.
  Time heard{};  // when its last renewal was seen
  Time not_ready_since = kNever;
  // Since when it calls itself not ready. It may have been silent before that, and heard of since.
  Time told_since = kNever;
  std::set<std::string> servers;         // the RegisteredServers that name it
  ServerState* server = nullptr;         // the one of them that counts
  std::optional<api::NodeMetrics> load;  // the last measurement
  Time load_arrived{}, load_before{};    // when it came, and when the one before it did
  bool registering = false;              // a RegisteredServer for it was asked for
  Time registering_since{};              // when
  Backoff registration;                  // of that
  Time register_at{};                    // when it, or a server of it, is looked at again
  Boxed<Ending> ending;                  // of what was registered for it and is so no more
};

// What a server's status is made from.
struct ServerDigest {
  std::string phase, reason;
  int64_t generation = 0, tasks = 0;
  api::Resources used, allocatable;
  int64_t load = 0;  // roughly
  bool operator==(const ServerDigest&) const = default;
};

// What every decision reads comes first, in one cache line.
struct alignas(64) ServerState {
  uint32_t slot = 0;  // in Servers::slots
  bool schedulable = false;
  // By its node's load; see load.h.
  bool limited = false, overloaded = false;
  bool touched = false;    // in Servers::touched
  bool misplaced = false;  // in Servers::misplaced
  // Of its node, which outlives it here.
  const NodeState* node = nullptr;
  const NodeUsage* usage = nullptr;
  api::Resources offered;  // what its node can allocate, as in Servers::capacity; see CountCapacity
  int64_t max_pods = 0;    // of its node
  StatusWriter writer;
  api::RegisteredServer object;
  // What stands in the way of new tasks: Ready, or the reason of the phase.
  std::string phase, reason, message;
  ServerDigest digest;     // of the status as it was written last
  bool releasing = false;  // it is to be unregistered, and takes no tasks
  Boxed<Ending> ending;    // for this reason
  Deletion deletion;       // of that
  Time wake = kNever;      // in Servers::wakes
};

struct Servers {
  std::unordered_map<std::string, NodeState> nodes;
  std::map<std::string, ServerState> by_name;
  std::unordered_map<std::string, PodState> pods;  // by key
  Ledger ledger;
  api::Resources capacity;          // of all nodes with a server that counts
  std::vector<ServerState*> slots;  // of the index; null where there is none
  ServerIndex index;                // of the servers that take tasks; see UpdateIndex
  std::vector<uint32_t> misplaced;  // slots of those that may not be in their place there
  SlotLog property_log;             // servers whose labels, taints or capabilities may have changed
  SlotLog capacity_log;             // servers that may have more room than before
  std::set<std::string> to_reconcile;  // nodes to be registered, or whose servers are to be judged
  std::set<std::string> disturbed;     // nodes whose tasks are to be looked at
  std::vector<uint32_t> touched;       // slots of those whose status may be due
  std::set<std::pair<Time, std::string>> wakes;  // servers to look at later
  Time next_check{};                             // of all nodes
  Time load_until = kNever;  // when the first measurement that counts is too old

  // The server is looked at again at that time, if not before.
  void Wake(ServerState& server, Time time);
  void Touch(ServerState& server) {
    if (!std::exchange(server.touched, true)) touched.push_back(server.slot);
  }
  void Misplace(ServerState& server) {
    if (!std::exchange(server.misplaced, true)) misplaced.push_back(server.slot);
  }
  // The server that counts for the node; null if none does.
  ServerState* On(const std::string& node);
  const ServerState* On(const std::string& node) const;
};

// Counts a pod in the ledger, or no longer, and keeps the index of servers current.
void Book(Servers& servers, Ledger::Entry& pod, const NodeUsage& node, Footprint footprint);
void Unbook(Servers& servers, Ledger::Entry& pod);
// The server of a node in use may belong elsewhere in the index; its status may be due. grown: it
// may have more room than before.
void Reindex(Servers& servers, const NodeUsage& usage, bool grown);
// Puts the servers where they belong in the index. Done where it is searched, and after each step:
// mostly nobody asks between a task's end and the next one that takes its room.
void UpdateIndex(Servers& servers);

void RecordEvent(Context& context, const ServerState& server, bool warning, std::string reason,
                 std::string message);

}  // namespace spillway::core
