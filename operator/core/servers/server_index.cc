#include "operator/core/servers/server_index.h"

#include <algorithm>

namespace spillway::core {

uint16_t ServerIndex::SizeClass(int64_t amount) {
  if (amount <= 0) return 0;
  const auto value = static_cast<uint64_t>(amount);
  const int top = std::bit_width(value) - 1;
  const uint64_t fraction = top >= 2 ? value >> (top - 2) & 3 : value << (2 - top) & 3;
  return static_cast<uint16_t>(1 + 4 * top + static_cast<int>(fraction));
}

uint32_t ServerIndex::Claim() {
  if (free_.empty()) {
    cell_of_.push_back(cells_.end());
    return slots() - 1;
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void ServerIndex::Free(uint32_t slot) {
  Remove(slot);
  free_.push_back(slot);
}

void ServerIndex::Put(uint32_t slot, const Vacancy& vacancy) {
  const Key key{vacancy.cloud, vacancy.price, vacancy.idle, SizeClass(vacancy.cpu_milli),
                SizeClass(vacancy.memory)};
  Cells::iterator& at = cell_of_[slot];
  if (at != cells_.end() && at->first == key) return;
  Remove(slot);
  at = cells_.try_emplace(key).first;
  at->second.members.Set(slot);
  ++at->second.count;
}

void ServerIndex::Remove(uint32_t slot) {
  Cells::iterator& at = cell_of_[slot];
  if (at == cells_.end()) return;
  at->second.members.Clear(slot);
  // Empty cells are soon used again; only a great many are worth giving back.
  if (--at->second.count == 0 && cells_.size() > 4'096) cells_.erase(at);
  at = cells_.end();
}

}  // namespace spillway::core
