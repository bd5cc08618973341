#include "operator/api/resources.h"

#include <gtest/gtest.h>

#include <limits>

namespace spillway::api {
namespace {

struct Case {
  const char* name;
  const char* pod_spec;
  int64_t cpu_milli;
  int64_t memory_mib;
};

class PodRequestsTest : public testing::TestWithParam<Case> {};

TEST_P(PodRequestsTest, CountWhatTheSchedulerCounts) {
  const auto got = PodRequests(Json::parse(GetParam().pod_spec));
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->cpu_milli, GetParam().cpu_milli);
  EXPECT_EQ(got->memory, GetParam().memory_mib << 20);
}

INSTANTIATE_TEST_SUITE_P(
    Pods, PodRequestsTest,
    testing::Values(
        Case{
            "sum_of_containers",
            R"({"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Mi"}}},{"resources":{"requests":{"cpu":"500m"}}}]})",
            1500, 1},
        Case{"largest_init_container",
             R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
                 "initContainers":[{"resources":{"requests":{"cpu":"3"}}},{"resources":{"requests":{"cpu":"2","memory":"5Mi"}}}]})",
             3000, 5},
        Case{"sidecars_add_to_containers",
             R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
                 "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"2"}}}]})",
             3000, 0},
        Case{"sidecars_run_beside_later_init_containers",
             R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
                 "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"2"}}},{"resources":{"requests":{"cpu":"5"}}}]})",
             7000, 0},
        Case{"init_container_before_a_sidecar_runs_alone",
             R"({"containers":[{"resources":{"requests":{"cpu":"1"}}}],
                 "initContainers":[{"resources":{"requests":{"cpu":"2500m"}}},{"restartPolicy":"Always","resources":{"requests":{"cpu":"2"}}}]})",
             3000, 0},
        Case{
            "overhead",
            R"({"overhead":{"cpu":"250m","memory":"2Mi"},"containers":[{"resources":{"requests":{"cpu":"1"}}}]})",
            1250, 2},
        Case{"limits_stand_in_for_requests",
             R"({"containers":[{"resources":{"limits":{"cpu":"2","memory":"3Mi"}}}]})", 2000, 3},
        Case{
            "pod_level_requests_replace",
            R"({"resources":{"requests":{"cpu":"4"}},"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Mi"}}}]})",
            4000, 1},
        Case{"nothing", R"({"containers":[{}]})", 0, 0}),
    [](const auto& info) { return info.param.name; });

TEST(ResourcesTest, KeepsExtendedResourcesAndRefusesNonsense) {
  const auto got = DecodeResources(Json::parse(R"({"nvidia.com/gpu":"2","cpu":1,"pods":"110"})"));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->extended.at("nvidia.com/gpu"), 2);
  EXPECT_EQ(got->cpu_milli, 1000);
  EXPECT_FALSE(got->extended.contains("pods"));
  const auto bad = DecodeResources(Json::parse(R"({"memory":"lots"})"));
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message.find("memory"), std::string::npos);
}

TEST(ResourcesTest, RequestsBeyondAllMeasureAddUpToMoreThanAnythingOffers) {
  const auto pod = PodRequests(Json::parse(R"({"containers":[
      {"resources":{"requests":{"cpu":"9E","memory":"9E","nvidia.com/gpu":"9E"}}},
      {"resources":{"requests":{"cpu":"9E","memory":"9E","nvidia.com/gpu":"9E"}}}]})"));
  const auto node = DecodeResources({{"cpu", "9E"}, {"memory", "9E"}, {"nvidia.com/gpu", "9E"}});
  EXPECT_GT(pod->cpu_milli, node->cpu_milli);
  EXPECT_GT(pod->memory, node->memory);
  EXPECT_GT(pod->extended.at("nvidia.com/gpu"), node->extended.at("nvidia.com/gpu"));
}

TEST(ResourcesTest, TheSumOfThousandsOfSuchPodsCanBeTakenApartAgain) {
  const auto pod =
      PodRequests(Json::parse(R"({"containers":[{"resources":{"requests":{"memory":"8E"}}}]})"));
  Resources used;
  for (int i = 0; i < 5000; ++i) used += *pod;
  EXPECT_GT(used.memory, 0);
  for (int i = 0; i < 5000; ++i) used -= *pod;
  EXPECT_EQ(used, Resources{});
}

TEST(ResourcesTest, SumsStopAtTheEndsOfTheRange) {
  Resources most;
  most.cpu_milli = most.memory = std::numeric_limits<int64_t>::max();
  Resources sum = most;
  sum += most;
  EXPECT_EQ(sum, most);
  Resources less;
  less -= most;
  less -= most;
  EXPECT_LT(less.memory, 0);
}

TEST(ResourcesTest, NumbersAreQuantitiesAsWell) {
  const auto got = DecodeResources({{"cpu", 0.5}, {"memory", 1e9}, {"nvidia.com/gpu", 2}});
  EXPECT_EQ(got->cpu_milli, 500);
  EXPECT_EQ(got->memory, 1'000'000'000);
  EXPECT_EQ(got->extended.at("nvidia.com/gpu"), 2);
}

}  // namespace
}  // namespace spillway::api
