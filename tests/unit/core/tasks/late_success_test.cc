#include "operator/core/tasks/late_success.h"

#include <gtest/gtest.h>

#include <utility>

#include "operator/core/tasks/pod_name.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

// What another leader begins meanwhile, which does not know of what happened here, is made and seen
// all the same.
class LateSuccessTest : public testing::Test {
 protected:
  LateSuccessTest() {
    api.AddServer("s1");
    api.servers["s1"].spec.price_micros = 3600 * 1'000'000LL;
    api.Change(api.servers["s1"]);
  }
  void Start(Json spec = Json::object()) {
    api.AddTask("t", std::move(spec));
    api.Settle();
    first_ = api.pods.at("ns/t-1");
  }
  void Lose(const std::string& pod) {
    api.Remove(api.pods, "ns/" + pod);
    api.Settle();
  }
  void BeginByAnother(int64_t attempt, PodPhase phase) {
    api::Pod pod = first_;
    pod.meta.name = PodName("t", attempt);
    pod.meta.uid = "another's";
    pod.meta.created = api.now;
    api.pods[pod.meta.key()] = pod;
    api.SetPod(pod.meta.name, phase, 0, "done");
    api.Settle();
  }
  void Suspend() {
    api.tasks.at("ns/t").spec.suspend = true;
    api.Change(api.tasks.at("ns/t"));
    api.Settle();
    api.Advance(seconds(5));
  }
  void ExpectSuccess(int64_t attempt) {
    EXPECT_EQ(api.Phase("t"), "Succeeded") << api.Says("t");
    ASSERT_TRUE(api.Status("t").result);
    EXPECT_EQ(api.Status("t").result->output, "done");
    ASSERT_TRUE(api.Status("t").assignment);
    EXPECT_EQ(api.Status("t").assignment->attempt, attempt);
    EXPECT_EQ(api.Status("t").attempts.back().attempt, attempt);
    EXPECT_EQ(api.Status("t").attempts.back().exit_code, 0);
  }
  ApiModel api;
  api::Pod first_;
};

TEST_F(LateSuccessTest, EndsATaskWhoseAttemptOfThatNumberWasLost) {
  Start();
  Lose("t-1");
  Lose("t-2");  // a pause follows
  BeginByAnother(1, PodPhase::kSucceeded);
  api.Advance(seconds(60));
  ExpectSuccess(1);
  EXPECT_EQ(api.pods_made, 2);
  EXPECT_EQ(api.Status("t").attempts.size(), 2u);
}

TEST_F(LateSuccessTest, EndsATaskThatRunsOnceMore) {
  Start();
  Lose("t-1");
  api.SetPod("t-2", PodPhase::kRunning);
  api.Advance(seconds(3));
  BeginByAnother(1, PodPhase::kSucceeded);
  ExpectSuccess(1);
  EXPECT_FALSE(api.pods.contains("ns/t-2"));
  EXPECT_EQ(api.Status("t").attempts.front().attempt, 2);
  EXPECT_EQ(api.Status("t").attempts.front().reason, "Superseded");
  EXPECT_EQ(api.Status("t").attempts.front().message, "attempt 1 has succeeded");
  EXPECT_EQ(api.Status("t").result->cost, "3");
}

// By kube-scheduler, and nothing was told of it until all was over.
TEST_F(LateSuccessTest, WhatWasBoundElsewhereBeforeIsRecordedThere) {
  Start();
  api.AddServer("s2");
  api.pods.at("ns/t-1").node_name = "s2";
  api.SetPod("t-1", PodPhase::kFailed, 1);
  BeginByAnother(2, PodPhase::kSucceeded);
  ExpectSuccess(2);
  EXPECT_EQ(api.Status("t").attempts.front().server, "s2");
}

// A new leader has only the record of the attempt before.
TEST_F(LateSuccessTest, IsRecordedWhereItsPodWasThoughThatIsNoServer) {
  Start();
  api.SetPod("t-1", PodPhase::kFailed, 1);
  api::Pod pod = first_;
  pod.meta.name = "t-2", pod.meta.uid = "another's", pod.node_name = "n";
  api.pods["ns/t-2"] = pod;
  api.SetPod("t-2", PodPhase::kSucceeded, 0, "done");
  api.AddNode("n", "1");
  api.Restart();
  api.Settle();
  ExpectSuccess(2);
  EXPECT_EQ(api.Status("t").assignment->node_name, "n");
}

TEST_F(LateSuccessTest, EndsATaskWhoseAttemptOfThatNumberWasDeletedAndSaidHowItEnded) {
  api.slow_deletion = true;
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.pods["ns/t-1"].meta.deleted = api.now;  // by whoever may
  api.Change(api.pods["ns/t-1"]);
  api.Settle();
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "told to stop");
  api.Advance(seconds(5));
  Lose("t-1");
  ASSERT_EQ(api.Status("t").attempts.size(), 1u) << api.Says("t");
  ASSERT_EQ(api.Status("t").attempts.back().exit_code, 0);
  BeginByAnother(1, PodPhase::kSucceeded);
  ExpectSuccess(1);
}

TEST_F(LateSuccessTest, EndsATaskWhoseAttemptOfThatNumberHadFailed) {
  Start({{"retry", {{"limit", 3}, {"backoffSeconds", 30}}}});
  api.SetPod("t-1", PodPhase::kFailed, 1);
  api.Settle();
  Lose("t-1");
  ASSERT_EQ(api.Status("t").attempts.size(), 1u) << api.Says("t");
  ASSERT_EQ(api.Status("t").attempts.back().exit_code, 1);
  BeginByAnother(1, PodPhase::kSucceeded);
  ExpectSuccess(1);
}

