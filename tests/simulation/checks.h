// What must always hold, judged from outside: by the API server's objects and by what each process
// has seen of them, never by what the core believes.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "tests/simulation/api_server.h"
#include "tests/simulation/cloud.h"
#include "tests/simulation/nodes.h"
#include "tests/simulation/replica.h"

namespace spillway::simulation {

struct Violation {
  std::string invariant;  // a short name, by which a failure is recognized while it is shrunk
  std::string message;
};

class Checks {
 public:
  Checks(const ApiServer& api, const Nodes& nodes, const Cloud& cloud)
      : api_(api), nodes_(nodes), cloud_(cloud) {}

  // The core of the process has decided on an effect.
  void Decided(const Replica& replica, const core::Effect& effect);
  // Around a write that the API server accepts.
  void Before(const core::Write& write);
  void After(const Replica& replica, const core::Write& write);
  // Two processes believe to lead. One that does not know yet what the other has done may give a
  // server back too early, and it is bought again.
  void Overlap(bool overlap) { overlap_ = overlap; }
  // The process has ended: what it had decided and not sent is void.
  void Ended(const Replica& replica);
  // One of the user's own changes to a task; each may cost writes.
  void Edited(const std::string& uid) { ++costs_[uid].edits; }
  // A fault, or a change by an admin, that may cost every task writes.
  void Disturbed() { ++disturbances_; }
  // The process knows all there is to know and wants nothing: no task may wait while a server
  // would take it.
  void Settled(const Replica& replica);
  // What is left to do: a task that has not ended and is not held by its user, something that is
  // paid for and not needed.
  std::optional<Violation> Quiet(const Replica& replica) const;
  const std::optional<Violation>& violation() const { return violation_; }
  void Violate(std::string invariant, std::string message);
  size_t statuses() const { return statuses_; }

 private:
  struct Intent {
    int replica = 0;
    std::string node, task_uid;
    api::Resources requests;
    bool exclusive = false;
    Time decided{};  // by its process's clock
  };
  struct Origin {
    int replica = -1;
    int64_t version = 0;
    Time decided{};
  };
  // A creation without an answer for so long keeps no room: the pod may never exist.
  static bool GivenUp(const Replica& replica, Time decided);
  bool HasSeenTask(const Replica& replica, const std::string& uid) const;
  bool TaskExists(const std::string& uid) const;
  // Its room counts for the process.
  bool Counts(const Replica& replica, const api::Pod& pod) const;
  // Under two leaders a pod may come and go by the hand of one while the creation of the same pod
  // by the other is on its way; the kubelet refuses what does not fit then.
  bool Contested(const std::string& pod, int times) const {
    const auto at = created_.find(pod);
    return overlap_ && at != created_.end() && at->second > times;
  }
  struct Cost {
    int pods = 0, statuses = 0, edits = 0;
  };

  void PodDecided(const Replica& replica, const core::Write& write);
  void CheckRoom(const Replica& replica, const api::Pod& pod);
  void CheckLoad(const Replica& replica, const api::Pod& pod);
  void CheckOnlyPod(const Replica& replica, const api::Pod& pod, const std::string& task_uid);
  void CheckServer(const Replica& replica, const api::Pod& pod);
  void CheckGroup(const Replica& replica, const std::string& task_uid);
  void CheckMoney(const Replica& replica, const std::string& task_uid);
  // What is spent and committed in the namespace of the budget, as far as its tasks tell.
  int64_t UsedOf(const Replica& replica, const api::Budget& budget) const;
  // Whether servers with a price may be closed to the namespace's tasks.
  bool Bounded(const std::string& ns) const;
  void CheckTurn(const Replica& replica, const std::string& task_uid);
  std::optional<int64_t> PriorityOf(const api::TaskRequest& task) const;
  bool Knows(const Replica& replica, const api::Pod& pod) const;
  void CheckResult(const core::Write& write);
  bool OnItsWay(const api::ScaleRequest& scale) const;
  void CheckPurchase(const core::Write& write);
  void CheckCost(const std::string& uid, const std::string& key);

  const ApiServer& api_;
  const Nodes& nodes_;
  const Cloud& cloud_;
  std::optional<Violation> violation_;
  std::map<std::string, Intent> intents_;  // pods that were decided on and are not there yet
  std::map<std::string, Origin> origins_;  // of pods, by uid
  std::map<std::string, int> created_;     // how often a pod of this name was
  std::map<std::string, Cost> costs_;      // of tasks, by uid
  std::optional<api::TaskRequest> before_;
  Time decided_{};  // when the pod was that is being created
  bool overlap_ = false;
  int disturbances_ = 0;
  size_t statuses_ = 0;
};

// Whether a server that takes tasks has room and the properties for a task: an account of its own,
// without what the core uses. free: what is left on the server's node.
bool WouldFit(const api::TaskRequest& task, const api::RegisteredServer& server,
              const api::Node& node, const ApiServer& api);

}  // namespace spillway::simulation
