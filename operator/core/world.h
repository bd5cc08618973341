// Everything the core knows: what was seen of the API server's objects, and what was asked for and
// is on its way. Rebuilt from a list after every restart; nothing private is kept anywhere.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator/base/boxed.h"
#include "operator/core/alarms.h"
#include "operator/core/backoff.h"
#include "operator/core/events.h"
#include "operator/core/scheduling/shape.h"
#include "operator/core/servers/ledger.h"

namespace spillway::core {

// Of a status that was refused. A text that the schema, or a webhook, calls invalid may be so for
// ever: that very text waits longer than another one.
struct StatusRefusal : Backoff {
  Time same_not_before{};
};

// Writing of one object's status: at most one patch in flight, and only when it says something new.
struct StatusWriter {
  size_t written = 0;  // fingerprint of the status as the API server has it
  size_t sent = 0;     // of the patch in flight, or sent last
  bool in_flight = false;
  Boxed<StatusRefusal> refused;
  Time last{};
  // When a status with this fingerprint may be sent.
  Time NotBefore(size_t fingerprint) const {
    if (!refused) return Time{};
    return fingerprint == sent ? std::max(refused->not_before, refused->same_not_before)
                               : refused->not_before;
  }
};

// Of a deletion that was asked for and is not seen to be done.
struct Deletion {
  bool sent = false;  // and not refused
  Backoff backoff;
};

// The attempt that runs or is about to: what its status tells of it, and the price of its server.
struct Binding : api::Assignment {
  int64_t price_micros = 0;  // per hour
};

struct TaskState;

// Tasks that start together; see gangs.h.
struct Gang {
  int64_t size = 0;
  Duration deadline{0};
  std::map<std::string, TaskState*> members;  // all that exist, by key
  Positions waiting;                          // together
  Time until = kNever;                        // when it is taken back if not all run
  // Of the last try to place it, and the keys of those that found no room.
  size_t tried_members = 0;
  uint64_t tried_grown = 0, tried_changed = 0;
  std::vector<std::string> lacking;
};

struct TaskState;

// What the API server makes of pods; see admission.h.
struct Admission {
  Tenant* tenant = nullptr;
  Shape* asked = nullptr;  // as templates say; holds it, and the next
  Shape* shape = nullptr;  // as its pods are admitted; its tasks have it
  std::vector<TaskState*> tasks;
  int64_t in_flight = 0;      // creations without an answer
  bool known = false;         // a pod was created, and none has been refused since
  bool closed = false;        // its tasks are hidden in their queues; in World::closed
  bool quota = false;         // a quota is in the way
  bool by_scheduler = false;  // its pods are left to kube-scheduler
  Time answered_at{};         // when a pod was created last
  Backoff backoff;
  Time learned_at{};  // when its shape was changed last
  // Why its pods cannot be created; null while they can, as far as is known.
  std::shared_ptr<const api::Explanation> explanation;
};

// A task by its uid, and the pods that it controls, whichever was seen first.
struct Owner {
  TaskState* task = nullptr;
  size_t counted = 0;  // pods in World::pods that refer to it
  // The pod that was asked for and not seen yet; see Reserve.
  Ledger::Entry reserved;
  Admission* creating = nullptr;  // of the creation that has no answer yet
  bool probe = false;             // nothing was known of its like
  // By attempt, in that order; in World::pods.
  std::vector<std::pair<int64_t, const api::Pod*>> pods;
};

struct PodState {
  api::Pod object;         // without its labels, which anybody may write
  Owner* owner = nullptr;  // of an attempt of a task; in World::owners
  Ledger::Entry place;
  // As its task says, which was seen at least once; before the tasks were listed, as it says
  // itself.
  bool task = false, exclusive = false;
};

// The pod of the attempt does not start; see stuck.h.
struct Stuck {
  int64_t attempt = 0;
  Time ask_at{};  // when its Events are read next
  Duration pause{0};
  std::string reason, message;  // what they said last
  Time unscheduled_since = kNever;
};

// Servers that were bought have not taken the task; see refusals.h.
struct CloudRefusal {
  int times = 0;       // in a row
  std::string server;  // the last of them
  Time until{};        // no other is bought
};

struct TaskState {
  const std::string* key = nullptr;  // in World::tasks
  Owner* owner = nullptr;            // in World::owners
  Shape* shape = nullptr;
  Admission* admission = nullptr;  // in World::admissions; null without a shape
  size_t admission_place = 0;      // in its tasks
  Gang* gang = nullptr;            // in World::gangs
  Tenant* tenant = nullptr;        // its namespace, in World::tenants
  int64_t priority = 0;            // that counts; see Prioritize
  // Null while no attempt runs or is about to. The status and the pod's creation share it.
  std::shared_ptr<const Binding> binding;
  // That of the pod that was asked for while there is no answer yet; the binding may be gone
  // before.
  std::shared_ptr<const Binding> creating;
  std::optional<int64_t> queued;  // in shape->waiting or gang->waiting, with this priority
  bool in_gang = false;           // queued there, not in its shape
  bool confirmed = false;         // the pod of the binding was created, or seen
  bool unsure = false;            // a pod may appear whose creation was given up
  bool may_preempt = true;
  api::TaskRequest object;  // status: as it should be written
  // As it was written, in JSON. A tree of it in every task would be the most of our memory.
  std::shared_ptr<const std::string> pod_template;
  StatusWriter writer;
  // When the status may be written at the latest; see tasks.cc for who sets it.
  Time status_due = kNever;
  bool assigned_written = false;  // of the current attempt
  bool assigned_untold = false;   // its conditions do not speak of the current attempt yet
  bool to_write = false;          // in World::to_write
  Time first_seen{};
  Time waiting_since{};
  Time not_before{};            // backoff
  Time wake = kNever;           // in World::wakes
  std::string nominated;        // the ScaleRequest whose server it waits for
  int64_t rank = 0;             // in its shape's queue, from 1; see forecast.h
  uint64_t planned = 0;         // World::plan at which it was promised room there
  int losses = 0;               // servers lost in a row
  int refusals = 0;             // the same, of servers that refused its pod
  Time running_since = kNever;  // the current attempt, by our clock
  bool seen_ending = false;     // its pod ran on while its end was asked for
  int unschedulable = 0;        // attempts in a row that kube-scheduler had no node for
  Boxed<CloudRefusal> refused_in_cloud;
  int64_t committed = 0;          // of its tenant's; see budgets.h
  Duration explain_after{5'000};  // until the explanation is looked at again; doubles
  Boxed<Stuck> stuck;
  Boxed<Deletion> deletion;
  Boxed<std::map<std::string, Deletion>> pods_deleted;  // by their uids

  const std::string& uid() const { return object.meta.uid; }
  QueuePosition position() { return {priority, object.meta.created, key, this}; }
  // Where it stands while it is queued.
  QueuePosition place() { return {*queued, object.meta.created, key, this}; }
};

struct ServerState;

struct NodeState {
  std::optional<api::Node> object;
  bool gone = false;  // otherwise it may only not have been seen yet
  // The version of the first pod that was seen on it before it was; 0 if there is none.
  int64_t named_by = 0;
  std::optional<Time> renewed;  // the Lease's own time
  // All by World::news.
  Time heard{};  // when its last renewal was seen
  Time not_ready_since = kNever;
  // Since when it calls itself not ready. It may have been silent before that, and heard of since.
  Time told_since = kNever;
  std::set<std::string> servers;  // the RegisteredServers that name it
  ServerState* server = nullptr;  // the one of them that counts
  std::optional<api::NodeMetrics> load;
  bool registering = false;  // a RegisteredServer for it was asked for
  Backoff registration;      // of that
  Time register_at{};        // when it, or a server of it, is looked at again
};

// What a server's status is made from.
struct ServerDigest {
  std::string phase, reason;
  int64_t generation = 0, tasks = 0;
  api::Resources used, allocatable;
  int64_t load = 0;  // roughly
  bool operator==(const ServerDigest&) const = default;
};

// Room that is kept for a task; see reservations.h.
struct Reservation {
  Shape* shape = nullptr;
  std::string task;      // the key of its first task when it was made
  int64_t priority = 0;  // of its first task
  Time start = kNever;   // when it is expected to start; kNever: not known
  Duration gap{0};       // until then; 0: not known
  api::Resources spare;  // left beside it then, by what was used when that was reckoned
  api::Resources used_then;
};

// What every decision reads comes first, in one cache line.
struct alignas(64) ServerState {
  uint32_t slot = 0;  // in World::slots
  bool usable = false;
  // By its node's load; see load.h.
  bool limited = false, overloaded = false;
  bool touched = false;    // in World::touched_servers
  bool misplaced = false;  // in World::misplaced
  // Of its node, which outlives it here.
  const NodeState* node = nullptr;
  const NodeUsage* usage = nullptr;
  api::Resources offered;  // what its node can allocate, as in World::capacity; see CountCapacity
  Boxed<Reservation> reservation;
  int64_t max_pods = 0;  // of its node
  StatusWriter writer;
  api::RegisteredServer object;
  // What stands in the way of new tasks: Ready, or the reason of the phase.
  std::string phase, reason, message;
  ServerDigest digest;     // of the status as it was written last
  bool releasing = false;  // it is to be unregistered, and takes no tasks
  Deletion deletion;       // of that
  Time wake = kNever;      // in World::server_wakes
};

struct PoolState {
  api::ServerPool object;
  StatusWriter writer;
  std::optional<api::ServerPoolStatus> settled;  // the status that was written last
  Time hold_until{};                             // no purchase before
  api::CloudError error = api::CloudError::kNone;
  std::string error_message;
  int failures = 0;     // in a row
  Mean boot;            // from a purchase until its server was ready
  int64_t orphans = 0;  // claims of the engine whose ScaleRequest is gone
  Time spent_at{};      // when what it has cost was reckoned last
  // What the last server of the pool really offered to tasks.
  std::optional<api::Resources> observed;
};

struct BudgetState {
  api::Budget object;
  StatusWriter writer;
  std::optional<api::BudgetStatus> settled;  // the status that was written last
  // Spent in the period by tasks that were deleted before this process began.
  int64_t lost = 0;
  bool restored = false;  // lost was reckoned
  Time told_at{};         // when its amounts were reckoned for its status
};

struct ScaleState {
  api::ScaleRequest object;  // status: as it should be written
  StatusWriter writer;
  std::optional<api::ScaleStatus> settled;  // the status that was written last
  bool created = false;                     // it exists in the API server
  bool creating = false;
  bool counted = false;     // in its pool's spending: it has ended
  bool seen_ended = false;  // when it was first seen
  bool ensured = false;     // its engine was asked
  bool asking = false;      // and has not answered yet
  std::string released;     // the uid of the engine's object whose release was asked for
  bool diagnose_sent = false;
  bool server_sent = false;
  Backoff registration;  // of its server
  Time release_at{};     // not before: the last try was refused
  int refusals = 0;      // of its release, in a row
  bool joined = false;   // its server was able to take a task that it was bought for, at least once
  bool hosted = false;   // and has taken one, since this process knows it
  bool sized = false;    // what it really offers was taken down
  std::string lacks;     // what keeps it from joining, once its engine calls it ready
  Deletion deletion;
  Time retry_at{};
  Time idle_since = kNever;
  Time unusable_since = kNever;  // ready by its engine's word, and not joined; by World::news
  int64_t nominated = 0;         // tasks that wait for it
  bool promised_whole = false;   // to an exclusive task
  api::Resources room;           // left for more of them
};

// Between tries to register a server that were refused.
inline constexpr BackoffRange kRegister{std::chrono::milliseconds(5'000), kRefused.last};

// The longest time between two events that counts in full: shorter than any heartbeat's patience.
inline constexpr Duration kMostSilence{10'000};
// A watch that has said nothing for longer may hang: it sends a bookmark about every minute, if
// nothing else.
inline constexpr Duration kFresh{90'000};
// So long may it take until a watch that comes back has told all that it had missed.
inline constexpr Duration kBacklog{15'000};

struct World {
  Time now{};
  // A clock that stands still while nothing is heard of the API server and ignores jumps of the
  // wall clock. How long a node is silent or unready is measured by it: who is cut off must not
  // conclude that all the others are gone.
  Time news{};
  Time heard_at{};                      // when the last event came
  std::array<Time, kKinds> heard_of{};  // of each kind, by news: its watch was alive then
  std::array<Time, kKinds> last_of{};   // the same, by now
  std::array<Time, kKinds> row_of{};    // since when it is heard without a long pause
  std::unordered_map<std::string, TaskState> tasks;  // by key
  std::unordered_map<std::string, Owner> owners;     // by uid
  std::unordered_map<std::string, PodState> pods;    // by key
  std::unordered_map<std::string, NodeState> nodes;
  std::map<std::string, ServerState> servers;
  std::map<std::string, PoolState> pools;
  std::map<std::string, ScaleState> scales;
  std::map<std::string, api::CloudServer> cloud_servers;  // by the request's uid
  Time orphans_at{};  // no claim whose request is gone is given back before: one was refused
  std::map<std::string, api::PriorityClass> priority_classes;
  std::unordered_map<std::string, Tenant> tenants;  // by namespace
  std::set<Tenant*> tenants_waiting;                // that have tasks in queues
  // More than one has, or had when PlaceWaiting began: meanwhile, no share becomes smaller.
  bool by_share = false;
  std::map<std::string, BudgetState> budgets;  // by key
  std::set<std::string> holding;               // namespaces with tasks that cannot be paid
  Time overruns_at{};                          // when costs beyond estimates are counted next
  api::Resources capacity;                     // of all nodes with a server that counts
  std::map<std::string, Gang> gangs;           // by namespace and name
  std::set<std::string> touched_gangs;         // whose members have changed
  size_t giving_way = 0;                       // tasks whose spec says so: preemption Allowed
  ShapeTable shapes;
  // By namespace and shape as asked for.
  std::map<std::pair<Tenant*, Shape*>, Admission> admissions;
  std::vector<Admission*> closed;  // whose tasks are hidden
  std::set<Admission*> learned;    // that differ from what templates say
  bool gates_moved = false;        // one of them may be open again
  Time gates_at = kNever;          // the same, by then
  Ledger ledger;

  std::array<int64_t, kKinds> seen_up_to{};
  std::array<bool, kKinds> synced{};
  std::array<bool, kKinds> behind{};
  std::set<std::string> dirty;       // tasks to look at
  std::set<std::string> touched;     // tasks whose status may be due
  std::set<std::string> to_explain;  // tasks that wait, whose explanation may be due
  std::deque<std::string> to_write;  // tasks whose status is due, in that order
  int64_t statuses_in_flight = 0;    // of tasks
  std::set<std::string> nominated;   // tasks that wait for a server on its way
  uint64_t plan = 0;
  uint64_t moves = 0;               // of anything that an explanation may tell of
  size_t tested = 0;                // servers looked at in this step to explain and to foresee
  std::vector<uint32_t> reserved;   // slots of servers that are kept for a task
  Alarms wakes;                     // tasks to look at later
  std::vector<ServerState*> slots;  // of ServerIndex; null where there is none
  ServerIndex index;                // of the servers that take tasks; see UpdateIndex
  std::vector<uint32_t> misplaced;  // slots of those that may not be in their place there
  SlotLog changed;                  // servers whose labels, taints or capabilities may have changed
  SlotLog grown;                    // servers that may have more room than before
  std::multimap<Time, uint32_t> refusals_end;  // and of which slot; see refusals.h
  // What came before in the two has been looked at for all shapes with tasks that wait.
  uint64_t tried_changed = 0, tried_grown = 0;
  std::set<std::string> dirty_nodes;      // to be registered, or whose servers are to be judged
  std::vector<uint32_t> touched_servers;  // slots of those whose status may be due
  std::set<std::pair<Time, std::string>> server_wakes;  // servers to look at later
  Time next_check{};
  Time load_until = kNever;  // when the first measurement that counts is too old
  std::vector<Effect> effects;
  std::vector<Milestone> milestones;
  Time wake = kNever;

  bool measured = false;  // the load was asked for at least once
  bool ready() const {
    if (!measured) return false;
    for (const bool kind : synced) {
      if (!kind) return false;
    }
    return true;
  }
  void WakeAt(Time time) {
    if (time < wake) wake = time;
  }
  // What tasks wait for may have changed, and the news are on their way.
  bool IsBehind() const {
    const auto is = [&](Kind kind) { return behind[static_cast<size_t>(kind)]; };
    return is(Kind::kTask) || is(Kind::kServer) || is(Kind::kNode) || is(Kind::kPod);
  }
  // An event of a watch has come.
  void Hear(Kind kind);
  Time HeardOf(Kind kind) const { return heard_of[static_cast<size_t>(kind)]; }
  // Of late, and what came first after a long silence, which may be long past, is behind us.
  bool HearsOf(Kind kind) const {
    const auto i = static_cast<size_t>(kind);
    return now <= last_of[i] + kFresh && now >= row_of[i] + kBacklog;
  }
  // When news will have reached that time, if events keep coming.
  Time ByNews(Time time) const { return now + std::max(time - news, Duration{1'000}); }
  // The task or server is looked at again at that time, if not before.
  void WakeTask(TaskState& task, Time time);
  void WakeServer(ServerState& server, Time time);
  void TouchServer(ServerState& server) {
    if (!std::exchange(server.touched, true)) touched_servers.push_back(server.slot);
  }
  void Misplace(ServerState& server) {
    if (!std::exchange(server.misplaced, true)) misplaced.push_back(server.slot);
  }
  // The server that counts for the node; null if none does.
  ServerState* ServerOn(const std::string& node);
  const ServerState* ServerOn(const std::string& node) const;
  TaskState* TaskByUid(const std::string& uid);
  const TaskState* TaskByUid(const std::string& uid) const;
  const api::Pod* PodOf(const TaskState& task, int64_t attempt) const;
  void Tell(const TaskState& task, bool warning, std::string reason, std::string message);
  void Tell(const ServerState& server, bool warning, std::string reason, std::string message);
  void Tell(const ScaleState& scale, bool warning, std::string reason, std::string message);
  void Tell(const BudgetState& budget, bool warning, std::string reason, std::string message);
};

// The number of the task's attempt that runs or is about to, or else of its last one; 0 before the
// first.
int64_t LatestAttempt(const TaskState& task);

// The shapes that wait and are wanted, by whose turn it is: wanted(shape, its first task).
template <typename Wanted>
std::vector<std::pair<Turn, Shape*>> WaitingShapes(const World& world, Wanted wanted) {
  std::vector<std::pair<Turn, Shape*>> out;
  for (Shape* shape : world.shapes.all()) {
    if (shape->waiting.empty()) continue;
    const Turn turn = shape->waiting.First(world);
    if (wanted(*shape, *turn.position.task)) out.emplace_back(turn, shape);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

// Counts the pod that was asked for and not seen yet, apart from those that were seen: a task has
// at most one, and two tasks of one name, the second applied after the first was deleted, may want
// pods of one name. node: its use, as Ledger::Keep gave it.
void Reserve(World& world, const TaskState& task, const NodeUsage& node);
void Unreserve(World& world, Owner& owner);

// Counts a pod in the ledger, or no longer, and keeps the index of servers current.
void Book(World& world, Ledger::Entry& pod, const NodeUsage& node, Footprint footprint);
void Unbook(World& world, Ledger::Entry& pod);
// The server of a node in use may belong elsewhere in the index; its status may be due. grown: it
// may have more room than before.
void Reindex(World& world, const NodeUsage& usage, bool grown);
// Puts the servers where they belong in the index. Done where it is searched, and after each step:
// mostly nobody asks between a task's end and the next one that takes its room.
void UpdateIndex(World& world);

// Counts a pod that was seen in the ledger, or no longer, once it has ended. Of a pod that is no
// attempt of a task only its requests count, and only where it is bound.
void CountPod(World& world, PodState& pod);

// Of a status as it is sent: equal texts have equal fingerprints, and different ones, for all that
// matters, different ones. The texts themselves would be the most of our memory.
size_t Fingerprint(const api::Json& status);

// Emits a status patch if the status differs from what is written and none is in flight.
// True if the status stands as it should, or is on its way; otherwise wake is when it may be sent.
bool WriteStatus(World& world, StatusWriter& writer, Kind kind, const api::ObjectMeta& meta,
                 api::Json status, Time* wake);
// The same for an object whose status is reckoned in every step: what has not changed since it was
// written is not even encoded.
template <typename State>
void KeepStatus(World& world, State& state, Kind kind) {
  if (state.writer.in_flight || state.settled == state.object.status) return;
  if (WriteStatus(world, state.writer, kind, state.object.meta, EncodeStatus(state.object.status),
                  &world.wake))
    state.settled = state.object.status;
}
// How a status patch of the object ended. True if it was refused for another reason than before.
bool StatusWritten(World& world, StatusWriter& writer, const api::ObjectMeta& meta,
                   const std::optional<Error>& error);

// Whether the deletion may be sent now; wake: when, otherwise, if it was refused.
bool MayDelete(const World& world, const Deletion& deletion, Time* wake);
// How a deletion of the object ended. True if it was refused for another reason than before.
bool Deleted(World& world, Deletion& deletion, const std::string& uid,
             const std::optional<Error>& error);

}  // namespace spillway::core
