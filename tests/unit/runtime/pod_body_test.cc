#include "operator/runtime/pod_body.h"

#include <gtest/gtest.h>

namespace spillway::runtime {
namespace {

using core::Kind;
using core::PodOrder;
using core::Verb;
using core::Write;

Write Order(bool cloud) {
  Write write{Verb::kCreate, Kind::kPod, "n", "t-2", "u", 0, nullptr, std::nullopt};
  api::Assignment assignment;
  assignment.node_name = "node";
  assignment.attempt = 2;
  assignment.cloud = cloud;
  write.pod = PodOrder{std::make_shared<const std::string>(R"({
    "metadata":{"labels":{"app":"x"},"annotations":{"note":"y"}},
    "spec":{"containers":[{"name":"c"}],"tolerations":[{"key":"k","operator":"Exists"}]}})"),
                       "t", std::make_shared<const api::Assignment>(assignment), false};
  return write;
}

TEST(PodBodyTest, KeepsTheTemplateAndAddsOwnerLabelsAndNode) {
  const api::Json pod = Body(Order(false));
  EXPECT_EQ(pod["metadata"]["name"], "t-2");
  EXPECT_EQ(pod["metadata"]["labels"]["app"], "x");
  EXPECT_EQ(pod["metadata"]["annotations"]["note"], "y");
  EXPECT_EQ(pod["metadata"]["labels"][api::kAttemptLabel], "2");
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["uid"], "u");
  EXPECT_EQ(pod["spec"]["nodeName"], "node");
  EXPECT_EQ(pod["spec"]["restartPolicy"], "Never");
  EXPECT_EQ(pod["spec"]["tolerations"].size(), 1u);
}

TEST(PodBodyTest, OnACloudServerItToleratesThePoolAndCarriesWhatItsEngineAsksFor) {
  Write write = Order(true);
  write.pod->annotations = {{"engine.example/keep", "true"}};
  const api::Json pod = Body(write);
  EXPECT_EQ(pod["spec"]["tolerations"].size(), 2u);
  EXPECT_EQ(pod["spec"]["tolerations"][1]["key"], api::kPoolTaint);
  EXPECT_EQ(pod["metadata"]["annotations"]["engine.example/keep"], "true");
}

TEST(PodBodyTest, WithAClaimKubeSchedulerBindsItToTheNode) {
  Write write = Order(false);
  write.pod->pod_template = std::make_shared<const std::string>(R"({"spec":{
    "containers":[{"name":"c"}],
    "volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}],
    "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{
      "nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]},
                           {"matchExpressions":[{"key":"b","operator":"Exists"}]}]}}}}})");
  const api::Json pod = Body(write);
  EXPECT_FALSE(pod["spec"].contains("nodeName"));
  const api::Json& terms =
      pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
         ["nodeSelectorTerms"];
  ASSERT_EQ(terms.size(), 2u);
  for (const api::Json& term : terms) {
    EXPECT_EQ(term["matchExpressions"].size(), 1u);
    EXPECT_EQ(term["matchFields"][0]["values"][0], "node");
  }
  EXPECT_EQ(api::DecodePod(pod)->node_name, "node") << "its room there is taken";
}

api::Json TermsOf(const api::Json& pod) {
  return pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            ["nodeSelectorTerms"];
}

TEST(PodBodyTest, KubeSchedulerMayChooseAmongSeveralNodes) {
  Write write = Order(false);
  write.pod->pod_template = std::make_shared<const std::string>(R"({"spec":{
    "containers":[{"name":"c"}],
    "topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone"}],
    "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{
      "nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}}}})");
  write.pod->other_nodes = {"second", "third"};
  const api::Json terms = TermsOf(Body(write));
  ASSERT_EQ(terms.size(), 3u);
  const char* nodes[] = {"node", "second", "third"};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(terms[i]["matchExpressions"].size(), 1u);
    EXPECT_EQ(terms[i]["matchFields"][0]["values"], api::Json::array({nodes[i]}));
  }
}

TEST(PodBodyTest, WhatIsNotDecidedHereGoesThroughKubeScheduler) {
  for (
      const char* part :
      {R"({"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{}]}}})",
       R"({"affinity":{"podAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{}]}}})",
       R"({"topologySpreadConstraints":[{}]})", R"({"resourceClaims":[{"name":"gpu"}]})",
       R"({"volumes":[{"name":"v","ephemeral":{}}]})"}) {
    Write write = Order(false);
    write.pod->pod_template =
        std::make_shared<const std::string>(R"({"spec":)" + std::string(part) + "}");
    const api::Json pod = Body(write);
    EXPECT_FALSE(pod["spec"].contains("nodeName")) << part;
    EXPECT_EQ(TermsOf(pod).size(), 1u) << part;
  }
}

TEST(PodBodyTest, OtherAffinityDoesNot) {
  Write write = Order(false);
  write.pod->pod_template = std::make_shared<const std::string>(
      R"({"spec":{"affinity":{"podAffinity":{},"podAntiAffinity":{
        "requiredDuringSchedulingIgnoredDuringExecution":[]}},"volumes":[{"name":"v"}]}})");
  EXPECT_EQ(Body(write)["spec"]["nodeName"], "node");
}

TEST(PodBodyTest, AShapeMayAskForKubeScheduler) {
  Write write = Order(false);
  write.pod->via_scheduler = true;
  EXPECT_FALSE(Body(write)["spec"].contains("nodeName"));
}

}  // namespace
}  // namespace spillway::runtime
