#include "operator/core/ledger.h"

namespace spillway::core {

const NodeUsage* Ledger::Take(const std::string& pod, const std::string& node, Footprint footprint,
                              const NodeUsage** left) {
  NodeEntry& place = nodes_[node];
  const auto [at, added] = pods_.try_emplace(pod);
  Entry& entry = at->second;
  if (!added) {
    if (entry.node == &place && entry.footprint == footprint) return nullptr;
    Subtract(entry);
    if (left != nullptr) *left = &entry.node->usage;
  }
  NodeUsage& usage = place.usage;
  usage.used += footprint.requests;
  if (footprint.task) usage.used_by_tasks += footprint.requests;
  ++usage.pods;
  usage.tasks += footprint.task ? 1 : 0;
  usage.exclusive += footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) ++usage.host_ports[port];
  entry = {&place, std::move(footprint), place.entries.size()};
  place.entries.push_back(&entry);
  return &usage;
}

void Ledger::Subtract(Entry& entry) {
  const Footprint& footprint = entry.footprint;
  auto& [usage, entries] = *entry.node;
  usage.used -= footprint.requests;
  if (footprint.task) usage.used_by_tasks -= footprint.requests;
  usage.tasks -= footprint.task ? 1 : 0;
  usage.exclusive -= footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) {
    if (--usage.host_ports[port] == 0) usage.host_ports.erase(port);
  }
  --usage.pods;
  entries.back()->place = entry.place;
  entries[entry.place] = entries.back();
  entries.pop_back();
}

const NodeUsage* Ledger::Release(const std::string& pod) {
  const auto at = pods_.find(pod);
  if (at == pods_.end()) return nullptr;
  const NodeEntry* node = at->second.node;
  Subtract(at->second);
  pods_.erase(at);
  return &node->usage;
}

const NodeUsage& Ledger::On(const std::string& node) const {
  static const NodeUsage kEmpty;
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? kEmpty : at->second.usage;
}

void Ledger::Forget(const std::string& node) {
  const auto at = nodes_.find(node);
  if (at != nodes_.end() && at->second.usage.pods == 0) nodes_.erase(at);
}

}  // namespace spillway::core
