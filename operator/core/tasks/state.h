// What the tasks' room owns: the TaskRequests, the attempt that each runs or is about to, and which
// of them are to be looked at, or written.
#pragma once

#include <cstdint>
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
#include "operator/core/deletion.h"
#include "operator/core/scheduling/cloud_refusal.h"
#include "operator/core/scheduling/queue.h"
#include "operator/core/servers/ledger.h"
#include "operator/core/status_writer.h"

namespace spillway::core {

struct Account;
struct Admission;
struct Gang;
struct Shape;
struct TaskState;
struct Tenant;

// The attempt that runs or is about to: what its status tells of it, and the price of its server.
struct Binding : api::Assignment {
  int64_t price_micros = 0;  // per hour
};

// A task by its uid, and the pods that it controls, whichever was seen first.
struct Owner {
  TaskState* task = nullptr;
  size_t counted = 0;  // pods in Servers::pods that refer to it
  // The pod that was asked for and not seen yet; see AssumePod.
  Ledger::Entry assumed;
  Admission* creating = nullptr;  // of the creation that has no answer yet
  bool probe = false;             // nothing was known of its like
  Time sent_at{};                 // that creation
  // By attempt, in that order; in Servers::pods.
  std::vector<std::pair<int64_t, const api::Pod*>> pods;
};

// The pod of the attempt does not start; see stuck.h.
struct Stuck {
  int64_t attempt = 0;
  Time ask_at{};  // when its Events are read next
  Duration pause{0};
  std::string reason, message;  // what they said last
  Time unscheduled_since = kNever;
  bool unbound = false;  // kube-scheduler had it
};

// The creation of a pod that waits for its task's status; see recorded_first.h.
struct HeldCreation {
  Write write;
  bool told = false;      // the status that is on its way tells of it
  bool recorded = false;  // the status that the API server has does
  bool overdue = false;   // that took so long that its room was given back
};

// Whose word the stored status of a task is, of one whose status comes first; see another_leader.h.
struct Records {
  // What this process may have recorded of attempts that have not ended.
  std::vector<std::shared_ptr<const api::Assignment>> told;
  bool sending = false;           // the last of them is on its way, and was not sent before
  Boxed<api::TaskStatus> stored;  // as it was seen while a patch of ours was on its way
  Time stored_at{};               // when
};

// A waiting task's explanation is looked at again after so long, and then ever later.
inline constexpr Duration kExplainAgain{5'000};

struct TaskState {
  const std::string* key = nullptr;  // in Tasks::by_key
  Owner* owner = nullptr;            // in Tasks::owners
  Shape* shape = nullptr;
  Admission* admission = nullptr;  // in Scheduling::admissions; null without a shape
  size_t admission_place = 0;      // in its tasks
  Gang* gang = nullptr;            // in Scheduling::gangs
  Tenant* tenant = nullptr;        // its namespace, in Scheduling::tenants
  Account* account = nullptr;      // of its namespace, in Budgets::accounts
  int64_t priority = 0;            // that counts; see Prioritize
  // Null while no attempt runs or is about to. The status and the pod's creation share it.
  std::shared_ptr<const Binding> binding;
  // That of the pod that was asked for while there is no answer yet; the binding may be gone
  // before.
  std::shared_ptr<const Binding> creating;
  Boxed<HeldCreation> held;       // that creation, while it is not sent yet
  std::optional<int64_t> queued;  // in shape->waiting or gang->waiting, with this priority
  bool in_gang = false;           // queued there, not in its shape
  bool confirmed = false;         // the pod of the binding was created, or seen
  bool unsure = false;            // a pod may appear whose creation was given up
  bool anothers = false;          // a pod may appear that another leader has recorded
  bool may_preempt = true;
  int64_t made_way = 0;       // the attempt that others gave way to, if it has not run yet
  bool overdue_told = false;  // by an Event, since its status was written last
  Time may_appear_until{};    // that pod, since this process asked for it last, or saw the record
  api::TaskRequest object;    // status: as it should be written
  // As it was written, in JSON. A tree of it in every task would be the most of our memory.
  std::shared_ptr<const std::string> pod_template;
  StatusWriter writer;
  // When the status may be written at the latest; see tasks.cc for who sets it.
  Time status_due = kNever;
  bool assigned_written = false;  // of the current attempt
  bool assigned_untold = false;   // its conditions do not speak of the current attempt yet
  bool to_write = false;          // in Tasks::to_write
  Time first_seen{};
  Time waiting_since{};
  Time not_before{};            // backoff
  Time wake = kNever;           // in Tasks::wakes
  std::string nominated;        // the ScaleRequest whose server it waits for
  int64_t rank = 0;             // in its shape's queue, from 1; see forecast.h
  uint64_t planned = 0;         // Provisioning::plan at which it was promised room there
  int losses = 0;               // servers lost in a row
  int refusals = 0;             // the same, of servers that refused its pod
  Time running_since = kNever;  // the current attempt, by our clock
  int unschedulable = 0;        // attempts in a row that kube-scheduler had no node for
  Boxed<CloudRefusal> refused_in_cloud;
  int64_t committed = 0;                   // of what its account has committed
  Duration explain_after = kExplainAgain;  // until the explanation is looked at again; doubles
  Boxed<Stuck> stuck;
  Boxed<Records> records;
  Boxed<Deletion> deletion;
  Boxed<std::map<std::string, Deletion>> pods_deleted;  // by their uids

  const std::string& uid() const { return object.meta.uid; }
  // Who only leaves the queue for a while goes on waiting, and is told no more often.
  void WaitAnew(Time since) {
    waiting_since = since;
    explain_after = kExplainAgain;
  }
  QueuePosition position() { return {priority, object.meta.created, key, this}; }
  // Where it stands while it is queued.
  QueuePosition place() { return {*queued, object.meta.created, key, this}; }
};

// A pod that a policy has taken from its task; see changed_pods.h.
struct ChangedPod {
  std::string task_uid, uid;
  Deletion deletion;
};

struct Tasks {
  std::unordered_map<std::string, TaskState> by_key;
  std::unordered_map<std::string, Owner> owners;  // by uid
  std::set<std::string> to_reconcile;             // tasks to look at
  std::set<std::string> touched;                  // tasks whose status may be due
  std::deque<std::string> to_write;               // tasks whose status is due, in that order
  int64_t statuses_in_flight = 0;
  Time overruns_at{};                              // when costs beyond estimates are counted next
  Alarms wakes;                                    // tasks to look at later
  std::map<std::string, ChangedPod> changed_pods;  // by their own keys
  // Keys of pods that had ended and went before anything may be decided; see ForgetEarlyGone.
  std::set<std::string> early_gone;

  // The task is looked at again at that time, if not before.
  void Wake(TaskState& task, Time time);
  TaskState* ByUid(const std::string& uid);
  const TaskState* ByUid(const std::string& uid) const;
};

// Empties the keys, and calls visit(task, key) with each task that still exists. The key may be
// handed on to another set as it is: after a start those of all tasks are in one.
template <typename Visit>
void TakeTasks(Tasks& tasks, std::set<std::string>& keys, Visit visit) {
  for (std::set<std::string> round = std::exchange(keys, {}); !round.empty();) {
    auto key = round.extract(round.begin());
    const auto task = tasks.by_key.find(key.value());
    if (task != tasks.by_key.end()) visit(task->second, std::move(key));
  }
}

// The number of the task's attempt that runs or is about to, or else of its last one; 0 before the
// first.
int64_t LatestAttempt(const TaskState& task);
// The pod of that attempt, if it was seen.
const api::Pod* PodOf(const TaskState& task, int64_t attempt);

void RecordEvent(Context& context, const TaskState& task, bool warning, std::string reason,
                 std::string message);

}  // namespace spillway::core
