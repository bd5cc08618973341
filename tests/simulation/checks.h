// What must always hold, judged from outside: by the API server's objects and by what each process
// has seen of them, never by what the core believes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/api_server.h"
#include "tests/simulation/cloud.h"
#include "tests/simulation/nodes.h"
#include "tests/simulation/rates.h"
#include "tests/simulation/replica.h"

namespace spillway::simulation {

// What a process before has asked for may still arrive, and is waited for from when this one has
// heard of it; then it is told.
inline constexpr Duration kTold = core::kLateArrival + std::chrono::seconds(15);
// For so long a server or a namespace that refused a pod may be passed over.
inline constexpr Duration kPassedOver = std::chrono::seconds(660);

struct Violation {
  std::string invariant;  // a short name, by which a failure is recognized while it is shrunk
  std::string message;
};

class Checks {
 public:
  Checks(const ApiServer& api, Witness& witness, const Cloud& cloud)
      : api_(api), witness_(witness), cloud_(cloud) {}

  // The core of the process has decided on an effect; and on all of one step.
  void Decided(const Replica& replica, const core::Effect& effect);
  void Turned(const Replica& replica);
  // A try of an effect, whatever comes of it.
  void Tried(const Replica& replica, const core::Effect& effect);
  // The process was told that what it wanted has failed, or that nobody knows.
  void Failed(const core::Effect& effect);
  // Around a write that the API server accepts.
  void Before(const core::Write& write);
  void After(const Replica& replica, const core::Write& write);
  // The API server has taken the status of a task. by: the process that has sent it, if that is
  // known.
  void Arrived(const core::Write& write, std::optional<int> by = std::nullopt);
  // It has taken a purchase.
  void Made(const core::Write& write);
  // Two processes believe to lead. One that does not know yet what the other has done may give a
  // server back too early, and it is bought again.
  void Overlap(bool overlap) { witness_.overlap = overlap_ = overlap; }
  // The process has ended: what it had decided and not sent is void.
  void Ended(const Replica& replica);
  // One of the user's own changes to a task; each may cost writes.
  void Edited(const std::string& uid) {
    ++costs_[uid].edits;
    witness_.Edited(uid);
  }
  // A fault, or a change by an admin, that may cost every task writes.
  void Disturbed() { ++disturbances_; }
  // The process knows all there is to know and wants nothing. At rest no task may wait for long
  // while a server would take it: each such task, and the server.
  using Waits = std::set<std::pair<std::string, std::string>>;
  void Settled(const Replica& replica);
  // How what it knows of the API server differs from what is there; nothing if it does not.
  std::optional<std::string> ViewDiffers(const Replica& replica) const;
  Waits Idle(const Replica& replica) const;
  // Those for which nothing is bought though a pool can be asked: each such task, and the pool.
  Waits Unbought(const Replica& replica) const;
  // What is ready and paid for, and is no server that tasks could go to.
  std::set<std::string> Unregistered() const;
  // Purchases that wait for a server which their engine had, and has no more.
  std::set<std::string> Unnoticed(const Replica& replica) const;
  // What statuses of tasks tell that is not so any more.
  std::set<std::string> Misleading() const;
  // A pod was asked for, or ended, or was refused, not long ago: the task may wait by itself.
  bool TriedOfLate(const std::string& task) const;
  // What is left to do: a task that has not ended and is not held by its user, something that is
  // paid for and not needed.
  std::optional<Violation> Quiet(const Replica& replica) const;
  const std::optional<Violation>& violation() const { return violation_; }
  void Violate(std::string invariant, std::string message);
  // How many servers may be bought for one need: at first and after each restart, and in an hour.
  struct Pace {
    int at_first = 0, per_hour = 0;
  };
  // From now on; nothing: any number.
  void BoundPurchases(std::optional<Pace> pace);
  // Nothing else; empty: everything.
  void JudgeOnly(std::string invariant) { only_ = std::move(invariant); }
  // Texts from outside are as bad as they can be: whatever is sent is looked at.
  void ExpectHostileTexts() { hostile_ = true; }
  size_t statuses() const { return statuses_; }

