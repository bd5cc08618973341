#include "operator/core/scheduling/admission.h"

#include <gtest/gtest.h>

#include "operator/runtime/pod_body.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Error kDenied{ErrorKind::kForbidden, "pods \"t-1\" is forbidden: violates PodSecurity", {}};

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    api.AddServer("s1", "8");
    api.Settle();
  }
  void DenyPods(const Error& error, const std::string& ns = "ns") {
    api.refuse = [=](const Write& write) {
      const bool pod = write.verb == Verb::kCreate && write.kind == Kind::kPod;
      return pod && write.ns == ns ? std::optional(error) : std::nullopt;
    };
  }
  int Tries() { return api.tries[{Verb::kCreate, Kind::kPod}]; }
  bool Says(const std::string& task, const std::string& words) {
    return api.Says(task).find(words) != std::string::npos;
  }
  int Told(const std::string& reason) {
    return static_cast<int>(std::count_if(api.notes.begin(), api.notes.end(),
                                          [&](const Note& note) { return note.reason == reason; }));
  }
  int64_t TasksOn(const std::string& node) { return api.world().servers.ledger.On(node).tasks; }
  ApiModel api;
};

// ---- refusals ----

TEST_F(AdmissionTest, ARefusalThatMayPassHoldsTheTaskBackAndSaysWhy) {
  for (const ErrorKind kind : {ErrorKind::kForbidden, ErrorKind::kNotFound, ErrorKind::kConflict,
                               ErrorKind::kUnavailable}) {
    api.AddTask("t" + std::to_string(static_cast<int>(kind)), {}, "1", "ns");
    DenyPods(Error{kind, "serviceaccount \"builder\" not found", {}});
    api.Advance(seconds(5));
    const std::string name = "t" + std::to_string(static_cast<int>(kind));
    EXPECT_EQ(api.Phase(name), "Pending");
    EXPECT_TRUE(Says(name, "serviceaccount \"builder\" not found")) << api.Says(name);
    EXPECT_EQ(TasksOn("s1"), 0);
    api.refuse = nullptr;
    api.Advance(seconds(61));
    EXPECT_TRUE(api.pods.contains("ns/" + name + "-1"));
    api.Remove(api.tasks, "ns/" + name);
    api.Remove(api.pods, "ns/" + name + "-1");
    api.Settle();
  }
}

TEST_F(AdmissionTest, ADenialByAPolicyIsNotTheTemplatesFaultWhateverItsCode) {
  for (const char* text : {"pods \"t-1\" is forbidden: ValidatingAdmissionPolicy 'x' with binding "
                           "'x' denied request: "
                           "no",
                           "admission webhook \"x\" denied the request: no"})
    EXPECT_EQ(DenialOf(Invalid(text)), Denial::kForNow) << text;
  EXPECT_EQ(DenialOf(Invalid("Pod \"t-1\" is invalid: spec.containers[0].image: Required value")),
            Denial::kTemplate);
  EXPECT_EQ(DenialOf(kDenied), Denial::kForNow);
}

TEST_F(AdmissionTest, ANamespaceUnderABrokenPolicyCostsOneTryNowAndThen) {
  DenyPods(kDenied);
  for (int i = 0; i < 200; ++i) api.AddTask("t" + std::to_string(i));
  api.AddTask("other", {}, "1", "elsewhere");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("elsewhere/other-1"));
  api.Advance(seconds(60));
  EXPECT_GE(Tries(), 5);
  EXPECT_LE(Tries(), 15);
  EXPECT_EQ(Told("FailedCreate"), 1);
}

TEST_F(AdmissionTest, AnotherKindIsTriedAMomentAfterARefusal) {
  DenyPods(kDenied);
  api.AddTask("t");
  api.Advance(seconds(10));
  for (const int before = Tries(); Tries() == before;) api.Advance(milliseconds(50));
  api.AddTask("u", {}, "2");
  api.Settle();
  EXPECT_LE(api.wake, api.now + milliseconds(200)) << "and not with the next event";
}

TEST_F(AdmissionTest, EveryTaskThatWaitsForItIsToldWhy) {
  DenyPods(kDenied);
  for (int i = 0; i < 20; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(5));
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(Says("t" + std::to_string(i), "violates PodSecurity")) << i;
  const int writes = api.task_writes;
  api.Advance(seconds(120));
  EXPECT_EQ(api.task_writes, writes) << "nothing has changed";
}

