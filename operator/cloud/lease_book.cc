#include "operator/cloud/lease_book.h"

#include <algorithm>
#include <set>
#include <utility>

namespace spillway::cloud {

void LeaseBook::Put(Lease lease) {
  std::string id = lease.server.name;
  if (lease.released) return Drop(id);
  entries_[std::move(id)] = {std::move(lease), ++looks_};
}

bool LeaseBook::IsNewer(const std::string& id, uint64_t look) const {
  const auto at = entries_.find(id);
  return at != entries_.end() && at->second.seen >= look;
}

std::vector<std::string> LeaseBook::Missing(uint64_t look, const LeaseList& list,
                                            size_t most) const {
  std::set<std::string_view> there(list.unread.begin(), list.unread.end());
  for (const Lease& lease : list.leases) there.insert(lease.server.name);
  std::vector<std::pair<uint64_t, std::string>> found;
  for (const auto& [id, entry] : entries_) {
    if (entry.seen < look && !there.contains(id)) found.emplace_back(entry.last(), id);
  }
  std::sort(found.begin(), found.end());
  if (found.size() > most) found.resize(most);
  std::vector<std::string> out;
  for (auto& [last, id] : found) out.push_back(std::move(id));
  return out;
}

void LeaseBook::Asked(const std::string& id) {
  if (const auto at = entries_.find(id); at != entries_.end()) at->second.asked = looks_;
}

void LeaseBook::EndList(uint64_t look, LeaseList list, const std::vector<std::string>& gone) {
  for (const std::string& id : list.unread) {
    if (const auto at = entries_.find(id); at != entries_.end()) at->second.there = true;
  }
  for (const std::string& id : gone) {
    if (!IsNewer(id, look)) Drop(id);
  }
  for (Lease& lease : list.leases) {
    std::string id = lease.server.name;
    if (IsNewer(id, look)) continue;
    if (lease.released) {
      Drop(id);
    } else {
      entries_[std::move(id)] = {std::move(lease), look};
    }
  }
}

bool LeaseBook::Complete() const {
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const auto& each) { return each.second.seen > 0 || each.second.there; });
}

bool LeaseBook::Settled() const {
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const auto& each) { return each.second.lease.settled; });
}

std::vector<api::CloudServer> LeaseBook::Servers() const {
  std::vector<api::CloudServer> out;
  for (const auto& [id, entry] : entries_) {
    if (entry.seen > 0) out.push_back(entry.lease.server);
  }
  return out;
}

std::set<std::string> LeaseBook::Unread() const {
  std::set<std::string> out;
  for (const auto& [id, entry] : entries_) {
    if (entry.seen == 0) out.insert(id);
  }
  return out;
}

}  // namespace spillway::cloud
