// Tasks that ask for the same thing are one shape: what fits one of them fits all of them, so that
// a decision is made per shape and not per task.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "operator/api/task_request.h"
#include "operator/base/boxed.h"
#include "operator/core/mean.h"
#include "operator/core/scheduling/match.h"
#include "operator/core/scheduling/queue.h"
#include "operator/core/servers/ledger.h"
#include "operator/core/servers/server_index.h"

namespace spillway::core {

// A server has refused a pod; see refusals.h.
struct ServerRefusal {
  uint32_t slot = 0;  // that the server had
  int times = 0;      // in a row
  Time at{}, until{};
  std::string why;
};

// What pods ask of their node, in so far as admission may change it.
struct Asks {
  api::Resources requests;
  std::vector<std::string> host_ports;
  api::StringMap node_selector;
  std::vector<NodeSelectorTerm> affinity;
  std::vector<api::Toleration> tolerations;
  bool operator==(const Asks&) const = default;
};

struct Shape {
  api::Resources requests;
  std::vector<std::string> host_ports;
  std::vector<api::Requirement> requirements;
  api::StringMap node_selector;
  std::vector<NodeSelectorTerm> affinity;
  std::vector<api::Toleration> tolerations;
  bool exclusive = false;
  bool via_scheduler = false;        // its pods are bound by kube-scheduler; see NeedsScheduler
  std::string os;                    // spec.os.name of its pods; empty: any
  Shared<Demand> demand;             // what a pod of it takes: by the above
  std::optional<Duration> deadline;  // activeDeadlineSeconds
  api::Placement placement;

  // The tasks of this shape that wait.
  Queue waiting;
  // The slots of servers whose properties match, as far as Servers::property_log was read.
  Bits fits;
  uint64_t properties_read = 0;
  bool matched = false;  // fits was filled at all
  // No server had room, as far as Servers::capacity_log was read; only what has grown since is
  // looked at.
  bool unschedulable = false;
  uint64_t capacity_read = 0;
  std::vector<uint32_t> retry_slots;  // those that may have room yet
  bool untried = false;               // in ShapeTable::untried_
  // What was found out last about why its tasks wait.
  std::shared_ptr<const api::Explanation> explanation;
  Time explained_at{};
  uint64_t explained_moves = 0;  // Context::generation then
  bool explained_fits = false;   // a server would take it, as far as is known
  // Of the last of its tasks that was told why it waits: mostly they are told the same.
  Shared<std::vector<api::Condition>> conditions;
  // The server that is kept for its first task, or none; see reservations.h.
  uint32_t reserved = UINT32_MAX;
  Time reserve_at{};  // not before
  Mean runs;          // how long its tasks ran that succeeded
  // Of tasks that cannot be paid: the shape that they have otherwise. No server takes them that
  // costs more than that per hour. See payment.h.
  Shape* paid = nullptr;
  int64_t payable_micros = 0;
  // The other way round, while there is one. In a shape that has `paid`: the next of those that
  // have the same.
  Shape* unpaid = nullptr;
  // Its pods are not admitted as their templates say; see admission.h.
  bool admitted = false;
  Boxed<std::map<std::string, ServerRefusal>> refused;  // by the server's uid
  // See forecast.h. When its tasks will start, in order, and whether by observed run times.
  std::vector<Time> starts;
  bool observed = false;
  Time foreseen_at{}, ranked_at{};
  // No task of it may make a purchase before.
  Time burst_at{};

  // Asks for the same as the other, which has tasks of its own.
  void LookLike(const Shape& other);
  // The template as text; tasks with the same template as the one before share it.
  std::shared_ptr<const std::string> Template(const api::Json& pod_template);
  std::shared_ptr<const std::string> last_template;

  size_t tasks = 0;  // that have this shape
  size_t holds = 0;  // others that need it
  size_t place = 0;  // in ShapeTable::all
  std::string key;   // in the table
};

// Finds or makes the shape of a task. Owns the shapes; a reference stays valid as long as
// tasks have the shape.
class ShapeTable {
 public:
  // Fails where the template's amounts cannot be read. Each success is answered by a Drop.
  Result<Shape*> Intern(const api::TaskSpec& spec);
  // One task of the shape is gone; with the last, the shape is. Null is allowed.
  void Drop(Shape* shape);
  // The shape of one task of a paid shape that can be paid only so much per hour, and back. Each
  // answers the Intern of the task anew.
  Shape* Unpaid(Shape& shape, int64_t payable_micros);
  Shape* Paid(Shape& shape);
  // The shape of those of a namespace's tasks of this shape whose pods ask for something else once
  // they are admitted. No task has it yet.
  Shape& Admitted(const Shape& asked, const std::string& ns, const Asks& asks);
  // One that asks for the same, under that key; made if it is not there. No task has it yet.
  Shape& Like(const Shape& asked, const std::string& key);
  // One less of those who hold it.
  void Unhold(Shape& shape);

  // Null if no task has a shape with that key.
  Shape* Find(const std::string& key) const {
    const auto at = shapes_.find(key);
    return at == shapes_.end() ? nullptr : at->second.get();
  }
  // In no order.
  const std::vector<Shape*>& all() const { return all_; }
  // No shape requests less cpu or less memory; there must be one.
  api::Resources least() const { return {*cpu_milli_.begin(), *memory_.begin(), 0, {}}; }

  // A server may have room for the shape, whatever has changed since the last time.
  void SetUntried(Shape& shape);
  // In no order; none of them is untried now. Until the next call.
  const std::vector<Shape*>& TakeUntried();

 private:
  void Remove(Shape& shape);
  void Add(std::unique_ptr<Shape>& slot, const std::string& key, std::unique_ptr<Shape> shape);

  std::vector<Shape*> all_;
  std::vector<Shape*> untried_, taken_;
  std::multiset<int64_t> cpu_milli_, memory_;  // requested by each
  std::map<std::string, std::unique_ptr<Shape>> shapes_;
};

}  // namespace spillway::core
