#include "operator/core/tasks/recorded_first.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using std::chrono::seconds;

const Json kOnce{{"retry", {{"lossLimit", 0}}}};

class RecordedFirstTest : public testing::Test {
 protected:
  RecordedFirstTest() { api.AddServer("s1", "1"); }
  void Add(const std::string& name = "t", Json spec = kOnce, const std::string& ns = "ns") {
    api.AddTask(name, std::move(spec), "1", ns);
    api.Settle();
  }
  // Statuses of others in its namespace, one every two seconds.
  void WriteOthers(int times) {
    for (int i = 0; i < times; ++i) {
      Add("other" + std::to_string(i), {{"suspend", true}});
      api.Advance(seconds(2));
      api.Remove(api.tasks, "ns/other" + std::to_string(i));
    }
  }
  void RefuseStatuses(Error error) {
    api.refuse = Denies(Verb::kPatchStatus, Kind::kTask, std::move(error));
  }
  static bool IsStatus(const Write& write) {
    return write.verb == Verb::kPatchStatus && write.kind == Kind::kTask;
  }
  ApiModel api;
};

TEST_F(RecordedFirstTest, ThePodIsCreatedAtOnceWhenTheStatusIsWritten) {
  Add();
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Phase("t"), "Assigned");
  EXPECT_EQ(api.task_writes, 1);
}

