#include "operator/core/pod_body.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

Write Order(bool cloud) {
  Write write{Verb::kCreate, Kind::kPod, "n", "t-2", "u", 0, nullptr, std::nullopt};
  write.pod = PodOrder{std::make_shared<const std::string>(R"({
    "metadata":{"labels":{"app":"x"},"annotations":{"note":"y"}},
    "spec":{"containers":[{"name":"c"}],"tolerations":[{"key":"k","operator":"Exists"}]}})"),
                       "t",
                       "node",
                       2,
                       cloud,
                       false};
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

TEST(PodBodyTest, OnACloudServerItToleratesThePoolAndIsNotDisrupted) {
  const api::Json pod = Body(Order(true));
  EXPECT_EQ(pod["spec"]["tolerations"].size(), 2u);
  EXPECT_EQ(pod["spec"]["tolerations"][1]["key"], api::kPoolTaint);
  EXPECT_EQ(pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"], "true");
}

}  // namespace
}  // namespace spillway::core