 private:
  // Tasks of one namespace that ask for the same as this one, and when a pod of theirs was refused
  // or made last.
  struct Kindred {
    api::TaskRequest one;
    Time refused{}, made{};
  };
  struct Intent {
    int replica = 0;
    std::string node, task_uid;
    api::Resources requests;
    bool exclusive = false;
    Time decided{};  // by its process's clock
    Time asked{};    // by the one that is right
    int64_t estimate = 0;
    std::shared_ptr<const api::Assignment> assignment;  // tells it from an earlier one of its name
  };
  struct Origin {
    int replica = -1;
    int64_t version = 0;
    Time decided{};
    api::Resources requests = {};  // as they were sent
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
    int recorded = 0;                   // statuses that told of a pod before it was created
    std::optional<int> disturbed = {};  // before its first write
  };

  // Who has written a task's status last, and how often one that leads beside another has done so
  // after the other.
  struct Writer {
    int last = 0, changes = 0;
  };

  void NoteWriter(const Replica& replica, const std::string& task_uid);
  bool IsWrittenLate(const api::TaskRequest& task) const;
  bool RefusedOfLate(core::Verb verb, core::Kind kind, const std::string& ns) const;
  static bool SaysAvailable(const api::TaskRequest& task, const std::string& pool);
  bool KnowsKind(const Replica& replica, Kind kind) const;
  void CheckGround(const Replica& replica, const core::Effect& effect);
  void CheckAsked(const Replica& replica, const core::AskCloud& ask);
  void CheckBinding(const Replica& replica, const core::Write& write);
  void CheckNeed(const Replica& replica, const core::Write& write);
  void CheckLosses(const core::Write& write, const api::TaskRequest& task);
  void Failed(const core::Write& write);
  void PodDecided(const Replica& replica, const core::Write& write);
  const api::Resources& RequestsOf(const Replica& replica, const api::Pod& pod) const;
  void CheckRoom(const Replica& replica, const api::Pod& pod);
  void CheckLoad(const Replica& replica, const api::Pod& pod);
  void CheckOnlyPod(const Replica& replica, const api::Pod& pod, const std::string& task_uid);
  void CheckServer(const Replica& replica, const api::Pod& pod, const std::string& uid);
  void CheckGroup(const Replica& replica, const std::string& task_uid);
  void CheckMoney(const Replica& replica, const core::Write& write);
  // What is spent and committed in the namespace of the budget, as far as its tasks tell.
  // Without the task with this uid, which begins now.
  int64_t UsedOf(const Replica& replica, const api::Budget& budget, const std::string& uid) const;
  // What the replica has begun for the task, and what nobody has recorded yet.
  int64_t BegunFor(const Replica& replica, const api::TaskRequest& task) const;
  // Whether servers with a price may be closed to the namespace's tasks.
  bool Bounded(const std::string& ns) const;
  std::set<std::string> TriedIn(const Replica& replica, const std::string& ns) const;
  bool TriesLike(const Replica& replica, const api::TaskRequest& task) const;
  bool StandApart(const Replica& replica, const api::TaskRequest& a,
                  const api::TaskRequest& b) const;
  void CheckTurn(const Replica& replica, const std::string& task_uid);
  // Of all pods of the task.
  bool HasSeenEnds(const Replica& replica, const std::string& task_uid) const;
  // Whether it is in the queue, as far as its object and its pods tell.
  bool InQueue(const Replica& replica, const api::TaskRequest& task) const;
  // The task with this uid; null if it is gone.
  const api::TaskRequest* TaskOf(const std::string& uid) const;
  // Everything that there is was delivered.
  bool KnowsAll(const Replica& replica) const;
  void CheckAssignment(const Replica& replica, const core::Write& write);
  bool LooksSilent(const Replica& replica, const api::Node& node) const;
  void CheckSecondPurchase(const Replica& replica, const core::Write& write);
  Time RegisteredAt(const std::string& node) const;
  void CheckRefusals(const Replica& replica, const core::Write& write);
  void CheckPool(const Replica& replica, const core::Write& write);
  static bool KnowsRun(const Replica& replica, const api::TaskRequest& task, const PodRecord& pod);
  bool KnowsEnd(const Replica& replica, const PodRecord& pod) const;
  void CheckRunsOnce(const Replica& replica, const core::Write& write);
  void CheckPods(const core::Write& write);
  // Pods were decided on for the node, within that time, and are not there yet.
  bool Promised(const api::Node& node, std::optional<Duration> within = std::nullopt) const;
  // How many tasks wait that it would take.
  int Wanting(const api::RegisteredServer& server, const api::Node& node) const;
  bool Barred(const api::TaskRequest& task) const;
  bool AwaitsAnother(const Replica& replica, const api::TaskRequest& task) const;
  bool AwaitsHeartbeat(const Replica& replica, const api::Node& node) const;
  bool PassedOver(const api::TaskRequest& task, const api::Node& node) const;
  bool MayBeTaken(const api::TaskRequest& task, const api::RegisteredServer& server,
                  const api::Node& node) const;
  bool KeptForAnother(const api::TaskRequest& task, const api::RegisteredServer& server,
                      const api::Node& node) const;
  bool WaitsForServer(const Replica& replica, const api::TaskRequest& task) const;
  std::optional<int64_t> PriorityOf(const api::TaskRequest& task) const;
  std::optional<int64_t> LowestPriorityOf(const api::TaskRequest& task, const PodRecord& pod) const;
  bool Knows(const Replica& replica, const api::Pod& pod) const;
  void CheckEnd(const Replica& replica, const core::Write& write);
  void CheckResult(const Replica& replica, const core::Write& write);
  void CheckFaults(const core::Write& write);
  void CheckTruth(const Replica& replica, const core::Write& write);
  // The number of the last pod that the process can know of; 0 if there is none.
  int64_t LastKnown(const Replica& replica, const TaskRecord& task) const;
  // Whether a task of that priority has to give way to one that this process knows of.
  bool GroupGoesOn(const Replica& replica, const api::TaskRequest& task) const;
  bool GivesWay(const Replica& replica, const api::TaskRequest& task,
                std::optional<int64_t> own) const;
  void NotePreempted(const Replica& replica, const core::Note& note);
  void Stops(const Replica& replica, const core::Write& write);
  // A status has been decided on; it counts if its task has a loss limit of 0.
  void NoteRecording(const core::Write& write);
  // A status that has to come first was not taken in time: others of its namespace wait for a
  // while.
  bool IsRecordOverdue(const std::string& ns) const;
  // Whether no pod of the task's kind was made since one was refused: one is tried at a time then.
  bool IsKindRefused(const api::TaskRequest& task) const;
  void NoteTried(const std::string& task_uid, Time Kindred::*what);
  bool IsInflight(const api::ScaleRequest& scale) const;
  bool IsInUse(const api::RegisteredServer& server) const;
  bool IsTakenAway(const api::Node& node) const;
  // When the purchase that it was bought by was deleted; kNever if it was not.
  Time OrphanedAt(const api::Node& node) const;
  // The creation is not to come any more.
  void Forget(const core::Write& write);
  void CheckPurchase(const core::Write& write);
  void CountPurchase(const core::Write& write);
  // The engine's server of that uid for the request; null if it is gone, or to go.
  const api::CloudServer* StillHad(const std::string& request_uid, const std::string& uid) const;
  void CheckGone(const core::Write& write);
  void CheckGone(const core::AskCloud& ask);
  void CheckPatience(const Replica& replica);
  // What the attempt may have cost by now, if that pod was its.
  int64_t MostCost(const Replica& replica, const api::Attempt& attempt, const PodRecord& pod) const;
  void CheckBill(const Replica& replica, const core::Write& write, const api::TaskStatus& now);
  // The process has taken the pod up as it was found: since when it is there, only the API server's
  // clock tells.
  bool TakenUp(const Replica& replica, const PodRecord& pod) const;
  void CheckBody(const core::Effect& effect);
  void CheckCost(const std::string& uid, const std::string& key);

