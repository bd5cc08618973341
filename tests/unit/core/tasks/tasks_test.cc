#include "operator/core/tasks/tasks.h"

#include <gtest/gtest.h>

#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/status_queue.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::milliseconds;
using std::chrono::seconds;

class TaskTest : public testing::Test {
 protected:
  void Start(Json spec = Json::object()) {
    api.AddServer("s1");
    api.AddTask("t", std::move(spec));
    api.Settle();
  }
  // It runs on s1, and s2 has room as well.
  void Run() {
    Start();
    api.AddServer("s2");
    api.SetPod("t-1", PodPhase::kRunning);
  }
  // Of s1.
  void SetReady(api::NodeReady ready) {
    api.nodes["s1"].ready = ready;
    api.Change(api.nodes["s1"]);
  }
  void End(const std::string& pod, int64_t code, const std::string& output = "") {
    api.SetPod(pod, code == 0 ? PodPhase::kSucceeded : PodPhase::kFailed, code, output);
    api.Settle();
  }
  std::string Reason(const std::string& type) {
    const auto* condition = api::FindCondition(*api.Status("t").conditions, type);
    return condition == nullptr ? "" : condition->status.str() + " " + condition->reason.str();
  }
  ApiModel api;
};

TEST_F(TaskTest, ReportsExitCodeOutputAndTimes) {
  Start();
  api.Advance(seconds(1));
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(5));
  End("t-1", 0, "42");
  const auto& result = *api.Status("t").result;
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.output, "42");
  EXPECT_EQ(*result.finished_at - *result.started_at, seconds(5));
  EXPECT_EQ(Reason("Complete"), "True Completed");
  EXPECT_EQ(Reason("Ready"), "True Completed");
}

TEST_F(TaskTest, AnEndCountsThoughThePodIsGoneInTheSameStep) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "42");
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").result->output, "42");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(TaskTest, CostsThreeWritesAtMost) {
  Start();
  api.Advance(milliseconds(500));
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Running");
  api.Advance(seconds(60));
  End("t-1", 0);
  EXPECT_EQ(api.task_writes + api.pods_made, 3);
}

TEST_F(TaskTest, CostsTwoWritesWhenItEndsAtOnce) {
  Start();
  End("t-1", 0);
  EXPECT_EQ(api.task_writes + api.pods_made, 2);
}

TEST_F(TaskTest, ASlowStartIsShownAndCostsNoMoreForAShortTask) {
  Start();
  api.Advance(kAssignedAfter);
  EXPECT_EQ(api.Phase("t"), "Assigned");
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(5));
  End("t-1", 0);
  EXPECT_EQ(api.task_writes + api.pods_made, 3);
}

TEST_F(TaskTest, WhereManyStatusesAreOnTheirWayAShortTaskIsToldWhenItEnds) {
  api.AddServer("large", "100");
  for (int i = 0; i < 60; ++i) api.AddTask("t" + std::to_string(i));
  api.Settle();
  api.drop_statuses = true;  // none is answered
  for (int i = 0; i < 60; ++i) {
    api.SetPod("t" + std::to_string(i) + "-1", PodPhase::kRunning);
    api.Settle();
  }
  EXPECT_EQ(api.world().tasks.statuses_in_flight, kBusy);
  api.SetPod("t59-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.world().tasks.statuses_in_flight, kBusy + 1);
  api.Advance(kShortTask + 2 * kPutOff);
  EXPECT_EQ(api.world().tasks.statuses_in_flight, kMostStatusesOfOne);
}

TEST_F(TaskTest, AFailureWithoutRetriesIsFinal) {
  Start();
  End("t-1", 7, "broken");
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->exit_code, 7);
  EXPECT_EQ(api.Status("t").result->output, "broken");
  EXPECT_EQ(Reason("Failed"), "True Error");
  api.Advance(seconds(600));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(TaskTest, RetriesWithGrowingBackoffUpToItsLimit) {
  Start({{"retry", {{"limit", 2}, {"backoffSeconds", 10}}}});
  End("t-1", 1);
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.Advance(seconds(9));
  EXPECT_EQ(api.pods_made, 1);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 2);
  End("t-2", 1);
  api.Advance(seconds(19));
  EXPECT_EQ(api.pods_made, 2);
  api.Advance(seconds(1));
  End("t-3", 1);
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(Reason("Failed"), "True BackoffLimitExceeded");
  EXPECT_EQ(api.Status("t").attempts.size(), 3u);
}

