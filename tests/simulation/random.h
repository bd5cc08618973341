// Randomness that is the same on every machine, from a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spillway::simulation {

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // One of 0 … n-1; n > 0.
  size_t Pick(size_t n) { return static_cast<size_t>(Next() % n); }
  // True once in n times.
  bool OneIn(size_t n) { return Pick(n) == 0; }
  // A member of the container, null if it is empty. Maps give an iterator's value.
  template <typename Container>
  auto* Any(Container& container) {
    auto at = container.begin();
    using Pointer = decltype(&*at);
    if (container.empty()) return Pointer{nullptr};
    for (size_t i = Pick(container.size()); i > 0; --i) ++at;
    return &*at;
  }

 private:
  uint64_t state_;
};

// FNV-1a, of everything that happens: two runs are the same if their digests are.
class Digest {
 public:
  void Add(std::string_view text) {
    for (const char c : text) Mix(static_cast<unsigned char>(c));
    Mix(0xff);
  }
  void Add(uint64_t number) {
    for (int i = 0; i < 8; ++i) Mix(static_cast<unsigned char>(number >> (8 * i)));
  }
  uint64_t value() const { return value_; }

 private:
  void Mix(unsigned char byte) { value_ = (value_ ^ byte) * 0x100000001b3ULL; }
  uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace spillway::simulation
