// Effects that are refused wait ever longer before they are asked for again, and whoever reads of
// it is told when the reason changes, not with every try.
#pragma once

#include <cstdint>
#include <string_view>

#include "operator/base/backoff.h"
#include "operator/base/time.h"

namespace spillway::core {

inline constexpr BackoffRange kRefused{std::chrono::milliseconds(1'000),
                                       std::chrono::milliseconds(60'000)};

// Of a status that is called invalid, as long as it says the same.
inline constexpr BackoffRange kInvalidStatus{std::chrono::milliseconds(30'000),
                                             std::chrono::milliseconds(300'000)};

// Of one effect. Deterministic: what chance adds comes from the key, such as a UID.
struct Backoff {
  Time not_before{};
  int failures = 0;  // in a row
  size_t told = 0;   // of the last reason; 0: none

  // Refused, for the reason given. Several refusals of what was asked for at once are one. True if
  // the reason is another one than before, whatever the numbers in it.
  bool Fail(Time now, std::string_view key, std::string_view reason, BackoffRange range = kRefused);
  void Succeed() { *this = {}; }
  // The same where it may soon be refused again: the reason is remembered, and not told anew.
  void SucceedForNow() { *this = {Time{}, 0, told}; }
};

}  // namespace spillway::core
