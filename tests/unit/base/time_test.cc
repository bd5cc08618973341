#include "operator/base/time.h"

#include <gtest/gtest.h>

namespace spillway {
namespace {

TEST(TimeTest, ReadsAndWritesWhatTheApiWrites) {
  const auto time = ParseTime("2026-02-28T23:59:58Z");
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(FormatTime(*time), "2026-02-28T23:59:58Z");
  EXPECT_EQ(FormatTime(*ParseTime("2026-02-28T23:59:58.123456Z")), "2026-02-28T23:59:58Z");
  EXPECT_EQ(FormatMicroTime(*ParseTime("2026-02-28T23:59:58.123456Z")),
            "2026-02-28T23:59:58.123000Z");
}

TEST(TimeTest, HonoursAnOffset) {
  EXPECT_EQ(FormatTime(*ParseTime("2026-01-01T01:30:00+02:00")), "2025-12-31T23:30:00Z");
  EXPECT_EQ(FormatTime(*ParseTime("2026-01-01T01:30:00-00:30")), "2026-01-01T02:00:00Z");
}

TEST(TimeTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00"}) {
    EXPECT_FALSE(ParseTime(text).has_value()) << text;
  }
}

TEST(TimeTest, RefusesWhatOnlyResemblesRfc3339) {
  for (const char* text :
       {" 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z ", "12026-01-01T00:00:00Z",
        "2026-01-01T00:00:00+02", "2026-01-01T00:00:00+99:99", "2026-01-01T24:00:00Z",
        "infinite-future     Z", "2026-01-01T00:00:00.Z"}) {
    EXPECT_FALSE(ParseTime(text).has_value()) << text;
  }
}

TEST(TimeTest, KeepsFourDigitsOfTheYear) {
  // Go's zero time.
  EXPECT_EQ(FormatTime(*ParseTime("0001-01-01T00:00:00Z")), "0001-01-01T00:00:00Z");
  EXPECT_EQ(FormatTime(*ParseTime("9999-12-31T23:59:59Z")), "9999-12-31T23:59:59Z");
}

TEST(TimeTest, ALeapSecondIsTheNextMinute) {
  EXPECT_EQ(FormatTime(*ParseTime("2016-12-31T23:59:60Z")), "2017-01-01T00:00:00Z");
}

TEST(TimeTest, ShowsDurationsAsKubectlDoes) {
  using std::chrono::seconds;
  EXPECT_EQ(FormatDuration(seconds(42)), "42s");
  EXPECT_EQ(FormatDuration(seconds(190)), "3m10s");
  EXPECT_EQ(FormatDuration(seconds(7500)), "2h5m");
}

TEST(TimeTest, ReadsDurationsAsGoWritesThem) {
  using std::chrono::milliseconds;
  EXPECT_EQ(ParseDuration("15.02s"), milliseconds(15'020));
  EXPECT_EQ(ParseDuration("1m30s"), milliseconds(90'000));
  EXPECT_EQ(ParseDuration("200ms"), milliseconds(200));
  EXPECT_EQ(ParseDuration("0"), milliseconds(0));
  EXPECT_EQ(ParseDuration("1h2m3.5s"), milliseconds(3'723'500));
  EXPECT_EQ(ParseDuration("5000µs"), milliseconds(5));
  for (const char* text : {"", "s", "15", "-3s", "1x", "1s2", "inf", "-0", " 3s", "1e3s", "µs",
                           "99999999999999999999h", "9999999999h"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

}  // namespace
}  // namespace spillway
