// What really happened, as the API server and the nodes tell it: every pod of every task, how it
// ended and what was done to it, and when nodes were down. The checks judge by this.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/events.h"

namespace spillway::simulation {

// A pod that was created for a task.
struct PodRecord {
  std::string key, uid, node;
  int64_t attempt = 0, version = 0;     // version: of its creation
  int64_t bound = 0;                    // the version that told of its node
  bool moved = false;                   // which is not the one that was asked for
  Time asked{}, began{};                // when it was decided on, and created
  int64_t estimate = 0;                 // what it was expected to cost when it was decided on
  std::optional<api::Termination> end;  // of its main container
  std::optional<Time> over;             // it has ended, or is gone
  int64_t ended = 0;                    // the version that told of its end; 0: it went without
  bool exclusive = false;
  std::pair<int64_t, int64_t> requests;  // CPU and memory
  std::optional<Time> ran;               // since when it ran, by the clock that is right
  bool asked_to_end = false;             // it was deleted before it ended
  bool refused = false;                  // by its node's kubelet
  bool stopped = false;                  // its end was decided on before a refusal was known
  bool gave_way = false;                 // or is its group taken back
  bool unclear = false;                  // deleted after its end, or before: its clock is wrong
  std::string cause;                     // what was done to it from outside; empty: nothing
  std::string unbound;                   // was to be there when kube-scheduler had no node
  bool disrupted = false;                // by the cluster, not by a decision of the operator
  bool own_fault = false;                // it failed, and nothing had been done to it
  bool turned_away = false;              // it ran, and its end tells nothing of that
  bool taken_back = false;               // its end was decided on before it was known to run
};

struct TaskRecord {
  std::vector<PodRecord> pods;  // in the order of their creation
  int edits = 0;                // by its user
  int late = 0;                 // creations that arrived when their process had ended

  const PodRecord* Attempt(int64_t attempt) const;
};

class Witness {
 public:
  Time now{};
  // Two processes believe to lead: one may stop what the other has begun.
  bool overlap = false;
  Time budget_changed{};
  bool clocks_wrong = false;  // of nodes: when a pod ended cannot be told by them

  // A change of an object; null: it was not there, or is not there any more. ours: by the
  // operator's own write.
  void Changed(const core::Object* before, const core::Object* after, bool ours);
  // A pod of this key was decided on for that node: two leaders may choose differently.
  void Asked(const std::string& key, const std::string& node) {
    asked_[key] = asked_for_[{key, node}] = now;
  }
  Time AskedAt(const std::string& key) const {
    const auto at = asked_.find(key);
    return at == asked_.end() ? now : at->second;
  }
  // The API server has taken a pod that was decided on for a task.
  void Created(const core::Write& write, const core::Object& object);
  void Edited(const std::string& task_uid) { ++tasks_[task_uid].edits; }
  void Late(const std::string& task_uid) { ++tasks_[task_uid].late; }
  // It is not the task's fault that the pod ends.
  void Blame(const std::string& pod_uid, const std::string& cause);
  // The same, and the cluster has ended it.
  void Disrupt(const std::string& pod_uid, const std::string& cause);
  // How many of the task's pods have failed by themselves.
  static int OwnFaults(const TaskRecord& task);
  // The node's kubelet does nothing, or works again.
  void Silent(const std::string& node, bool silent);
  // Someone was refused, and waits by himself before he asks again.
  void Refused(const std::string& task_uid, const std::string& ns) {
    refused_[task_uid] = refused_[ns] = now;
  }
  // Whether no pod was created in the namespace since one was refused there, or did not come in
  // time; or one was only a moment ago.
  bool Unproven(const std::string& ns) const;
  // Whether a pod was refused in the namespace within that time.
  bool RefusedIn(const std::string& ns, Duration within) const {
    const auto at = refused_.find(ns);
    return at != refused_.end() && now < at->second + within;
  }

