#include "operator/core/scheduling/gangs.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

Json Member(int size, Json spec = Json::object()) {
  spec["group"] = {{"name", "g"}, {"size", size}};
  return spec;
}

int Pods(const ApiModel& api) {
  int count = 0;
  for (const auto& [key, pod] : api.pods) count += pod.terminal() ? 0 : 1;
  return count;
}

std::string Why(const ApiModel& api, const std::string& name) {
  const auto& told = api.world().tasks.by_key.at("ns/" + name).object.status.explanation;
  return told == nullptr ? "" : told->summary;
}

TEST(GangTest, NobodyStartsBeforeAllAreThere) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddTask("a", Member(3));
  api.AddTask("b", Member(3));
  api.Advance(seconds(1));
  EXPECT_EQ(Pods(api), 0);
  EXPECT_TRUE(Why(api, "a").starts_with("group g waits for 1 more task (2 of 3); "))
      << Why(api, "a");
  api.AddTask("c", Member(3));
  api.Settle();
  EXPECT_EQ(Pods(api), 3);
}

TEST(GangTest, NobodyStartsBeforeAllHaveRoom) {
  ApiModel api;
  api.AddServer("s1", "2");
  api.AddTask("other");
  api.Settle();
  api.SetPod("other-1", PodPhase::kRunning);
  api.AddTask("a", Member(2));
  api.AddTask("b", Member(2));
  api.Advance(seconds(1));
  EXPECT_EQ(Pods(api), 1);
  EXPECT_TRUE(Why(api, "a").starts_with(
      "group g of 2 tasks starts when all have room, 1 of them have none; "))
      << Why(api, "a");
  api.SetPod("other-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(Pods(api), 2);
}

TEST(GangTest, WhatItCannotUseIsLeftToOthers) {
  ApiModel api;
  api.AddServer("s1", "2");
  for (const char* name : {"a", "b", "c"}) api.AddTask(name, Member(3));
  api.Settle();
  api.AddTask("other", Json::object(), "2");
  api.Settle();
  EXPECT_EQ(Pods(api), 1);
}

TEST(GangTest, MembersMayAskForDifferentThings) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddServer("s2", "2");
  api.AddTask("driver", Member(3), "3");
  api.AddTask("a", Member(3), "2");
  api.AddTask("b", Member(3), "1");
  api.Settle();
  EXPECT_EQ(Pods(api), 3);
  EXPECT_EQ(api.pods.at("ns/driver-1").node_name, "s1");
}

TEST(GangTest, GroupsOfOneNameInTwoNamespacesAreTwo) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddTask("a", Member(2), "1", "x");
  api.AddTask("a", Member(2), "1", "y");
  api.Settle();
  EXPECT_EQ(Pods(api), 0);
}

TEST(GangTest, OneThatLosesItsServerRunsAgainAlone) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) {
    api.AddTask(name, Member(2));
  }
  api.Settle();
  for (const char* name : {"a-1", "b-1"}) api.SetPod(name, PodPhase::kRunning);
  api.Settle();
  api.Remove(api.pods, "ns/b-1");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/b-2"));
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
}

TEST(GangTest, IsTakenBackIfNotAllRunWithinItsDeadline) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) {
    Json spec = Member(2);
    spec["group"]["deadlineSeconds"] = 60;
    api.AddTask(name, spec);
  }
  api.Settle();
  api.SetPod("a-1", PodPhase::kRunning);
  api.Advance(seconds(61));
  EXPECT_FALSE(api.pods.contains("ns/a-1"));
  EXPECT_FALSE(api.pods.contains("ns/b-1"));
  ASSERT_EQ(api.Status("a").attempts.size(), 1u);
  EXPECT_EQ(api.Status("a").attempts[0].reason, "GroupDeadlineExceeded");
  EXPECT_EQ(api.Status("a").retries, 0);
  api.Advance(kGroupPause + seconds(1));
  EXPECT_TRUE(api.pods.contains("ns/a-2"));
  EXPECT_TRUE(api.pods.contains("ns/b-2"));
}