TEST_F(TaskTest, RetriesOnlyTheExitCodesItNames) {
  Start({{"retry", {{"limit", 3}, {"backoffSeconds", 0}, {"onExitCodes", {75}}}}});
  End("t-1", 75);
  EXPECT_EQ(api.pods_made, 2);
  End("t-2", 1);
  EXPECT_EQ(api.Phase("t"), "Failed");
}

TEST_F(TaskTest, ALostServerIsNoRetry) {
  Run();
  api.Settle();
  api.Remove(api.nodes, "s1");
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "s2");
  api.Advance(kAssignedAfter);
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.Status("t").attempts.at(0).reason, "ServerLost");
  EXPECT_FALSE(api.pods.contains("ns/t-1")) << "nobody else ends a pod of a vanished node";
}

// As the garbage collector does it, while nobody tells that the task is gone.
TEST_F(TaskTest, PodsThatAreDeletedAsSoonAsTheyRunAreFollowedEverMoreSlowly) {
  Start({{"retry", {{"lossLimit", 64}}}});
  for (int i = 0; i < 600; ++i) {
    for (const auto& [key, pod] : std::map(api.pods)) {
      api.SetPod(pod.meta.name, PodPhase::kRunning);
      api.Settle();
      api.Remove(api.pods, key);
    }
    api.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_LE(api.pods_made, 8) << "in a minute";
}

TEST_F(TaskTest, AnUnreadyServerIsLostAfterAGracePeriod) {
  Run();
  SetReady(api::NodeReady::kUnknown);
  api.Settle();
  api.Advance(kLostServerGrace - seconds(1));
  EXPECT_EQ(api.pods_made, 1);
  api.Advance(seconds(2));
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "s2");
}

// Its Lease, which tells of that, comes later than the Node.
TEST_F(TaskTest, AServerThatWasWellBetweenSilenceAndBeingUnreadyIsNotLostYet) {
  Run();
  api.RenewLease("s1");
  const auto pass = [&](int64_t time) {
    for (int64_t i = 0; i < time; i += 5) {
      api.Advance(seconds(5));
      api.RenewLease("s2");
      api.Change(api.nodes["s2"]);
      api.Settle();
    }
  };
  pass(45);
  ASSERT_NE(api.world().servers.nodes.at("s1").not_ready_since, kNever);
  SetReady(api::NodeReady::kUnknown);
  api.Settle();
  api.RenewLease("s1");
  pass(50);
  EXPECT_EQ(api.pods_made, 1);
  pass(25);
  EXPECT_EQ(api.pods_made, 2);
}

// The other kinds' watches go on.
TEST_F(TaskTest, ANodeIsNotLostByTheFirstWordsOfAWatchThatWasSilentForAWhile) {
  Run();
  SetReady(api::NodeReady::kUnknown);
  api.silent = true;
  const auto pass = [&](int64_t time) {
    for (int64_t i = 0; i < time; i += 5) {
      api.Advance(seconds(5));
      api.Push(Bookmark{Kind::kPod, 0});
    }
  };
  pass(65);
  api.Change(api.nodes["s2"]);
  pass(10);
  ASSERT_EQ(api.pods_made, 1);
  SetReady(api::NodeReady::kTrue);
  pass(90);
  EXPECT_EQ(api.pods_made, 1);
}

