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

constexpr int64_t kMi = int64_t{1} << 20, kGi = int64_t{1} << 30, kTi = int64_t{1} << 40;
// What k8s.io/apimachinery makes of these texts, by its own tests.
INSTANTIATE_TEST_SUITE_P(
    Apimachinery, QuantityTest,
    testing::Values(
        Case{"0n", Scale::kOne, 0}, Case{"0Ki", Scale::kOne, 0}, Case{"0T", Scale::kMilli, 0},
        Case{"8Ki", Scale::kOne, 8192}, Case{"7Mi", Scale::kOne, 7 * kMi},
        Case{"100Ti", Scale::kOne, 100 * kTi}, Case{"4Pi", Scale::kOne, 4096 * kTi},
        Case{"3Ei", Scale::kOne, 3 * 1024 * 1024 * kTi}, Case{"4u", Scale::kMilli, 1},
        Case{"3m", Scale::kMilli, 3}, Case{"50k", Scale::kOne, 50000},
        Case{"2P", Scale::kOne, 2'000'000'000'000'000}, Case{"1E-3", Scale::kMilli, 1},
        Case{"1E18", Scale::kOne, 1'000'000'000'000'000'000}, Case{"100.035k", Scale::kOne, 100035},
        Case{"0.0005k", Scale::kMilli, 500}, Case{"0.00050k", Scale::kMilli, 500},
        Case{"0.5e0", Scale::kMilli, 500}, Case{"0.5e-2", Scale::kMilli, 5},
        Case{"1.3E+6", Scale::kOne, 1'300'000},
        Case{"1.7E18", Scale::kOne, 1'700'000'000'000'000'000},
        Case{"7.123456M", Scale::kOne, 7123456}, Case{"300.2T", Scale::kOne, 300'200'000'000'000},
        Case{"3.001n", Scale::kMilli, 1}, Case{"0.9n", Scale::kOne, 1},
        Case{"9Ei", Scale::kOne, kMax}, Case{"9223372036854775807Ki", Scale::kOne, kMax},
        Case{"12E", Scale::kOne, kMax}, Case{"100.035Ki", Scale::kOne, 102436},
        Case{"100.035Ki", Scale::kMilli, 102435840}, Case{"0.5Mi", Scale::kOne, kMi / 2},
        Case{"0.05Gi", Scale::kOne, 53687092}, Case{"0.025Ti", Scale::kOne, 27487790695},
        Case{"0.000000000001Ki", Scale::kOne, 1}, Case{".0001k", Scale::kMilli, 100},
        Case{"1.G", Scale::kOne, 1'000'000'000}, Case{"-1500m", Scale::kOne, -2},
        Case{"-3Gi", Scale::kOne, -3 * kGi}));

INSTANTIATE_TEST_SUITE_P(
    Extremes, QuantityTest,
    testing::Values(Case{"1.0000000000000000000000000000Gi", Scale::kOne, kGi},
                    Case{"1.00000000000000000000000000001Gi", Scale::kOne, kGi + 1},
                    Case{"0.00000000000000000000000000000000000000001Ei", Scale::kOne, 1},
                    Case{"00000000000000000000000000000000000000000001", Scale::kOne, 1},
                    Case{"9223372036854775807", Scale::kOne, kMax},
                    Case{"9223372036854775806.5", Scale::kOne, kMax},
                    Case{"9223372036854775.807", Scale::kMilli, kMax},
                    Case{"170141183460469231731687303715884105728", Scale::kOne, kMax},
                    Case{"1e99999", Scale::kOne, kMax},
                    Case{"1e999999999999999999999", Scale::kOne, kMax},
                    Case{"-1e99999", Scale::kOne, -kMax}, Case{"1e-99999", Scale::kOne, 1},
                    Case{"0e99999", Scale::kOne, 0}, Case{"9E", Scale::kMilli, kMax},
                    Case{"1000000000000000000000e-21", Scale::kOne, 1},
                    Case{"0.000000000000000000001e21", Scale::kOne, 1}));

class BadQuantityTest : public testing::TestWithParam<const char*> {};

TEST_P(BadQuantityTest, IsRefusedWithAdvice) {
  const auto got = ParseQuantity(GetParam(), Scale::kOne);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(got.error().message.find("such as 500m"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Texts, BadQuantityTest,
                         testing::Values("", "abc", "1.2.3", "5Gx", "1 Gi", "Gi", "--1", "1e",
                                         "1e1e1", "1 ", " 1", "+", "1e+", "1e 1", "1.1.M", "0.1mi",
                                         ".5i", "-3.01e-"));

TEST(FormatQuantityTest, UsesTheShortestExactForm) {
  EXPECT_EQ(FormatMilli(3500), "3500m");
  EXPECT_EQ(FormatMilli(4000), "4");
  EXPECT_EQ(FormatBytes(int64_t{4} << 30), "4Gi");
  EXPECT_EQ(FormatBytes(1000), "1000");
  EXPECT_EQ(FormatBytes(0), "0");
}

}  // namespace
}  // namespace spillway
