// Who takes up how much of which node: every pod that was seen, and every pod that was asked for
// and not seen yet. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "operator/api/core_v1.h"
#include "operator/base/rare_map.h"
#include "operator/base/shared.h"
#include "operator/base/time.h"

namespace spillway::core {

struct Owner;

// What a pod takes of its node.
struct Demand {
  api::Resources requests;
  std::vector<std::string> host_ports;
  bool task = false;       // a pod of ours
  bool exclusive = false;  // and it wants the server to itself
  bool daemon = false;     // such a pod comes with every new node
  bool operator==(const Demand&) const = default;
};

// What pods request together.
struct Tally : api::Resources {
  int64_t pods = 0;
};

struct Footprint {
  Shared<Demand> demand;  // by pods that take the same
  // Its task, in Tasks::owners; null if it has none. Outlives what is counted for it.
  Owner* owner = nullptr;
  // Where what it requests is counted as well; null if nowhere. Outlives what is counted there.
  Tally* account = nullptr;
  bool operator==(const Footprint&) const = default;
};

// Two cache lines, and begins one: every decision reads them.
struct alignas(64) NodeUsage {
  // Of the node's server in the index; the ledger only keeps it.
  uint32_t slot = kNoSlot;
  api::Resources used;
  api::Resources used_by_daemons;  // of that, by pods that come with every node
  int64_t pods = 0;
  int64_t tasks = 0;
  int64_t exclusive = 0;
  RareMap<std::string, int> host_ports;
  // Requested by pods that did not run yet at this time: the node's measured use does not tell of
  // them.
  Time measured_from{};
  int64_t unmeasured_cpu_milli = 0, unmeasured_memory = 0;

  static constexpr uint32_t kNoSlot = UINT32_MAX;
};

class Ledger {
  struct Counted;
  struct NodeEntry;

 public:
  // Stands for one pod. Belongs to whoever knows the pod, and is released before it goes.
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    bool counted() const { return node_ != nullptr; }

   private:
    friend class Ledger;
    // Null: nothing is counted. All three are stored, so that none has to be read from memory to
    // find another.
    NodeEntry* node_ = nullptr;
    Counted* pod_ = nullptr;
    uint32_t slot_ = NodeUsage::kNoSlot;  // as it was
  };

  // Counts a pod on the node, given by its use as Keep gave it, until it is released; what was
  // counted for it before is replaced. The node's new use; null if that changes nothing. left: set
  // to the use of the node where the pod was counted before, if it was.
  const NodeUsage* Take(Entry& pod, const NodeUsage& node, Footprint footprint,
                        const NodeUsage** left = nullptr);
  // The use of the node that the pod was counted on; null if it was not.
  const NodeUsage* Release(Entry& pod);
  // Announces to the processor what Release will read. The slot that the node's server had when the
  // pod, which must be counted, was counted: mostly it still has it, and nobody waits for the node
  // to find the server.
  uint32_t Announce(const Entry& pod) const;
  // The pod, which must be counted, runs since then. The use of its node, if a measurement covers
  // the pod by that; null otherwise.
  const NodeUsage* Started(Entry& pod, Time time);
  // The node's use was measured over a time that begins then.
  void Measured(const std::string& node, Time from);
  const NodeUsage& On(const std::string& node) const;
  // The same, to be kept: it stays where it is until the node is forgotten.
  NodeUsage& Keep(const std::string& node) { return nodes_[node]; }
  // Forgets a node that nothing is counted on.
  void Forget(const std::string& node);
  // Calls visit(owner, demand) for each pod on the node that has an Owner, with what is counted.
  template <typename Visit>
  void ForEachOwner(const std::string& node, Visit visit) const {
    const auto at = nodes_.find(node);
    if (at == nodes_.end()) return;
    for (const Counted& each : at->second.counted) {
      if (each.entry != nullptr && each.owner != nullptr) visit(*each.owner, *each.demand);
    }
  }

 private:
  // What is counted for one pod: a cache line.
  struct alignas(64) Counted : Footprint {
    Entry* entry = nullptr;  // null: free for another
    Counted* next_free = nullptr;
    Time started = kNever;
    bool unmeasured = false;
  };
  struct NodeEntry : NodeUsage {
    std::vector<Counted> counted;
    Counted* free = nullptr;  // the first one of them
  };
  // Makes the entry stand for a pod of which nothing is counted yet.
  static void Attach(Entry& entry, NodeEntry& node);
  static void Subtract(Entry& entry);
  // By what is known to the second.
  static bool StartsAfter(const Counted& pod, Time time) {
    return pod.started == kNever || pod.started + std::chrono::seconds(1) > time;
  }
  static void SetUnmeasured(NodeUsage& usage, Counted& pod, bool unmeasured);

  std::unordered_map<std::string, NodeEntry> nodes_;
};

}  // namespace spillway::core