TEST_F(AdmissionTest, OnceAPodIsCreatedAgainAllAre) {
  DenyPods(kDenied);
  for (int i = 0; i < 8; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(20));
  EXPECT_EQ(api.pods_made, 0);
  api.refuse = nullptr;
  api.Advance(seconds(60));
  EXPECT_EQ(api.pods_made, 8);
}

TEST_F(AdmissionTest, TheStartDeadlineEndsTheWaitAndSaysWhy) {
  DenyPods(kDenied);
  api.AddTask("t", {{"startDeadlineSeconds", 30}});
  api.Advance(seconds(31));
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->reason, "StartDeadlineExceeded");
  EXPECT_NE(api.Status("t").result->message.find("violates PodSecurity"), std::string::npos);
}

TEST_F(AdmissionTest, NothingIsBoughtForPodsThatCannotBeCreated) {
  DenyPods(kDenied);
  api.AddTask("t");
  api.Settle();
  api.AddPool("p");
  for (int i = 0; i < 20; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(50));
  EXPECT_EQ(api.claims_made, 0);
}

TEST_F(AdmissionTest, AServerIsBoughtOnceOneOfThemMayBeTriedAgain) {
  api.AddPool("spot", "8");
  DenyPods({ErrorKind::kForbidden, "failed calling webhook \"w\": it is down", {}});
  api.AddTask("t", {}, "8");
  api.Advance(Duration{100});
  api.servers["s1"].spec.cordoned = true;
  api.Change(api.servers["s1"]);
  api.AddTask("other", {}, "8", "team");
  api.Settle();
  ASSERT_EQ(api.scales_made, 1) << "for the other one, which asks for the same";
  api.refuse = nullptr;
  api.Advance(minutes(2));
  EXPECT_EQ(api.scales_made, 2) << api.Says("t");
}

TEST_F(AdmissionTest, AQuotaWithRoomAgainIsUsedSoon) {
  const Error full{ErrorKind::kForbidden, "pods \"t-1\" is forbidden: exceeded quota: q", {}};
  api.AddTask("first");
  api.Settle();
  DenyPods(full);
  api.AddTask("second");
  api.Advance(seconds(200));
  api.refuse = nullptr;
  api.SetPod("first-1", PodPhase::kSucceeded);
  api.Advance(seconds(2));
  EXPECT_TRUE(api.pods.contains("ns/second-1"));
}

TEST_F(AdmissionTest, AKindThatFindsNoRoomDoesNotKeepItsNamespacesOthersWaiting) {
  DenyPods(kDenied);
  api.AddTask("large", {}, "6");
  api.Advance(seconds(1));
  api.AddTask("small", {}, "1");
  api.Advance(seconds(1));
  api.refuse = nullptr;
  api.AddTask("elsewhere", {}, "5", "other");
  api.Advance(minutes(3));
  ASSERT_EQ(api.Phase("large"), "Pending") << "there is no room for it";
  EXPECT_EQ(api.Phase("small"), "Assigned") << api.Says("small");
}

TEST_F(AdmissionTest, KindsThatFindNoRoomDoNotHaveTheirTurnsInASpinningLoop) {
  DenyPods(kDenied);
  for (int i = 1; i <= 8; ++i)  // as many kinds as are tried side by side
    api.AddTask("a" + std::to_string(i), {}, std::to_string(100 + i) + "m");
  for (int i = 1; i <= 20; ++i) api.AddTask("large" + std::to_string(i), {}, std::to_string(8 + i));
  api.Settle();
  EXPECT_EQ(Tries(), 8);
  EXPECT_GT(api.wake, api.now);
}

TEST_F(AdmissionTest, AGroupIsTriedAsAWholeNowAndThen) {
  DenyPods(kDenied);
  for (int i = 0; i < 4; ++i)
    api.AddTask("g" + std::to_string(i), {{"group", {{"name", "g"}, {"size", 4}}}});
  api.Advance(seconds(60));
  EXPECT_LE(Tries(), 4 * 12);
  EXPECT_TRUE(Says("g0", "violates PodSecurity")) << api.Says("g0");
  api.refuse = nullptr;
  api.Advance(seconds(61));
  EXPECT_EQ(api.pods_made, 4);
}