TEST(GangTest, IsLeftAloneOnceAllHaveRun) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddServer("s2", "4");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2));
  api.Settle();
  for (const char* name : {"a-1", "b-1"}) api.SetPod(name, PodPhase::kRunning);
  api.Advance(seconds(1000));
  api.Remove(api.pods, "ns/b-1");
  api.Advance(seconds(10));
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
}

TEST(GangTest, ARestartInTheMiddleOfItsStartGoesOnWithIt) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2));
  api.Settle();
  api.pods.erase("ns/b-1");  // its creation was not sent
  api.tasks["ns/b"].status = {};
  api.Restart();
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/a-1"));
  EXPECT_TRUE(api.pods.contains("ns/b-1"));
}

TEST(GangTest, ServersAreBoughtForAllThatLackRoomOrForNone) {
  ApiModel api;
  api.AddServer("s1", "8");
  api.AddPool("spot", "8");
  api.pools["spot"].spec.max_servers = 1;
  api.Change(api.pools["spot"]);
  for (const char* name : {"a", "b", "c"}) api.AddTask(name, Member(3), "8");
  api.Advance(seconds(2));
  EXPECT_TRUE(api.scales.empty()) << "two are needed, one may be bought";
  api.pools["spot"].spec.max_servers = 2;
  api.Change(api.pools["spot"]);
  api.Advance(seconds(2));
  EXPECT_EQ(api.scales.size(), 2u);
  EXPECT_EQ(Pods(api), 0);
  api.ProvideServer("cloud-1");
  api.Advance(seconds(1));
  EXPECT_EQ(Pods(api), 0);
  api.ProvideServer("cloud-2");
  api.Advance(seconds(1));
  EXPECT_EQ(Pods(api), 3);
}

TEST(GangTest, NothingMoreIsBoughtWhileItMayNotBeTried) {
  ApiModel api;
  api.AddServer("s1", "8");
  api.AddPool("spot", "8");
  api.AddTask("a", Member(2, {{"placement", {{"policy", "LocalOnly"}}}}));
  api.AddTask("b", Member(2, {{"placement", {{"policy", "CloudOnly"}}}}), "8");
  api.Settle();
  ASSERT_EQ(api.scales.size(), 1u);
  // As many creations as the namespace may have at once are not answered.
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kCreate && write.kind == Kind::kPod;
  };
  for (int i = 1; i <= 8; ++i)
    api.AddTask("h" + std::to_string(i), {{"placement", {{"policy", "LocalOnly"}}}},
                std::to_string(i) + "m");
  api.Settle();
  ASSERT_EQ(api.hanging(), 8u);
  api.ProvideServer("cloud-1");
  api.Advance(seconds(2));
  EXPECT_EQ(api.scales.size(), 1u);
  EXPECT_FALSE(api.pods.contains("ns/b-1"));
  api.Unblock();
  api.Advance(seconds(2));
  EXPECT_EQ(api.pods.at("ns/b-1").node_name, "cloud-1");
  EXPECT_EQ(api.scales.size(), 1u);
}

TEST(GangTest, ALaterMemberStartsByItself) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2));
  api.Settle();
  api.AddTask("c", Member(2));
  api.Settle();
  EXPECT_EQ(Pods(api), 3);
}

TEST(GangTest, WaitsAgainForAMemberThatIsDeletedBeforeItsStart) {
  ApiModel api;
  api.AddServer("s1", "1");
  for (const char* name : {"a", "b"}) api.AddTask(name, Member(2));
  api.Settle();
  api.Remove(api.tasks, "ns/b");
  api.AddServer("s2", "4");
  api.Settle();
  EXPECT_EQ(Pods(api), 0);
  api.AddTask("c", Member(2));
  api.Settle();
  EXPECT_EQ(Pods(api), 2);
}

}  // namespace
}  // namespace spillway::core
