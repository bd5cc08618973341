#include "operator/runtime/feed.h"

#include <gtest/gtest.h>

#include "operator/runtime/ask_engine.h"
#include "tests/unit/runtime/idle_engine.h"

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
  EXPECT_TRUE(
      std::get<core::Seen>(Tell(FeedOf(Kind::kPod), WatchEvent::kListed, Pod("1")).event).in_list);
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

TEST(KnownTest, APolledEngineHearsOfItsOwnPoolsAndOfWhatIsNotOver) {
  core::World world;
  for (const char* engine : {"ours", "other"}) {
    api::ServerPool pool;
    pool.meta.name = pool.spec.engine = engine;
    world.provisioning.pools[engine].object = pool;
  }
  for (const char* name : {"open", "held", "over", "unborn"}) {
    core::ScaleState& scale = world.provisioning.scales[name];
    scale.object.meta.name = name;
    scale.object.engine = "ours";
    scale.created = name != std::string("unborn");
    if (name == std::string("open")) continue;
    scale.object.status.finished_at = Time{};
    if (name == std::string("held")) scale.object.finalizers = {api::kLeaseFinalizer};
  }
  const cloud::Known known = KnownOf(world, "ours");
  ASSERT_EQ(known.pools.size(), 1u);
  EXPECT_EQ(known.pools[0].meta.name, "ours");
  ASSERT_EQ(known.requests.size(), 2u);
  EXPECT_EQ(known.requests[0].meta.name, "held");
  EXPECT_EQ(known.requests[1].meta.name, "open");
  EXPECT_TRUE(KnownOf(world, "other").requests.empty());
}

api::CloudServer Server(const std::string& name) {
  api::CloudServer server;
  server.name = name;
  return server;
}

TEST(EngineFeedTest, WhatTheEngineReadsIsSeenAsItsOwn) {
  const cloud::Watch watch{{"g", "v1", "machines"}, "ns", [](const Json& object, std::stop_token) {
                             return Result(Server(api::DecodeMeta(object).name));
                           }};
  const Feed feed = FeedOf(IdleEngine(), watch, {});
  EXPECT_TRUE(feed.watch.optional) << "it may not be installed";
  EXPECT_EQ(feed.watch.ns, "ns");
  const Json object{{"metadata", {{"name", "m"}, {"namespace", "ns"}}}};
  const Told told = Tell(feed, WatchEvent::kUpsert, object);
  EXPECT_EQ(core::EngineOf(std::get<core::Seen>(told.event).object), "fake");
  const Told gone = Tell(feed, WatchEvent::kDelete, object);
  EXPECT_EQ(std::get<core::Gone>(gone.event).engine, "fake");
  EXPECT_EQ(std::get<core::Gone>(gone.event).key, "ns/m");
}

TEST(EngineFeedTest, WhatCannotBeLookedUpForNowIsLookedUpAgainAndNotTakenForGone) {
  int tries = 0;
  const cloud::Watch watch{{}, "", [&](const Json&, std::stop_token) -> Result<api::CloudServer> {
                             if (++tries < 2) return Error{ErrorKind::kUnavailable, "busy"};
                             return Server("m");
                           }};
  const Told told = Tell(FeedOf(IdleEngine(), watch, {}), WatchEvent::kUpsert, Json::object());
  EXPECT_FALSE(told.unreadable);
  EXPECT_EQ(tries, 2);
}

TEST(EngineFeedTest, AnEngineThatThrowsIsAnError) {
  const cloud::Watch watch{{}, "", [](const Json&, std::stop_token) -> Result<api::CloudServer> {
                             throw std::runtime_error("odd");
                           }};
  EXPECT_TRUE(Tell(FeedOf(IdleEngine(), watch, {}), WatchEvent::kUpsert, {}).unreadable);
  const cloud::Poll poll{std::chrono::seconds(1),
                         [](std::stop_token) -> Result<std::vector<api::CloudServer>> {
                           throw std::runtime_error("odd");
                         }};
  EXPECT_FALSE(AskAll("fake", poll, {}));
}

TEST(PollTest, GivesEachServerAndThatTheseAreAll) {
  const cloud::Poll poll{std::chrono::seconds(1), [](std::stop_token) {
                           return Result(std::vector{Server("a"), Server("b")});
                         }};
  const auto events = AskAll("fake", poll, {});
  ASSERT_EQ(events->size(), 3u);
  EXPECT_EQ(core::EngineOf(std::get<core::Seen>(events->front()).object), "fake");
  const auto& listed = std::get<core::Listed>(events->back());
  EXPECT_EQ(listed.engine, "fake");
  EXPECT_EQ(listed.keys, (std::set<std::string>{"a", "b"}));
}

TEST(PollTest, WhatIsMadeMeanwhileIsNewerThanTheListThatLacksIt) {
  int64_t made = 0;
  const cloud::Poll poll{std::chrono::seconds(1), [&](std::stop_token) {
                           made = NextObservation();
                           return Result(std::vector<api::CloudServer>{});
                         }};
  const auto events = AskAll("fake", poll, {});
  EXPECT_LT(std::get<core::Listed>(events->back()).resource_version, made);
}

}  // namespace
}  // namespace spillway::runtime