TEST_F(AdmissionTest, WhereASchedulingGateIsAddedThePodIsLeftToKubeScheduler) {
  api.refuse = [](const Write& write) -> std::optional<Error> {
    if (write.kind != Kind::kPod || !runtime::Body(write)["spec"].contains("nodeName"))
      return std::nullopt;
    return Invalid(
        "Pod \"t-1\" is invalid: spec.nodeName: Forbidden: cannot "
        "be set until all "
        "schedulingGates have been cleared");
  };
  api.AddTask("t");
  api.AddTask("u");
  api.Settle();
  EXPECT_EQ(api.pods_made, 2);
  EXPECT_EQ(api.Phase("t"), "");
  EXPECT_EQ(Tries(), 3) << "what is known of the shape is used";
  EXPECT_EQ(TasksOn("s1"), 2);
}

// ---- refusals of one template ----

class TemplatesTest : public AdmissionTest {
 protected:
  // Whose pods alone differ by that image.
  void AddImage(const std::string& name, const std::string& image) {
    const Json container = {
        {"name", "c"}, {"image", image}, {"resources", {{"requests", {{"cpu", "100m"}}}}}};
    api.AddTask(name, {{"template", {{"spec", {{"containers", {container}}}}}}});
  }
  // Those whose image is "bad", whatever follows.
  void DenyBadImages() {
    api.refuse = [](const Write& write) -> std::optional<Error> {
      if (write.verb != Verb::kCreate || write.kind != Kind::kPod) return std::nullopt;
      if (write.pod->pod_template->find("\"bad") == std::string::npos) return std::nullopt;
      return Error{ErrorKind::kForbidden, "pods \"" + write.name + "\" is forbidden: image", {}};
    };
  }
};

TEST_F(TemplatesTest, OneThatIsRefusedHoldsUpNoOtherOfItsShape) {
  DenyBadImages();
  AddImage("oldest", "bad");
  api.Settle();
  for (int i = 0; i < 5; ++i) AddImage("t" + std::to_string(i), "good");
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 5);
  EXPECT_TRUE(Says("oldest", "is forbidden: image")) << api.Says("oldest");
}

TEST_F(TemplatesTest, OneThatStaysRefusedDoesNotSlowTheOthersDown) {
  DenyBadImages();
  AddImage("oldest", "bad");
  api.Advance(minutes(3));
  AddImage("first", "good");
  api.Settle();
  AddImage("late", "good");
  api.Settle();
  EXPECT_EQ(api.pods_made, 2) << api.Says("late");
}

TEST_F(TemplatesTest, AnotherTaskOfARefusedTemplateWaitsWithIt) {
  DenyBadImages();
  AddImage("oldest", "bad");
  api.Advance(minutes(2));
  const int tries = Tries();
  for (int i = 0; i < 20; ++i) AddImage("t" + std::to_string(i), "bad");
  api.Advance(seconds(10));
  EXPECT_LE(Tries(), tries + 1);
  EXPECT_TRUE(Says("t7", "is forbidden: image")) << api.Says("t7");
}

TEST_F(TemplatesTest, ManyInARowAreTriedOneAfterTheOther) {
  DenyBadImages();
  for (int i = 0; i < 500; ++i) AddImage("t" + std::to_string(i), "bad" + std::to_string(i));
  api.Advance(minutes(1));
  EXPECT_LE(Tries(), 150);
  EXPECT_TRUE(Says("t499", "is forbidden: image")) << api.Says("t499");
  const int writes = api.task_writes;
  api.Advance(minutes(1));
  EXPECT_LE(api.task_writes - writes, 60) << "each that was refused is told so";
}

TEST_F(TemplatesTest, AGoodOneBehindManyBadOnesStartsSoon) {
  DenyBadImages();
  for (int i = 0; i < 10; ++i) AddImage("t" + std::to_string(i), "bad" + std::to_string(i));
  AddImage("good", "good");
  api.Advance(minutes(1));
  EXPECT_EQ(api.Phase("good"), "Assigned") << api.Says("good");
}

TEST_F(TemplatesTest, AllStartSoonOnceTheCauseIsGone) {
  DenyBadImages();
  for (int i = 0; i < 20; ++i) AddImage("t" + std::to_string(i), "bad" + std::to_string(i));
  api.Advance(minutes(5));
  EXPECT_EQ(api.pods_made, 0);
  api.refuse = nullptr;
  api.Advance(minutes(1));
  EXPECT_EQ(api.pods_made, 20);
}

TEST_F(TemplatesTest, NothingOfThemStaysWhenTheTasksAreGone) {
  DenyBadImages();
  for (int i = 0; i < 20; ++i) AddImage("t" + std::to_string(i), "bad" + std::to_string(i));
  api.Advance(minutes(2));
  for (int i = 0; i < 20; ++i) api.Remove(api.tasks, "ns/t" + std::to_string(i));
  api.Settle();
  EXPECT_TRUE(api.world().scheduling.admissions.empty());
  EXPECT_TRUE(api.world().scheduling.shapes.all().empty());
  EXPECT_EQ(api.world().scheduling.tenants.at("ns").apart, 0);
}

