#include "operator/core/tasks/attempts.h"

#include <gtest/gtest.h>

#include "operator/base/foreign_text.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::hours;
using std::chrono::seconds;

class AttemptTest : public testing::Test {
 protected:
  // Bound to a server that costs 1 per second, unless a test says otherwise.
  void Start(Json spec = Json::object()) {
    api.AddServer("s1");
    api.servers["s1"].spec.price_micros = 3600 * 1'000'000LL;
    api.Change(api.servers["s1"]);
    api.AddTask("t", std::move(spec));
    api.Settle();
  }
  void Run(const std::string& pod, seconds time) {
    api.SetPod(pod, PodPhase::kRunning);
    api.Advance(time);
  }
  api::Pod& Pod(const std::string& name) { return api.pods.at("ns/" + name); }
  void Suspend() {
    api.tasks["ns/t"].spec.suspend = true;
    api.Change(api.tasks["ns/t"]);
    api.Settle();
  }
  // Changes the pod before it is seen.
  void Show(const std::string& name) {
    api.Change(Pod(name));
    api.Settle();
  }
  // Fails as containerd says of a command that does not exist.
  void FailToStart(const std::string& name) {
    Pod(name).phase = PodPhase::kFailed;
    Pod(name).started_any = true;
    Pod(name).termination = api::Termination{128, "StartError", "no such file", {}, api.now};
    Show(name);
  }
  const api::Attempt& Attempt(size_t i) { return api.Status("t").attempts.at(i); }
  ApiModel api;
};

TEST_F(AttemptTest, AContainerThatNeverRanCostsNothing) {
  Start();
  api.Advance(seconds(5));
  FailToStart("t-1");
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->exit_code, 128);
  EXPECT_EQ(api.Status("t").result->cost, "");
  EXPECT_EQ(Attempt(0).started_at, std::nullopt);
}

TEST_F(AttemptTest, ANodesClockThatIsTooFastChangesNeitherCostNorDeadline) {
  Start({{"activeDeadlineSeconds", 60}});
  Pod("t-1").phase = PodPhase::kRunning;
  Pod("t-1").started = api.now + hours(2);
  Show("t-1");
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Running");
  Pod("t-1").phase = PodPhase::kSucceeded;
  Pod("t-1").termination =
      api::Termination{0, "Completed", "", api.now + hours(2) - seconds(10), api.now + hours(2)};
  Show("t-1");
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").result->cost, "10");
  EXPECT_LE(*Attempt(0).finished_at, api.now + seconds(1));
}

TEST_F(AttemptTest, ANodesClockThatIsTooSlowChangesNeitherCostNorDeadline) {
  Start({{"activeDeadlineSeconds", 60}});
  Pod("t-1").phase = PodPhase::kRunning;
  Pod("t-1").started = api.now - hours(2);
  Show("t-1");
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("t"), "Running");
  Pod("t-1").phase = PodPhase::kSucceeded;
  Pod("t-1").termination =
      api::Termination{0, "Completed", "", api.now - hours(2) - seconds(10), api.now - hours(2)};
  Show("t-1");
  EXPECT_EQ(api.Status("t").result->cost, "10");
  EXPECT_EQ(Attempt(0).started_at, At(0));
}

TEST_F(AttemptTest, TheTimeBeforeItRanIsNotCountedForANodeWithASlowClock) {
  Start({{"activeDeadlineSeconds", 60}});
  api.Advance(seconds(300));
  Pod("t-1").phase = PodPhase::kRunning;
  Pod("t-1").started = api.now - hours(2);
  Show("t-1");
  api.Advance(seconds(50));
  EXPECT_EQ(api.Phase("t"), "Running");
}

TEST_F(AttemptTest, NothingRanBeforeThePodWasCreatedHoweverLongThatTook) {
  api.AddServer("s1");
  api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
  api.AddTask("t", {{"activeDeadlineSeconds", 60}});
  api.Settle();
  api.Advance(seconds(4));
  api.Unblock();
  api.Settle();
  ASSERT_EQ(Pod("t-1").meta.created, api.now);
  Pod("t-1").phase = PodPhase::kRunning;
  Pod("t-1").started = api.now - seconds(4);  // by a clock that is slow
  Show("t-1");
  EXPECT_EQ(api.world().tasks.by_key.at("ns/t").running_since, api.now);
}

