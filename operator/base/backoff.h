// The one backoff of the operator: how long to wait before something that failed is tried again.
// The watcher, the executor, its queue and the core all use it, each with a range of its own.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace spillway {

struct BackoffRange {
  std::chrono::milliseconds first, last;
};

// The wait after so many failures in a row (at least one): doubles from first to last. Jitter takes
// off up to half of it, so that clients that failed together do not retry together. random: any
// number; passed in because the core is deterministic.
inline std::chrono::milliseconds BackoffAfter(int failures, BackoffRange range, uint64_t random) {
  const int doublings = std::clamp(failures - 1, 0, 20);
  const auto whole = std::min(range.first * (int64_t{1} << doublings), range.last);
  const auto half = static_cast<uint64_t>(whole.count() / 2);
  return whole - std::chrono::milliseconds(random % (half + 1));
}

}  // namespace spillway