  const ApiServer& api_;
  Witness& witness_;
  const Cloud& cloud_;
  // What the answer to the effect depends on.
  std::string StateOf(const core::Effect& effect) const;
  // What asks for the effect; of a pod's creation: its task, since the names differ.
  std::string WhatOf(const core::Effect& effect) const;

  Rates rates_;
  std::optional<Violation> violation_;
  // Pods that were decided on and are not there yet, by name and process: two that both lead may
  // decide on the same.
  std::map<std::pair<std::string, int>, Intent> intents_;
  // By uid, of tasks whose status has to come first: the namespace, and since when one was not
  // taken.
  std::map<std::string, std::pair<std::string, Time>> recording_;
  // Purchases of that kind: by whom, and of which pool.
  std::map<std::string, std::pair<int, std::string>> purchases_;
  // The names of all that were made, and of those that were made once more: by a request that was
  // on its way for so long that the first was gone.
  std::set<std::string> made_, made_again_;
  // Tasks that get a pod for the first time in this step, and all that ever did; by uid.
  std::set<std::string> decided_, ever_decided_;
  // When a process has asked an engine for a server first: by its id and the request's uid.
  std::map<std::pair<int, std::string>, Time> engine_asked_;
  std::set<std::string> asked_in_vain_;    // uids of requests: by what was answered last
  std::map<std::string, Origin> origins_;  // of pods, by uid
  std::set<std::string> stopped_;          // pods whose end was decided on; by uid
  std::set<std::string> given_back_;       // servers, likewise
  // Tasks of which a process has decided to write that they have ended; by its id and their uids.
  std::set<std::pair<int, std::string>> concluded_;
  std::set<std::pair<int, Record>> recorded_;  // attempts that it has decided to tell of
  // Attempts that had to give way: the uid of the task, and the number.
  std::set<std::pair<std::string, int64_t>> preempted_;
  std::optional<Pace> pace_;
  Time paced_since_{};
  int begun_ = 0;                      // processes since then, and the one that was there
  std::map<std::string, int> bought_;  // for each need, since then
  int bought_meanwhile_ = 0;           // in all, whenever that was counted
  std::vector<Kindred> kinds_;
  std::set<std::string> failed_;  // pods whose creators were told that there is none
  std::map<std::string, std::optional<int64_t>> began_with_;  // priorities, by the pods' keys
  std::map<std::string, int> created_;                        // how often a pod of this name was
  std::map<std::string, Cost> costs_;                         // of tasks, by uid
  std::map<std::string, Writer> writers_;                     // likewise
  std::optional<api::TaskRequest> before_;
  Time sent_at_{};  // when the pod was decided on that is being created
  // How far the clocks of processes have been behind and ahead of the one that is right.
  Duration slowest_{0}, fastest_{0};
  std::string only_;
  bool overlap_ = false, hostile_ = false;
  int disturbances_ = 0;
  int ended_ = 0;  // processes
  size_t statuses_ = 0;
};

// Whether its label, or its pool, makes it a server.
bool IsOffered(const api::Node& node);
// Whether a server has the properties for a task, as the objects tell: an account of its own,
// without what the core uses.
bool Suits(const api::TaskRequest& task, const api::RegisteredServer& server,
           const api::Node& node);
// What a pod of its template requests.
api::Resources TemplateRequests(const api::TaskRequest& task);
// kForSure: with the most that the operator may reckon with; kPerhaps: with what the task requests
// itself; kOfEmpty: the same if nothing ran there.
enum class Room { kForSure, kPerhaps, kOfEmpty };
// Whether it has the room as well.
bool WouldFit(const api::TaskRequest& task, const api::RegisteredServer& server,
              const api::Node& node, const ApiServer& api, Room room = Room::kForSure);

// Why it waits, as its status explains it.
std::string Says(const api::TaskRequest& task);

}  // namespace spillway::simulation
