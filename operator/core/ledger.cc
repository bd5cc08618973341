#include "operator/core/ledger.h"

#include <algorithm>

namespace spillway::core {

const NodeUsage* Ledger::Take(Entry& entry, const NodeUsage& node, Footprint footprint,
                              const NodeUsage** left) {
  // Keep hands out parts of our own entries.
  auto& place = const_cast<NodeEntry&>(static_cast<const NodeEntry&>(node));
  if (entry.node_ != nullptr) {
    if (entry.node_ == &place && entry.footprint_ == footprint) return nullptr;
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
  entry.footprint_ = std::move(footprint);
  entry.started_ = kNever;
  SetUnmeasured(entry, true);
  place.entries.push_back(&entry);
  return &usage;
}

void Ledger::Subtract(Entry& entry) {
  const Footprint& footprint = entry.footprint_;
  NodeUsage& usage = *entry.node_;
  auto& entries = entry.node_->entries;
  usage.used -= footprint.requests;
  if (footprint.task) usage.used_by_tasks -= footprint.requests;
  if (footprint.account != nullptr) *footprint.account -= footprint.requests;
  usage.tasks -= footprint.task ? 1 : 0;
  usage.exclusive -= footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) {
    if (--usage.host_ports[port] == 0) usage.host_ports.erase(port);
  }
  --usage.pods;
  SetUnmeasured(entry, false);
  // A search among a node's pods is cheaper than to touch another of them.
  *std::find(entries.begin(), entries.end(), &entry) = entries.back();
  entries.pop_back();
  entry.node_ = nullptr;
}

void Ledger::SetUnmeasured(Entry& entry, bool unmeasured) {
  if (entry.unmeasured_ == unmeasured) return;
  entry.unmeasured_ = unmeasured;
  NodeUsage& usage = *entry.node_;
  const int64_t sign = unmeasured ? 1 : -1;
  usage.unmeasured_cpu_milli += sign * entry.footprint_.requests.cpu_milli;
  usage.unmeasured_memory += sign * entry.footprint_.requests.memory;
}

void Ledger::Started(Entry& entry, Time time) {
  entry.started_ = time;
  SetUnmeasured(entry, StartsAfter(entry, entry.node_->measured_from));
}

void Ledger::Measured(const std::string& node, Time from) {
  NodeEntry& place = nodes_[node];
  place.measured_from = from;
  for (Entry* entry : place.entries) SetUnmeasured(*entry, StartsAfter(*entry, from));
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
