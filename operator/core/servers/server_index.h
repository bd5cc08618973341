// Finds the server with the tightest room for a task without looking at every server.
//
// Servers that take tasks stand in cells: by tier (local before cloud, then price), whether a task
// runs there already, and the size class of what is free in cpu and in memory. A cell is a bitmap
// over the servers' slots, so that "which of these have the properties" is an intersection. Size
// classes are four to a power of two, as in a segregated-fit allocator (TLSF: Masmano et al.,
// 2004): every server in a higher class than the task's has the room, and only those in the same
// class are measured.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace spillway::core {

// A set of slots.
class Bits {
 public:
  bool Test(uint32_t i) const { return i / 64 < words_.size() && (words_[i / 64] >> (i % 64) & 1); }
  void Set(uint32_t i) {
    if (i / 64 >= words_.size()) words_.resize(i / 64 + 1);
    words_[i / 64] |= uint64_t{1} << (i % 64);
  }
  void Clear(uint32_t i) {
    if (i / 64 < words_.size()) words_[i / 64] &= ~(uint64_t{1} << (i % 64));
  }
  // Calls visit for each member of both until it returns true; whether it did.
  template <typename Visit>
  bool AnyOfBoth(const Bits& other, Visit visit) const {
    const size_t count = std::min(words_.size(), other.words_.size());
    for (size_t i = 0; i < count; ++i) {
      for (uint64_t both = words_[i] & other.words_[i]; both != 0; both &= both - 1) {
        if (visit(static_cast<uint32_t>(i * 64) + static_cast<uint32_t>(std::countr_zero(both))))
          return true;
      }
    }
    return false;
  }

 private:
  std::vector<uint64_t> words_;
};

// What a server may grow by, one slot after the other, so that whoever was refused looks only at
// the servers that have changed since.
class SlotLog {
 public:
  void Add(uint32_t slot) {
    slots_.push_back(slot);
    if (slots_.size() <= kMost) return;
    dropped_ += kMost / 2;
    slots_.erase(slots_.begin(), slots_.begin() + kMost / 2);
  }
  uint64_t end() const { return dropped_ + slots_.size(); }
  // Whether everything since then is known.
  bool Knows(uint64_t since) const { return since >= dropped_; }
  uint32_t at(uint64_t index) const { return slots_[index - dropped_]; }

 private:
  static constexpr size_t kMost = 65'536;
  std::vector<uint32_t> slots_;
  uint64_t dropped_ = 0;
};

struct Vacancy {
  bool cloud = false;
  int64_t price = 0;                  // micros per hour
  bool idle = false;                  // no task runs there
  int64_t cpu_milli = 0, memory = 0;  // free

  bool operator==(const Vacancy&) const = default;
};

// Not thread-safe.
class ServerIndex {
 public:
  // A free slot for a server; slots of servers that are gone are used again.
  uint32_t Claim();
  void Free(uint32_t slot);
  // One more than the greatest slot in use.
  uint32_t slots() const { return static_cast<uint32_t>(cell_of_.size()); }

  // The server in the slot takes tasks and has this much room.
  void Put(uint32_t slot, const Vacancy& vacancy);
  // It takes none.
  void Remove(uint32_t slot);

  // Visits the servers among those that may have room for so much, in this order: local before
  // cloud, cheaper before dearer, those that run tasks already before idle ones, then the tightest;
  // until visit(slot, cell) returns true. cell tells apart what is equally good.
  template <typename Visit>
  void Search(const Bits& among, int64_t cpu_milli, int64_t memory, Visit visit) const {
    const uint16_t cpu = SizeClass(cpu_milli), mem = SizeClass(memory);
    for (auto at = cells_.begin(); at != cells_.end();) {
      const Key& key = at->first;
      if (key.cpu < cpu) {
        Key next = key;
        next.cpu = cpu;
        next.memory = 0;
        at = cells_.lower_bound(next);
        continue;
      }
      const Cell* cell = &at->second;
      if (key.memory >= mem && cell->count > 0 &&
          cell->members.AnyOfBoth(among, [&](uint32_t slot) { return visit(slot, cell); }))
        return;
      ++at;
    }
  }

  // 0 for nothing; then four classes to a power of two.
  static uint16_t SizeClass(int64_t amount);

 private:
  struct Key {
    bool cloud;
    int64_t price;
    bool idle;
    uint16_t cpu, memory;
    auto operator<=>(const Key&) const = default;
  };
  struct Cell {
    Bits members;
    uint32_t count = 0;
  };
  using Cells = std::map<Key, Cell>;

  Cells cells_;
  std::vector<Cells::iterator> cell_of_;  // by slot; cells_.end() if in none
  std::vector<uint32_t> free_;
};

}  // namespace spillway::core
