#include "operator/core/scheduling/refusals.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "operator/core/explain/explain.h"
#include "operator/core/scheduling/fit.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

class RefusalsTest : public testing::Test {
 protected:
  RefusalsTest() {
    api.AddServer("small", "2");
    api.AddServer("large", "8");
    api.Settle();
  }
  // The kubelet refuses the pod of the task's attempt.
  void Refuse(const std::string& pod) {
    api::Pod& refused = api.pods.at("ns/" + pod);
    refused.phase = PodPhase::kFailed;
    refused.reason = "UnexpectedAdmissionError";
    refused.message = "no healthy devices present";
    api.Change(refused);
    api.Settle();
  }
  std::string NodeOf(const std::string& pod) { return api.pods.at("ns/" + pod).node_name; }
  ApiModel api;
};

TEST_F(RefusalsTest, APodThatFailedBeforeAContainerWasStartedWasRefused) {
  api::Pod pod;
  EXPECT_FALSE(Refused(pod));
  pod.phase = PodPhase::kFailed;
  EXPECT_TRUE(Refused(pod));
  pod.started_any = true;
  EXPECT_FALSE(Refused(pod));
}

TEST_F(RefusalsTest, AnotherServerIsTriedAtOnce) {
  api.AddTask("t");
  api.Settle();
  ASSERT_EQ(NodeOf("t-1"), "small");
  Refuse("t-1");
  EXPECT_EQ(NodeOf("t-2"), "large");
  api.SetPod("t-2", PodPhase::kRunning);
  api.Settle();
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.Status("t").attempts.at(0).reason, "UnexpectedAdmissionError");
}

TEST_F(RefusalsTest, ItIsNotForgottenWhenAPolicySetsTheTemplateApart) {
  api.AddTask("t");
  api.Settle();
  ASSERT_EQ(NodeOf("t-1"), "small");
  api.refuse = [](const Write& write) -> std::optional<Error> {
    if (write.kind != Kind::kPod || write.verb != Verb::kCreate) return std::nullopt;
    return Error{ErrorKind::kForbidden, "not now", {}};
  };
  Refuse("t-1");
  api.refuse = nullptr;
  api.Advance(seconds(3));
  EXPECT_EQ(NodeOf("t-2"), "large");
}

TEST_F(RefusalsTest, TheServerIsPassedOverForAWhileWhichGrows) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(9));
  EXPECT_EQ(api.pods_made, 1);
  api.Advance(seconds(1));
  ASSERT_EQ(api.pods_made, 2);
  Refuse("t-2");
  api.Advance(seconds(19));
  EXPECT_EQ(api.pods_made, 2);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 3);
}

TEST_F(RefusalsTest, TheExplanationSaysWhoRefusedAndUntilWhen) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("t"), "Pending");
  const api::Explanation why = Explain(api.world(), *api.world().tasks.by_key.at("ns/t").shape);
  ASSERT_EQ(why.servers.size(), 1u);
  EXPECT_EQ(why.servers[0].reason, kRefusedRecently);
  EXPECT_NE(why.servers[0].message.find("UnexpectedAdmissionError: no healthy devices present"),
            std::string::npos);
  EXPECT_NE(why.servers[0].message.find("passed over until " + FormatTime(At(10))),
            std::string::npos);
  // Also in the column that kubectl shows.
  EXPECT_NE(api.Says("t").find("UnexpectedAdmissionError: no healthy devices present"),
            std::string::npos)
      << api.Says("t");
}

TEST_F(RefusalsTest, TasksThatAskForSomethingElseMayGoThere) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.AddTask("other", {}, "500m");
  api.Settle();
  EXPECT_EQ(NodeOf("other-1"), "small");
}

TEST_F(RefusalsTest, APodThatRunsThereMakesItAsGoodAsBefore) {
  api.Remove(api.servers, "large");
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(10));
  Refuse("t-2");
  api.Advance(seconds(20));
  api.SetPod("t-3", PodPhase::kRunning);
  api.Settle();
  EXPECT_FALSE(api.world().tasks.by_key.at("ns/t").shape->refused);
}