TEST_F(RecordedFirstTest, NoPodIsCreatedWhileTheStatusIsOnItsWay) {
  api.hangs = IsStatus;
  Add();
  EXPECT_EQ(api.pods_made, 0);
  api.Unblock();
  api.Settle();
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(RecordedFirstTest, NoPodIsCreatedOnANodeWhoseServerIsAnotherMachineByThen) {
  api.hangs = IsStatus;
  Add();
  api::RegisteredServer other = api.servers.at("s1");
  api.Remove(api.nodes, "s1");
  api.Remove(api.servers, "s1");
  api.AddNode("n2", "1");
  other.meta.uid = "other";
  other.spec.node_name = "n2";
  api.servers["s1"] = other;
  api.Change(api.servers.at("s1"));
  api.Settle();
  api.Unblock();
  api.Settle();
  EXPECT_TRUE(!api.pods.contains("ns/t-1") || api.pods.at("ns/t-1").node_name == "n2");
}

TEST_F(RecordedFirstTest, TasksThatMayBeLostDoNotWaitForTheirStatus) {
  api.hangs = IsStatus;
  Add("t", Json::object());
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(RecordedFirstTest, NoPodIsCreatedWhileTheStatusIsRefused) {
  RefuseStatuses({ErrorKind::kForbidden, "policy: no", {}});
  Add();
  api.Advance(seconds(300));
  EXPECT_EQ(api.pods_made, 0);
  api.refuse = nullptr;
  api.Advance(seconds(120));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(RecordedFirstTest, AStatusThatIsInvalidDoesNotMakeTheTemplateSo) {
  RefuseStatuses({ErrorKind::kInvalid, "status.phase: no", {}});
  Add();
  api.Advance(seconds(30));
  api.refuse = nullptr;
  api.Advance(seconds(120));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(RecordedFirstTest, AStatusThatWasInvalidForAnHourIsTriedAgainWithinTwoMinutes) {
  RefuseStatuses({ErrorKind::kInvalid, "status.phase: no", {}});
  Add();
  api.Advance(seconds(3600));
  api.refuse = nullptr;
  api.Advance(seconds(120));
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(RecordedFirstTest, ATaskWhosePodOthersHaveDeletedHasNotGivenWay) {
  const Json local{{"policy", "LocalOnly"}};
  api.AddPriorityClass("high", 10);
  api.slow_deletion = true;
  Add("t", {{"retry", {{"lossLimit", 0}}}, {"placement", local}});
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Settle();
  api::Pod& pod = api.pods.at("ns/t-1");
  pod.meta.deleted = pod.asked_to_end = api.now;
  api.Change(pod);
  Add("urgent", {{"priorityClassName", "high"}, {"preemption", "Allowed"}, {"placement", local}});
  api.Advance(seconds(20));
  ASSERT_EQ(api.Phase("t"), "Failed") << api.Says("t");
  EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
}

TEST_F(RecordedFirstTest, WhatIsNotRecordedTakesNoRoom) {
  api.statuses_hang_in = "ns";
  Add();
  Add("other", Json::object(), "elsewhere");
  EXPECT_EQ(api.pods_made, 0);
  api.Advance(seconds(6));
  EXPECT_TRUE(api.pods.contains("elsewhere/other-1"));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
}

TEST_F(RecordedFirstTest, WhereStatusesHangOneTaskAfterTheOtherDoesNotTakeTheRoom) {
  api.statuses_hang_in = "ns";
  for (const char* name : {"a", "b", "c", "d"}) Add(name);
  api.Advance(seconds(6));
  Add("other", Json::object(), "elsewhere");
  api.Advance(seconds(1));
  EXPECT_TRUE(api.pods.contains("elsewhere/other-1"));
}

TEST_F(RecordedFirstTest, OthersOfItsKindAreCreatedMeanwhile) {
  api.AddServer("s2", "1");
  api.hangs = [](const Write& write) { return IsStatus(write) && write.name == "t"; };
  Add();
  Add("other", Json::object());
  api.Advance(seconds(10));
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
}

TEST_F(RecordedFirstTest, AStatusThatTakesLongIsNotWrittenInVain) {
  api.hangs = IsStatus;
  Add();
  api.Advance(seconds(8));
  api.Unblock();
  api.Settle();
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.ServerOf("t"), "s1");
}

TEST_F(RecordedFirstTest, AnEventSaysOnceThatTheStatusIsNotAnswered) {
  api.statuses_hang_in = "ns";
  Add();
  api.Advance(seconds(300));
  ASSERT_EQ(api.notes.size(), 1u);
  EXPECT_THAT(api.notes[0].message, testing::HasSubstr("has not answered that since"));
}

TEST_F(RecordedFirstTest, AnEventSaysItOnceHoweverOftenItIsBoundBehindStatusesThatHang) {
  api.statuses_hang_in = "ns";
  for (int i = 0; i < 40; ++i) Add("held" + std::to_string(i), {{"suspend", true}});
  Add();
  api.Advance(seconds(600));
  EXPECT_EQ(api.notes.size(), 1u);
}

TEST_F(RecordedFirstTest, AStatusIsNotOverdueWhileOthersOfItsNamespaceAreWritten) {
  api.AddServer("s2", "8");
  api.hangs = [](const Write& write) { return IsStatus(write) && write.name == "t"; };
  Add();
  WriteOthers(13);
  EXPECT_TRUE(api.notes.empty()) << "it may wait for its turn";
  WriteOthers(4);
  ASSERT_EQ(api.notes.size(), 1u) << "but not for ever";
  EXPECT_EQ(api.notes[0].reason, "StatusOverdue");
}

TEST_F(RecordedFirstTest, AStatusThatTakesLongAndIsNotOverdueIsFollowedByThePod) {
  api.AddServer("s2", "8");
  api.hangs = [](const Write& write) { return IsStatus(write) && write.name == "t"; };
  Add();
  WriteOthers(4);
  const int writes = api.task_writes;
  api.Unblock();
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.task_writes, writes + 1);
}

TEST_F(RecordedFirstTest, ACreationThatHangsAfterAStatusThatTookLongIsTold) {
  api.AddServer("s2", "8");
  api.hangs = [](const Write& write) {
    return (IsStatus(write) && write.name == "t") || write.name == "t-1";
  };
  Add();
  WriteOthers(4);
  api.UnblockFirst();
  api.Advance(seconds(6));
  ASSERT_EQ(api.hanging(), 2u) << "the pod, and the status that says so";
  EXPECT_THAT(api.world().tasks.by_key.at("ns/t").object.status.phase, api::TaskPhase::kPending);
}

TEST_F(RecordedFirstTest, RoomThatAnotherHasTakenMeanwhileIsNotTakenTwice) {
  api.hangs = [](const Write& write) { return IsStatus(write) && write.name == "t"; };
  Add();
  Add("other", Json::object());
  api.Advance(seconds(8));
  api.Unblock();
  api.Advance(seconds(30));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
  EXPECT_EQ(api.Phase("t"), "Pending");
}

TEST_F(RecordedFirstTest, AServerThatIsCordonedMeanwhileGetsNoPod) {
  api.hangs = IsStatus;
  Add();
  api.servers["s1"].spec.cordoned = true;
  api.Change(api.servers["s1"]);
  api.Settle();
  api.Unblock();
  api.Advance(seconds(30));
  EXPECT_EQ(api.pods_made, 0);
  EXPECT_EQ(api.Phase("t"), "Pending");
}

TEST_F(RecordedFirstTest, ATaskThatIsCancelledMeanwhileGetsNoPod) {
  api.hangs = IsStatus;
  Add();
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  api.Unblock();
  api.Advance(seconds(60));
  EXPECT_EQ(api.Phase("t"), "Cancelled");
  EXPECT_EQ(api.pods_made, 0);
}

TEST_F(RecordedFirstTest, ATaskThatIsDeletedMeanwhileGetsNoPodAndKeepsNoRoom) {
  api.hangs = IsStatus;
  Add();
  api.Remove(api.tasks, "ns/t");
  api.Settle();
  api.Unblock();
  Add("other", Json::object());
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
}

TEST_F(RecordedFirstTest, ATaskThatIsDeletedAndStaysForAFinalizerGetsNoPodAndKeepsNoRoom) {
  api.hangs = IsStatus;
  Add();
  api.tasks["ns/t"].meta.deleted = api.now;
  api.Change(api.tasks["ns/t"]);
  api.Settle();
  api.Unblock();
  Add("other", Json::object());
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_TRUE(api.pods.contains("ns/other-1"));
  EXPECT_EQ(api.ServerOf("t"), "") << "there is no pod of it";
  EXPECT_EQ(api.Status("t").losses, 0);
}

TEST_F(RecordedFirstTest, WhoComesNextKnowsOfAnAttemptWhosePodWasNeverSeenToEnd) {
  Add();
  RefuseStatuses({ErrorKind::kForbidden, "policy: no", {}});
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Advance(seconds(10));
  api.AddServer("s2", "1");
  api.Remove(api.nodes, "s1");
  api.Advance(seconds(10));
  api.pods.erase("ns/t-1");
  api.refuse = nullptr;
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(RecordedFirstTest, APodThatIsRefusedIsNoLossForWhoComesNext) {
  api.pod_error = Error{ErrorKind::kForbidden, "exceeded quota", {}};
  Add();
  EXPECT_EQ(api.Phase("t"), "Pending");
  api.Restart();
  api.Advance(seconds(60));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Status("t").losses, 0);
}

// The answer is lost, or has not come: the pod may run all the same.
class AmbiguousCreationTest : public RecordedFirstTest {
 protected:
  // The creation of ns/t-1 is carried out, and neither answered nor seen.
  api::Pod AddUnheard() {
    api.unheard = true;
    Add();
    api.unheard = false;
    return api.pods.at("ns/t-1");
  }
  // The same, until its room is given back; by then the pod is gone, and a list tells of others.
  api::Pod AddMissed() {
    api.unheard = true;
    Add();
    api.Advance(seconds(8));
    api.unheard = false;
    const api::Pod pod = api.pods.at("ns/t-1");
    api.pods.clear();
    api.Push(Listed{Kind::kPod, 1'000, {}});
    return pod;
  }
  void Answer(std::optional<Error> error, std::optional<Object> made = std::nullopt) {
    api.Push(Outcome{Verb::kCreate, Kind::kPod, "ns/t-1", api.tasks.at("ns/t").meta.uid,
                     std::move(error), std::move(made)});
  }
  void ExpectLostOnce() {
    EXPECT_EQ(api.Phase("t"), "Failed");
    EXPECT_EQ(api.pods_made, 1);
    ASSERT_TRUE(api.Status("t").result);
    EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
  }
};

TEST_F(AmbiguousCreationTest, WhoComesNextKnowsOfThePodThoughItIsGone) {
  api.unheard = true;
  Add();
  api.Advance(seconds(8));  // its room is given back
  api.pods.erase("ns/t-1");
  api.unheard = false;
  api.Restart();
  api.Advance(seconds(60));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, AlsoWhereTheAnswerWasThatThereIsNone) {
  api.pod_error = Error{ErrorKind::kUnavailable, "etcdserver: request timed out", {}};
  Add();
  ASSERT_EQ(api.pods_made, 0);
  api.pods_made = 1;  // it was made after all, has run and is gone
  api.Restart();
  api.Advance(seconds(60));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, SoItIsWhereThePodComesAndGoesAtOnce) {
  api.unheard = true;
  Add();
  api.Advance(seconds(8));
  const api::Pod pod = api.pods.at("ns/t-1");
  api.pods.erase("ns/t-1");
  api.Push(Seen{pod});
  api.Push(Gone{Kind::kPod, "ns/t-1", pod.meta.uid, pod.meta.resource_version + 1});
  api.unheard = false;
  api.Advance(seconds(60));
  ExpectLostOnce();
}

// What the watch told of it came with the answer, or before it.
TEST_F(AmbiguousCreationTest, SoItIsWhereThePodComesAndGoesBeforeAnAnswerThatMeansNothing) {
  AddUnheard();
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Remove(api.pods, "ns/t-1");
  Answer(Error{ErrorKind::kUnavailable, "cannot reach it: reset", {}, true});
  api.Advance(seconds(180));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, SoItIsWhereThePodComesAndGoesLongBeforeTheAnswer) {
  const api::Pod pod = AddUnheard();
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(8));
  Answer({}, pod);
  api.Advance(seconds(180));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, SoItIsWhereThePodIsGoneBeforeTheLateAnswerThatItWasMade) {
  Answer({}, AddMissed());
  api.Advance(seconds(180));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, SoItIsWhereThePodIsGoneBeforeTheLateAnswerThatItWasThere) {
  Answer(Error{ErrorKind::kAlreadyExists, "exists", {}}, AddMissed());
  api.Advance(seconds(180));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, SoItIsWhereThePodComesAndGoesAfterAnAnswerThatThereIsNone) {
  AddUnheard();
  Answer(Error{ErrorKind::kUnavailable, "pods \"t-1\" not found", {}});
  api.Settle();
  ASSERT_EQ(api.hanging(), 0U);
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(180));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, TheSamePodIsAskedForAgain) {
  api.pod_error = Error{ErrorKind::kUnavailable, "etcdserver: request timed out", {}};
  Add();
  api.Advance(seconds(30));
  ASSERT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.pods_made, 1);
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(AmbiguousCreationTest, OneThatIsLateIsAdopted) {
  api.unheard = true;
  Add();
  api.Advance(seconds(8));
  api.unheard = false;
  api.Change(api.pods.at("ns/t-1"));
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Advance(seconds(60));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(AmbiguousCreationTest, OnceItCannotComeAnyMoreTheRecordIsTakenBack) {
  api.pod_error = Error{ErrorKind::kUnavailable, "etcdserver: request timed out", {}};
  Add();
  api.refuse = Denies(Verb::kCreate, Kind::kPod, {ErrorKind::kForbidden, "exceeded quota", {}});
  api.Advance(seconds(900));
  api.Restart();
  api.refuse = nullptr;
  api.Advance(seconds(120));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Status("t").losses, 0);
}

TEST_F(AmbiguousCreationTest, AnAnswerThatWasLostIsOne) {
  api.pod_error = Error{ErrorKind::kUnavailable, "cannot reach it: reset", {}, true};
  Add();
  api.pods_made = 1;
  api.Restart();
  api.Advance(seconds(60));
  ExpectLostOnce();
}

TEST_F(AmbiguousCreationTest, AWebhookThatDoesNotAnswerIsNoDoubt) {
  api.refuse = Denies(Verb::kCreate, Kind::kPod,
                      {ErrorKind::kUnavailable, "failed calling webhook \"x\": deadline", {}});
  Add();
  api.Advance(seconds(30));
  api.Restart();
  api.refuse = nullptr;
  api.Advance(seconds(120));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(api.Status("t").losses, 0);
}

// Two leaders for a moment: what the other has recorded is not known yet.
class AnotherLeaderTest : public RecordedFirstTest {
 protected:
  void Record(const std::string& server, int64_t attempt = 1) {
    api::TaskStatus& status = api.tasks.at("ns/t").status;
    status.phase = api::TaskPhase::kAssigned;
    status.assignment = std::make_shared<const api::Assignment>(
        api::Assignment{server, server, false, "", "", PodName("t", attempt), attempt, api.now});
    api.Change(api.tasks.at("ns/t"));
  }
  void TakeBack() {
    api::TaskStatus& status = api.tasks.at("ns/t").status;
    status.phase = api::TaskPhase::kPending;
    status.assignment.reset();
    api.Change(api.tasks.at("ns/t"));
    api.Settle();
  }
  // Ours is on its way, and meets what the other has recorded.
  void Meet(const std::string& server, int64_t attempt = 1) {
    api.hangs = IsStatus;
    Add();
    Record(server, attempt);
    api.hangs = nullptr;
    api.Unblock();
    api.Settle();
  }
  // Its status is carried out, and this is answered all the same.
  void CarryOutUnanswered(Error error) {
    api.refuse = [this, error, done = false](const Write& write) mutable -> std::optional<Error> {
      if (!IsStatus(write) || std::exchange(done, true)) return std::nullopt;
      api::TaskRequest& task = api.tasks.at("ns/t");
      task.status = api::DecodeTaskRequest({{"metadata", {{"name", "t"}}},
                                            {"spec", {{"template", Json::object()}}},
                                            {"status", write.body}})
                        ->status;
      api.Change(task);
      return error;
    };
  }
  void ExpectLost() {
    EXPECT_EQ(api.Phase("t"), "Failed") << api.Says("t");
    ASSERT_TRUE(api.Status("t").result);
    EXPECT_EQ(api.Status("t").result->reason, "LossLimitExceeded");
    EXPECT_EQ(api.pods_made, 0);
  }
  void ExpectCreatedOnce() {
    EXPECT_EQ(api.Phase("t"), "Assigned") << api.Says("t");
    EXPECT_EQ(api.pods_made, 1);
    EXPECT_EQ(api.Status("t").losses, 0);
  }
};

TEST_F(AnotherLeaderTest, WhatAnotherHasBegunMeanwhileIsNotBegunAgain) {
  Meet("s1");
  EXPECT_EQ(api.pods_made, 0);
  api.Advance(seconds(300));
  ExpectLost();
}

TEST_F(AnotherLeaderTest, ItsPodIsWaitedForFromWhenItsRecordWasSeen) {
  api.hangs = IsStatus;
  Add();
  Record("s1");
  api.Advance(seconds(130));
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(5));
  ExpectLost();
}

TEST_F(AnotherLeaderTest, NorIsItWhereTheAnswerComesFirst) {
  api.hangs = IsStatus;
  Add();
  RefuseStatuses({ErrorKind::kConflict, "changed", {}});
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(1));
  Record("s1");
  api.Settle();
  api.refuse = nullptr;
  api.Advance(seconds(300));
  ExpectLost();
}

TEST_F(AnotherLeaderTest, NorIsItOnAnotherServer) {
  api.AddServer("s2", "1");
  Meet("s2");
  api.Advance(seconds(300));
  ExpectLost();
}

TEST_F(AnotherLeaderTest, NorByOneWhoHadNoServerYet) {
  api.servers["s1"].spec.cordoned = true;
  api.Change(api.servers["s1"]);
  Add();
  Record("s1");
  api.Settle();
  api.servers["s1"].spec.cordoned = false;
  api.Change(api.servers["s1"]);
  api.Advance(seconds(300));
  ExpectLost();
}

TEST_F(AnotherLeaderTest, ItsPodIsFollowedOnceItIsSeen) {
  api.AddServer("s2", "1");
  Meet("s2");
  api.Advance(seconds(20));
  api.pods["ns/t-1"] = api.PodByAnother("s2");
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Advance(seconds(300));
  EXPECT_EQ(api.Phase("t"), "Running");
  EXPECT_EQ(api.Status("t").assignment->server, "s2");
  EXPECT_EQ(api.pods_made, 0);
}

TEST_F(AnotherLeaderTest, APodThatComesAndGoesAtOnceIsLostAtOnce) {
  Meet("s1");
  api.Push(Seen{api.PodByAnother("s1")});
  api.Push(Gone{Kind::kPod, "ns/t-1", "another's", 1'001});
  api.Advance(seconds(1));  // the status that met another waits for a moment
  ExpectLost();
}

TEST_F(AnotherLeaderTest, WhatItTakesBackIsBegunHere) {
  Meet("s1");
  TakeBack();
  api.Advance(seconds(1));
  ExpectCreatedOnce();
}

// Which counts as over here, since it gave way before anything was seen of it.
TEST_F(AnotherLeaderTest, NothingIsCreatedBesideAPodOfAnEarlierAttempt) {
  api.AddServer("s2", "1");
  api.slow_deletion = true;
  api.hangs = IsStatus;
  api.AddTask("t", kOnce);
  api::Attempt over;
  over.attempt = 1, over.server = "s2", over.pod_name = "t-1", over.reason = "Preempted";
  api.tasks.at("ns/t").status.attempts = {over};
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
  api.pods["ns/t-1"] = api.PodByAnother("s2");
  api.SetPod("t-1", api::PodPhase::kPending);
  api.Settle();
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(5));
  ASSERT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.pods_made, 0);
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods_made, 1) << api.Says("t");
}

