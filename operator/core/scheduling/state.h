// What the scheduling room owns: the shapes of tasks and the queues of those that wait, namespaces
// and their shares, groups, what admission makes of pods, and the room that is kept for a task.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator/core/backoff.h"
#include "operator/core/scheduling/cloud_refusal.h"
#include "operator/core/scheduling/queue.h"
#include "operator/core/scheduling/shape.h"

namespace spillway::core {

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
  uint64_t tried_capacity = 0, tried_properties = 0;
  std::vector<std::string> unplaced;
};

// Room that is kept for a task; see reservations.h.
struct Reservation {
  uint32_t slot = 0;  // of the server
  Shape* shape = nullptr;
  std::string task;      // the key of its first task when it was made
  int64_t priority = 0;  // of its first task
  Time start = kNever;   // when it is expected to start; kNever: not known
  bool stopped = false;  // those that were told to go are enough
  double unknown = 0;    // tasks that must end before, and of which nobody knows when
  // Since when the start has not been known and none of them has ended; kNever: it is known.
  Time blind_since = kNever;
  bool made_way = false;  // tasks gave way for it
  Duration gap{0};        // until then; 0: not known
  api::Resources spare;   // left beside it then, by what was used when that was calculated
  api::Resources used_then;
};

// Tasks that gave way to one whose pod did not run then; see preemption.h.
struct VainPreemptions {
  int times = 0;         // in a row
  int64_t priority = 0;  // of the task that they gave way to last
  Time at{};             // when that was known to be in vain
  Time until{};          // nobody gives way
};

// As many creations side by side as may ever be wanted.
inline constexpr int64_t kWidestWindow = 1 << 20;

// What the API server makes of pods; see admission.h.
struct Admission {
  Tenant* tenant = nullptr;
  Shape* asked = nullptr;  // as templates say; holds it, and the next
  Shape* shape = nullptr;  // as its pods are admitted; its tasks have it
  std::vector<TaskState*> tasks;
  int64_t in_flight = 0;  // creations without an answer
  bool known = false;     // a pod was created, and none has been refused since
  bool closed = false;    // its tasks are hidden in their queues; in Scheduling::closed
  bool quota = false;     // a quota is in the way
  // How many creations may be on their way, where it is known that pods can be created: as many as
  // have succeeded since a quota was in the way.
  int64_t at_once = kWidestWindow;
  bool apart = false;         // of one template that was refused or changed; see kinds.h
  int strikes = 0;            // templates that were refused and set apart, in a row
  bool by_scheduler = false;  // its pods are left to kube-scheduler
  Time answered_at{};         // when a pod was created last
  Backoff backoff;
  CloudRefusal refused_in_cloud;  // of creations on servers that were bought
  VainPreemptions in_vain;        // for its tasks
  Time learned_at{};              // when its shape was changed last
  // Why its pods cannot be created; null while they can, as far as is known.
  std::shared_ptr<const api::Explanation> explanation;
  std::shared_ptr<const api::Explanation> refusal;  // the last of these that the API server gave
  // When that was changed last, and how soon its tasks are told of it.
  Time told_at{};
  Duration told_within{};
};

struct Scheduling {
  ShapeTable shapes;
  std::unordered_map<std::string, Tenant> tenants;  // by namespace
  Time forget_at{};                                 // when those that nobody uses go next
  std::set<Tenant*> tenants_waiting;                // that have tasks in queues
  // More than one has, or had when PlaceWaiting began: meanwhile, no share becomes smaller.
  bool by_share = false;
  std::map<std::string, api::PriorityClass> priority_classes;
  std::map<std::string, Gang> gangs;    // by namespace and name
  std::set<std::string> touched_gangs;  // whose members have changed
  const Gang* placing = nullptr;        // the one that is being placed
  size_t preemptible = 0;               // tasks whose spec says so: preemption Allowed
  std::vector<Reservation> reserved;    // in the order in which they were made; few
  // By namespace and shape as asked for.
  std::map<std::pair<Tenant*, Shape*>, Admission> admissions;
  std::vector<Admission*> closed;  // whose tasks are hidden
  std::set<Admission*> learned;    // that differ from what templates say
  // Of creations on bought servers that have had no answer for kSlowAnswer: the pools.
  std::map<const Owner*, std::string> overdue;
  bool gates_moved = false;                    // one of them may be open again
  Time gates_at = kNever;                      // the same, by then
  std::multimap<Time, uint32_t> refusals_end;  // and of which slot; see refusals.h
  // Log positions up to which every waiting shape was tried.
  uint64_t tried_properties = 0, tried_capacity = 0;
};

}  // namespace spillway::core
