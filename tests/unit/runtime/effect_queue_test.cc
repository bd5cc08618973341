#include "operator/runtime/effect_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace spillway::runtime {
namespace {

core::Write Patch(const std::string& name, int version) {
  return {
      core::Verb::kPatchStatus, core::Kind::kTask, "ns", name, "", version, nullptr, std::nullopt};
}
int64_t VersionOf(const std::optional<core::Effect>& effect) {
  return std::get<core::Write>(*effect).resource_version;
}

TEST(EffectQueueTest, KeepsTheOrderOfOneObjectAndOneInFlight) {
  EffectQueue queue;
  queue.Push(Patch("a", 1));
  queue.Push(Patch("a", 2));
  queue.Push(Patch("b", 3));
  const auto first = queue.Pop();
  EXPECT_EQ(VersionOf(first), 1);
  EXPECT_EQ(VersionOf(queue.Pop()), 3);
  EXPECT_FALSE(queue.ready());
  EXPECT_FALSE(queue.Pop().has_value());
  EXPECT_EQ(queue.size(), 1u) << "it waits for the first of its object";
  queue.Done(EffectKey(*first));
  EXPECT_TRUE(queue.ready());
  EXPECT_EQ(VersionOf(queue.Pop()), 2);
}

TEST(EffectQueueTest, APodIsMadeBeforeStatusesAreToldButNotForEver) {
  EffectQueue queue;
  queue.Push(Patch("a", 0));
  queue.Push(Patch("b", 0));
  for (int i = 1; i <= 5; ++i) {
    core::Write pod = Patch("pod-" + std::to_string(i), i);
    pod.verb = core::Verb::kCreate;
    queue.Push(pod);
  }
  std::vector<int64_t> order;
  while (const auto effect = queue.Pop()) order.push_back(VersionOf(effect));
  EXPECT_EQ(order, (std::vector<int64_t>{1, 2, 3, 0, 4, 5, 0}));
}

TEST(EffectQueueTest, AnObjectThatIsDoneLeavesNothingBehind) {
  EffectQueue queue;
  queue.Push(Patch("a", 1));
  queue.Done(EffectKey(*queue.Pop()));
  EXPECT_FALSE(queue.ready());
  EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace spillway::runtime