// The node controller, which would take it off, may be down itself.
TEST_F(TaskTest, ATaintThatIsLeftOnANodeThatIsReadyAgainLosesNothing) {
  Run();
  api.nodes["s1"].ready = api::NodeReady::kUnknown;
  api.nodes["s1"].taints = {{"node.kubernetes.io/unreachable", "", "NoExecute"}};
  api.Change(api.nodes["s1"]);
  api.Settle();
  api.Advance(kLostServerGrace - seconds(10));
  SetReady(api::NodeReady::kTrue);
  for (int i = 0; i < 24; ++i) {
    api.Advance(seconds(10));
    api.Change(api.nodes["s2"]);
    api.Settle();
  }
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(TaskTest, AnOutageOfTheApiServerLosesNoServer) {
  Run();
  api.Settle();
  api.silent = true;
  api.Advance(seconds(600));
  api.silent = false;
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(TaskTest, AResultThatAnotherLeaderWroteStands) {
  Start();
  api::TaskRequest& task = api.tasks["ns/t"];
  task.status.phase = api::TaskPhase::kFailed;
  task.status.result = api::TaskResult{3, "Error", "", "", {}, api.now, ""};
  api.Change(task);
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->exit_code, 3);
}

TEST_F(TaskTest, OfTwoResultsOfTheSameSecondTheOneThatIsWrittenStands) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api::TaskRequest& task = api.tasks["ns/t"];
  ++task.meta.resource_version;  // another leader was faster, and we do not know yet
  End("t-1", 7);
  ASSERT_EQ(api.Phase("t"), "Running");
  task.status.phase = api::TaskPhase::kFailed;
  task.status.result = api::TaskResult{{}, "DeadlineExceeded", "", "", {}, api.now, ""};
  api.Change(task);
  api.Advance(seconds(10));
  EXPECT_EQ(api.Status("t").result->reason, "DeadlineExceeded");
}

TEST_F(TaskTest, ANodeThatIsYoungerThanTheListOfNodesIsNotGone) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.Restart("s1");
  api.Settle();
  api.Change(api.nodes["s1"]);
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Phase("t"), "Running");
}

// It went, came back, and has a pod by another leader; of that only the pod was told yet.
class NodeThatCameBackTest : public TaskTest {
 protected:
  NodeThatCameBackTest() { Start(); }
  void BindByAnother() {
    api::Pod pod = first_;
    pod.meta.name = pod.meta.uid = "t-2";
    pod.phase = PodPhase::kRunning;
    api.pods["ns/t-2"] = pod;
    api.Change(api.pods["ns/t-2"]);
    api.Settle();
  }
  void Vanish() {
    first_ = api.pods.at("ns/t-1");
    api.Remove(api.nodes, "s1");
    api.Settle();
    BindByAnother();
  }
  api::Pod first_;
};

TEST_F(NodeThatCameBackTest, IsNotLostIfItWasUnreadyBeforeItsPodWasBound) {
  first_ = api.pods.at("ns/t-1");
  SetReady(api::NodeReady::kUnknown);
  api.Advance(kLostServerGrace + seconds(1));
  ASSERT_EQ(api.Status("t").attempts.size(), 1u);
  BindByAnother();
  EXPECT_EQ(api.Phase("t"), "Running");
  SetReady(api::NodeReady::kTrue);
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(NodeThatCameBackTest, IsLostIfItIsStillUnreadyAfterItsPodWasBound) {
  first_ = api.pods.at("ns/t-1");
  SetReady(api::NodeReady::kUnknown);
  api.Advance(kLostServerGrace + seconds(1));
  BindByAnother();
  api.Advance(seconds(10));
  EXPECT_EQ(api.Status("t").attempts.size(), 2u);
}

TEST_F(NodeThatCameBackTest, IsNotLostBeforeNodesAreKnownAsFarAsItsPod) {
  Vanish();
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.Status("t").attempts.size(), 1u);
  api.AddNode("s1", "4");
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.Status("t").attempts.size(), 1u);
}

