#include "operator/core/ledger.h"

#include <algorithm>
#include <utility>

namespace spillway::core {

const NodeUsage* Ledger::Take(Entry& entry, const NodeUsage& node, Footprint footprint,
                              const NodeUsage** left) {
  // Keep hands out parts of our own entries.
  auto& place = const_cast<NodeEntry&>(static_cast<const NodeEntry&>(node));
  if (entry.node_ != nullptr) {
    if (entry.node_ == &place && place.counted[IndexOf(entry, place)].footprint == footprint)
      return nullptr;
    if (left != nullptr) *left = entry.node_;
    Subtract(entry);
  }
  NodeUsage& usage = place;
  usage.used += footprint.requests;
  if (footprint.task) usage.used_by_tasks += footprint.requests;
  if (footprint.account != nullptr) *footprint.account += footprint.requests;
  ++usage.pods;
  usage.tasks += footprint.task ? 1 : 0;
  usage.exclusive += footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) ++usage.host_ports[port];
  entry.node_ = &place;
  place.entries.push_back(&entry);
  place.counted.push_back({std::move(footprint)});
  SetUnmeasured(usage, place.counted.back(), true);
  return &usage;
}

size_t Ledger::IndexOf(const Entry& entry, const NodeEntry& node) {
  const auto& entries = node.entries;
  return static_cast<size_t>(std::find(entries.begin(), entries.end(), &entry) - entries.begin());
}

void Ledger::Subtract(Entry& entry) {
  NodeEntry& place = *std::exchange(entry.node_, nullptr);
  const size_t i = IndexOf(entry, place);
  Counted& pod = place.counted[i];
  const Footprint& footprint = pod.footprint;
  NodeUsage& usage = place;
  usage.used -= footprint.requests;
  if (footprint.task) usage.used_by_tasks -= footprint.requests;
  if (footprint.account != nullptr) *footprint.account -= footprint.requests;
  usage.tasks -= footprint.task ? 1 : 0;
  usage.exclusive -= footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) {
    if (--usage.host_ports[port] == 0) usage.host_ports.erase(port);
  }
  --usage.pods;
  SetUnmeasured(usage, pod, false);
  place.entries[i] = place.entries.back();
  place.entries.pop_back();
  if (i + 1 < place.counted.size()) pod = std::move(place.counted.back());
  place.counted.pop_back();
}

void Ledger::SetUnmeasured(NodeUsage& usage, Counted& pod, bool unmeasured) {
  if (pod.unmeasured == unmeasured) return;
  pod.unmeasured = unmeasured;
  const int64_t sign = unmeasured ? 1 : -1;
  usage.unmeasured_cpu_milli += sign * pod.footprint.requests.cpu_milli;
  usage.unmeasured_memory += sign * pod.footprint.requests.memory;
}

void Ledger::Started(Entry& entry, Time time) {
  Counted& pod = entry.node_->counted[IndexOf(entry, *entry.node_)];
  pod.started = time;
  SetUnmeasured(*entry.node_, pod, StartsAfter(pod, entry.node_->measured_from));
}

void Ledger::Measured(const std::string& node, Time from) {
  NodeEntry& place = nodes_[node];
  place.measured_from = from;
  for (Counted& pod : place.counted) SetUnmeasured(place, pod, StartsAfter(pod, from));
}

const NodeUsage* Ledger::Release(Entry& entry) {
  if (entry.node_ == nullptr) return nullptr;
  const NodeEntry* node = entry.node_;
  Subtract(entry);
  return node;
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