// ---- creations that hang ----

class HangingTest : public AdmissionTest {
 protected:
  void Hang(const std::string& ns = "ns") {
    api.hangs = [=](const Write& write) {
      return write.verb == Verb::kCreate && write.kind == Kind::kPod && write.ns == ns;
    };
  }
};

TEST_F(HangingTest, ItIsToldAndTakesNoRoom) {
  Hang();
  api.AddTask("t", {}, "8");
  api.Advance(seconds(4));
  EXPECT_EQ(TasksOn("s1"), 1);
  api.Advance(seconds(2));
  EXPECT_EQ(TasksOn("s1"), 0);
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_TRUE(Says("t", "has not answered for 5s")) << api.Says("t");
  EXPECT_EQ(api.Status("t").assignment, nullptr);
}

TEST_F(HangingTest, NothingIsWrittenWhileTheFirstPodOfAKindTakesItsUsualTime) {
  Hang();
  for (int i = 0; i < 5; ++i) api.AddTask("t" + std::to_string(i));
  api.AddTask("vast", {}, "100");
  api.Advance(seconds(2));
  EXPECT_EQ(api.task_writes, 1);
  EXPECT_TRUE(Says("vast", "0 of 1 servers fit")) << api.Says("vast");
  api.Unblock();
  api.Advance(Duration{500});
  EXPECT_EQ(api.pods.size(), 5u);
  EXPECT_EQ(api.task_writes, 1);
}

TEST_F(HangingTest, OneHangsAndNoOtherOfItsKindIsSent) {
  Hang();
  for (int i = 0; i < 50; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(60));
  EXPECT_EQ(api.hanging(), 1u);
  EXPECT_TRUE(Says("t7", "has not answered")) << api.Phase("t7") << api.Says("t7");
}

TEST_F(HangingTest, ANamespaceHasFewThatHangHoweverManyKindsOfPodsItWants) {
  Hang();
  for (int i = 0; i < 200; ++i)
    api.AddTask("t" + std::to_string(i), {}, std::to_string(i + 1) + "m");
  api.AddTask("other", {}, "1", "elsewhere");
  api.Advance(seconds(60));
  EXPECT_LE(api.hanging(), 8u);
  EXPECT_TRUE(api.pods.contains("elsewhere/other-1"));
}

TEST_F(HangingTest, ATaskThatWaitsForTheCreationOfAnotherKindOfPodSaysForWhich) {
  Hang();
  for (int i = 0; i < 20; ++i)
    api.AddTask("t" + std::to_string(10 + i), {}, std::to_string(i + 1) + "m");
  api.Advance(seconds(20));
  EXPECT_TRUE(Says("t29",
                   "waits for pod t10-1 of the same namespace, whose creation the API server has "
                   "not answered since 2027-01-15T08:00:00Z; an admission webhook may not answer"))
      << api.Says("t29");
  const int writes = api.task_writes;
  api.Advance(seconds(600));
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(HangingTest, ATaskThatWouldNotFitAnywhereSaysThatAsWell) {
  Hang();
  for (int i = 0; i < 20; ++i)
    api.AddTask("t" + std::to_string(10 + i), {}, std::to_string(i + 1) + "m");
  api.AddTask("vast", {}, "100");
  api.Advance(seconds(20));
  EXPECT_TRUE(Says("vast", "0 of 1 servers fit")) << api.Says("vast");
}

TEST_F(AdmissionTest, ATaskThatWaitsForItsTurnSaysWhatWasRefusedBefore) {
  DenyPods(Error{ErrorKind::kUnavailable, "failed calling webhook \"x\": timeout", {}});
  for (int i = 0; i < 60; ++i)
    api.AddTask("t" + std::to_string(10 + i), {}, std::to_string(i + 1) + "m");
  api.Advance(seconds(5));
  for (int i = 0; i < 60; ++i) {
    const std::string name = "t" + std::to_string(10 + i);
    EXPECT_TRUE(Says(name, "failed calling webhook \"x\": timeout")) << api.Says(name);
  }
}

TEST_F(AdmissionTest, OnceOneWasCreatedNoneSpeaksOfARefusalBefore) {
  DenyPods(Error{ErrorKind::kUnavailable, "failed calling webhook \"x\": timeout", {}});
  for (int i = 0; i < 12; ++i)
    api.AddTask("t" + std::to_string(10 + i), {}, std::to_string(i + 1) + "m");
  api.Advance(seconds(5));
  api.refuse = nullptr;
  api.Advance(seconds(120));
  EXPECT_EQ(api.pods.size(), 12u);
  api.AddTask("late", {}, "100");
  api.Advance(seconds(5));
  EXPECT_FALSE(Says("late", "webhook")) << api.Says("late");
}

TEST_F(HangingTest, NoOtherNamespaceGivesWayToWhatWaitsBehindThem) {
  Hang();
  for (int i = 0; i < 8; ++i)  // as many as may hang
    api.AddTask("t" + std::to_string(i), {{"priority", 9}}, std::to_string(i + 1) + "m");
  api.AddTask("high", {{"priority", 5}}, "100m");
  api.AddTask("low", {}, "100m", "team");
  api.Advance(seconds(2));
  ASSERT_EQ(api.hanging(), 8u);
  EXPECT_FALSE(api.pods.contains("team/low-1"));
  api.Advance(seconds(4));
  EXPECT_TRUE(api.pods.contains("team/low-1"));
}

TEST_F(AdmissionTest, NoOtherNamespaceGivesWayToWhatIsTriedOneAtATime) {
  DenyPods(kDenied);
  for (int i = 0; i < 200; ++i)
    api.AddTask("t" + std::to_string(i), {{"priority", 9}}, std::to_string(i + 1) + "m");
  api.AddTask("high", {{"priority", 5}}, "300m");
  api.Advance(seconds(1));
  api.AddTask("low", {}, "300m", "team");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("team/low-1"));
}