TEST_F(AttemptTest, ADeadlinePassesWhateverTheNodesClockSays) {
  Start({{"activeDeadlineSeconds", 60}});
  Pod("t-1").phase = PodPhase::kRunning;
  Pod("t-1").started = api.now + hours(2);
  Show("t-1");
  api.Advance(seconds(61));
  EXPECT_EQ(api.Status("t").result->reason, "DeadlineExceeded");
}

TEST_F(AttemptTest, TimesOfHalfACenturyCostNoMoreThanTheAttemptLasted) {
  Start();
  Run("t-1", seconds(10));
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").termination = api::Termination{1, "Error", "", Time{}, api.now};
  Show("t-1");
  EXPECT_EQ(api.Status("t").result->cost, "10");
}

TEST_F(AttemptTest, WhatItsNodeForgotCostsTheTimeThatItWasSeenToRun) {
  Start();
  Run("t-1", seconds(10));
  Pod("t-1").started.reset();
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").termination = api::Termination{1, "Error", "", {}, {}};
  Show("t-1");
  EXPECT_EQ(api.Status("t").result->cost, "10");
}

TEST_F(AttemptTest, ARunningPodThatVanishesCostsTheTimeThatItWasSeenToRun) {
  Start();
  Run("t-1", seconds(10));
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  api.Advance(seconds(5));
  EXPECT_EQ(Attempt(0).cost_micros, 10'000'000);
}

TEST_F(AttemptTest, AServerWithAFastClockThatIsLostCostsTheTimeThatItWasSeenToRun) {
  Start();
  Pod("t-1").phase = PodPhase::kRunning;
  Pod("t-1").started = api.now + hours(2);
  Show("t-1");
  api.Advance(seconds(10));
  api.Remove(api.nodes, "s1");
  api.Advance(seconds(5));
  EXPECT_EQ(Attempt(0).cost_micros, 10'000'000);
}

TEST_F(AttemptTest, TheTimeOfInitContainersIsPaidAsWell) {
  Start();
  Pod("t-1").init_started = api.now;
  api.Advance(seconds(4));
  Run("t-1", seconds(6));
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.Status("t").result->cost, "10");
}

TEST_F(AttemptTest, TheInitContainerThatFailedIsNamed) {
  Start();
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").termination =
      api::Termination{7, "Error", "no network", api.now, api.now, "init container fetch"};
  Show("t-1");
  EXPECT_EQ(api.Status("t").result->message,
            "exit code 7 (Error) of init container fetch on server s1: no network");
  EXPECT_EQ(Attempt(0).message, "init container fetch: no network");
}

TEST_F(AttemptTest, ARetryIsToldWithTheTimeAtWhichItBegins) {
  Start({{"retry", {{"limit", 2}, {"backoffSeconds", 30}}}});
  Run("t-1", seconds(5));
  api.SetPod("t-1", PodPhase::kFailed, 3);
  api.Settle();
  const std::string told = api.Says("t", "Reconciling");
  EXPECT_NE(told.find("; retry 1 of 2 at " + FormatTime(api.now + seconds(30))), std::string::npos)
      << told;
}

TEST_F(AttemptTest, WhatItsKubeletSaidOfItsEndStandsInTheResultAndInTheColumn) {
  Start({{"retry", {{"limit", 1}, {"backoffSeconds", 0}}}});
  for (const char* pod : {"t-1", "t-2"}) {
    Run(pod, seconds(5));
    Pod(pod).reason = "Evicted";
    Pod(pod).message = "Usage of EmptyDir volume \"e\"\nexceeds the limit \"1Mi\"";
    api.SetPod(pod, PodPhase::kFailed, 137);
    api.Settle();
  }
  const std::string told =
      "exit code 137 (Evicted) on server s1 after 1 retries: Usage of EmptyDir volume \"e\" "
      "exceeds "
      "the limit \"1Mi\"";
  EXPECT_EQ(api.Status("t").result->message, told);
  EXPECT_EQ(api.Says("t"), told);
}