TEST_F(AnotherLeaderTest, ATaskThatIsCancelledMeanwhileEnds) {
  Meet("s1");
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Advance(seconds(300));
  EXPECT_EQ(api.Phase("t"), "Cancelled");
}

TEST_F(AnotherLeaderTest, ItsHistoryIsNotOverwritten) {
  api.hangs = IsStatus;
  Add("t", {{"retry", {{"lossLimit", 0}, {"limit", 3}}}});
  api::TaskStatus& status = api.tasks.at("ns/t").status;
  status.attempts.push_back({1, "s1", "t-1", 1, "Error", "", api.now, api.now, 0});
  status.retries = 1;
  Record("s1");
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(1));
  EXPECT_TRUE(api.pods.contains("ns/t-2"));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.Status("t").retries, 1);
  EXPECT_EQ(api.Status("t").attempts.size(), 1u);
}

TEST_F(AnotherLeaderTest, OurOwnRecordOfWhichNoAnswerCameIsNotAnothers) {
  CarryOutUnanswered({ErrorKind::kUnavailable, "cannot reach it: reset", {}, true});
  Add();
  api.Advance(seconds(60));
  ExpectCreatedOnce();
}

TEST_F(AnotherLeaderTest, NorIsItWhereALaterTryMeetsIt) {
  CarryOutUnanswered({ErrorKind::kConflict, "changed", {}, true});
  Add();
  api.Advance(seconds(60));
  ExpectCreatedOnce();
}

TEST_F(AnotherLeaderTest, NorIsThatOfAPodThatWasRefused) {
  api.hangs = [&](const Write& write) { return IsStatus(write) && api.pod_error == std::nullopt; };
  api.pod_error = Error{ErrorKind::kForbidden, "exceeded quota", {}};
  Add();
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(60));
  ExpectCreatedOnce();
}

}  // namespace
}  // namespace spillway::core
