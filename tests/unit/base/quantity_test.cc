#include "operator/base/quantity.h"

#include <gtest/gtest.h>

#include <limits>

namespace spillway {
namespace {

struct Case {
  const char* text;
  Scale scale;
  int64_t want;
};

class QuantityTest : public testing::TestWithParam<Case> {};

TEST_P(QuantityTest, IsReadAsKubernetesReadsIt) {
  const auto got = ParseQuantity(GetParam().text, GetParam().scale);
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(*got, GetParam().want);
}

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
INSTANTIATE_TEST_SUITE_P(
    Quantities, QuantityTest,
    testing::Values(Case{"2", Scale::kMilli, 2000}, Case{"500m", Scale::kMilli, 500},
                    Case{"0.5", Scale::kMilli, 500}, Case{".5", Scale::kMilli, 500},
                    Case{"1.", Scale::kMilli, 1000}, Case{"+1", Scale::kMilli, 1000},
                    Case{"1u", Scale::kMilli, 1}, Case{"100n", Scale::kMilli, 1},
                    Case{"4Gi", Scale::kOne, int64_t{4} << 30},
                    Case{"1.5Gi", Scale::kOne, int64_t{3} << 29}, Case{"1k", Scale::kOne, 1000},
                    Case{"1e3", Scale::kOne, 1000}, Case{"1E3", Scale::kOne, 1000},
                    Case{"1E", Scale::kOne, 1000000000000000000}, Case{"2e-1", Scale::kOne, 1},
                    Case{"500m", Scale::kOne, 1}, Case{"1500m", Scale::kOne, 2},
                    Case{"-1", Scale::kOne, -1}, Case{"8Ei", Scale::kOne, kMax},
                    Case{"999999999999999999999", Scale::kOne, kMax}, Case{"0", Scale::kOne, 0},
                    Case{"0.000000000000000000000000000001", Scale::kOne, 1}));

class BadQuantityTest : public testing::TestWithParam<const char*> {};

TEST_P(BadQuantityTest, IsRefusedWithAdvice) {
  const auto got = ParseQuantity(GetParam(), Scale::kOne);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(got.error().message.find("such as 500m"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Texts, BadQuantityTest,
                         testing::Values("", "abc", "1.2.3", "5Gx", "1 Gi", "Gi", "--1", "1e",
                                         "1e1e1", "1 "));

TEST(FormatQuantityTest, UsesTheShortestExactForm) {
  EXPECT_EQ(FormatMilli(3500), "3500m");
  EXPECT_EQ(FormatMilli(4000), "4");
  EXPECT_EQ(FormatBytes(int64_t{4} << 30), "4Gi");
  EXPECT_EQ(FormatBytes(1000), "1000");
  EXPECT_EQ(FormatBytes(0), "0");
}

}  // namespace
}  // namespace spillway