TEST_F(NodeThatCameBackTest, IsLostOnceNodesAreKnownAsFarAsItsPodAndItIsNotAmongThem) {
  Vanish();
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_EQ(api.Status("t").attempts.at(1).reason, "ServerLost");
}

TEST_F(NodeThatCameBackTest, IsGivenTheTimeToStopAPod) {
  Vanish();
  std::optional<int64_t> grace{-1};
  api.hangs = [&](const Write& write) {
    if (write.verb == Verb::kDelete && write.name == "t-2") grace = write.grace;
    return false;
  };
  api.tasks.at("ns/t").spec.cancel = true;
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
  EXPECT_EQ(grace, std::nullopt);
}

TEST_F(TaskTest, TheAnswerToAStatusOfTheTaskBeforeItIsNotTakenForItsOwn) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  const std::string old = api.tasks["ns/t"].meta.uid;
  api.Remove(api.tasks, "ns/t");
  api.Remove(api.pods, "ns/t-1");
  api.AddTask("t");
  api.drop_statuses = true;
  api.Advance(seconds(5));  // Assigned is on its way
  api.Push(Outcome{Verb::kPatchStatus, Kind::kTask, "ns/t", old, std::nullopt, std::nullopt});
  api.Settle();
  EXPECT_TRUE(api.world().tasks.by_key.at("ns/t").writer.in_flight);
}

TEST_F(TaskTest, APodThatAListHasNotComeToIsNotGone) {
  api.AddServer("s1");
  api.AddTask("first");
  api.Settle();
  api.AddTask("t");
  api.AddTask("u");
  api.unheard = true;
  api.Settle();
  api.unheard = false;
  api.ListOneOfTwo("t-1", "u-1");
  api.Settle();
  EXPECT_EQ(api.pods_made, 3);
}

TEST_F(TaskTest, AnEvictedPodIsNoRetry) {
  Start();
  api.pods["ns/t-1"].disrupted = true;
  api.pods["ns/t-1"].reason = "Evicted";
  End("t-1", 137);
  EXPECT_EQ(api.pods_made, 2);
  EXPECT_EQ(api.Status("t").retries, 0);
}

TEST_F(TaskTest, ADeletedPodIsMadeAnewUnderANewName) {
  Start();
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

TEST_F(TaskTest, CancelEndsItForGood) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Cancelled");
  EXPECT_TRUE(api.pods.empty());
  api.Advance(seconds(600));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(TaskTest, AResultThatCameFirstWinsOverCancel) {
  Start();
  api.tasks["ns/t"].spec.cancel = true;
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(TaskTest, SuspendStopsItAndResumeStartsANewAttempt) {
  Start();
  api.tasks["ns/t"].spec.suspend = true;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Suspended");
  EXPECT_TRUE(api.pods.empty());
  api.tasks["ns/t"].spec.suspend = false;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
  EXPECT_EQ(api.Status("t").retries, 0);
}

class SuspendTest : public TaskTest {
 protected:
  void Suspend(bool suspend) {
    api.tasks["ns/t"].spec.suspend = suspend;
    api.Change(api.tasks["ns/t"]);
    api.Settle();
  }
};

TEST_F(SuspendTest, TheActiveDeadlineBeginsAnewWithTheNextRun) {
  Start({{"activeDeadlineSeconds", 15}});
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(10));
  Suspend(true);
  api.Advance(seconds(60));
  EXPECT_EQ(api.Phase("t"), "Suspended");
  EXPECT_FALSE(api.Status("t").started_at.has_value());
  Suspend(false);
  api.SetPod("t-2", PodPhase::kRunning);
  api.Advance(seconds(14));
  EXPECT_EQ(api.Phase("t"), "Running");
  api.Advance(seconds(2));
  EXPECT_EQ(Reason("Failed"), "True DeadlineExceeded");
}

TEST_F(SuspendTest, TheStartDeadlineDoesNotRun) {
  api.AddTask("t", {{"startDeadlineSeconds", 30}, {"suspend", true}});
  api.Advance(seconds(100));
  EXPECT_EQ(api.Phase("t"), "Suspended");
  Suspend(false);
  api.Advance(seconds(20));
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.Restart();
  api.Advance(seconds(5));
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.Advance(seconds(10));
  EXPECT_EQ(Reason("Failed"), "True StartDeadlineExceeded");
}

TEST_F(SuspendTest, ATaskThatHasRunOnceIsNotLateToStart) {
  Start({{"startDeadlineSeconds", 30}});
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(10));
  Suspend(true);
  api.servers["s1"].spec.cordoned = true;
  api.Change(api.servers["s1"]);
  Suspend(false);
  api.Advance(seconds(100));
  EXPECT_EQ(api.Phase("t"), "Pending");
}