TEST_F(AttemptTest, WhatTheContainerSaidThatEndedItIsToldBesideWhatItsKubeletSaid) {
  Start();
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").message = "the node was low on memory";
  Pod("t-1").termination =
      api::Termination{128, "StartError", "exec: \"nosuch\": not found", api.now, api.now};
  Show("t-1");
  EXPECT_NE(api.Says("t").find(": the node was low on memory; exec: \"nosuch\": not found"),
            std::string::npos)
      << api.Says("t");
}

TEST_F(AttemptTest, LongWordsOfAContainerAreOneLineThatCanBeRead) {
  Start({{"retry", {{"limit", 1}, {"backoffSeconds", 30}}}});
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").termination =
      api::Termination{1, "Error", std::string(3'000, 'x') + "\n", api.now, api.now};
  Show("t-1");
  EXPECT_LE(api.Says("t").size(), kMostLine);
  EXPECT_LE(api.Says("t", "Reconciling").size(), 1'200u);
  EXPECT_NE(api.Says("t").find("retry 1 of 1 at "), std::string::npos) << api.Says("t");
}

TEST_F(AttemptTest, AContainerThatItsKubeletStartsAgainAndAgainIsToldWhileItRuns) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").restarts = api::Restarts{"container main", 7, 3, "Error", true};
  Show("t-1");
  api.Advance(seconds(61));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.Says("t"),
            "running on server s1; container main was restarted 7 times, last exit code 3 (Error), "
            "CrashLoopBackOff");
}

TEST_F(AttemptTest, OneThatIsStartedAgainForAnHourIsWrittenNowAndThen) {
  Start();
  Run("t-1", seconds(5));
  const int writes = api.task_writes;
  for (int i = 1; i <= 360; ++i) {
    Pod("t-1").restarts = api::Restarts{"container main", i, 3, "Error", i % 2 == 0};
    Show("t-1");
    api.Advance(seconds(10));
  }
  EXPECT_LE(api.task_writes, writes + 65);
  EXPECT_GE(api.task_writes, writes + 30);
}

// Whose fault it was.

TEST_F(AttemptTest, EvictionForWhatItTookItselfIsItsFailure) {
  Start({{"retry", {{"limit", 1}, {"backoffSeconds", 0}}}});
  for (const char* pod : {"t-1", "t-2"}) {
    Run(pod, seconds(5));
    Pod(pod).reason = "Evicted";
    Pod(pod).message = "Usage of EmptyDir volume exceeds the limit";
    api.SetPod(pod, PodPhase::kFailed, 137);
    api.Settle();
  }
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").retries, 1);
  EXPECT_EQ(api.Status("t").result->reason, "BackoffLimitExceeded");
}

TEST_F(AttemptTest, ARebootOfItsNodeIsNot) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").termination = api::Termination{255, "Unknown", "", api.now, api.now, "", true};
  Show("t-1");
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
  api.Advance(seconds(5));
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.Status("t").losses, 1);
  EXPECT_EQ(Attempt(0).reason, "Unknown");
}

TEST_F(AttemptTest, ARestartedKubeletThatTurnsItAwayIsNot) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").started_any = true;
  Pod("t-1").reason = "NodeAffinity";
  Show("t-1");
  api.Advance(seconds(5));
  EXPECT_EQ(Attempt(0).reason, "NodeAffinity");
  EXPECT_EQ(api.Status("t").losses, 1);
}

// As a kubelet writes it: its refusal takes the place of all that was said of containers.
TEST_F(AttemptTest, NorIsOneWhoseRefusalTellsOfNoContainers) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").started.reset();
  Pod("t-1").reason = "NodeAffinity";
  Show("t-1");
  api.Advance(seconds(5));
  EXPECT_EQ(Attempt(0).reason, "NodeAffinity");
  EXPECT_EQ(Attempt(0).started_at, At(0));
  EXPECT_EQ(api.Status("t").losses, 1);
}

