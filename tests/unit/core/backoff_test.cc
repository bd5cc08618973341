#include "operator/core/backoff.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BackoffTest, WaitsLongerEachTimeUpToAMinute) {
  Backoff backoff;
  Time now = At(0);
  Duration before{0};
  for (int i = 0; i < 10; ++i) {
    backoff.Fail(now, "key", "no");
    const Duration wait = backoff.not_before - now;
    EXPECT_GE(wait, before / 2);
    EXPECT_LE(wait, seconds(60));
    before = wait;
    now = backoff.not_before;
  }
  EXPECT_GE(before, seconds(30));
}

TEST(BackoffTest, RefusalsOfWhatWasAskedForTogetherCountOnce) {
  Backoff backoff;
  for (int i = 0; i < 100; ++i) backoff.Fail(At(0), "key", "no");
  EXPECT_EQ(backoff.failures, 1);
}

TEST(BackoffTest, AReasonIsNewIfItsWordsAreWhateverItsNumbers) {
  Backoff backoff;
  EXPECT_TRUE(backoff.Fail(At(0), "key", "quota: used 3 of 4"));
  EXPECT_FALSE(backoff.Fail(At(9), "key", "quota: used 4 of 4"));
  EXPECT_TRUE(backoff.Fail(At(99), "key", "policy x denies it"));
}

// A policy that denies one write for a while: few tries, told once, and done when it is gone.
class DeniedTest : public testing::Test {
 protected:
  void Deny(Verb verb, Kind kind) {
    api.refuse = Denies(verb, kind, Error{ErrorKind::kForbidden, "denied by policy x", {}});
    api.tries.clear();
  }
  int Tries(Verb verb, Kind kind) { return api.tries[{verb, kind}]; }
  int Told(const std::string& reason) {
    return static_cast<int>(std::count_if(api.notes.begin(), api.notes.end(),
                                          [&](const Note& note) { return note.reason == reason; }));
  }
  ApiModel api;
};

TEST_F(DeniedTest, TheDeletionOfAPod) {
  api.AddServer("s1");
  api.AddTask("t");
  api.Settle();
  Deny(Verb::kDelete, Kind::kPod);
  api.tasks.at("ns/t").spec.cancel = true;
  api.Change(api.tasks.at("ns/t"));
  api.Advance(seconds(50));
  EXPECT_GE(Tries(Verb::kDelete, Kind::kPod), 4);
  EXPECT_LE(Tries(Verb::kDelete, Kind::kPod), 12);
  EXPECT_EQ(Told("DeleteFailed"), 1);
  api.refuse = nullptr;
  api.Advance(seconds(61));
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(DeniedTest, TheDeletionOfATask) {
  api.AddServer("s1");
  api.AddTask("t", {{"ttlSecondsAfterFinished", 1}});
  api.Settle();
  Deny(Verb::kDelete, Kind::kTask);
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(50));
  EXPECT_LE(Tries(Verb::kDelete, Kind::kTask), 12);
  EXPECT_EQ(Told("DeleteFailed"), 1);
  api.refuse = nullptr;
  api.Advance(seconds(61));
  EXPECT_TRUE(api.tasks.empty());
}

TEST_F(DeniedTest, TheStatusOfATask) {
  api.AddServer("s1");
  api.AddTask("t");
  api.Settle();
  Deny(Verb::kPatchStatus, Kind::kTask);
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(120));
  EXPECT_LE(Tries(Verb::kPatchStatus, Kind::kTask), 10);
  EXPECT_EQ(Told("StatusRefused"), 1);
  api.refuse = nullptr;
  api.Advance(seconds(61));
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(DeniedTest, TheStatusOfATaskThatConflictsForEver) {
  api.AddServer("s1");
  api.AddTask("t");
  api.Settle();
  api.refuse = Denies(Verb::kPatchStatus, Kind::kTask, Error{ErrorKind::kConflict, "changed", {}});
  api.tries.clear();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(120));
  EXPECT_LE(Tries(Verb::kPatchStatus, Kind::kTask), 15);
}

TEST_F(DeniedTest, TheCreationOfARegisteredServer) {
  Deny(Verb::kCreate, Kind::kServer);
  api.AddNode("n", "4");
  api.nodes.at("n").meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes.at("n"));
  api.Advance(seconds(300));
  EXPECT_LE(Tries(Verb::kCreate, Kind::kServer), 12);
  api.refuse = nullptr;
  api.Advance(seconds(70));
  EXPECT_TRUE(api.servers.contains("n"));
}

TEST_F(DeniedTest, TheDeletionOfARegisteredServerThatTakesNoTasksMeanwhile) {
  api.AddNode("n", "4");
  api.nodes.at("n").meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes.at("n"));
  api.Settle();
  ASSERT_TRUE(api.servers.contains("n"));
  Deny(Verb::kDelete, Kind::kServer);
  api.nodes.at("n").meta.labels.clear();
  api.Change(api.nodes.at("n"));
  api.Settle();
  api.AddTask("t");
  api.Advance(seconds(300));
  EXPECT_LE(Tries(Verb::kDelete, Kind::kServer), 15);
  EXPECT_EQ(Told("DeleteFailed"), 1);
  EXPECT_EQ(api.pods_made, 0);
  api.refuse = nullptr;
  api.Advance(seconds(70));
  EXPECT_FALSE(api.servers.contains("n"));
}

TEST_F(DeniedTest, TheDeletionOfAScaleRequestThatHasEnded) {
  api.AddPool("p");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("n");
  api.Settle();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  Deny(Verb::kDelete, Kind::kScale);
  api.Advance(std::chrono::minutes(20));
  EXPECT_GE(Tries(Verb::kDelete, Kind::kScale), 1);
  EXPECT_LE(Tries(Verb::kDelete, Kind::kScale), 25);
  EXPECT_EQ(Told("DeleteFailed"), 1);
  api.refuse = nullptr;
  api.Advance(seconds(70));
  EXPECT_TRUE(api.scales.empty());
}

}  // namespace
}  // namespace spillway::core
