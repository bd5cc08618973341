#include "operator/runtime/effect_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace spillway::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kStart{seconds(1'000'000)};

core::Write Patch(const std::string& name, int version, const std::string& ns = "ns") {
  return {
      core::Verb::kPatchStatus, core::Kind::kTask, ns, name, "", version, nullptr, std::nullopt};
}
core::Write Create(const std::string& name, const std::string& ns = "ns") {
  core::Write write = Patch(name, 0, ns);
  write.verb = core::Verb::kCreate;
  return write;
}
int64_t VersionOf(const std::optional<Job>& job) {
  return std::get<core::Write>(job->effect).resource_version;
}
core::Write Deletion(const std::string& name, const std::string& ns = "ns") {
  core::Write write = Patch(name, 0, ns);
  write.verb = core::Verb::kDelete;
  write.kind = core::Kind::kPod;
  return write;
}
core::Note EventOf(const std::string& name, const std::string& ns = "ns") {
  return {core::Kind::kTask, ns, name, name, true, "FailedCreate", "no", 0};
}
core::AskWhy QuestionOf(const std::string& pod) { return {"ns", pod, pod, "task"}; }
// Pushes so many as Make(name, ns) makes.
void PushMany(EffectQueue& queue, int count, const std::string& ns, const auto& make) {
  for (int i = 0; i < count; ++i) queue.Push(make("t" + std::to_string(i), ns), kStart);
}
std::string NamespaceOf(const std::optional<Job>& job) { return EffectGroup(job->effect); }

std::vector<Job> PopAll(EffectQueue& queue, Time now) {
  std::vector<Job> out;
  while (auto job = queue.Pop(now)) out.push_back(std::move(*job));
  return out;
}

TEST(EffectQueueTest, KeepsTheOrderOfOneObjectAndOneInFlight) {
  EffectQueue queue;
  queue.Push(Patch("a", 1), kStart);
  queue.Push(Patch("a", 2), kStart);
  queue.Push(Patch("b", 3), kStart);
  const auto first = queue.Pop(kStart);
  EXPECT_EQ(VersionOf(first), 1);
  EXPECT_EQ(VersionOf(queue.Pop(kStart)), 3);
  EXPECT_FALSE(queue.ready(kStart));
  EXPECT_FALSE(queue.Pop(kStart).has_value());
  EXPECT_EQ(queue.size(), 1u) << "it waits for the first of its object";
  queue.Done(*first, kStart);
  EXPECT_TRUE(queue.ready(kStart));
  EXPECT_EQ(VersionOf(queue.Pop(kStart)), 2);
}

TEST(EffectQueueTest, APodIsMadeBeforeStatusesAreToldButNotForEver) {
  EffectQueue queue(64);
  queue.Push(Patch("a", 0), kStart);
  queue.Push(Patch("b", 0), kStart);
  for (int i = 1; i <= 5; ++i) {
    core::Write pod = Patch("pod-" + std::to_string(i), i);
    pod.verb = core::Verb::kCreate;
    queue.Push(pod, kStart);
  }
  std::vector<int64_t> order;
  for (const Job& job : PopAll(queue, kStart)) order.push_back(VersionOf(job));
  EXPECT_EQ(order, (std::vector<int64_t>{1, 2, 3, 0, 4, 5, 0}));
}

