#include "operator/core/tasks/left_pods.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

class LeftPodTest : public testing::Test {
 protected:
  LeftPodTest() {
    api.AddServer("s1");
    api.AddTask("t");
    api.Settle();
    api.SetPod("t-1", api::PodPhase::kRunning);
    api.Settle();
  }
  void Cancel() {
    api.tasks["ns/t"].spec.cancel = true;
    api.Change(api.tasks["ns/t"]);
    api.Settle();
  }
  void Suspend(bool suspend) {
    api.tasks["ns/t"].spec.suspend = suspend;
    api.Change(api.tasks["ns/t"]);
    api.Settle();
  }
  void HangDeletions() {
    api.hangs = [](const Write& write) {
      return write.verb == Verb::kDelete && write.kind == Kind::kPod;
    };
  }
  ApiModel api;
};

TEST_F(LeftPodTest, ACancelledTaskSaysThatTheDeletionOfItsPodIsNotAnswered) {
  HangDeletions();
  Cancel();
  EXPECT_EQ(api.Phase("t"), "Cancelled");
  EXPECT_EQ(api.Says("t"), "cancelled by spec.cancel");
  api.Advance(seconds(6));
  EXPECT_EQ(
      api.Says("t"),
      "cancelled by spec.cancel; pod t-1 on node s1 is not deleted yet: the API server has not "
      "answered since 2027-01-15T08:00:00Z; an admission webhook may not answer");
  EXPECT_EQ(api.Says("t", "Failed"), "cancelled by spec.cancel");
  const int writes = api.task_writes;
  api.Advance(seconds(600));
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(LeftPodTest, APodThatWasEndingOnANodeThatVanishesIsDeletedWithoutAGracePeriod) {
  std::vector<std::optional<int64_t>> graces;
  api.hangs = [&](const Write& write) {
    if (write.verb != Verb::kDelete || write.kind != Kind::kPod) return false;
    graces.push_back(write.grace);
    api.Push(Outcome{Verb::kDelete, Kind::kPod, "ns/t-1", write.uid, std::nullopt, std::nullopt});
    return true;
  };
  Cancel();
  api.Remove(api.nodes, "s1");
  api.Advance(seconds(5));
  EXPECT_EQ(graces, (std::vector<std::optional<int64_t>>{std::nullopt, 0}));
}

TEST_F(LeftPodTest, ACancelledTaskSaysNoMoreOfItsPodOnceThatIsGone) {
  HangDeletions();
  Cancel();
  api.Advance(seconds(6));
  api.Unblock();
  api.Advance(seconds(2));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.Says("t"), "cancelled by spec.cancel");
}

TEST_F(LeftPodTest, ACancelledTaskSaysWhyTheDeletionOfItsPodIsRefused) {
  api.refuse = Denies(Verb::kDelete, Kind::kPod, {ErrorKind::kForbidden, "not on Fridays", {}});
  Cancel();
  api.Advance(seconds(6));
  EXPECT_EQ(api.Phase("t"), "Cancelled");
  EXPECT_EQ(
      api.Says("t"),
      "cancelled by spec.cancel; pod t-1 on node s1 could not be deleted: not on Fridays; tried "
      "again with growing pauses of up to a minute");
}

TEST_F(LeftPodTest, ACancelledTaskSaysThatItsPodTakesItsTimeToEnd) {
  api.slow_deletion = true;
  Cancel();
  api.Advance(seconds(11));
  EXPECT_EQ(
      api.Says("t"),
      "cancelled by spec.cancel; waiting for pod t-1 on node s1 to end, as it was asked to at "
      "2027-01-15T08:00:00Z");
}

TEST_F(LeftPodTest, APodThatGoesAtOnceCostsNoStatusOfItsOwn) {
  const int writes = api.task_writes;
  Cancel();
  api.Advance(seconds(60));
  EXPECT_EQ(api.task_writes, writes + 1);
}

TEST_F(LeftPodTest, ASuspendedTaskSaysThatItsPodIsStillThere) {
  HangDeletions();
  Suspend(true);
  api.Advance(seconds(6));
  EXPECT_EQ(api.Says("t").find("held by spec.suspend; pod t-1 on node s1 is not deleted yet"), 0u)
      << api.Says("t");
}

TEST_F(LeftPodTest, AResumedTaskSaysThatItWaitsForAPodThatCannotBeDeleted) {
  api.refuse = Denies(Verb::kDelete, Kind::kPod, {ErrorKind::kForbidden, "not on Fridays", {}});
  Suspend(true);
  Suspend(false);
  api.Advance(seconds(6));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_EQ(api.Says("t").find("pod t-1 on node s1 could not be deleted: not on Fridays"), 0u)
      << api.Says("t");
}

// What ended it is not forgotten by a new process.
TEST_F(LeftPodTest, AfterARestartItSaysTheSameAndNoMoreOnceThePodIsGone) {
  HangDeletions();
  Cancel();
  api.Advance(seconds(6));
  api.hangs = nullptr;
  api.Restart();
  api.Advance(seconds(6));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.Says("t"), "cancelled by spec.cancel");
}

}  // namespace
}  // namespace spillway::core
