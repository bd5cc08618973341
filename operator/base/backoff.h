// How long to wait before what has failed is tried again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace spillway {

struct BackoffRange {
  std::chrono::milliseconds first, last;
};

// After so many failures in a row (at least one): doubles from first to last. Up to half of it is
// taken off by chance, so that those who failed together do not come again together; random: any
// number, passed in because the core and its simulator have no chance of their own.
inline std::chrono::milliseconds BackoffAfter(int failures, BackoffRange range, uint64_t random) {
  const int doublings = std::clamp(failures - 1, 0, 20);
  const auto whole = std::min(range.first * (int64_t{1} << doublings), range.last);
  const auto half = static_cast<uint64_t>(whole.count() / 2);
  return whole - std::chrono::milliseconds(random % (half + 1));
}

}  // namespace spillway
