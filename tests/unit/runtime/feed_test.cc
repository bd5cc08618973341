#include "operator/runtime/feed.h"

#include <gtest/gtest.h>

namespace spillway::runtime {
namespace {

using api::Json;
using core::Kind;
using kube::WatchEvent;

Json Pod(const Json& cpu) {
  return {
      {"metadata", {{"namespace", "ns"}, {"name", "p"}, {"uid", "u"}, {"resourceVersion", "7"}}},
      {"spec", {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", cpu}}}}}}}}}}};
}

TEST(TellTest, AnObjectThatCanBeReadIsSeen) {
  const Told told = Tell(FeedOf(Kind::kPod), WatchEvent::kUpsert, Pod("1"));
  EXPECT_FALSE(told.unreadable);
  EXPECT_FALSE(std::get<core::Seen>(told.event).in_list);
  EXPECT_TRUE(std::get<core::Seen>(Tell(FeedOf(Kind::kPod), WatchEvent::kListed, Pod("1")).event).in_list);
}

TEST(TellTest, AnUpdateThatCannotBeReadDoesNotLeaveTheOldStateInPlace) {
  const Told told = Tell(FeedOf(Kind::kPod), WatchEvent::kUpsert, Pod("no quantity"));
  ASSERT_TRUE(told.unreadable);
  const auto& gone = std::get<core::Gone>(told.event);
  EXPECT_EQ(gone.key, "ns/p");
  EXPECT_EQ(gone.uid, "u");
  EXPECT_EQ(gone.resource_version, 7);
}

TEST(TellTest, NothingThatIsReadThrows) {
  const Json odd[] = {nullptr,
                      7,
                      Json::array(),
                      {{"metadata", 7}},
                      {{"metadata", Json::array()}},
                      {{"metadata", {{"labels", 7}, {"ownerReferences", {1, nullptr}}}},
                       {"spec", {{"containers", {1, nullptr, Json::array()}}, {"template", 7}}},
                       {"status", {{"conditions", {1}}, {"containerStatuses", 7}}}}};
  for (const Json& object : odd) {
    for (size_t kind = 0; kind < core::kKinds; ++kind) {
      for (const WatchEvent what :
           {WatchEvent::kListed, WatchEvent::kUpsert, WatchEvent::kDelete, WatchEvent::kBookmark})
        EXPECT_NO_THROW((void)Tell(FeedOf(static_cast<Kind>(kind)), what, object)) << object;
    }
  }
}

}  // namespace
}  // namespace spillway::runtime