// The watch of pods is cut meanwhile.
TEST_F(LateSuccessTest, EndsATaskThatIsSuspendedByWhatTheAnswerToItsPodsDeletionSays) {
  Start({{"retry", {{"lossLimit", 0}}}});
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(5));
  api::Pod last = api.pods.at("ns/t-1");
  last.phase = PodPhase::kSucceeded;
  last.termination = api::Termination{0, "Completed", "done", last.started, api.now};
  api.Advance(seconds(5));
  api.hangs = [&](const Write& write) {
    if (write.verb != Verb::kDelete || write.kind != Kind::kPod) return false;
    last.meta.deleted = last.asked_to_end = api.now;
    last.meta.resource_version = api.pods.at("ns/t-1").meta.resource_version + 1'000;
    api.Push(Outcome{Verb::kDelete, Kind::kPod, "ns/t-1", write.uid, std::nullopt, last});
    return true;
  };
  Suspend();
  ExpectSuccess(1);
}

// Its node's clock, which is ahead, says that it ended later.
TEST_F(LateSuccessTest, EndsATaskWhosePodIsSeenToHaveEndedAfterTheAnswerToItsDeletion) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(5));
  api::Pod ended = api.pods.at("ns/t-1");
  ended.phase = PodPhase::kSucceeded;
  ended.meta.resource_version += 500;
  api.hangs = [&](const Write& write) {
    if (write.verb != Verb::kDelete || write.kind != Kind::kPod) return false;
    ended.termination =
        api::Termination{0, "Completed", "done", ended.started, api.now + seconds(60)};
    api::Pod last = ended;
    last.meta.deleted = last.asked_to_end = api.now;
    last.meta.resource_version += 500;
    api.Push(Outcome{Verb::kDelete, Kind::kPod, "ns/t-1", write.uid, std::nullopt, last});
    return true;
  };
  Suspend();
  ASSERT_NE(api.Phase("t"), "Succeeded");
  api.Push(Seen{ended});
  api.Settle();
  ExpectSuccess(1);
}

TEST_F(LateSuccessTest, EndsATaskThoughItsPodIsGoneInTheSameStep) {
  Start();
  Lose("t-1");
  Lose("t-2");
  api.pods["ns/t-1"] = first_;
  api.pods["ns/t-1"].meta.uid = "another's";
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "done");
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  ExpectSuccess(1);
}

TEST_F(LateSuccessTest, EndsATaskWhoseNextPodIsOnItsWay) {
  Start();
  api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
  Lose("t-1");
  BeginByAnother(1, PodPhase::kSucceeded);
  ExpectSuccess(1);
  api.Unblock();
  api.Advance(seconds(10));
  ExpectSuccess(1);
  EXPECT_FALSE(api.pods.contains("ns/t-2"));
}

TEST_F(LateSuccessTest, EndsATaskOfWhichALaterAttemptRunsBeforeAnyIsRecorded) {
  Start();
  api.drop_statuses = true;
  BeginByAnother(2, PodPhase::kRunning);
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "done");
  api.drop_statuses = false;
  api.Restart();
  api.Settle();
  ExpectSuccess(1);
}

TEST_F(LateSuccessTest, IsNoneIfItsEndWasAskedForWhileItRan) {
  api.slow_deletion = true;
  Start();
  Lose("t-1");
  BeginByAnother(1, PodPhase::kRunning);  // deleted, since it has been lost
  api.Advance(seconds(5));
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "done");
  api.Advance(seconds(5));
  EXPECT_NE(api.Phase("t"), "Succeeded");
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

TEST_F(LateSuccessTest, IsNoneIfOnlyItsNodesClockSaysThatItWasBeforeItsEndWasAskedFor) {
  Start();
  Lose("t-1");
  api::Pod& pod = api.pods["ns/t-1"] = first_;
  pod.meta.uid = "another's";
  pod.phase = PodPhase::kSucceeded;
  pod.meta.deleted = pod.asked_to_end = api.now;
  pod.termination =
      api::Termination{0, "Completed", "", api.now - seconds(60), api.now - seconds(30)};
  api.Change(pod);
  api.Settle();
  EXPECT_NE(api.Phase("t"), "Succeeded");
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

// Its pod is gone, and the end of that attempt could not be written.
TEST_F(LateSuccessTest, IsNoneIfByThatClockAndTheStatusTellsOfALaterAttempt) {
  Start();
  Lose("t-1");
  api.Advance(seconds(10));
  ASSERT_EQ(api.Status("t").assignment->attempt, 2);
  api.pods.clear();
  api::Pod& pod = api.pods["ns/t-1"] = first_;
  pod.phase = PodPhase::kSucceeded;
  pod.meta.deleted = pod.asked_to_end = api.now;
  pod.termination =
      api::Termination{0, "Completed", "", api.now - seconds(8), api.now - seconds(5)};
  api.Restart();
  api.Advance(seconds(5));
  EXPECT_NE(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").attempts.back().attempt, 2);
}

TEST_F(LateSuccessTest, EndsATaskThatMayNotBeLost) {
  Start({{"retry", {{"limit", 3}, {"lossLimit", 0}, {"backoffSeconds", 30}}}});
  api.SetPod("t-1", PodPhase::kFailed, 1);
  api.Settle();
  api.Remove(api.pods, "ns/t-1");
  BeginByAnother(2, PodPhase::kSucceeded);
  api.Advance(seconds(60));
  ExpectSuccess(2);
  EXPECT_EQ(api.pods_made, 1);
}

}  // namespace
}  // namespace spillway::core
