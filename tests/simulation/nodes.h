// A model of what happens on and to nodes: kubelets, their heartbeats, the node controller, and the
// collectors of pods and of dependents.
#pragma once

#include <map>
#include <set>
#include <string>

#include "tests/simulation/api_server.h"
#include "tests/simulation/random.h"

namespace spillway::simulation {

class Nodes {
 public:
  explicit Nodes(ApiServer& api) : api_(api) {}

  void Add(const std::string& name, const std::string& cpu, const std::string& memory);
  // A pod moves on: it is refused, runs, ends. False if there is none that can.
  bool MovePod(Random& random, bool faults);
  // A pod is there that is not of Spillway.
  bool AddForeignPod(Random& random);
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

  // When the node was last down; Time{} if it never was. A node that is gone is down.
  Time LastDown(const std::string& node) const;

 private:
  bool EndPod(Random& random, api::Pod pod, bool faults);
  bool Admits(const api::Pod& pod) const;
  bool CollectPod();
  bool CollectDependent();

  struct Local {
    std::string cpu, memory;
  };

  ApiServer& api_;
  std::map<std::string, Local> locals_;
  std::set<std::string> silent_;  // nodes whose kubelet does nothing
  std::map<std::string, Time> last_down_;
  size_t foreign_ = 0;
};

}  // namespace spillway::simulation
