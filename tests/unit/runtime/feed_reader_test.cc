#include "operator/runtime/feed_reader.h"

#include <gtest/gtest.h>

#include <vector>

namespace spillway::runtime {
namespace {

using api::Json;
using core::Kind;
using kube::WatchEvent;

Json Pod(const std::string& name, const char* cpu) {
  return {
      {"metadata", {{"namespace", "ns"}, {"name", name}, {"uid", "u"}, {"resourceVersion", "7"}}},
      {"spec", {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", cpu}}}}}}}}}}};
}

class FeedReaderTest : public testing::Test {
 protected:
  const Feed feed = FeedOf(Kind::kPod);
  std::vector<core::Event> events;
  FeedReader reader{feed, [this](core::Event event) { events.push_back(std::move(event)); }};
};

TEST_F(FeedReaderTest, WhatCannotBeReadIsNotInItsList) {
  reader.Behind();
  EXPECT_FALSE(reader.Take(WatchEvent::kListed, Pod("good", "1")));
  EXPECT_TRUE(reader.Take(WatchEvent::kListed, Pod("bad", "no quantity")));
  reader.Listed(9, {"ns/good", "ns/bad"});
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<core::Behind>(events[0]));
  EXPECT_TRUE(std::get<core::Seen>(events[1]).in_list);
  EXPECT_EQ(std::get<core::Listed>(events[2]).keys, std::set<std::string>{"ns/good"});
}

TEST_F(FeedReaderTest, WhatCouldNotBeReadInAListThatBrokeOffMayBeInTheNext) {
  reader.Behind();
  EXPECT_TRUE(reader.Take(WatchEvent::kListed, Pod("p", "no quantity")));
  reader.Behind();
  EXPECT_FALSE(reader.Take(WatchEvent::kListed, Pod("p", "1")));
  reader.Listed(9, {"ns/p"});
  EXPECT_EQ(std::get<core::Listed>(events.back()).keys, std::set<std::string>{"ns/p"});
}

TEST_F(FeedReaderTest, AnUpdateThatCannotBeReadIsAnEnd) {
  EXPECT_TRUE(reader.Take(WatchEvent::kUpsert, Pod("p", "no quantity")));
  EXPECT_EQ(std::get<core::Gone>(events.back()).key, "ns/p");
}

TEST_F(FeedReaderTest, AWatchThatWorksAgainSaysNothingOfVersions) {
  reader.Recovered();
  EXPECT_EQ(std::get<core::Bookmark>(events.back()).resource_version, 0);
}

}  // namespace
}  // namespace spillway::runtime