TEST_F(HangingTest, RoomThatGrowsWhileAllWaitForTheAnswerIsUsedAfterIt) {
  const auto end = [&](const std::string& pod) {
    api.pods.at(pod).phase = PodPhase::kSucceeded;
    api.Change(api.pods.at(pod));
    api.Settle();
  };
  api.AddServer("s2", "4");
  api.AddTask("most", {}, "7", "elsewhere");
  api.AddTask("all", {}, "4", "elsewhere");
  api.AddTask("rest", {}, "1001m", "elsewhere");
  api.AddServer("s3", "1001m");
  api.Settle();
  api.AddTask("first", {{"priority", 9}}, "1001m");
  api.AddTask("high", {{"priority", 5}}, "1001m");
  api.AddTask("low", {}, "1001m", "team");  // gives way to it until there is an answer
  api.Settle();
  Hang();
  end("elsewhere/rest-1");
  ASSERT_EQ(api.hanging(), 1u);
  end("elsewhere/all-1");
  ASSERT_FALSE(api.pods.contains("team/low-1"));
  api.Unblock();
  api.hangs = nullptr;
  api.Advance(seconds(1));
  EXPECT_TRUE(api.pods.contains("ns/high-1"));
  EXPECT_TRUE(api.pods.contains("team/low-1"));
}

TEST_F(HangingTest, ACreationThatSucceedsAfterAllIsAdopted) {
  Hang();
  api.AddTask("t");
  api.Advance(seconds(10));
  api.Unblock();
  api.Advance(seconds(5));
  EXPECT_EQ(api.Phase("t"), "Assigned");
  EXPECT_EQ(api.ServerOf("t"), "s1");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(HangingTest, ItIsTakenBackWhereItsRoomIsGone) {
  Hang();
  api.AddTask("t", {}, "8");
  api.Advance(seconds(10));
  api.AddTask("other", {}, "4", "elsewhere");
  api.Settle();
  ASSERT_TRUE(api.pods.contains("elsewhere/other-1"));
  api.Unblock();
  api.Advance(seconds(5));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.Status("t").attempts.at(0).reason, "DoesNotFit");
  EXPECT_EQ(api.Status("t").retries, 0);
  api.AddServer("s2", "8");
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "s2");
}