TEST_F(AttemptTest, NorIsOneThatAnEarlierProcessHasSeenRun) {
  Start({{"retry", {{"lossLimit", 0}}}});
  Run("t-1", seconds(60));
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").started.reset();
  Pod("t-1").reason = "NodeAffinity";
  api.Change(Pod("t-1"));
  api.Restart();
  api.Advance(seconds(5));
  ASSERT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
  EXPECT_EQ(api.pods.count("ns/t-2"), 0U);
}

TEST_F(AttemptTest, TheDeadlineOfItsTemplateIsItsFailure) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").reason = "DeadlineExceeded";
  Show("t-1");
  EXPECT_EQ(api.Phase("t"), "Failed");
}

TEST_F(AttemptTest, AGoodExitAfterItsEndWasAskedForIsNoSuccess) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").disrupted = true;
  Pod("t-1").asked_to_end = api.now;
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
  api.Advance(seconds(5));
  EXPECT_EQ(api.Phase("t"), "Assigned");
  EXPECT_EQ(api.Status("t").losses, 1);
}

TEST_F(AttemptTest, AGoodExitOfAPodThatWasSeenToRunWhileItWasDeletedIsNoSuccess) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").meta.deleted = api.now + seconds(30);
  Pod("t-1").asked_to_end = api.now;
  Show("t-1");
  api.SetPod("t-1", PodPhase::kSucceeded);
  Pod("t-1").termination->finished = api.now - hours(2);  // by its node
  api.Settle();
  EXPECT_NE(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, APodThatHadEndedBeforeItWasDeletedIsASuccess) {
  Start();
  Run("t-1", seconds(5));
  Pod("t-1").phase = PodPhase::kSucceeded;
  Pod("t-1").termination = api::Termination{0, "Completed", "", api.now - seconds(5), api.now};
  api.Advance(seconds(5));
  Pod("t-1").meta.deleted = api.now;
  Pod("t-1").asked_to_end = api.now;
  Show("t-1");
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, AGoodExitAfterItsEndWasAskedForIsNoSuccessIfOurClockIsSlow) {
  Start();
  Run("t-1", seconds(5));
  api::Pod& pod = Pod("t-1");
  pod.phase = PodPhase::kSucceeded;
  pod.meta.deleted = pod.asked_to_end = api.now + seconds(20);  // by the API server's clock
  pod.termination =
      api::Termination{0, "Completed", "", api.now + seconds(10), api.now + seconds(24)};
  Show("t-1");
  EXPECT_NE(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, APodThatHadEndedBeforeItWasDeletedIsASuccessIfOurClockIsSlow) {
  Start();
  Run("t-1", seconds(5));
  api::Pod& pod = Pod("t-1");
  pod.phase = PodPhase::kSucceeded;
  pod.meta.deleted = pod.asked_to_end = api.now + seconds(20);
  pod.termination =
      api::Termination{0, "Completed", "", api.now + seconds(10), api.now + seconds(16)};
  Show("t-1");
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, APodThatHadSucceededWhenItsTaskWasSuspendedIsASuccess) {
  Start();
  Run("t-1", seconds(5));
  api.hangs = [](const Write& write) { return write.verb == Verb::kDelete; };
  Suspend();
  EXPECT_EQ(api.Phase("t"), "Suspended");
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "done");
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").result->output, "done");
  EXPECT_EQ(api.Status("t").attempts.size(), 1u);
  EXPECT_EQ(api.Status("t").result->cost, "5");
}

