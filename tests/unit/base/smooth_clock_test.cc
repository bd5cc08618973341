#include "operator/base/smooth_clock.h"

#include <gtest/gtest.h>

namespace spillway {
namespace {

using std::chrono::seconds;

constexpr Time kStart = Time{} + seconds(1'800'000'000);

TEST(SmoothClockTest, FollowsTheWallClockWhileItRunsWell) {
  SmoothClock clock;
  EXPECT_EQ(clock.Read(kStart, seconds(5)), kStart);
  EXPECT_EQ(clock.Read(kStart + seconds(10), seconds(15)), kStart + seconds(10));
}

TEST(SmoothClockTest, DoesNotJumpAheadWithTheWallClock) {
  SmoothClock clock;
  clock.Read(kStart, seconds(0));
  EXPECT_EQ(clock.Read(kStart + seconds(3610), seconds(10)), kStart + seconds(11));
}

TEST(SmoothClockTest, NeverGoesBack) {
  SmoothClock clock;
  clock.Read(kStart, seconds(0));
  EXPECT_EQ(clock.Read(kStart - seconds(600), seconds(10)), kStart + seconds(9));
  EXPECT_EQ(clock.Read(kStart - seconds(600), seconds(10)), kStart + seconds(9));
}

TEST(SmoothClockTest, ReachesTheWallClockInTheEnd) {
  SmoothClock clock;
  clock.Read(kStart, seconds(0));
  for (int i = 1; i <= 100; ++i) clock.Read(kStart + seconds(60 + i * 10), seconds(i * 10));
  EXPECT_EQ(clock.Read(kStart + seconds(1070), seconds(1010)), kStart + seconds(1070));
}

}  // namespace
}  // namespace spillway