TEST_F(HangingTest, ACancelledTasksPodIsDeletedWhenItAppears) {
  Hang();
  api.AddTask("t");
  api.Advance(seconds(10));
  api.tasks.at("ns/t").spec.cancel = true;
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
  api.Unblock();
  api.Advance(seconds(5));
  EXPECT_EQ(api.Phase("t"), "Cancelled");
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(HangingTest, ASuspendedTasksPodIsDeletedWhenItAppears) {
  Hang();
  api.AddTask("t");
  api.Advance(seconds(10));
  api.tasks.at("ns/t").spec.suspend = true;
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
  api.Unblock();
  api.Advance(seconds(5));
  EXPECT_EQ(api.Phase("t"), "Suspended");
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(HangingTest, TriesThatFailAfterALongTimeWriteNothingNew) {
  api.AddTask("t");
  for (int i = 0; i < 10; ++i) {
    Hang();
    api.Advance(seconds(60));
    api.pod_error = Error{ErrorKind::kUnavailable, "timeout", {}};
    api.Unblock();
  }
  EXPECT_LE(api.task_writes, 4);
  EXPECT_TRUE(Says("t", "cannot be created")) << api.Says("t");
}

TEST_F(HangingTest, ManyOfAKnownKindThatHangDoNotKeepTheirRoom) {
  api.AddTask("first", {}, "500m");
  api.Settle();
  Hang();
  for (int i = 0; i < 15; ++i) api.AddTask("t" + std::to_string(i), {}, "500m");
  api.Advance(seconds(1));
  api.AddTask("other", {}, "1", "elsewhere");
  api.Advance(seconds(60));
  EXPECT_TRUE(api.pods.contains("elsewhere/other-1")) << api.Says("t3");
}

TEST_F(HangingTest, ManyThatAreOnlyQueuedDoNotHang) {
  api.AddServer("large", "1000");
  api.AddTask("first", {}, "1");
  api.Settle();
  Hang();
  for (int i = 0; i < 12; ++i) api.AddTask("t" + std::to_string(10 + i));
  for (int i = 0; i < 4; ++i) {
    api.Advance(seconds(4));
    api.UnblockFirst();
  }
  EXPECT_EQ(api.hanging(), 8u);
  EXPECT_EQ(api.Phase("t21"), "Assigned") << "others of its namespace are answered";
}

TEST_F(HangingTest, AfterAnErrorWithoutAnAnswerWhatAppearsIsAdoptedWhereItReallyIs) {
  api.AddServer("s2", "8");
  api.Settle();
  DenyPods(Error{ErrorKind::kUnavailable, "connection reset", {}});
  api.AddTask("t");
  api.Settle();
  // It was carried out all the same, in its own time.
  api.refuse = nullptr;
  const auto& task = api.tasks.at("ns/t");
  api::Pod pod;
  pod.meta.ns = "ns", pod.meta.name = "t-1", pod.meta.uid = "late";
  pod.meta.owners = {{"TaskRequest", "t", task.meta.uid, true, true}};
  pod.node_name = "s2";
  pod.requests.cpu_milli = 1000;
  api.pods["ns/t-1"] = pod;
  api.Change(api.pods["ns/t-1"]);
  api.Advance(seconds(20));
  EXPECT_EQ(api.ServerOf("t"), "s2");
  EXPECT_EQ(api.pods.size(), 1u);
  EXPECT_EQ(TasksOn("s1"), 0);
}

// ---- what was admitted ----

class AdmittedTest : public AdmissionTest {
 protected:
  void AddEmpty(const std::string& name, int containers = 1) {
    Json all = Json::array();
    for (int i = 0; i < containers; ++i) all.push_back({{"name", "c" + std::to_string(i)}});
    api.AddTask(name, {{"template", {{"spec", {{"containers", all}}}}}});
  }
  // A LimitRange: a container without a request for cpu gets one.
  void DefaultCpu(const std::string& cpu) {
    api.mutate = [=](Json& pod) {
      for (Json& container : pod["spec"]["containers"]) {
        Json& requests = container["resources"]["requests"];
        if (!requests.contains("cpu")) requests["cpu"] = cpu;
      }
    };
  }
};

TEST_F(AdmittedTest, DefaultsOfTheNamespaceAreReckonedWith) {
  DefaultCpu("4");
  for (int i = 0; i < 6; ++i) AddEmpty("t" + std::to_string(i));
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods_made, 2) << "two of 4 cpu fit on 8";
  EXPECT_TRUE(Says("t5", "insufficient cpu")) << api.Says("t5");
  api.SetPod("t0-1", PodPhase::kSucceeded);
  api.Advance(seconds(5));
  EXPECT_EQ(api.pods_made, 3);
}

TEST_F(AdmittedTest, TwoContainersGetTheDefaultTwice) {
  DefaultCpu("2");
  AddEmpty("one", 1);
  AddEmpty("two", 2);
  api.Advance(seconds(1));
  EXPECT_EQ(api.world().servers.ledger.On("s1").used.cpu_milli, 6000);
  AddEmpty("three", 2);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 2);
}

