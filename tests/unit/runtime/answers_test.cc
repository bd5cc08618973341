#include "operator/runtime/answers.h"

#include <gtest/gtest.h>

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;

core::Write Write(Verb verb, Kind kind) {
  core::Write write;
  write.verb = verb;
  write.kind = kind;
  return write;
}
const Error kBroken{ErrorKind::kUnavailable, "failed calling webhook"};
const Error kPolite{ErrorKind::kUnavailable, "too many requests", std::chrono::seconds(1)};
constexpr Duration kQuick{5}, kLong{10'000};

TEST(TryAgainTest, APodGetsOneQuickTryMoreAndThenTheCoreIsTold) {
  const core::Effect pod = Write(Verb::kCreate, Kind::kPod);
  EXPECT_TRUE(TryAgain(pod, kBroken, 0, kQuick));
  EXPECT_FALSE(TryAgain(pod, kBroken, 1, kQuick));
  EXPECT_FALSE(TryAgain(pod, kBroken, 0, kLong)) << "a webhook that hangs would hang again";
  EXPECT_TRUE(TryAgain(pod, kPolite, 2, kQuick)) << "the API server itself asks to come again";
  EXPECT_FALSE(TryAgain(pod, kPolite, 3, kQuick));
}

TEST(TryAgainTest, AStatusGivesItsTurnToOthers) {
  const core::Effect status = Write(Verb::kPatchStatus, Kind::kTask);
  EXPECT_TRUE(TryAgain(status, kBroken, 0, kLong));
  EXPECT_FALSE(TryAgain(status, kBroken, 2, kLong));
}

TEST(TryAgainTest, AnEventIsNotWorthTryingForEver) {
  EXPECT_TRUE(TryAgain(core::Note{}, kBroken, 0, kQuick));
  EXPECT_FALSE(TryAgain(core::Note{}, kBroken, 3, kQuick));
  EXPECT_FALSE(TryAgain(core::Note{}, {ErrorKind::kForbidden, "denied"}, 0, kQuick));
}

// Meanwhile the core may not want it any more, and nothing else of the object is sent.
TEST(TryAgainTest, ADeletionGetsOneQuickTryMoreAndThenTheCoreIsTold) {
  for (const Kind kind : {Kind::kPod, Kind::kServer, Kind::kScale, Kind::kTask, Kind::kNode}) {
    const core::Effect deletion = Write(Verb::kDelete, kind);
    EXPECT_TRUE(TryAgain(deletion, kBroken, 0, kQuick));
    EXPECT_FALSE(TryAgain(deletion, kBroken, 1, kQuick));
    EXPECT_FALSE(TryAgain(deletion, kBroken, 0, kLong));
    EXPECT_FALSE(TryAgain(deletion, {ErrorKind::kForbidden, ""}, 0, kQuick));
  }
}

// Meanwhile the purchase may have timed out, or nobody may wait for it any more.
TEST(TryAgainTest, AnEngineIsAskedOnceMoreAndThenTheCoreIsTold) {
  using Op = core::AskCloud::Op;
  for (const Op op : {Op::kEnsure, Op::kRelease}) {
    core::AskCloud ask;
    ask.op = op;
    EXPECT_TRUE(TryAgain(ask, kBroken, 0, kQuick));
    EXPECT_FALSE(TryAgain(ask, kBroken, 1, kQuick));
    EXPECT_FALSE(TryAgain(ask, kBroken, 0, kLong));
    EXPECT_TRUE(TryAgain(ask, kPolite, 0, kQuick));
    EXPECT_FALSE(TryAgain(ask, kPolite, 1, kQuick));
    const Error later{ErrorKind::kUnavailable, "come again", std::chrono::seconds(60)};
    EXPECT_FALSE(TryAgain(ask, later, 0, kQuick)) << "the core keeps to that";
  }
}

TEST(RefusedTest, WhatTheCoreSpacesDoesNotWaitOnceMore) {
  EXPECT_FALSE(Refused(Write(Verb::kCreate, Kind::kPod), kBroken));
  EXPECT_FALSE(Refused(core::AskCloud{}, kBroken));
}

TEST(RefusedTest, WhatSaysThatNothingIsToBeDoneIsNoRefusal) {
  const core::Effect deletion = Write(Verb::kDelete, Kind::kPod);
  EXPECT_TRUE(Refused(deletion, {ErrorKind::kForbidden, ""}));
  EXPECT_FALSE(Refused(deletion, {ErrorKind::kNotFound, ""}));
  EXPECT_TRUE(Refused(Write(Verb::kPatchStatus, Kind::kTask), {ErrorKind::kNotFound, ""}));
  EXPECT_FALSE(Refused(Write(Verb::kCreate, Kind::kScale), {ErrorKind::kAlreadyExists, ""}));
}

TEST(BackoffOfAnswersTest, GrowsToAMinuteAndNeverBelowWhatTheServerAsksFor) {
  EXPECT_LE(Backoff(kBroken, 0, 0), std::chrono::milliseconds(200));
  EXPECT_EQ(Backoff(kBroken, 100, 0), std::chrono::seconds(60));
  EXPECT_GE(Backoff(kPolite, 0, 7), std::chrono::seconds(1));
}

const core::AskWhy kAsk{"ns", "t-1", "pod-uid", "task-uid"};

TEST(AnswersTest, AsksForTheWarningsOfThePodAlone) {
  const kube::Request request = PodEventsRequest(kAsk);
  EXPECT_EQ(request.method, "GET");
  EXPECT_NE(request.path.find("/api/v1/namespaces/ns/events?limit="), std::string::npos);
  EXPECT_NE(request.path.find("involvedObject.uid%3Dpod-uid"), std::string::npos) << request.path;
}

TEST(AnswersTest, TellsTheLatestWarning) {
  const auto warned = LatestWarning(kAsk, api::Json::parse(R"({"items":[
    {"reason":"Old","message":"a","lastTimestamp":"2026-01-01T00:00:00Z"},
    {"reason":"FailedMount","message":"b","lastTimestamp":"2026-01-01T00:02:00Z"},
    {"reason":"Middle","message":"c","lastTimestamp":null,
     "eventTime":"2026-01-01T00:01:00.000000Z"}]})"));
  EXPECT_EQ(warned.reason, "FailedMount");
  EXPECT_EQ(warned.message, "b");
  EXPECT_EQ(warned.task_uid, "task-uid");
  EXPECT_EQ(warned.pod_uid, "pod-uid");
}

TEST(AnswersTest, TellsNothingWhereNothingWarns) {
  EXPECT_EQ(LatestWarning(kAsk, api::Json::object()).reason, "");
  EXPECT_EQ(LatestWarning(kAsk, api::Json::parse(R"({"items":[1,{"reason":7}]})")).reason, "");
}

}  // namespace
}  // namespace spillway::runtime
