// Who takes up how much of which node: every pod that was seen, and every pod that was asked for
// and not seen yet. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "operator/api/core_v1.h"

namespace spillway::core {

struct Footprint {
  api::Resources requests;
  std::vector<std::string> host_ports;
  bool task = false;       // a pod of ours
  bool exclusive = false;  // and it wants the server to itself
  std::string owner = {};  // the uid of its task
  bool operator==(const Footprint&) const = default;
};

struct NodeUsage {
  api::Resources used;
  api::Resources used_by_tasks;  // of that, by pods of ours
  int64_t pods = 0;
  int64_t tasks = 0;
  int64_t exclusive = 0;
  std::map<std::string, int> host_ports;
};

class Ledger {
 public:
  // Counts the pod on the node until it is released; what was counted for it before is replaced.
  // False if that changes nothing.
  bool Take(const std::string& pod, const std::string& node, Footprint footprint);
  // True if anything was counted for the pod.
  bool Release(const std::string& pod);
  const NodeUsage& On(const std::string& node) const;
  // Where the pod is counted; null if it is not.
  const std::string* NodeOf(const std::string& pod) const;
  // Calls visit with the uid of the task of each pod on the node that has one.
  template <typename Visit>
  void ForEachOwner(const std::string& node, Visit visit) const {
    const auto at = nodes_.find(node);
    if (at == nodes_.end()) return;
    for (const Entry* entry : at->second.entries) {
      if (!entry->footprint.owner.empty()) visit(entry->footprint.owner);
    }
  }

 private:
  struct Entry {
    std::string node;
    Footprint footprint;
    size_t place = 0;  // in the node's entries
  };
  struct NodeEntry {
    NodeUsage usage;
    std::vector<Entry*> entries;
  };
  std::unordered_map<std::string, Entry> pods_;
  std::unordered_map<std::string, NodeEntry> nodes_;
};

}  // namespace spillway::core
