#include "operator/base/version.h"

#include <gtest/gtest.h>

namespace spillway {
namespace {

struct Case {
  const char* version;
  const char* range;
  bool want;
};

class VersionRangeTest : public testing::TestWithParam<Case> {};

TEST_P(VersionRangeTest, HoldsAsWritten) {
  const auto version = ParseVersion(GetParam().version);
  ASSERT_TRUE(version.has_value());
  EXPECT_EQ(VersionInRange(*version, GetParam().range), GetParam().want)
      << GetParam().version << " in " << GetParam().range;
}

INSTANTIATE_TEST_SUITE_P(
    Ranges, VersionRangeTest,
    testing::Values(
        Case{"550.54.15", ">=550.54 <600", true}, Case{"600", ">=550.54 <600", false},
        Case{"550.53.99", ">=550.54 <600", false}, Case{"550.54", ">=550.54,<600", true},
        Case{"1.4.9", "^1.4", true}, Case{"2.0.0", "^1.4", false}, Case{"0.3.1", "^0.3", true},
        Case{"0.4.0", "^0.3", false}, Case{"2.1.9", "~2.1.3", true}, Case{"2.2.0", "~2.1.3", false},
        Case{"2.1.2", "~2.1.3", false}, Case{"2.9", "~2", true}, Case{"3", "~2", false},
        Case{"1.2.0", "!=1.2", false}, Case{"1.2.1", "!=1.2", true}, Case{"v1.2", "1.2.0", true},
        Case{"1.2.0+build7", "=1.2", true}, Case{"1.0.0-rc.1", "<1.0.0", true},
        Case{"1.0.0-rc.2", ">1.0.0-rc.1", true}, Case{"1.0.0-rc.10", ">1.0.0-rc.9", true},
        Case{"1.0.0-alpha", "<1.0.0-beta", true}, Case{"2.0.0-rc.1", "^1.4", false},
        Case{"535", ">= 535", true}));

TEST(VersionTest, RefusesWhatIsNoVersion) {
  for (const char* text : {"", "abc", "1..2", "1.2.3.4.5", "1.", "1.x", "-1", "1.2-"}) {
    EXPECT_FALSE(ParseVersion(text).has_value()) << text;
  }
}

TEST(VersionTest, RefusesWhatIsNoRange) {
  const auto version = ParseVersion("1.2.3");
  for (const char* text : {"", " ", ">=", "=>1", "<<1", "1.x", ">=1 <"}) {
    EXPECT_FALSE(VersionInRange(*version, text).has_value()) << text;
  }
}

TEST(VersionTest, TheGreatestNumberStillHasAnUpperBound) {
  const auto version = ParseVersion("18446744073709551615.1");
  ASSERT_TRUE(version.has_value());
  EXPECT_EQ(VersionInRange(*version, "^18446744073709551615"), true);
}

}  // namespace
}  // namespace spillway