TEST_F(RefusalsTest, AServerThatMayBeAskedAgainIsTheLastChoice) {
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.SetPod("t-2", PodPhase::kSucceeded);
  api.Advance(seconds(60));
  api.AddTask("next");
  api.Settle();
  EXPECT_EQ(NodeOf("next-1"), "large");
  api.AddTask("wide", {}, "7");
  api.Settle();
  api.AddTask("last");
  api.Settle();
  EXPECT_EQ(NodeOf("last-1"), "small");
}

TEST_F(RefusalsTest, WhatGetsRoomOnItIsPutElsewhereIfThatHasRoomAsWell) {
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.AddTask("on-small", {}, "2");
  api.AddTask("on-large", {}, "7");
  api.Settle();
  ASSERT_EQ(NodeOf("on-small-1"), "small");
  ASSERT_EQ(NodeOf("on-large-1"), "large");
  api.AddTask("waits");
  api.Advance(seconds(60));
  ASSERT_FALSE(api.pods.contains("ns/waits-1"));
  api.SetPod("on-small-1", PodPhase::kSucceeded);
  api.SetPod("on-large-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(NodeOf("waits-1"), "large");
}

TEST_F(RefusalsTest, ItIsRememberedWhereAdmissionHasChangedWhatSuchPodsAskFor) {
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.admit = [](api::Pod& pod) { pod.requests.cpu_milli = 1'100; };
  api.AddTask("next");
  api.Settle();
  ASSERT_NE(api.world().tasks.by_key.at("ns/t").shape->requests.cpu_milli, 1'000);
  api.AddTask("last");
  api.Settle();
  EXPECT_EQ(NodeOf("last-1"), "large");
}

TEST_F(RefusalsTest, AnOldRefusalIsForgotten) {
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  api.SetPod("t-2", PodPhase::kSucceeded);
  api.Advance(seconds(1'300));
  EXPECT_FALSE(api.world().tasks.by_key.at("ns/t").shape->refused);
  api.AddTask("next");
  api.Settle();
  EXPECT_EQ(NodeOf("next-1"), "small");
}

TEST_F(RefusalsTest, ABoughtServerThatRefusesIsFollowedByAnotherAfterAPause) {
  api.Remove(api.servers, "small");
  api.Remove(api.servers, "large");
  api.AddPool("p");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  Refuse("t-1");
  api.Advance(seconds(5));
  EXPECT_EQ(api.claims_made, 1);
  EXPECT_NE(api.Status("t").explanation->summary.find("no other server is bought for it before"),
            std::string::npos)
      << api.Status("t").explanation->summary;
  for (int i = 0; i < 70; ++i) {
    for (const auto& [key, pod] : std::map(api.pods)) {
      if (!pod.terminal()) Refuse(pod.meta.name);
    }
    api.Advance(seconds(1));
  }
  EXPECT_EQ(api.claims_made, 2);
}

// It runs for so short a time that the pod is never seen to.
TEST_F(RefusalsTest, ATaskThatHasRunForAMomentSinceHasAnotherBoughtAtOnce) {
  api.Remove(api.servers, "small");
  api.Remove(api.servers, "large");
  api.AddPool("p");
  api.AddTask("t", {{"retry", {{"limit", 3}, {"backoffSeconds", 1}}}});
  api.Settle();
  api.ProvideServer("cloud-1");
  api.Settle();
  Refuse("t-1");
  api.AddServer("s1");
  api.Settle();
  ASSERT_EQ(NodeOf("t-2"), "s1");
  api.SetPod("t-2", PodPhase::kFailed, 1);
  api.Settle();
  EXPECT_FALSE(api.world().tasks.by_key.at("ns/t").refused_in_cloud);
}

TEST_F(RefusalsTest, AServerThatHasRunOneForAMomentSinceIsNotPassedOver) {
  api.AddTask("t", {{"retry", {{"limit", 3}, {"backoffSeconds", 1}}}});
  api.Settle();
  ASSERT_EQ(NodeOf("t-1"), "small");
  Refuse("t-1");
  ASSERT_EQ(NodeOf("t-2"), "large");
  api.Remove(api.servers, "large");
  api.SetPod("t-2", PodPhase::kFailed, 1);
  api.Advance(seconds(15));
  ASSERT_EQ(NodeOf("t-3"), "small");
  api.SetPod("t-3", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_FALSE(api.world().tasks.by_key.at("ns/t").shape->refused);
}

TEST_F(RefusalsTest, ATaskThatIsRefusedEverywhereIsTriedEverMoreSeldom) {
  for (int i = 0; i < 50; ++i) api.AddServer("s" + std::to_string(i));
  api.AddTask("t");
  api.Settle();
  for (int i = 0; i < 60; ++i) {
    const std::string pod = "t-" + std::to_string(api.pods_made);
    if (api.pods.contains("ns/" + pod) && !api.pods.at("ns/" + pod).terminal()) Refuse(pod);
    api.Advance(seconds(1));
  }
  EXPECT_LE(api.pods_made, 10);
  EXPECT_GE(api.pods_made, 6);
}

TEST_F(RefusalsTest, APodThatFailedAfterAContainerStartedWasNotRefused) {
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", PodPhase::kFailed, 1);
  api.Settle();
  EXPECT_FALSE(api.world().tasks.by_key.at("ns/t").shape->refused);
  EXPECT_EQ(api.Phase("t"), "Failed");
}

// What is bought is there at once, and no use: the pod of the task cannot be created.
class BoughtInVainTest : public RefusalsTest {
 protected:
  BoughtInVainTest() { api.AddPool("p"); }
  void Add(const std::string& name, api::Json retry = api::Json::object()) {
    api.AddTask(name, {{"placement", {{"policy", "CloudOnly"}}}, {"retry", std::move(retry)}});
  }
  // each: every five seconds.
  void Pass(
      int seconds_long, const std::function<void()>& each = [] {}) {
    for (int i = 0; i < seconds_long; i += 5) {
      for (const auto& [name, claim] : std::map(api.claims)) {
        if (claim.node_name.empty() && (booted[name] += 5) > boot)
          api.ProvideServer("node-of-" + name);
      }
      api.Advance(seconds(5));
      each();
    }
  }
  // From now on each write of this sort hangs, until it fails with the error.
  void Hang(Verb verb, Kind kind, const std::string& error) {
    api.refuse = Denies(verb, kind, {ErrorKind::kUnavailable, error, {}});
    api.hangs = [=](const Write& write) { return write.verb == verb && write.kind == kind; };
  }
  // An hour, in which what hangs fails every so many seconds.
  void PassWhileItHangs(int seconds_long = 30) {
    int passed = 0;
    Pass(3600, [&] {
      if ((passed += 5) % seconds_long != 0) return;
      const auto hangs = api.hangs;
      api.Unblock();
      api.hangs = hangs;
    });
  }
  void HangCreations(const std::string& error) { Hang(Verb::kCreate, Kind::kPod, error); }

  int boot = 0;  // how long the start of a server takes, in seconds
  std::map<std::string, int> booted;
};

TEST_F(BoughtInVainTest, WherePodsAreRefusedServersAreBoughtEverMoreSeldom) {
  api.refuse = Denies(Verb::kCreate, Kind::kPod, {ErrorKind::kForbidden, "exceeded quota", {}});
  Add("t");
  Add("like");
  Pass(3600);
  EXPECT_LE(api.claims_made, 7);
  EXPECT_NE(api.Says("t").find("exceeded quota"), std::string::npos) << api.Says("t");
  api.refuse = nullptr;
  Pass(7200);
  EXPECT_GE(api.pods_made, 2);
}

TEST_F(BoughtInVainTest, WhereAWebhookHangsServersAreBoughtEverMoreSeldom) {
  HangCreations("failed calling webhook");
  Add("t");
  PassWhileItHangs();
  EXPECT_LE(api.claims_made, 7);
}

// A server that takes none is given back before the creation is tried again.
TEST_F(BoughtInVainTest, WherePodsAreNotAnsweredServersAreBoughtEverMoreSeldom) {
  api.pools["p"].spec.idle_before_release = seconds(10);
  api.Change(api.pools["p"]);
  HangCreations("timed out");
  Add("t");
  PassWhileItHangs();
  EXPECT_LE(api.claims_made, 7);
}

// The older one has the turn whenever a server is there.
TEST_F(BoughtInVainTest, NorForWhoeverWaitsForTheTurnOfAnother) {
  api.pools["p"].spec.idle_before_release = seconds(10);
  api.Change(api.pools["p"]);
  boot = 70;
  HangCreations("timed out");
  api.AddTask("older", {{"placement", {{"policy", "CloudOnly"}}}}, "1m");
  api.Advance(seconds(5));
  Add("t");
  PassWhileItHangs(120);
  EXPECT_LE(api.claims_made, 14);
}

TEST_F(BoughtInVainTest, OncePodsOfTheNamespaceAreCreatedAgainTheNextServerIsBoughtAtOnce) {
  api.AddServer("local", "1");
  api.refuse = Denies(Verb::kCreate, Kind::kPod, {ErrorKind::kForbidden, "policy: no", {}});
  Add("t");
  api.AddTask("local", {{"placement", {{"policy", "LocalOnly"}}}}, "500m");
  Pass(5400);
  const int before = api.claims_made;
  api.refuse = nullptr;
  Pass(120);
  EXPECT_EQ(api.claims_made, before + 1);
}

TEST_F(BoughtInVainTest, ForTheOthersOfAGroupServersAreNotBoughtMoreOften) {
  api.refuse = [](const Write& write) -> std::optional<Error> {
    if (write.verb != Verb::kCreate || write.kind != Kind::kPod || !write.name.starts_with("b-"))
      return std::nullopt;
    return Error{ErrorKind::kForbidden, "policy: no", {}};
  };
  const api::Json spec = {{"placement", {{"policy", "CloudOnly"}}},
                          {"group", {{"name", "g"}, {"size", 2}}}};
  api.AddTask("a", spec, "8");
  api.AddTask("b", spec, "7");
  Pass(3600);
  EXPECT_LE(api.claims_made, 6);
}

TEST_F(BoughtInVainTest, WhereTheStatusThatComesFirstIsRefusedServersAreBoughtEverMoreSeldom) {
  api.refuse = Denies(Verb::kPatchStatus, Kind::kTask, {ErrorKind::kForbidden, "policy: no", {}});
  Add("t", {{"lossLimit", 0}});
  Pass(3600);
  EXPECT_LE(api.claims_made, 7);
}

// The status that comes first waits where the one before, of the purchase, was refused.
TEST_F(BoughtInVainTest, WhereThatStatusIsNotEvenTriedServersAreBoughtEverMoreSeldom) {
  api.pools["p"].spec.idle_before_release = seconds(10);
  api.Change(api.pools["p"]);
  api.refuse =
      Denies(Verb::kPatchStatus, Kind::kTask, {ErrorKind::kInvalid, "status: Invalid value", {}});
  Add("t", {{"lossLimit", 0}});
  Pass(3600);
  EXPECT_LE(api.claims_made, 7);
}

TEST_F(BoughtInVainTest, WhereStatusesAreNotAnsweredServersAreBoughtEverMoreSeldom) {
  Hang(Verb::kPatchStatus, Kind::kTask, "timeout");
  Add("t", {{"lossLimit", 0}});
  PassWhileItHangs();
  EXPECT_LE(api.claims_made, 7);
}

TEST_F(RefusalsTest, WhereAllServersRefuseTheCloudIsTried) {
  api.AddPool("p");
  api.Settle();
  api.AddTask("t");
  api.Settle();
  Refuse("t-1");
  Refuse("t-2");
  api.Settle();
  EXPECT_EQ(api.claims_made, 1);
}

}  // namespace
}  // namespace spillway::core
