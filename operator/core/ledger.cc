#include "operator/core/ledger.h"

namespace spillway::core {

void Ledger::Take(const std::string& pod, const std::string& node, Footprint footprint) {
  Release(pod);
  NodeUsage& usage = nodes_[node];
  usage.used += footprint.requests;
  if (footprint.task) usage.used_by_tasks += footprint.requests;
  ++usage.pods;
  usage.tasks += footprint.task ? 1 : 0;
  usage.exclusive += footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) ++usage.host_ports[port];
  pods_.insert_or_assign(pod, Entry{node, std::move(footprint)});
}

bool Ledger::Release(const std::string& pod) {
  const auto at = pods_.find(pod);
  if (at == pods_.end()) return false;
  const Footprint& footprint = at->second.footprint;
  NodeUsage& usage = nodes_[at->second.node];
  usage.used -= footprint.requests;
  if (footprint.task) usage.used_by_tasks -= footprint.requests;
  usage.tasks -= footprint.task ? 1 : 0;
  usage.exclusive -= footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) {
    if (--usage.host_ports[port] == 0) usage.host_ports.erase(port);
  }
  if (--usage.pods == 0) nodes_.erase(at->second.node);
  pods_.erase(at);
  return true;
}

const NodeUsage& Ledger::On(const std::string& node) const {
  static const NodeUsage kEmpty;
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? kEmpty : at->second;
}

}  // namespace spillway::core
