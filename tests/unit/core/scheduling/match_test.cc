#include "operator/core/scheduling/match.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

struct RequirementCase {
  const char* op;
  std::vector<std::string> values;
  std::optional<std::string> have;
  bool want;
};

class RequirementTest : public testing::TestWithParam<RequirementCase> {};

TEST_P(RequirementTest, MatchesAsNodeAffinityDoes) {
  const auto& test = GetParam();
  EXPECT_EQ(Matches({"key", test.op, test.values}, test.have), test.want)
      << test.op << " " << testing::PrintToString(test.values) << " against "
      << test.have.value_or("(nothing)");
}

INSTANTIATE_TEST_SUITE_P(
    Operators, RequirementTest,
    testing::Values(
        RequirementCase{"In", {"a", "b"}, "b", true}, RequirementCase{"In", {"a"}, "b", false},
        RequirementCase{"In", {"a"}, std::nullopt, false}, RequirementCase{"In", {""}, "", true},
        RequirementCase{"NotIn", {"a"}, "b", true}, RequirementCase{"NotIn", {"a"}, "a", false},
        RequirementCase{"NotIn", {"a"}, std::nullopt, true},
        RequirementCase{"Exists", {}, "", true}, RequirementCase{"Exists", {}, std::nullopt, false},
        RequirementCase{"DoesNotExist", {}, std::nullopt, true},
        RequirementCase{"DoesNotExist", {}, "x", false}, RequirementCase{"Gt", {"4"}, "5", true},
        RequirementCase{"Gt", {"4"}, "4", false}, RequirementCase{"Gt", {"4"}, "many", false},
        RequirementCase{"Lt", {"4"}, "-1", true}, RequirementCase{"Lt", {"4"}, std::nullopt, false},
        RequirementCase{"Gt", {"a"}, "5", false},
        RequirementCase{"Version", {">=550.54 <600"}, "550.54.15", true},
        RequirementCase{"Version", {">=600", "^1"}, "1.9", true},
        RequirementCase{"Version", {">=600"}, "unknown", false},
        RequirementCase{"Version", {">=1"}, std::nullopt, false},
        RequirementCase{"Sometimes", {"a"}, "a", false}));

struct TaintCase {
  const char* name;
  api::Taint taint;
  std::vector<api::Toleration> tolerations;
  bool tolerated;
};

class TaintTest : public testing::TestWithParam<TaintCase> {};

TEST_P(TaintTest, IsToleratedAsInKubernetes) {
  EXPECT_EQ(FindUntolerated({GetParam().taint}, GetParam().tolerations) == nullptr,
            GetParam().tolerated);
}

const api::Taint kTaint{"k", "v", "NoSchedule"};
INSTANTIATE_TEST_SUITE_P(
    Taints, TaintTest,
    testing::Values(
        TaintCase{"none", kTaint, {}, false},
        TaintCase{"equal", kTaint, {{"k", "Equal", "v", ""}}, true},
        TaintCase{"equal_is_the_default", kTaint, {{"k", "", "v", ""}}, true},
        TaintCase{"other_value", kTaint, {{"k", "Equal", "w", ""}}, false},
        TaintCase{"exists", kTaint, {{"k", "Exists", "", ""}}, true},
        TaintCase{"other_effect", kTaint, {{"k", "Exists", "", "NoExecute"}}, false},
        TaintCase{"everything", kTaint, {{"", "Exists", "", ""}}, true},
        TaintCase{"empty_key_needs_exists", kTaint, {{"", "Equal", "v", ""}}, false},
        TaintCase{"prefer_no_schedule_keeps_nobody_away", {"k", "v", "PreferNoSchedule"}, {}, true},
        TaintCase{"no_execute", {"k", "v", "NoExecute"}, {}, false},
        TaintCase{"greater", {"k", "950", "NoSchedule"}, {{"k", "Gt", "900", ""}}, true},
        TaintCase{"not_greater", {"k", "800", "NoSchedule"}, {{"k", "Gt", "900", ""}}, false}),
    [](const auto& info) { return info.param.name; });

TEST(NodeAffinityTest, HoldsIfOneTermHolds) {
  const auto terms = DecodeNodeAffinity(api::Json::parse(R"({"affinity":{"nodeAffinity":{
    "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
      {"matchExpressions":[{"key":"zone","operator":"In","values":["a"]},{"key":"ssd","operator":"Exists"}]},
      {"matchFields":[{"key":"metadata.name","operator":"In","values":["n7"]}]}]}}}})"));
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_TRUE(MatchesAny(terms, {{"zone", "a"}, {"ssd", ""}}, "n1"));
  EXPECT_FALSE(MatchesAny(terms, {{"zone", "a"}}, "n1"));
  EXPECT_TRUE(MatchesAny(terms, {}, "n7"));
  EXPECT_TRUE(MatchesAny({}, {}, "n1"));
  EXPECT_FALSE(MatchesAny({NodeSelectorTerm{}}, {}, "n1")) << "an empty term matches nothing";
}

}  // namespace
}  // namespace spillway::core
