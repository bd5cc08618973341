#include "operator/core/servers/ledger.h"

#include <utility>

#include "operator/base/prefetch.h"
#include "operator/base/saturate.h"

namespace spillway::core {

const NodeUsage* Ledger::Take(Entry& entry, const NodeUsage& node, Footprint footprint,
                              const NodeUsage** left) {
  // Keep hands out parts of our own entries.
  auto& place = const_cast<NodeEntry&>(static_cast<const NodeEntry&>(node));
  if (entry.node_ != nullptr) {
    if (entry.node_ == &place && static_cast<const Footprint&>(*entry.pod_) == footprint)
      return nullptr;
    if (left != nullptr) *left = entry.node_;
    Subtract(entry);
  }
  NodeUsage& usage = place;
  const Demand& demand = *footprint.demand;
  usage.used += demand.requests;
  if (demand.daemon) usage.used_by_daemons += demand.requests;
  if (footprint.account != nullptr) {
    *footprint.account += demand.requests;
    ++footprint.account->pods;
  }
  ++usage.pods;
  usage.tasks += demand.task ? 1 : 0;
  usage.exclusive += demand.exclusive ? 1 : 0;
  for (const std::string& port : demand.host_ports) ++usage.host_ports[port];
  Attach(entry, place);
  static_cast<Footprint&>(*entry.pod_) = std::move(footprint);
  SetUnmeasured(usage, *entry.pod_, true);
  return &usage;
}

void Ledger::Attach(Entry& entry, NodeEntry& node) {
  if (node.free == nullptr) {
    node.counted.emplace_back();
    for (Counted& each : node.counted) {  // they may have moved
      if (each.entry != nullptr) each.entry->pod_ = &each;
    }
    node.free = &node.counted.back();
  }
  entry.node_ = &node;
  entry.slot_ = node.slot;
  entry.pod_ = std::exchange(node.free, node.free->next_free);
  entry.pod_->entry = &entry;
}

void Ledger::Subtract(Entry& entry) {
  Counted& pod = *std::exchange(entry.pod_, nullptr);
  NodeEntry& place = *std::exchange(entry.node_, nullptr);
  const Demand& demand = *pod.demand;
  NodeUsage& usage = place;
  usage.used -= demand.requests;
  if (demand.daemon) usage.used_by_daemons -= demand.requests;
  if (pod.account != nullptr) {
    *pod.account -= demand.requests;
    --pod.account->pods;
  }
  usage.tasks -= demand.task ? 1 : 0;
  usage.exclusive -= demand.exclusive ? 1 : 0;
  for (const std::string& port : demand.host_ports) {
    if (--usage.host_ports[port] == 0) usage.host_ports.erase(port);
  }
  --usage.pods;
  SetUnmeasured(usage, pod, false);
  pod = {};
  pod.next_free = std::exchange(place.free, &pod);
}

void Ledger::SetUnmeasured(NodeUsage& usage, Counted& pod, bool unmeasured) {
  if (pod.unmeasured == unmeasured) return;
  pod.unmeasured = unmeasured;
  const auto count = unmeasured ? SaturatingAdd : SaturatingSubtract;
  const api::Resources& requests = pod.demand->requests;
  usage.unmeasured_cpu_milli = count(usage.unmeasured_cpu_milli, requests.cpu_milli);
  usage.unmeasured_memory = count(usage.unmeasured_memory, requests.memory);
}

const NodeUsage* Ledger::Started(Entry& entry, Time time) {
  Counted& pod = *entry.pod_;
  pod.started = time;
  const bool before = pod.unmeasured;
  SetUnmeasured(*entry.node_, pod, StartsAfter(pod, entry.node_->measured_from));
  return before && !pod.unmeasured ? entry.node_ : nullptr;
}

void Ledger::Measured(const std::string& node, Time from) {
  NodeEntry& place = nodes_[node];
  place.measured_from = from;
  for (Counted& pod : place.counted) {
    if (pod.entry != nullptr) SetUnmeasured(place, pod, StartsAfter(pod, from));
  }
}

const NodeUsage* Ledger::Release(Entry& entry) {
  if (entry.node_ == nullptr) return nullptr;
  const NodeEntry* node = entry.node_;
  Subtract(entry);
  return node;
}

uint32_t Ledger::Announce(const Entry& entry) const {
  Prefetch(entry.pod_);
  Prefetch(static_cast<const NodeUsage*>(entry.node_));
  return entry.slot_;
}

const NodeUsage& Ledger::On(const std::string& node) const {
  static const NodeUsage kEmpty;
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? kEmpty : at->second;
}

void Ledger::Forget(const std::string& node) {
  const auto at = nodes_.find(node);
  if (at != nodes_.end() && at->second.pods == 0) nodes_.erase(at);
}

}  // namespace spillway::core
