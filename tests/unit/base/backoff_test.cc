#include "operator/base/backoff.h"

#include <gtest/gtest.h>

namespace spillway {
namespace {

using std::chrono::milliseconds;
constexpr BackoffRange kRange{milliseconds(100), milliseconds(60'000)};

TEST(BackoffTest, DoublesUpToItsEnd) {
  EXPECT_EQ(BackoffAfter(1, kRange, 0), milliseconds(100));
  EXPECT_EQ(BackoffAfter(4, kRange, 0), milliseconds(800));
  EXPECT_EQ(BackoffAfter(1'000'000, kRange, 0), milliseconds(60'000));
}

TEST(BackoffTest, ChanceTakesOffUpToHalf) {
  for (uint64_t random = 0; random < 1000; ++random) {
    const auto wait = BackoffAfter(3, kRange, random);
    EXPECT_GE(wait, milliseconds(200));
    EXPECT_LE(wait, milliseconds(400));
  }
}

}  // namespace
}  // namespace spillway