TEST_F(AttemptTest, APodThatHadSucceededWhenItsTaskWasSuspendedIsASuccessThoughItIsGone) {
  Start();
  Run("t-1", seconds(5));
  api.hangs = [](const Write& write) { return write.verb == Verb::kDelete; };
  Suspend();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Unblock();  // seen in one step
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, APodThatHadSucceededWhenItWasDeletedInTheSameSecondIsASuccess) {
  Start();
  Run("t-1", seconds(5));
  api.hangs = [](const Write& write) { return write.verb == Verb::kDelete; };
  Suspend();
  api::Pod& pod = Pod("t-1");
  pod.phase = PodPhase::kSucceeded;
  pod.termination = api::Termination{0, "Completed", "", api.now - seconds(5), api.now};
  api.Change(pod);
  pod.meta.deleted = pod.asked_to_end = api.now;
  api.Change(pod);  // both are seen in one step
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, APodThatHadSucceededBeforeItsCreationWasAnsweredIsASuccessThoughSuspended) {
  api.unheard = true;
  Start();
  api.unheard = false;
  Suspend();
  EXPECT_EQ(api.Phase("t"), "Suspended");
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(AttemptTest, APodThatEndsWellBecauseItsTaskWasSuspendedIsStopped) {
  api.slow_deletion = true;
  Start();
  Run("t-1", seconds(5));
  Suspend();
  api.Advance(seconds(3));
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Suspended");
  EXPECT_EQ(Attempt(0).reason, "Suspended");
}

TEST_F(AttemptTest, ATaskThatIsLostTooOftenFailsAndSaysSo) {
  Start({{"retry", {{"lossLimit", 2}}}});
  for (const char* pod : {"t-1", "t-2", "t-3"}) {
    api.Advance(seconds(60));
    Run(pod, seconds(1));
    api.Remove(api.pods, std::string("ns/") + pod);
    api.Settle();
  }
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").losses, 3);
  EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
  EXPECT_EQ(api.Status("t").result->message,
            "lost on server s1: the pod was deleted; lost 3 times, and spec.retry.lossLimit is 2");
  EXPECT_EQ(api.Status("t").result->cost, "3");
}

TEST_F(AttemptTest, WithALossLimitOfZeroWhatMayHaveRunIsNeverRunAgain) {
  Start({{"retry", {{"lossLimit", 0}}}});
  Run("t-1", seconds(10));
  api.pods.erase("ns/t-1");
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(AttemptTest, ARefusedPodIsNoLoss) {
  Start({{"retry", {{"lossLimit", 0}}}});
  Pod("t-1").phase = PodPhase::kFailed;
  Pod("t-1").reason = "UnexpectedAdmissionError";
  Show("t-1");
  api.Advance(seconds(120));
  EXPECT_NE(api.Phase("t"), "Failed");
  EXPECT_GE(api.pods_made, 2);
  EXPECT_EQ(api.Status("t").losses, 0);
}

TEST_F(AttemptTest, ThePodsOfTheLastThreeAttemptsStay) {
  Start({{"retry", {{"limit", 9}, {"backoffSeconds", 0}}}});
  for (int i = 1; i <= 6; ++i) {
    Run("t-" + std::to_string(i), seconds(1));
    api.SetPod("t-" + std::to_string(i), i < 6 ? PodPhase::kFailed : PodPhase::kSucceeded, i < 6);
    api.Settle();
    api.Advance(seconds(3600));
  }
  std::vector<std::string> left;
  for (const auto& [key, pod] : api.pods) left.push_back(key);
  EXPECT_EQ(left, (std::vector<std::string>{"ns/t-4", "ns/t-5", "ns/t-6"}));
}

// What stands in the result.

TEST_F(AttemptTest, TheResultOfAnEarlierAttemptDoesNotStandUnderALaterEnd) {
  Start({{"retry", {{"limit", 1}, {"backoffSeconds", 0}}}});
  Run("t-1", seconds(1));
  api.SetPod("t-1", PodPhase::kFailed, 3, "broken");
  api.Settle();
  Run("t-2", seconds(5));
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  const auto& result = *api.Status("t").result;
  EXPECT_EQ(result.exit_code, std::nullopt);
  EXPECT_EQ(result.output, "");
  EXPECT_EQ(result.reason, "Cancelled");
  EXPECT_EQ(result.started_at, api.now - seconds(5));
  EXPECT_EQ(result.cost, "6");
}

TEST_F(AttemptTest, TheResultOfAnEarlierAttemptDoesNotStandUnderADeadline) {
  Start({{"activeDeadlineSeconds", 20}, {"retry", {{"limit", 1}, {"backoffSeconds", 3000}}}});
  Run("t-1", seconds(1));
  api.SetPod("t-1", PodPhase::kFailed, 3, "broken");
  api.Advance(seconds(60));
  const auto& result = *api.Status("t").result;
  EXPECT_EQ(result.reason, "DeadlineExceeded");
  EXPECT_EQ(result.exit_code, std::nullopt);
  EXPECT_EQ(result.output, "");
  EXPECT_EQ(result.started_at, std::nullopt);
}

TEST_F(AttemptTest, TheCostIsThatOfAllAttemptsNotOnlyOfThoseListed) {
  Start({{"retry", {{"limit", 20}, {"backoffSeconds", 0}}}});
  for (int i = 1; i <= 15; ++i) {
    const std::string pod = "t-" + std::to_string(i);
    Run(pod, seconds(2));
    api.SetPod(pod, i < 15 ? PodPhase::kFailed : PodPhase::kSucceeded, i < 15);
    api.Settle();
    if (i == 12) api.Restart();
    api.Settle();
  }
  EXPECT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").attempts.size(), 10u);
  EXPECT_EQ(api.Status("t").result->cost, "30");
}

// It was stopped before its pod's creation was answered.
class UnansweredTest : public testing::Test {
 protected:
  UnansweredTest() {
    api.AddServer("s1");
    api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
    api.AddTask("t");
    api.Settle();
    for (const bool suspend : {true, false}) {
      api.tasks["ns/t"].spec.suspend = suspend;
      api.Change(api.tasks["ns/t"]);
      api.Settle();
    }
    api.hangs = nullptr;
  }
  void Answer(ErrorKind kind) {
    api.Push(Outcome{Verb::kCreate,
                     Kind::kPod,
                     "ns/t-1",
                     api.tasks["ns/t"].meta.uid,
                     Error{kind, "the request timed out", {}, kind == ErrorKind::kUnavailable},
                     {}});
    api.Settle();
  }
  ApiModel api;
};

TEST_F(UnansweredTest, TheNextPodWaitsUntilItCannotAppearAnyMore) {
  Answer(ErrorKind::kUnavailable);
  api.Advance(seconds(10));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_NE(api.Says("t").find("pod t-1, whose creation was not answered, may appear until"),
            std::string::npos)
      << api.Says("t");
  api.Advance(seconds(120));
  EXPECT_TRUE(api.pods.contains("ns/t-2")) << api.Says("t");
}

TEST_F(UnansweredTest, TheNextPodComesOnceItHasAppearedAndGone) {
  Answer(ErrorKind::kUnavailable);
  api.Unblock();
  api.Settle();
  api.Advance(seconds(1));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_TRUE(api.pods.contains("ns/t-2")) << api.Says("t");
}

// Ours may come yet, and needs its room then.
TEST_F(UnansweredTest, APodOfAnotherLeaderThatComesAndGoesMeanwhileLeavesItsRoomKept) {
  api.Push(Seen{api.PodByAnother("s1")});
  api.Settle();
  api.Push(Gone{Kind::kPod, "ns/t-1", "another's", 1'001});
  api.AddTask("large", {}, "4");
  api.Settle();
  EXPECT_FALSE(api.pods.contains("ns/large-1"));
  Answer(ErrorKind::kForbidden);
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Advance(seconds(1));
  EXPECT_TRUE(api.pods.contains("ns/large-1")) << api.Says("large");
}

TEST_F(UnansweredTest, TheNextPodComesAtOnceIfTheCreationWasRefused) {
  Answer(ErrorKind::kForbidden);
  api.Advance(seconds(10));
  EXPECT_TRUE(api.pods.contains("ns/t-2")) << api.Says("t");
}

}  // namespace
}  // namespace spillway::core