  const TaskRecord* Task(const std::string& uid) const;
  // Of a pod, and of its task: null if it was created for none, whatever it says of itself.
  const PodRecord* RecordOf(const api::Pod& pod) const { return RecordOf(pod.meta.uid); }
  const PodRecord* RecordOf(const std::string& pod_uid) const;
  const std::string* OwnerOf(const api::Pod& pod) const { return OwnerOf(pod.meta.uid); }
  const std::string* OwnerOf(const std::string& pod_uid) const;
  // The end of the pod was decided on by a process that had not seen it refused.
  void Stopped(const std::string& pod_uid);
  // How often the node's kubelet has refused a pod of the task within that time; told(uid) says
  // whether the refusal of that pod is known. A pod whose end had been asked for, or decided on,
  // does not count, nor does a refusal by an earlier node of that name, or one after which a pod
  // that requests the same has run there.
  int Refusals(const std::string& task_uid, const std::string& node, Duration within,
               const std::function<bool(const std::string&)>& told) const;
  // Whether the node was lost since then: it vanished, or was down for a minute on end.
  bool Lost(const std::string& node, Time since) const;
  bool Down(const std::string& node, Duration within) const;
  // The lowest value that the class has had from then on; nothing if it was never there.
  std::optional<int64_t> LowestOf(const std::string& priority_class, Time since) const;
  // Whether its kubelet has refused a pod within that time.
  bool RefusedBy(const std::string& node, Duration within) const;
  // The end of the pod, which was to be bound by kube-scheduler, was decided on. If that had no
  // node for it, who asks for the same passes over the one that it was to be on, for a while.
  void TakenBack(const std::string& pod_uid, const api::Resources& asked);
  // Whether that while may last, of one that had such pods taken back.
  bool HasNoneFor(const std::string& node, const api::Resources& asked) const;
  // Whether the purchase had a server that its engine called ready, be it another than now.
  bool WasReady(const std::string& request_uid) const { return ready_.contains(request_uid); }
  // When the purchase was deleted; kNever if it was not.
  Time Deleted(const std::string& request_uid) const {
    const auto at = deleted_.find(request_uid);
    return at == deleted_.end() ? kNever : at->second;
  }
  // Whether a task's pod ever ran, or was to run, there.
  bool Hosted(const std::string& node) const { return hosted_.contains(node); }
  // How many pods the task may have had without any failure of its own.
  int Causes(const TaskRecord& task) const;
  // Its last pod ended, or it was refused, so long ago that it waits for no time of its own.
  bool Rested(const std::string& task_uid, Duration time) const;
  // Whether its last pod has not ended, or its object does not tell of that end yet.
  bool Unrecorded(const api::TaskRequest& task) const;
  // Whether the server of that name ever was that node's.
  bool ServedBy(const std::string& server, const std::string& node) const;

 private:
  struct Health {
    bool silent = false, ready = true, there = true;
    std::optional<Time> since;  // down
    std::vector<std::pair<Time, Time>> downs;
    Time appeared{}, vanished{}, refused{};
    std::map<std::pair<int64_t, int64_t>, Time> took;  // by what they request: when one last began
    // By what their templates request: the pods that were taken back, in order of that time.
    std::map<std::pair<int64_t, int64_t>, std::vector<std::pair<Time, std::string>>> unbound;
  };
  void PodChanged(const api::Pod* before, const api::Pod* after, bool ours);
  void Judge(Health& node) const;
  PodRecord* Find(const std::string& pod_uid);  // null if it is not known

  std::map<std::string, TaskRecord> tasks_;
  std::map<std::string, std::pair<std::string, size_t>> pods_;  // by uid: its task, its place
  std::map<std::string, Health> nodes_;
  std::map<std::string, Time> refused_;  // by task and by namespace
  std::map<std::string, Time> proven_;   // by namespace: the first creation after a refusal
  std::map<std::string, Time> asked_;    // by the pod's key
  std::map<std::pair<std::string, std::string>, Time> asked_for_;        // by its node as well
  std::map<std::string, std::vector<std::pair<Time, int64_t>>> values_;  // of priority classes
  std::set<std::string> hosted_;
  std::map<std::string, std::set<std::string>> servers_;
  std::set<std::string> ready_;          // uids of purchases
  std::map<std::string, Time> deleted_;  // by the same
};

}  // namespace spillway::simulation
