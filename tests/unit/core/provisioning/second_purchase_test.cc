// Servers were bought for all that wait, and take their tasks in another order than they were
// bought in: nothing more is bought for anybody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/cloud/karpenter.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

class SecondPurchaseTest : public testing::Test {
 protected:
  // As many tasks, named a, b ..., as servers that are bought for them, one each.
  void Buy(int count) {
    api.AddPool("p", "1");
    for (int i = 0; i < count; ++i) api.AddTask(std::string(1, static_cast<char>('a' + i)));
    api.Settle();
    ASSERT_EQ(api.scales_made, count);
  }
  // The server that was bought for the task is ready, on a node called after it.
  void Provide(const std::string& task) {
    api.AddNode("n-" + task, "1");
    for (auto& entry : api.claims) {
      api::CloudServer& claim = entry.second;
      for (const auto& [name, scale] : api.scales) {
        if (scale.meta.uid != claim.request_uid || scale.for_tasks.front().name != task) continue;
        claim.launched = claim.ready = true;
        claim.node_name = "n-" + task;
        api.Change(claim);
      }
    }
    api.Settle();
  }
  void SetReady(const std::string& node, bool ready) {
    api.nodes.at(node).ready = ready ? api::NodeReady::kTrue : api::NodeReady::kFalse;
    api.Change(api.nodes.at(node));
    api.Settle();
  }
  void Suspend(const std::string& task, bool suspend) {
    api.tasks.at("ns/" + task).spec.suspend = suspend;
    api.Change(api.tasks.at("ns/" + task));
    api.Settle();
  }
  // A server is bought for a, and its engine asked, which does not answer; then nobody waits for
  // it.
  void WithdrawWhileAsked() {
    api.purchases_hang = true;
    Buy(1);
    Suspend("a", true);
  }
  // A server that was bought for a could not be asked for, and is too late; no status can tell so.
  void FailUntold() {
    api.ensure_error = Error{ErrorKind::kUnavailable, "the webhook did not answer", {}};
    api.refuse =
        Denies(Verb::kPatchStatus, Kind::kScale, Error{ErrorKind::kForbidden, "a policy", {}});
    api.AddTask("a");
    api.Advance(seconds(890));
    api.ensure_error.reset();
    api.now += seconds(100);
    api.Advance(seconds(5));
  }
  void AnswerPurchase(const api::ObjectMeta& meta, const std::optional<Error>& error,
                      std::optional<Object> server = std::nullopt) {
    Outcome answer;
    answer.verb = Verb::kCreate, answer.kind = Kind::kCloudServer;
    answer.key = meta.name, answer.request_uid = meta.uid, answer.error = error;
    answer.object = std::move(server);
    api.purchases_hang = false;
    api.Push(answer);
    api.Settle();
  }
  // That of the first one comes. As it was then.
  api::CloudServer SeeServer() {
    const std::string& uid = api.scales.begin()->second.meta.uid;
    api::CloudServer claim;
    claim.engine = cloud::kKarpenter, claim.kind = "NodeClaim", claim.uid = "claim";
    claim.name = cloud::NodeClaimName(uid), claim.request_uid = uid;
    claim.pool = api.scales.begin()->second.pool;
    api.claims[claim.name] = claim;
    api.Change(api.claims[claim.name]);
    const api::CloudServer seen = api.claims[claim.name];
    api.Settle();
    return seen;
  }
  void HangCreations() {
    api.hangs = [](const Write& write) {
      return write.verb == Verb::kCreate && write.kind == Kind::kPod;
    };
  }
  ApiModel api;
};

TEST_F(SecondPurchaseTest, NothingIsWithdrawnWhileItIsNotKnownWhatBecomesOfTheFirstPod) {
  Buy(3);
  HangCreations();
  Provide("b");  // takes a, whose turn it is
  ASSERT_EQ(api.hanging(), 1);
  api.Advance(seconds(1));
  for (const auto& [name, scale] : api.scales)
    EXPECT_NE(scale.status.phase, api::ScalePhase::kReleasing) << name;
  api.Unblock();
  Provide("a");
  Provide("c");
  api.Advance(seconds(20));
  EXPECT_EQ(api.pods_made, 3);
  EXPECT_EQ(api.scales_made, 3);
}

