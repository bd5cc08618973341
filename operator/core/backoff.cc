#include "operator/core/backoff.h"

#include <functional>
#include <string>
#include <utility>

namespace spillway::core {
namespace {

// Amounts, addresses and times differ from try to try where the reason does not.
size_t Digest(std::string_view reason) {
  std::string words;
  for (const char c : reason) {
    if (c < '0' || c > '9') words += c;
  }
  return std::hash<std::string>{}(words) | 1;
}

}  // namespace

bool Backoff::Fail(Time now, std::string_view key, std::string_view reason, BackoffRange range) {
  if (now >= not_before) {
    ++failures;
    const uint64_t chance = std::hash<std::string_view>{}(key) + static_cast<uint64_t>(failures);
    not_before = now + std::chrono::duration_cast<Duration>(BackoffAfter(failures, range, chance));
  }
  const size_t digest = Digest(reason);
  return std::exchange(told, digest) != digest;
}

}  // namespace spillway::core