TEST_F(SuspendTest, APodThatTakesItsTimeToEndIsTold) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.slow_deletion = true;
  Suspend(true);
  Suspend(false);
  api.Advance(seconds(15));
  EXPECT_EQ(api.Says("t", "Reconciling"),
            "waiting for pod t-1 on node s1 to end, as it was asked to at 2027-01-15T08:00:00Z");
  const int writes = api.task_writes;
  api.Advance(seconds(100));
  EXPECT_EQ(api.task_writes, writes);
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

TEST_F(SuspendTest, ToggledFastItEndsInTheLastStateWithOnePod) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  for (const bool suspend : {true, false, true, false}) Suspend(suspend);
  api.Settle();
  EXPECT_EQ(api.pods.size(), 1u);
  Suspend(true);
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.Phase("t"), "Suspended");
}

TEST_F(TaskTest, ASuspendedTaskIsStalledUntilItIsResumed) {
  Start();
  api.tasks["ns/t"].spec.suspend = true;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  EXPECT_EQ(api::FindCondition(*api.Status("t").conditions, "Stalled")->status, "True");
  api.tasks["ns/t"].spec.suspend = false;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  api.Advance(seconds(4));
  EXPECT_EQ(api::FindCondition(*api.Status("t").conditions, "Stalled")->status, "False");
}

TEST_F(TaskTest, StartDeadlineCountsFromCreation) {
  api.AddTask("t", {{"startDeadlineSeconds", 30}});
  api.Settle();
  api.Advance(seconds(29));
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.Advance(seconds(2));
  EXPECT_EQ(Reason("Failed"), "True StartDeadlineExceeded");
}