TEST_F(AdmittedTest, OtherNamespacesAreNotTouched) {
  DefaultCpu("8");
  AddEmpty("t");
  api.Settle();
  api.mutate = nullptr;
  api.AddTask("u", {{"template", {{"spec", {{"containers", {{{"name", "c0"}}}}}}}}}, "1", "other");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("other/u-1"));
}

TEST_F(AdmittedTest, APodThatDoesNotFitAfterAllIsDeletedAndTriedWhereItFits) {
  api.AddServer("small", "1");
  api.Settle();
  DefaultCpu("4");
  AddEmpty("t");
  api.Advance(seconds(5));
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.pods.at("ns/t-2").node_name, "s1");
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(Told("DoesNotFit"), 1);
}

// Whatever else the server is too full with.
TEST_F(AdmittedTest, APodThatAsksForLessThanWasReckonedWithStaysWhereRoomWasKeptForIt) {
  DefaultCpu("2");
  AddEmpty("first");
  api.Settle();
  DefaultCpu("1");
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kCreate && write.kind == Kind::kPod;
  };
  AddEmpty("t");
  api.Settle();
  api::Pod& other = api.pods["other/p"];
  other.meta.ns = "other", other.meta.name = other.meta.uid = "p";
  other.node_name = "s1";
  other.requests.cpu_milli = 8000;
  api.Change(other);
  api.Unblock();
  api.Advance(seconds(5));
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(Told("DoesNotFit"), 0);
}

TEST_F(AdmittedTest, ANodeSelectorThatAPolicyAddsIsReckonedWith) {
  api.nodes.at("s1").meta.labels["disk"] = "hdd";
  api.Change(api.nodes.at("s1"));
  api.AddServer("s2", "8");
  api.nodes.at("s2").meta.labels["disk"] = "ssd";
  api.Change(api.nodes.at("s2"));
  api.Settle();
  api.mutate = [](Json& pod) { pod["spec"]["nodeSelector"]["disk"] = "ssd"; };
  for (int i = 0; i < 4; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(5));
  EXPECT_EQ(TasksOn("s1"), 0);
  EXPECT_EQ(TasksOn("s2"), 4);
  EXPECT_LE(Told("DoesNotFit"), 1);
}

TEST_F(AdmittedTest, AMemberOfAGroupThatDoesNotFitStillStartsWithTheOthers) {
  DefaultCpu("4");
  for (int i = 0; i < 3; ++i)
    api.AddTask("g" + std::to_string(i),
                {{"group", {{"name", "g"}, {"size", 3}}},
                 {"template", {{"spec", {{"containers", {{{"name", "c"}}}}}}}}});
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods.size(), 2u) << "4 cpu each, on 8";
  api.AddServer("s2", "4");
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods.size(), 3u);
}

TEST_F(AdmittedTest, WhatAPolicyAddsToOneTemplateIsReckonedWithForThatOneAlone) {
  for (const char* what : {"selector", "cpu"}) {
    api.mutate = [=](Json& pod) {
      if (pod["metadata"]["labels"].value("team", "") != "a") return;
      if (std::string(what) == "selector")
        pod["spec"]["nodeSelector"]["disk"] = "nowhere";
      else
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "100";
    };
    const auto add = [&](const std::string& name, const std::string& team) {
      const Json container = {{"name", "c"}, {"resources", {{"requests", {{"cpu", "10m"}}}}}};
      api.AddTask(name + what, {{"template",
                                 {{"metadata", {{"labels", {{"team", team}}}}},
                                  {"spec", {{"containers", {container}}}}}}});
    };
    for (int i = 0; i < 3; ++i) add("a" + std::to_string(i), "a");
    api.Advance(seconds(2));
    for (int i = 0; i < 3; ++i) add("b" + std::to_string(i), "b");
    api.Advance(seconds(2));
    for (int i = 0; i < 3; ++i)
      EXPECT_TRUE(api.pods.contains("ns/b" + std::to_string(i) + what + "-1")) << what;
  }
}

TEST_F(AdmittedTest, WhatEveryClusterAddsChangesNothing) {
  api.mutate = [](Json& pod) {
    for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
      pod["spec"]["tolerations"].push_back({{"key", key},
                                            {"operator", "Exists"},
                                            {"effect", "NoExecute"},
                                            {"tolerationSeconds", 300}});
    pod["spec"]["serviceAccountName"] = "default";
  };
  api.AddTask("t");
  api.Settle();
  const TaskState& task = api.world().tasks.by_key.at("ns/t");
  EXPECT_EQ(task.shape, task.admission->asked);
}