TEST_F(SecondPurchaseTest, NotWhileAServerThatHasTakenNobodyIsNotReadyForAMoment) {
  Buy(2);
  HangCreations();
  Provide("b");  // takes a, whose turn it is; b waits for what becomes of that pod
  Provide("a");
  SetReady("n-a", false);
  api.Unblock();
  api.Advance(seconds(20));
  EXPECT_EQ(api.scales_made, 2);
  SetReady("n-a", true);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods.at("ns/b-1").node_name, "n-a");
}

TEST_F(SecondPurchaseTest, NothingIsWithdrawnWhileThePodOfOneWhoseRoomWasTakenMayCome) {
  Buy(1);
  api.AddTask("z", api::Json::object(), "1", "other");
  api.Settle();
  ASSERT_EQ(api.scales_made, 2);
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kCreate && write.kind == Kind::kPod && write.ns == "ns";
  };
  Provide("a");
  api.Advance(seconds(6));  // the room of pod a-1 is given back
  ASSERT_TRUE(api.pods.contains("other/z-1"));
  api.Advance(seconds(20));
  for (const auto& [name, scale] : api.scales)
    EXPECT_LT(scale.status.phase, api::ScalePhase::kReleasing) << scale.status.message;
}

// A leader had given the first back, and bought the second in vain. Of the first it could not tell,
// so that the next leader begins with that anew.
TEST_F(SecondPurchaseTest, NotWhileOneBeforeTheLastIsBeingGivenBack) {
  Buy(1);
  const std::string need = "spw-" + api.tasks.at("ns/a").meta.uid;
  api::ScaleRequest& last = api.scales[need + "-2"] = api.scales.at(need + "-1");
  last.meta.name = need + "-2", last.meta.uid = "last";
  last.status.phase = api::ScalePhase::kReleased, last.status.finished_at = api.now;
  api.Restart();
  api.releases_hang = true;
  Suspend("a", true);
  ASSERT_EQ(api.scales.at(need + "-1").status.phase, api::ScalePhase::kReleasing);
  Suspend("a", false);
  api.Advance(seconds(20));
  EXPECT_EQ(api.scales_made, 1);
  EXPECT_THAT(api.Summary("a"), testing::HasSubstr("while ScaleRequest " + need + "-1 lasts"));
  api.Remove(api.claims, api.claims.begin()->first);
  api.Settle();
  EXPECT_TRUE(api.scales.contains(need + "-3"));
}

// The engine has made a server for it, which is not seen yet.
TEST_F(SecondPurchaseTest, NotBeforeTheServerOfTheFirstIsSeenToBeGivenBack) {
  WithdrawWhileAsked();
  AnswerPurchase(api.scales.begin()->second.meta, std::nullopt);
  Suspend("a", false);
  api.Advance(seconds(10));
  const api::ScaleRequest& first = api.scales.begin()->second;
  ASSERT_EQ(first.status.phase, api::ScalePhase::kReleasing);
  EXPECT_EQ(api.scales_made, 1);
  SeeServer();
  EXPECT_EQ(api.releases_asked, 1);
  EXPECT_EQ(api.scales_made, 2);
}

TEST_F(SecondPurchaseTest, NorThenByANewLeader) {
  WithdrawWhileAsked();
  ASSERT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kReleasing);
  api.Restart();
  api.purchases_hang = false;
  Suspend("a", false);
  api.Advance(seconds(10));
  EXPECT_EQ(api.scales_made, 1);
  SeeServer();
  EXPECT_EQ(api.releases_asked, 1);
  EXPECT_EQ(api.scales_made, 2);
}

// The answer comes last, and tells of what was seen to come and to go.
TEST_F(SecondPurchaseTest, ItIsMadeOnceTheFirstWasGivenBackBeforeItsEngineAnswered) {
  WithdrawWhileAsked();
  const api::CloudServer server = SeeServer();
  ASSERT_EQ(api.releases_asked, 1);
  ASSERT_TRUE(api.claims.empty());
  AnswerPurchase(api.scales.begin()->second.meta, std::nullopt, Object(server));
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kReleased);
  Suspend("a", false);
  EXPECT_EQ(api.scales_made, 2);
}

