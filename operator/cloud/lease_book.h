// The leases that one cloud service has, as far as it has said.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "operator/cloud/lease.h"

namespace spillway::cloud {

// What a service has.
struct LeaseList {
  std::vector<Lease> leases;
  std::set<std::string> unread;  // ids of those that are there and could not be read
  std::string trouble;           // what could not be read, and why; empty if all was
};

// Not thread-safe.
class LeaseBook {
 public:
  // As it was answered just now; one that is released is dropped.
  void Put(Lease lease);
  void Drop(const std::string& id) { entries_.erase(id); }
  // Another process has heard of it. Whether it is still there has to be found out.
  void Expect(const std::string& id) { entries_.try_emplace(id); }

  // Before a list is asked for. What is put from then on is newer than the list.
  uint64_t BeginList() { return ++looks_; }
  // What the list that began then does not have, though it should, whether it could be read there
  // or not. A service may list late what it has, so that this alone does not say that it is gone.
  // At most so many: first those of which nothing was heard, and that were not asked for, for the
  // longest time, so that each has its turn.
  std::vector<std::string> Missing(uint64_t look, const LeaseList& list, size_t most) const;
  // It is asked for by its id.
  void Asked(const std::string& id);
  // What the list that began then has, and who is gone by it. What could not be read stays as it
  // was.
  void EndList(uint64_t look, LeaseList list, const std::vector<std::string>& gone);

  // Whether it is known of all that are expected that they are there, or gone.
  bool Complete() const;
  // Whether all will stay as they are for some time.
  bool Settled() const;
  std::vector<api::CloudServer> Servers() const;
  // Those that are expected, and of which nothing was ever read: perhaps they are there.
  std::set<std::string> Unread() const;

 private:
  struct Entry {
    Lease lease;
    uint64_t seen = 0;   // 0: expected only
    bool there = false;  // it was listed, though it could not be read
    uint64_t asked = 0;  // for it alone

    uint64_t last() const { return std::max(seen, asked); }
  };
  bool IsNewer(const std::string& id, uint64_t look) const;

  std::map<std::string, Entry> entries_;
  uint64_t looks_ = 0;  // grows with each look, and with each that is put
};

}  // namespace spillway::cloud
