// The order in which waiting tasks are tried.
//
// A higher priority comes first. Of one priority, the namespace that has the smallest share of the
// servers is next, each share divided by the namespace's weight; within a namespace the older task
// is. The share is the dominant one of dominant resource fairness (Ghodsi et al., 2011): of cpu,
// memory and every extended resource, the greatest fraction of all registered servers' that pods of
// the namespace's tasks request.
#pragma once

#include <absl/container/btree_set.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/api/resources.h"
#include "operator/base/time.h"
#include "operator/core/servers/ledger.h"

namespace spillway::core {

struct TaskState;
struct World;

// Order in a namespace: higher priority first, then the older, then by name.
struct QueuePosition {
  int64_t priority = 0;
  Time created{};
  const std::string* key = nullptr;  // of the task, in Tasks::by_key
  TaskState* task = nullptr;         // which has it; plays no part in the order

  // The key lies elsewhere: it is looked at only where it decides.
  bool operator<(const QueuePosition& other) const {
    if (priority != other.priority) return priority > other.priority;
    if (created != other.created) return created < other.created;
    return key != other.key && *key < *other.key;
  }
};

// Tasks that wait, the first first: side by side in memory, as those who come and go together are.
// A change moves the others; no iterator or reference outlives it.
using Positions = absl::btree_set<QueuePosition>;

inline constexpr int64_t kUsualWeight = 1000;

// What a namespace's tasks whose like has not been created yet wait for.
struct Probes {
  std::set<std::pair<Time, std::string>> sent;  // creations without an answer: since when, the pod
  std::string refused_pod, refused;  // the last that was refused, unless one was created since
};

// A namespace with tasks, with pods of some, or with a weight; see tenants.h.
struct Tenant {
  int64_t weight_milli = kUsualWeight;
  int64_t resource_version = 0;  // of the Namespace, as far as it was seen
  Tally used;                    // requested by its tasks' pods; the ledger's
  size_t tasks = 0;              // that exist
  size_t waiting = 0;            // of them, in queues
  Positions firsts;              // of its tasks in each Queue, the first; the queues' own
  // Statuses of its tasks on their way, whether the last one failed, and those that wait until
  // there are fewer; see core.cc.
  int64_t statuses_in_flight = 0;
  bool statuses_fail = false;
  std::deque<std::string> to_write;
  Time recorded_at{};  // when a status was written last
  // Statuses that come before their pods were not answered in time: how often in a row, and until
  // when no task is bound that needs one. See recorded_first.h.
  Time unrecorded_until{};
  int unrecorded = 0;
  // See admission.h: how many creations may be in flight of shapes of which nothing is known, which
  // doubles with each success; how many are, of whatever shape; when one was answered last; and
  // when the latest of those had been sent.
  int64_t window = 8, creating = 0;
  Time answered_at{}, sent{};
  Time probe_at{};    // none of which nothing is known is created before: one was refused
  Time eased_at{};    // when pods that had been refused were created again
  int64_t apart = 0;  // admissions of one template; see kinds.h
  Probes probes;

  int64_t probing() const { return static_cast<int64_t>(probes.sent.size()); }
};

// The first of a queue, and what its turn depends on. The share only grows while tasks are bound.
struct Turn {
  QueuePosition position;
  double share = 0;

  bool operator<(const Turn& other) const {
    if (position.priority == other.position.priority && share != other.share)
      return share < other.share;
    return position < other.position;
  }
};

// The tasks of one shape that wait: a line for each namespace. A line may be
// hidden: its tasks are in the queue, and it is as if they were not. Not
// thread-safe.
class Queue {
 public:
  bool empty() const { return lines_.empty(); }
  // Cheapest for one that comes last, as new tasks do.
  void Insert(Tenant& tenant, const QueuePosition& position);
  void Erase(Tenant& tenant, const QueuePosition& position);
  // The namespace's line, until it is shown again or empty.
  void Hide(Tenant& tenant);
  void Show(Tenant& tenant);
  bool Hides(Tenant& tenant) const { return hidden_.contains(&tenant); }
  // Whether visit is true for the first of any hidden line.
  template <typename Visit>
  bool AnyHidden(Visit visit) const {
    for (const auto& [tenant, line] : hidden_) {
      if (visit(*line.begin())) return true;
    }
    return false;
  }
  // Whose turn it is; the queue must not be empty. Looks at each namespace that has tasks in it.
  Turn First(const World& world) const;
  // The same among the namespaces' first tasks that are meant; null if none is.
  TaskState* First(const World& world, const std::function<bool(const TaskState&)>& meant) const;
  size_t Count() const;
  // The queue must not be empty.
  int64_t TopPriority() const;
  // Calls visit with each position, whatever the shares, until it returns true; whether it did.
  template <typename Visit>
  bool AnyOf(Visit visit) const {
    std::vector<std::pair<Positions::const_iterator, Positions::const_iterator>> rest;
    for (const auto& [tenant, line] : lines_) rest.emplace_back(line.begin(), line.end());
    while (!rest.empty()) {
      auto next = rest.begin();
      for (auto at = rest.begin(); at != rest.end(); ++at) {
        if (*at->first < *next->first) next = at;
      }
      if (visit(*next->first)) return true;
      if (++next->first == next->second) rest.erase(next);
    }
    return false;
  }

 private:
  // None is empty.
  std::map<Tenant*, Positions> lines_;
  std::map<Tenant*, Positions> hidden_;
};

// The namespace's share, divided by its weight; 0 while Scheduling::by_share is not set.
double ShareOf(const World& world, const Tenant& tenant);

// Sets the task's priority: of spec.priorityClassName, of spec.priority, of its pod's
// priorityClassName, of the cluster's default class, or 0. The name of a class that does not exist,
// if the task names one.
std::optional<std::string> Prioritize(const World& world, TaskState& task);
// The priority of a task that runs and whose class is gone: it began with one that nobody knows,
// and gives way to nobody until there is such a class again.
inline constexpr int64_t kGivesWayToNone = std::numeric_limits<int64_t>::max();
// The same for a task that was taken up with a pod, or whose class is here again.
void PrioritizeBound(const World& world, TaskState& task);

}  // namespace spillway::core