// The others would be paid for in vain.
TEST_F(SecondPurchaseTest, NorForAnyOfAGroupWhileTheServerOfOneOfItMayBeThere) {
  api.purchases_hang = true;
  api.AddPool("p", "1");
  for (const char* name : {"a", "b"}) api.AddTask(name, {{"group", {{"name", "g"}, {"size", 2}}}});
  api.Settle();
  ASSERT_EQ(api.scales_made, 2);
  Suspend("a", true);
  Suspend("b", true);
  AnswerPurchase(api.scales.begin()->second.meta, std::nullopt);
  AnswerPurchase(api.scales.rbegin()->second.meta, Error{ErrorKind::kUnavailable, "no", {}});
  ASSERT_EQ(api.scales.rbegin()->second.status.phase, api::ScalePhase::kReleased);
  Suspend("a", false);
  Suspend("b", false);
  api.Advance(seconds(10));
  EXPECT_EQ(api.scales_made, 2);
  SeeServer();
  EXPECT_EQ(api.scales_made, 4);
}

TEST_F(SecondPurchaseTest, NotWhileTheServerOfTheFirstMayBeThereThoughItsEngineDidNotAnswer) {
  WithdrawWhileAsked();
  Error late{ErrorKind::kUnavailable, "the request timed out", {}};
  late.ambiguous = true;
  AnswerPurchase(api.scales.begin()->second.meta, late);
  Suspend("a", false);
  api.Advance(seconds(10));
  EXPECT_EQ(api.scales_made, 1);
  api.Advance(seconds(90));
  api.Push(Bookmark{Kind::kCloudServer, 0, cloud::kKarpenter});  // nothing has come
  api.Advance(seconds(20));
  EXPECT_EQ(api.scales_made, 2);
}

// A new leader would find it open, and ask its engine for it beside the other one.
TEST_F(SecondPurchaseTest, NotBeforeItIsToldThatTheFirstHasFailed) {
  api.AddPool("spot", "1", 10);
  api.AddPool("on-demand", "1");
  FailUntold();
  const std::string need = "spw-" + api.tasks.at("ns/a").meta.uid;
  ASSERT_EQ(api.world().provisioning.scales.at(need + "-1").object.status.phase,
            api::ScalePhase::kFailed);
  EXPECT_EQ(api.scales_made, 1);
  EXPECT_THAT(api.Summary("a"), testing::HasSubstr("while ScaleRequest " + need + "-1 lasts"));
  api.refuse = nullptr;
  api.Advance(seconds(70));
  EXPECT_EQ(api.scales.at(need + "-1").status.phase, api::ScalePhase::kFailed);
  EXPECT_EQ(api.scales_made, 2);
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(SecondPurchaseTest, NorDoesAnotherTakeItsPlaceInThePoolBeforeThat) {
  api.AddPool("spot", "1", 10);
  api.pools.at("spot").spec.max_servers = 1;
  api.Change(api.pools.at("spot"));
  FailUntold();
  api.AddTask("b");
  api.Advance(seconds(320));
  EXPECT_EQ(api.scales_made, 1);
  api.refuse = nullptr;
  api.Restart();
  api.Advance(seconds(300));
  EXPECT_EQ(api.claims_made, 1);
}

// A leader before had asked for it, of which nobody knew.
TEST_F(SecondPurchaseTest, ItTakesOnePlaceThoughItsServerComesBeforeThat) {
  api.AddPool("spot", "1");
  api.pools.at("spot").spec.max_servers = 2;
  api.Change(api.pools.at("spot"));
  FailUntold();
  api.releases_hang = true;
  SeeServer();
  ASSERT_TRUE(api.world().provisioning.scales.begin()->second.object.status.finished_at);
  api.AddTask("b");
  api.Advance(seconds(320));
  EXPECT_EQ(api.scales_made, 2);
}

}  // namespace
}  // namespace spillway::core
