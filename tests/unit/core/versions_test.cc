// What is done about an API server whose versions go back, as those of a restored etcd do.
#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

// Whether the process has to begin anew after that.
bool Ends(Core& core, Event event) {
  core.Step(std::vector{std::move(event)}, At(0));
  return core.versions_went_back();
}

TEST(VersionsTest, AListThatIsOlderThanItsWatchEndsTheProcess) {
  Core core({{cloud::kKarpenter}});
  EXPECT_FALSE(Ends(core, Listed{Kind::kTask, 10, {}}));
  EXPECT_FALSE(Ends(core, Bookmark{Kind::kTask, 20}));
  EXPECT_TRUE(Ends(core, Listed{Kind::kTask, 19, {}}));
}

TEST(VersionsTest, NothingIsDecidedAfterIt) {
  ApiModel api;
  api.AddServer("s1");
  api.Settle();
  api.Push(Bookmark{Kind::kTask, 1'000});
  api.Push(Listed{Kind::kTask, 999, {}});
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.pods_made, 0);
}

TEST(VersionsTest, AListOfTheSameVersionIsNoOlder) {
  Core core({{cloud::kKarpenter}});
  Ends(core, Bookmark{Kind::kNode, 20});
  EXPECT_FALSE(Ends(core, Listed{Kind::kNode, 20, {}}));
}

TEST(VersionsTest, EachKindHasItsOwn) {
  Core core({{cloud::kKarpenter}});
  Ends(core, Bookmark{Kind::kNode, 20});
  EXPECT_FALSE(Ends(core, Listed{Kind::kPod, 10, {}}));
}

TEST(VersionsTest, AKindThatTheApiServerDoesNotKnowAnyMoreIsNoneOfThat) {
  Core core({{cloud::kKarpenter}});
  Ends(core, Bookmark{Kind::kCloudServer, 20, cloud::kKarpenter});
  EXPECT_FALSE(Ends(core, Listed{Kind::kCloudServer, 0, {}, cloud::kKarpenter}));
}

}  // namespace
}  // namespace spillway::core
