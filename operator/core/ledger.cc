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
  if (footprint.account != nullptr) *footprint.account += footprint.requests;
  ++usage.pods;
  usage.tasks += footprint.task ? 1 : 0;
  usage.exclusive += footprint.exclusive ? 1 : 0;
  for (const std::string& port : footprint.host_ports) ++usage.host_ports[port];
  entry = {&place, std::move(footprint), place.entries.size(), kNever, false};
  SetUnmeasured(entry, true);
  place.entries.push_back(&entry);
  return &usage;
}

void Ledger::Subtract(Entry& entry) {
  const Footprint& footprint = entry.footprint;
  auto& [usage, entries] = *entry.node;
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
  entries.back()->place = entry.place;
  entries[entry.place] = entries.back();
  entries.pop_back();
}

void Ledger::SetUnmeasured(Entry& entry, bool unmeasured) {
  if (entry.unmeasured == unmeasured) return;
  entry.unmeasured = unmeasured;
  NodeUsage& usage = entry.node->usage;
  const int64_t sign = unmeasured ? 1 : -1;
  usage.unmeasured_cpu_milli += sign * entry.footprint.requests.cpu_milli;
  usage.unmeasured_memory += sign * entry.footprint.requests.memory;
}

void Ledger::Started(const std::string& pod, Time time) {
  Entry& entry = pods_.at(pod);
  entry.started = time;
  SetUnmeasured(entry, StartsAfter(entry, entry.node->usage.measured_from));
}

void Ledger::Measured(const std::string& node, Time from) {
  NodeEntry& place = nodes_[node];
  place.usage.measured_from = from;
  for (Entry* entry : place.entries) SetUnmeasured(*entry, StartsAfter(*entry, from));
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
