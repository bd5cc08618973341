// A model of what happens on and to nodes: kubelets, their heartbeats, the node controller, and the
// collectors of pods and of dependents.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/api_server.h"
#include "tests/simulation/random.h"

namespace spillway::simulation {

class Nodes {
 public:
  // happened: is told what comes of what is done to nodes.
  Nodes(ApiServer& api, std::function<void(const std::string&)> happened)
      : api_(api), happened_(std::move(happened)) {}

  // Where a pod is Pending and its init containers run.
  static constexpr char kInit[] = "init containers run";
  // All that it may tell of.
  static std::vector<std::string> Names();

  void Add(const std::string& name, const api::Resources& offers);
  // A pod moves on: it is refused, runs, ends. False if there is none that can.
  bool MovePod(Random& random, bool faults);
  // A pod is there that is not of Spillway.
  bool AddForeignPod(Random& random);
  // Kubelets refuse some shapes of pods for a reason that nobody can see and that lasts.
  void Prejudice(uint64_t seed) { prejudice_ = seed; }
  // Clocks of nodes are wrong.
  void SkewClocks(uint64_t seed) { skew_ = seed; }
  // What nodes and pods say of themselves is long, and no ASCII.
  void TalkMuch() { hostile_ = true; }
  // A node is cordoned or tainted, or no longer.
  bool Fence(Random& random);
  // A node gets a taint by which what runs there and does not tolerate it must go, or loses it.
  bool Expel(Random& random);
  // Kubernetes' taint manager ends a pod for such a taint.
  bool EvictExpelled(Random& random);
  // A node has less to offer, perhaps less than what runs there, or all of it again.
  bool Shrink(Random& random);
  // The label by which a node is a server is taken off, or put back.
  bool Unlabel(Random& random);
  // A node falls silent, is found to be not ready, comes back, or goes for good.
  bool Trouble(Random& random);
  // Every node that was added is there and well.
  void Recover();
  // Pods of nodes that are no more, and objects whose owner is gone. False if there is nothing.
  bool Collect(Random& random);
  // Heartbeats of the nodes that are well.
  void Beat();

  // What metrics.k8s.io says of every node whose kubelet is well: some of what the pods that run
  // there request, or more.
  core::Measured Measure(Random& random) const;

 private:
  void Run(api::Pod& pod) const;
  bool EndPod(Random& random, api::Pod pod, bool faults);
  bool Admits(const api::Pod& pod) const;
  bool CollectPod();
  bool CollectDependent();
  bool CollectForeground();
  bool Dislikes(const api::Pod& pod) const;
  bool IsExpelled(const api::Pod& pod, const api::Node& node) const;
  void TurnAwayWhatRuns(const api::Node& node);
  // What is asked for by name: as it was when it was added, but for how it is.
  void Restore(api::Node& node) const;
  Time ClockOf(const std::string& node) const;
  // text, and perhaps more, of at most 2 to the power of that many bytes.
  std::string Say(std::string text, Random& random, size_t doublings = 18) const;
  void Silence(const std::string& node, bool silent);
  void ComeBack(const std::string& node);
  void Renew(const std::string& node);

  ApiServer& api_;
  std::function<void(const std::string&)> happened_;
  std::map<std::string, api::Resources> locals_;  // what each offers
  std::set<std::string> silent_;                  // nodes whose kubelet does nothing
  size_t foreign_ = 0;
  uint64_t prejudice_ = 0, skew_ = 0;
  bool hostile_ = false;
};

// Whether a node that offers so much has room for all of that.
bool Fits(const api::Resources& used, const api::Resources& total);
// Whether the task's pods may be on a node with the taint, as its template says.
bool Tolerates(const api::TaskRequest& task, const api::Taint& taint);

}  // namespace spillway::simulation
