// Sums and products that stop at the ends of the range of int64_t instead of wrapping.
#pragma once

#include <cstdint>
#include <limits>

namespace spillway {

inline constexpr int64_t kMostInt = std::numeric_limits<int64_t>::max();
// -kMostInt, so that every value has a negative.
inline constexpr int64_t kLeastInt = -kMostInt;

constexpr int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum < kLeastInt ? kLeastInt : sum;
  return b > 0 ? kMostInt : kLeastInt;
}

constexpr int64_t SaturatingSubtract(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference))
    return difference < kLeastInt ? kLeastInt : difference;
  return b < 0 ? kMostInt : kLeastInt;
}

constexpr int64_t SaturatingMultiply(int64_t a, int64_t b) {
  int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product < kLeastInt ? kLeastInt : product;
  return (a < 0) == (b < 0) ? kMostInt : kLeastInt;
}

}  // namespace spillway