TEST_F(AdmittedTest, WhatWasLearnedIsForgottenWhenNoPodIsCreatedForLong) {
  DefaultCpu("16");
  AddEmpty("t");
  api.Advance(seconds(10));
  EXPECT_EQ(api.pods.size(), 0u);
  EXPECT_TRUE(Says("t", "insufficient cpu")) << api.Says("t");
  api.mutate = nullptr;
  api.Advance(minutes(5));
  EXPECT_EQ(api.pods.size(), 0u);
  api.Advance(minutes(6));
  EXPECT_EQ(api.pods.size(), 1u);
}

TEST_F(AdmittedTest, AllThatWasLearnedGoesWithTheTasks) {
  DefaultCpu("4");
  for (int i = 0; i < 3; ++i) AddEmpty("t" + std::to_string(i));
  api.Advance(seconds(5));
  api.Remove(api.pods, "ns/t0-1");
  api.Remove(api.pods, "ns/t1-1");
  for (int i = 0; i < 3; ++i) api.Remove(api.tasks, "ns/t" + std::to_string(i));
  api.Advance(seconds(5));
  for (const auto& [key, pod] : std::map(api.pods)) api.Remove(api.pods, key);
  api.Settle();
  EXPECT_TRUE(api.world().scheduling.admissions.empty());
  EXPECT_TRUE(api.world().scheduling.shapes.all().empty());
  EXPECT_TRUE(api.world().scheduling.closed.empty());
  EXPECT_TRUE(api.world().scheduling.learned.empty());
}

// Five pods of the namespace may live. One ends every three seconds, and those that wait behind
// have no other reason to be told anything.
TEST(QuotaTest, WhatWaitsAtAQuotaIsNotToldOfEveryPodThatEnds) {
  ApiModel api;
  api.AddServer("s1", "64");
  int refused = 0, writes = 0;
  const auto lives = [](const auto& entry) { return !entry.second.terminal(); };
  api.refuse = [&](const Write& write) -> std::optional<Error> {
    writes += write.verb == Verb::kPatchStatus && write.name.starts_with("behind") ? 1 : 0;
    if (write.verb != Verb::kCreate || write.kind != Kind::kPod ||
        std::count_if(api.pods.begin(), api.pods.end(), lives) < 5)
      return std::nullopt;
    return Error{ErrorKind::kForbidden,
                 "pods \"" + write.name + "\" is forbidden: exceeded quota: q, used: cpu=" +
                     std::to_string(5'000 + ++refused) + "m",
                 {}};
  };
  for (int i = 0; i < 200; ++i) {
    if (i >= 10 && i < 14) api.AddTask("behind" + std::to_string(i), {{"priority", -1}});
    api.AddTask("t" + std::to_string(i), {{"priority", 1}});
    const auto ends = std::find_if(api.pods.begin(), api.pods.end(), lives);
    if (i >= 10) api.SetPod(ends->second.meta.name, api::PodPhase::kSucceeded);
    api.Advance(std::chrono::seconds(3));
  }
  EXPECT_GT(api.pods_made, 150);
  EXPECT_LE(refused, 3 * api.pods_made)
      << "one behind it, and one each after pauses of 1 s and 2 s";
  EXPECT_GE(writes, 4);
  EXPECT_LE(writes, 4 * 15);
}

// All that live end at once.
TEST(QuotaTest, RoomForManyIsUsedInAMoment) {
  constexpr int kMost = 32;
  ApiModel api;
  api.AddServer("s1", "64");
  int refused = 0;
  const auto lives = [](const auto& entry) { return !entry.second.terminal(); };
  api.refuse = [&](const Write& write) -> std::optional<Error> {
    if (write.verb != Verb::kCreate || write.kind != Kind::kPod ||
        std::count_if(api.pods.begin(), api.pods.end(), lives) < kMost)
      return std::nullopt;
    ++refused;
    return Error{ErrorKind::kForbidden, "pods \"x\" is forbidden: exceeded quota: q", {}};
  };
  for (int i = 0; i < 3 * kMost; ++i) api.AddTask("t" + std::to_string(i));
  api.Advance(seconds(60));
  ASSERT_EQ(api.pods_made, kMost);
  refused = 0;
  for (const auto& [key, pod] : std::map(api.pods)) api.SetPod(pod.meta.name, PodPhase::kSucceeded);
  api.Advance(seconds(1));
  EXPECT_EQ(api.pods_made, 2 * kMost);
  EXPECT_LE(refused, kMost);
}

}  // namespace
}  // namespace spillway::core