TEST(EffectQueueTest, AnObjectThatIsDoneLeavesNothingBehind) {
  EffectQueue queue;
  queue.Push(Patch("a", 1), kStart);
  queue.Done(*queue.Pop(kStart), kStart);
  EXPECT_FALSE(queue.ready(kStart));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(EffectQueueTest, NamespacesTakeTurns) {
  EffectQueue queue;
  PushMany(queue, 4, "crowded", Create);
  queue.Push(Create("t", "small"), kStart);
  std::string order;
  for (const Job& job : PopAll(queue, kStart)) order += EffectGroup(job.effect)[0];
  EXPECT_EQ(order, "csccc");
}

// Its webhook hangs: nothing of it comes back.
TEST(EffectQueueTest, ANamespaceThatHangsLeavesRoomToTheOthers) {
  EffectQueue queue(32);
  for (int i = 0; i < 100; ++i) queue.Push(Create("t" + std::to_string(i), "hangs"), kStart);
  EXPECT_EQ(PopAll(queue, kStart).size(), 4u);
  queue.Push(Create("t", "other"), kStart);
  const auto job = queue.Pop(kStart);
  ASSERT_TRUE(job);
  EXPECT_EQ(NamespaceOf(job), "other");
}

TEST(EffectQueueTest, ANamespaceWhoseEffectsAreQuickMayHaveMoreButNeverAll) {
  EffectQueue queue(32);
  for (int i = 0; i < 200; ++i) queue.Push(Create("t" + std::to_string(i)), kStart);
  for (int i = 0; i < 100; ++i) queue.Done(*queue.Pop(kStart), kStart + milliseconds(5));
  EXPECT_EQ(PopAll(queue, kStart).size(), 16u);
}

TEST(EffectQueueTest, StatusesOfANamespaceDoNotWaitBehindItsEventsThatHang) {
  EffectQueue queue(32);
  PushMany(queue, 100, "ns", EventOf);
  (void)PopAll(queue, kStart);
  queue.Push(Patch("t", 7), kStart);
  const auto job = queue.Pop(kStart);
  ASSERT_TRUE(job);
  EXPECT_EQ(VersionOf(job), 7);
}

TEST(EffectQueueTest, StatusesOfANamespaceDoNotWaitBehindItsCreationsAndDeletionsThatHang) {
  EffectQueue queue(32);
  PushMany(queue, 100, "ns", Create);
  PushMany(queue, 100, "ns", Deletion);
  PushMany(queue, 100, "ns", EventOf);
  (void)PopAll(queue, kStart);
  queue.Push(Patch("t", 7), kStart);
  const auto job = queue.Pop(kStart);
  ASSERT_TRUE(job);
  EXPECT_EQ(VersionOf(job), 7);
}

TEST(EffectQueueTest, WhatHangsAfterItWasQuickLeavesTheOtherKindsOfItsNamespaceAWorker) {
  EffectQueue queue(32);
  for (const auto& make : {Create, Deletion}) {
    PushMany(queue, 100, "ns", make);
    for (int i = 0; i < 40; ++i) queue.Done(*queue.Pop(kStart), kStart);
  }
  (void)PopAll(queue, kStart);
  queue.Push(Patch("t", 7), kStart);
  EXPECT_TRUE(queue.ready(kStart));
  queue.Push(Patch("t", 7, "other"), kStart);
  EXPECT_EQ(PopAll(queue, kStart).size(), 2u);
}

TEST(EffectQueueTest, AWebhookThatHangsEverywhereLeavesWorkersToWhatDoesNotHang) {
  EffectQueue queue(32);
  for (int i = 0; i < 50; ++i) PushMany(queue, 20, "ns-" + std::to_string(i), Create);
  EXPECT_LE(PopAll(queue, kStart).size(), 24u);
  PushMany(queue, 8, "ns-1",
           [](const auto& name, const auto& ns) { return Patch("status-" + name, 0, ns); });
  EXPECT_GE(PopAll(queue, kStart).size(), 4u);
}

// They have not ended, and they are slow nevertheless.
TEST(EffectQueueTest, ManyNamespacesThatHangHaveAQuarterTogetherAndLeaveTheRestToTheOthers) {
  EffectQueue queue(32);
  PushMany(queue, 20, "slow-1", Create);
  PushMany(queue, 20, "slow-2", Create);
  (void)PopAll(queue, kStart);
  const Time later = kStart + kSlowEffect;
  for (int i = 3; i < 20; ++i) {
    PushMany(queue, 1, "slow-" + std::to_string(i), Create);
    const auto job = queue.Pop(later);
    ASSERT_TRUE(job) << "nothing is known of it yet";
    queue.Done(*job, later + kSlowEffect);
  }
  PushMany(queue, 20, "quick", Create);
  for (const Job& job : PopAll(queue, later)) EXPECT_EQ(EffectGroup(job.effect), "quick");
}

core::AskCloud Ask(core::AskCloud::Op op, const std::string& uid, const std::string& pool) {
  core::AskCloud ask;
  ask.op = op;
  ask.request_uid = uid;
  ask.pool.meta.name = ask.server.pool = pool;
  ask.pool.spec.engine = ask.server.engine = "karpenter";
  return ask;
}

TEST(EffectQueueTest, APoolWhosePurchasesHangHoldsUpNeitherItsReleasesNorOtherPools) {
  using Op = core::AskCloud::Op;
  EffectQueue queue(32);
  for (int i = 0; i < 24; ++i)
    queue.Push(Ask(Op::kEnsure, "hang-" + std::to_string(i), "hangs"), kStart);
  EXPECT_EQ(PopAll(queue, kStart).size(), 8u);
  const Time later = kStart + kSlowEffect;
  queue.Push(Ask(Op::kEnsure, "good", "other"), later);
  queue.Push(Ask(Op::kRelease, "old", "hangs"), later);
  EXPECT_EQ(PopAll(queue, later).size(), 2u);
}

// Of eight, one is answered at once and the others hang.
TEST(EffectQueueTest, WhatHangsDoesNotGetMoreForOneQuickAnswer) {
  EffectQueue queue(64);
  PushMany(queue, 100, "ns", Create);
  const std::vector<Job> first = PopAll(queue, kStart);
  ASSERT_EQ(first.size(), 8u);
  const Time later = kStart + kSlowEffect;
  (void)queue.ready(later);
  queue.Push(Create("t", "other"), later);
  queue.Done(*queue.Pop(later), later);
  queue.Done(first[0], later);
  std::vector<Job> second = PopAll(queue, later);
  ASSERT_EQ(second.size(), 1u);
  queue.Done(second[0], later + milliseconds(1));
  EXPECT_EQ(PopAll(queue, later).size(), 1u) << "the others hang as before";
}

TEST(EffectQueueTest, ALaneIsQuickAgainAfterAsManyQuickAnswersInARowAsItMayHaveInFlight) {
  EffectQueue queue(64);
  PushMany(queue, 200, "ns", Create);
  queue.Done(*queue.Pop(kStart), kStart + kSlowEffect);
  const Time later = kStart + kSlowEffect;
  for (int i = 0; i < 7; ++i) queue.Done(*queue.Pop(later), later);
  std::vector<Job> slow = PopAll(queue, later);
  EXPECT_EQ(slow.size(), 8u);
  for (const Job& job : slow) queue.Done(job, later);
  EXPECT_GT(PopAll(queue, later).size(), 8u);
}

TEST(EffectQueueTest, EnginesThatHangLeaveHalfOfTheWorkersToWhatElseThereIs) {
  using Op = core::AskCloud::Op;
  EffectQueue queue(64);
  for (const char* engine : {"a", "b", "c", "d"}) {
    for (const Op op : {Op::kEnsure, Op::kRelease, Op::kDiagnose}) {
      for (int i = 0; i < 40; ++i) {
        const std::string name = std::to_string(i);
        core::AskCloud ask = Ask(op, engine + name + std::to_string(static_cast<int>(op)), name);
        ask.pool.spec.engine = ask.server.engine = engine;
        queue.Push(ask, kStart);
      }
    }
  }
  size_t hang = PopAll(queue, kStart).size();
  EXPECT_GE(hang, 32u);
  for (int i = 1; i < 5; ++i) hang += PopAll(queue, kStart + i * kSlowEffect).size();
  EXPECT_LE(hang, 48u) << "a class with nothing in flight may have one beyond the half";
  PushMany(queue, 40, "ns", Create);
  EXPECT_GE(PopAll(queue, kStart + 5 * kSlowEffect).size(), 8u);
}

TEST(EffectQueueTest, AnEngineIsAskedThoughOthersHang) {
  using Op = core::AskCloud::Op;
  EffectQueue queue(64);
  for (int i = 0; i < 100; ++i)
    queue.Push(Ask(Op::kEnsure, "hang-" + std::to_string(i), std::to_string(i)), kStart);
  EXPECT_EQ(PopAll(queue, kStart).size(), 32u);
  core::AskCloud other = Ask(Op::kEnsure, "good", "other");
  other.pool.spec.engine = other.server.engine = "rest";
  queue.Push(other, kStart);
  const auto job = queue.Pop(kStart);
  ASSERT_TRUE(job);
  EXPECT_EQ(std::get<core::AskCloud>(job->effect).request_uid, "good");
}

// Creations elsewhere are quick, and never pause.
TEST(EffectQueueTest, ASlowNamespaceHasATurnThoughEnginesHangAndItsClassIsBusy) {
  EffectQueue queue(64);
  queue.Push(Create("old", "slow"), kStart);
  queue.Again(*queue.Pop(kStart), kStart + kSlowEffect, kStart + seconds(100));
  for (int i = 0; i < 100; ++i) {
    const std::string name = std::to_string(i);
    queue.Push(Ask(core::AskCloud::Op::kEnsure, "hang-" + name, name), kStart);
  }
  const Time later = kStart + kSlowEffect;
  EXPECT_EQ(PopAll(queue, later).size(), 32u);
  queue.Push(Create("t", "quick"), later);
  EXPECT_EQ(NamespaceOf(queue.Pop(later)), "quick");
  queue.Push(Create("t", "slow"), later);
  const auto job = queue.Pop(later);
  ASSERT_TRUE(job);
  EXPECT_EQ(NamespaceOf(job), "slow");
}

TEST(EffectQueueTest, TooManyEventsAreDroppedAndNothingElseIs) {
  EffectQueue queue;
  size_t dropped = 0;
  for (size_t i = 0; i < kMostNotes; ++i)
    dropped += queue.Push(EventOf("t" + std::to_string(i), "flood"), kStart).has_value() ? 1 : 0;
  EXPECT_EQ(dropped, kMostNotes / 2);
  EXPECT_FALSE(queue.Push(EventOf("t", "other"), kStart)) << "there is room for others";
  EXPECT_FALSE(queue.Push(Create("t", "flood"), kStart));
  const auto refused = queue.Push(EventOf("new", "flood"), kStart);
  ASSERT_TRUE(refused);
  EXPECT_EQ(std::get<core::Note>(*refused).name, "new");
}

TEST(EffectQueueTest, OfQuestionsAboutAPodOneWaits) {
  EffectQueue queue;
  EXPECT_FALSE(queue.Push(QuestionOf("p"), kStart));
  EXPECT_TRUE(queue.Push(QuestionOf("p"), kStart));
  EXPECT_FALSE(queue.Push(QuestionOf("q"), kStart));
  EXPECT_EQ(queue.size(), 2u);
  ASSERT_TRUE(queue.Pop(kStart));
  EXPECT_FALSE(queue.Push(QuestionOf("p"), kStart)) << "the one before is on its way";
}

TEST(EffectQueueTest, QuestionsAboutPodsThatAreGoneAreBoundedAsEventsAre) {
  EffectQueue queue;
  size_t taken = 0;
  while (taken < kMostNotes && !queue.Push(QuestionOf("p" + std::to_string(taken)), kStart))
    ++taken;
  EXPECT_EQ(taken, kMostNotes / 2);
  EXPECT_FALSE(queue.Push(Create("t"), kStart));
}

TEST(EffectQueueTest, EventsThatWereSentMakeRoom) {
  EffectQueue queue;
  size_t taken = 0;
  while (!queue.Push(EventOf("t" + std::to_string(taken)), kStart)) ++taken;
  auto job = queue.Pop(kStart);
  ASSERT_TRUE(job);
  EXPECT_FALSE(queue.Push(EventOf("a"), kStart));
  EXPECT_TRUE(queue.Push(EventOf("b"), kStart));
  queue.Again(std::move(*job), kStart, kStart);
  EXPECT_EQ(queue.size(), taken + 1);
}

TEST(EffectQueueTest, NamespacesThatHangTakeTurns) {
  EffectQueue queue(32);
  for (const char* ns : {"a", "b", "c"}) PushMany(queue, 20, ns, Create);
  std::vector<Job> hang = PopAll(queue, kStart);
  const Time later = kStart + kSlowEffect;
  std::map<std::string, int> turns;
  for (size_t i = 0; i < 24 && i < hang.size(); ++i) {
    queue.Done(hang[i], later);
    while (auto job = queue.Pop(later)) {
      ++turns[NamespaceOf(job)];
      hang.push_back(std::move(*job));
    }
  }
  for (const char* ns : {"a", "b", "c"}) EXPECT_GE(turns[ns], 4) << ns;
}

TEST(EffectQueueTest, OneThatWasSlowLetsItsNamespaceHaveLess) {
  EffectQueue queue(32);
  for (int i = 0; i < 200; ++i) queue.Push(Create("t" + std::to_string(i)), kStart);
  for (int i = 0; i < 100; ++i) queue.Done(*queue.Pop(kStart), kStart);
  queue.Done(*queue.Pop(kStart), kStart + kSlowEffect);
  EXPECT_EQ(PopAll(queue, kStart + kSlowEffect).size(), 4u);
}

TEST(EffectQueueTest, WhatIsTriedAgainWaitsAndTakesNoRoomMeanwhile) {
  EffectQueue queue(8);
  for (int i = 0; i < 3; ++i) queue.Push(Create("t" + std::to_string(i)), kStart);
  queue.Push(Patch("t0", 7), kStart);
  auto first = queue.Pop(kStart);
  (void)queue.Pop(kStart);
  EXPECT_FALSE(queue.ready(kStart)) << "two in flight";
  queue.Again(std::move(*first), kStart, kStart + seconds(5));
  EXPECT_EQ(EffectKey(queue.Pop(kStart)->effect), "TaskRequest/ns/t2");
  EXPECT_EQ(queue.next(), kStart + seconds(5));
  EXPECT_EQ(queue.size(), 2u);
  queue.Push(Create("other", "other"), kStart);
  EXPECT_EQ(NamespaceOf(queue.Pop(kStart)), "other");
}

TEST(EffectQueueTest, WhatIsTriedAgainComesBeforeWhatElseWaitsForItsObject) {
  EffectQueue queue;
  queue.Push(Create("t"), kStart);
  queue.Push(Patch("t", 7), kStart);
  queue.Again(std::move(*queue.Pop(kStart)), kStart, kStart + seconds(5));
  EXPECT_FALSE(queue.Pop(kStart + milliseconds(4'999)));
  const auto again = queue.Pop(kStart + seconds(5));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->attempts, 1);
  queue.Done(*again, kStart + seconds(5));
  EXPECT_EQ(VersionOf(queue.Pop(kStart + seconds(5))), 7);
}

// Whoever asks for it again at once, without end.
TEST(EffectQueueTest, WhatIsRefusedForEverIsAskedForEverMoreSeldom) {
  EffectQueue queue;
  Time now = kStart;
  int tries = 0;
  while (now < kStart + seconds(600)) {
    queue.Push(Create("t"), now);
    now = std::max(now, queue.next() == kNever ? now : queue.next());
    queue.Done(*queue.Pop(now), now, true);
    ++tries;
  }
  EXPECT_LT(tries, 50);
}

TEST(EffectQueueTest, ARefusalIsForgottenOnceOneSucceeds) {
  EffectQueue queue;
  queue.Push(Create("t"), kStart);
  queue.Done(*queue.Pop(kStart), kStart, true);
  queue.Push(Create("t"), kStart);
  EXPECT_FALSE(queue.ready(kStart));
  queue.Done(*queue.Pop(kStart + seconds(1)), kStart + seconds(1));
  queue.Push(Create("t"), kStart + seconds(1));
  EXPECT_TRUE(queue.ready(kStart + seconds(1)));
}

}  // namespace
}  // namespace spillway::runtime