TEST_F(TaskTest, ActiveDeadlineStopsThePod) {
  Start({{"activeDeadlineSeconds", 10}});
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.Advance(seconds(11));
  EXPECT_EQ(Reason("Failed"), "True DeadlineExceeded");
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(TaskTest, IsDeletedSomeTimeAfterItFinished) {
  Start({{"ttlSecondsAfterFinished", 60}});
  End("t-1", 0);
  api.Advance(seconds(59));
  EXPECT_TRUE(api.tasks.contains("ns/t"));
  api.Advance(seconds(2));
  EXPECT_FALSE(api.tasks.contains("ns/t"));
}

TEST_F(TaskTest, LosesItsPodsSomeTimeAfterItFinishedAndStays) {
  Start({{"podTTLSeconds", 60}});
  End("t-1", 0, "42");
  api.Advance(seconds(59));
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  api.Advance(seconds(2));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").result->output, "42");
}

TEST_F(TaskTest, WhosePodsWereRemovedIsNotRunAgainWhateverIsAppliedOrRestarted) {
  Start({{"podTTLSeconds", 0}});
  End("t-1", 0);
  api.Advance(seconds(5));
  ASSERT_TRUE(api.pods.empty());
  const int writes = api.task_writes;
  api.Restart();
  api.Advance(seconds(60));
  api.tasks.at("ns/t").meta.labels["applied"] = "again";
  api.Change(api.tasks.at("ns/t"));
  api.Advance(seconds(60));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_LE(api.task_writes, writes + 1);  // of the new generation
}

TEST_F(TaskTest, KeepsItsPodsUntilItsResultIsWritten) {
  Start({{"podTTLSeconds", 0}});
  api.drop_statuses = true;
  End("t-1", 0);
  api.Advance(seconds(5));
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
}

TEST_F(TaskTest, ThatIsRetriedKeepsThePodsOfEarlierAttemptsUntilItHasFinished) {
  Start({{"podTTLSeconds", 0}, {"retry", {{"limit", 1}, {"backoffSeconds", 30}}}});
  End("t-1", 3);
  api.Advance(seconds(20));
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  api.Advance(seconds(20));
  End("t-2", 0);
  api.Advance(seconds(5));
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(TaskTest, AskedToLoseItsPodsTriesADeletionThatIsRefusedEverMoreSeldom) {
  Start({{"podTTLSeconds", 0}});
  api.refuse = Denies(Verb::kDelete, Kind::kPod, {ErrorKind::kForbidden, "no", {}});
  End("t-1", 0);
  api.Advance(std::chrono::minutes(10));
  EXPECT_LE((api.tries[{Verb::kDelete, Kind::kPod}]), 30);
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(TaskTest, ATemplateThatIsRefusedFailsWithTheReason) {
  api.pod_error = Error{ErrorKind::kInvalid, "spec.containers[0].image: Required value", {}};
  Start();
  EXPECT_EQ(Reason("Failed"), "True InvalidTemplate");
  EXPECT_NE(api.Status("t").result->message.find("image: Required"), std::string::npos);
  EXPECT_EQ(api.world().servers.ledger.On("s1").pods, 0);
}

TEST_F(TaskTest, AQuotaHoldsItBackWithoutFailingIt) {
  api.pod_error = Error{ErrorKind::kForbidden, "exceeded quota: q", {}};
  Start();
  EXPECT_NE(api.Phase("t"), "Failed");
  EXPECT_EQ(api.pods_made, 0);
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(TaskTest, MissingRightsOfOurOwnDoNotFailIt) {
  api.pod_error = Error{
      ErrorKind::kForbidden, "pods is forbidden: User \"x\" cannot create resource \"pods\"", {}};
  Start();
  EXPECT_NE(api.Phase("t"), "Failed");
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(TaskTest, AForeignPodOfTheSameNameIsNotTakenForItsOwn) {
  api::Pod foreign;
  foreign.meta.ns = "ns", foreign.meta.name = "t-1", foreign.meta.uid = "x",
  foreign.meta.resource_version = 1;
  foreign.phase = PodPhase::kSucceeded;
  api.pods["ns/t-1"] = foreign;
  api.Restart();
  Start();
  api.Advance(seconds(3));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_NE(api.Says("t").find("is in the way"), std::string::npos);
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(60));
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "s1");
}

TEST_F(TaskTest, AfterACrashThePodIsAdopted) {
  api.drop_statuses = true;
  Start();
  EXPECT_EQ(api.pods_made, 1);
  api.drop_statuses = false;
  api.Restart();
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.ServerOf("t"), "s1");
  End("t-1", 0);
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(TaskTest, AfterACrashAnEndThatNobodySawIsReported) {
  api.drop_statuses = true;
  Start({{"retry", {{"limit", 1}, {"backoffSeconds", 0}}}});
  End("t-1", 3);
  EXPECT_EQ(api.pods_made, 2);
  api.SetPod("t-2", PodPhase::kFailed, 4);
  api.drop_statuses = false;
  api.Restart();
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").attempts.size(), 2u);
  EXPECT_EQ(api.Status("t").retries, 1);
  EXPECT_EQ(api.pods_made, 2);
}

TEST_F(TaskTest, AfterACrashAPodThatIsGoneWasLost) {
  Start();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  api.pods.clear();
  api.Restart();
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

TEST_F(TaskTest, AFinishedTaskStaysFinishedAcrossARestart) {
  Start();
  End("t-1", 0);
  const int writes = api.task_writes;
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(TaskTest, AForgottenTaskFreesItsServer) {
  Start();
  api.Remove(api.tasks, "ns/t");
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  EXPECT_EQ(api.world().servers.ledger.On("s1").pods, 0);
  EXPECT_EQ(api.world().tasks.by_key.size(), 0u);
}

TEST_F(TaskTest, ACopyOfItsPodTakesRoomUntilItIsGoneWhateverBecameOfTheTask) {
  Start();
  api::Pod& copy = api.pods["ns/copy"] = api.pods.at("ns/t-1");
  copy.meta.name = copy.meta.uid = "copy";
  api.Change(copy);
  api.Settle();
  EXPECT_EQ(api.world().servers.ledger.On("s1").pods, 2);
  api.Remove(api.tasks, "ns/t");
  api.Remove(api.pods, "ns/t-1");
  api.nodes.at("s1").unschedulable = true;
  api.Change(api.nodes.at("s1"));
  api.Advance(seconds(10));
  EXPECT_EQ(api.world().servers.ledger.On("s1").pods, 1);
  api.Remove(api.pods, "ns/copy");
  api.Settle();
  EXPECT_EQ(api.world().servers.ledger.On("s1").pods, 0);
  EXPECT_TRUE(api.world().tasks.owners.empty());
}

TEST_F(TaskTest, NothingIsDecidedBeforeEverythingWasListed) {
  Core core;
  api::TaskRequest task = *api::DecodeTaskRequest(
      {{"metadata", {{"name", "t"}, {"uid", "u"}, {"resourceVersion", "1"}}},
       {"spec", {{"template", Json::object()}}}});
  const std::vector<Event> events{Seen{task}, Listed{Kind::kTask, 1, {"t"}}};
  EXPECT_TRUE(core.Step(events, At(0)).effects.empty());
}

// kube-scheduler may still bind it to another node.
TEST_F(TaskTest, APodThatIsOnlyIntendedForANodeIsNotLostWithIt) {
  api.admit = [](api::Pod& pod) { pod.intended = true; };
  Start();
  api.Remove(api.nodes, "s1");
  api.AddServer("s2");
  api.Change(api.pods.at("ns/t-1"));
  api.Advance(seconds(10));
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_FALSE(api.pods.contains("ns/t-2")) << "two could run at once";
}

TEST_F(TaskTest, NothingIsToldOfAnAttemptWhosePodMayNotExist) {
  Start();
  api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
  api.AddTask("next");  // of a kind that was created before
  api.Advance(milliseconds(4'500));
  EXPECT_EQ(api.Phase("next"), "") << "the next leader would take it for lost";
}

TEST_F(TaskTest, ItsDeadlineCountsWhileItsInitContainersRun) {
  Start({{"activeDeadlineSeconds", 60}});
  api.pods.at("ns/t-1").init_started = api.now;
  api.Change(api.pods.at("ns/t-1"));
  api.Advance(seconds(59));
  EXPECT_NE(api.Phase("t"), "Failed");
  api.Advance(seconds(5));
  EXPECT_EQ(Reason("Failed"), "True DeadlineExceeded");
}

TEST_F(TaskTest, ARetryThatIsFarAheadByAnothersClockIsNotWaitedForThatLong) {
  Start({{"retry", {{"limit", 1}, {"backoffSeconds", 10}}}});
  End("t-1", 1);
  api.tasks["ns/t"].status.retry_at = api.now + std::chrono::hours(100);
  api.Restart();
  api.Advance(std::chrono::hours(1) + seconds(5));
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
}

// Its status was on its way while it said something else for a moment.
TEST_F(TaskTest, ItIsDeletedInTimeThoughItsStatusTookLong) {
  Start({{"ttlSecondsAfterFinished", 10}});
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kDelete || write.verb == Verb::kPatchStatus;
  };
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Advance(seconds(8));
  ASSERT_GE(api.hanging(), 2u);
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(30));
  EXPECT_FALSE(api.tasks.contains("ns/t"));
}

}  // namespace
}  // namespace spillway::core
