#include "operator/core/ledger.h"

namespace spillway::core {

bool Ledger::Take(const std::string& pod, const std::string& node, Footprint footprint) {
  const auto [at, added] = pods_.try_emplace(pod);
  Entry& entry = at->second;
  if (!added) {
    if (entry.node == node && entry.footprint == footprint) return false;
    Release(pod);
    return Take(pod, node, std::move(footprint));
  }
  auto& [usage, entries] = nodes_[node];
  usage.used += footprint.requests;
  if (footprint.task) usage.used_by_tasks += footprint.requests;
  ++usage.pods;
  usage.tasks += footprint.task ? 1 : 0;
  usage.exclusive += footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) ++usage.host_ports[port];
  entry = {node, std::move(footprint), entries.size()};
  entries.push_back(&entry);
  return true;
}

bool Ledger::Release(const std::string& pod) {
  const auto at = pods_.find(pod);
  if (at == pods_.end()) return false;
  const Footprint& footprint = at->second.footprint;
  auto& [usage, entries] = nodes_[at->second.node];
  usage.used -= footprint.requests;
  if (footprint.task) usage.used_by_tasks -= footprint.requests;
  usage.tasks -= footprint.task ? 1 : 0;
  usage.exclusive -= footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) {
    if (--usage.host_ports[port] == 0) usage.host_ports.erase(port);
  }
  entries.back()->place = at->second.place;
  entries[at->second.place] = entries.back();
  entries.pop_back();
  if (--usage.pods == 0) nodes_.erase(at->second.node);
  pods_.erase(at);
  return true;
}

const NodeUsage& Ledger::On(const std::string& node) const {
  static const NodeUsage kEmpty;
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? kEmpty : at->second.usage;
}

const std::string* Ledger::NodeOf(const std::string& pod) const {
  const auto at = pods_.find(pod);
  return at == pods_.end() ? nullptr : &at->second.node;
}

}  // namespace spillway::core
