// What is tried next, and what follows from it, without threads.
#include "operator/runtime/executor_machine.h"

#include <gtest/gtest.h>

#include "operator/runtime/answers.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;
using std::chrono::milliseconds;
using std::chrono::seconds;

core::Write Write(Verb verb, Kind kind, const std::string& name) {
  core::Write write;
  write.verb = verb;
  write.kind = kind;
  write.ns = "ns";
  write.name = name;
  return write;
}

Error Unavailable() { return {ErrorKind::kUnavailable, "try 1 of 9 failed", std::nullopt}; }

class ExecutorMachineTest : public testing::Test {
 protected:
  using Verdict = ExecutorMachine::Verdict;

  // How a try of a write has ended.
  static Tried Ended(const core::Effect& effect, std::optional<Error> error) {
    core::Outcome outcome = OutcomeOf(std::get<core::Write>(effect));
    outcome.error = error;
    return {std::move(error), std::move(outcome)};
  }
  Verdict Judge(const Job& job, std::optional<Error> error) {
    return machine.Judge(job, Ended(job.effect, std::move(error)), milliseconds(1), now);
  }
  // One effect, from its push to its end.
  Verdict Carry(core::Effect effect, const std::optional<Error>& error) {
    machine.Push(std::move(effect), now);
    auto job = machine.Next(now);
    Verdict verdict = Judge(*job, error);
    machine.Land(std::move(*job), verdict, now, 0);
    now += seconds(40);  // whatever was refused waits no more
    return verdict;
  }

  ExecutorMachine machine{8};
  Time now{seconds(1'000)};
  const core::Effect deletion = Write(Verb::kDelete, Kind::kPod, "p");
  const core::Effect status = Write(Verb::kPatchStatus, Kind::kTask, "t");
};

TEST_F(ExecutorMachineTest, AStatusThatConflictsAtItsSecondTryMayDoSoWithItsFirst) {
  const auto conflicts = [&](std::optional<Error> before) {
    machine.Push(status, now);
    auto job = machine.Next(now);
    if (before) {
      const Verdict first = Judge(*job, before);
      machine.Land(std::move(*job), first, now, 0);
      now += seconds(40);
      job = machine.Next(now);
    }
    Verdict verdict = Judge(*job, Error{ErrorKind::kConflict, "changed", {}});
    machine.Land(std::move(*job), verdict, now, 0);
    now += seconds(40);
    return std::get<core::Outcome>(*verdict.report).error->ambiguous;
  };
  EXPECT_FALSE(conflicts(std::nullopt));
  EXPECT_TRUE(conflicts(Unavailable()));
}

TEST_F(ExecutorMachineTest, ACreationOfWhichATryMayHaveArrivedIsReportedAsThat) {
  const auto refused = [&](bool before) {
    machine.Push(Write(Verb::kCreate, Kind::kPod, "p"), now);
    auto job = machine.Next(now);
    Error first = Unavailable();
    first.ambiguous = before;
    Verdict verdict = Judge(*job, first);
    while (verdict.again) {
      machine.Land(std::move(*job), verdict, now, 0);
      now += seconds(40);
      job = machine.Next(now);
      verdict = Judge(*job, Unavailable());
    }
    machine.Land(std::move(*job), verdict, now, 0);
    now += seconds(40);
    return std::get<core::Outcome>(*verdict.report).error->ambiguous;
  };
  EXPECT_FALSE(refused(false));
  EXPECT_TRUE(refused(true));
}

TEST_F(ExecutorMachineTest, WhatMayPassIsTriedAgainAfterAPauseAndReportedOnce) {
  machine.Push(deletion, now);
  auto job = machine.Next(now);
  Verdict verdict = Judge(*job, Unavailable());
  EXPECT_TRUE(verdict.again);
  EXPECT_FALSE(verdict.report);
  machine.Land(std::move(*job), verdict, now, 0);
  EXPECT_FALSE(machine.ready(now));
  ASSERT_GT(machine.next(), now);
  now = machine.next();
  job = machine.Next(now);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->attempts, 1);
  verdict = Judge(*job, std::nullopt);
  EXPECT_FALSE(verdict.again);
  EXPECT_EQ(std::get<core::Outcome>(*verdict.report).key, "ns/p");
}

TEST_F(ExecutorMachineTest, ThePauseIsAtLeastWhatTheApiServerAsksFor) {
  machine.Push(deletion, now);
  auto job = machine.Next(now);
  Error busy = Unavailable();
  busy.retry_after = seconds(7);
  const Verdict verdict = Judge(*job, busy);
  machine.Land(std::move(*job), verdict, now, 0);
  EXPECT_GE(machine.next(), now + seconds(7));
}

TEST_F(ExecutorMachineTest, NothingElseOfTheObjectBeginsBeforeItHasLanded) {
  machine.Push(deletion, now);
  machine.Push(deletion, now);
  auto job = machine.Next(now);
  EXPECT_FALSE(machine.Next(now));
  const Verdict verdict = Judge(*job, std::nullopt);
  EXPECT_FALSE(machine.Next(now)) << "its report may not have been handed over";
  EXPECT_EQ(machine.in_flight(), 1u);
  machine.Land(std::move(*job), verdict, now, 0);
  EXPECT_EQ(machine.in_flight(), 0u);
  EXPECT_TRUE(machine.Next(now));
}

TEST_F(ExecutorMachineTest, AfterARefusalTheNextOfTheObjectWaits) {
  machine.Push(status, now);
  machine.Push(status, now);
  auto job = machine.Next(now);
  const Verdict verdict = Judge(*job, Invalid("no such field"));
  EXPECT_FALSE(verdict.again);
  EXPECT_TRUE(verdict.report);
  machine.Land(std::move(*job), verdict, now, 0);
  EXPECT_FALSE(machine.ready(now));
  EXPECT_GT(machine.next(), now);
}

TEST_F(ExecutorMachineTest, WhatIsGivenUpAtTheEndIsNeitherReportedNorLogged) {
  const Verdict verdict = Carry(status, Error{ErrorKind::kCancelled, "stopped", std::nullopt});
  EXPECT_FALSE(verdict.again);
  EXPECT_FALSE(verdict.report);
  EXPECT_FALSE(verdict.news);
}

TEST_F(ExecutorMachineTest, AFailureIsNewsOnceUntilTheObjectHasASuccess) {
  EXPECT_TRUE(Carry(status, Invalid("denied: 1 of 4 used")).news);
  EXPECT_FALSE(Carry(status, Invalid("denied: 2 of 4 used")).news);
  EXPECT_TRUE(Carry(status, Invalid("no more than that")).news);
  EXPECT_FALSE(Carry(status, std::nullopt).news);
  EXPECT_TRUE(Carry(status, Invalid("denied: 1 of 4 used")).news);
}

TEST_F(ExecutorMachineTest, ALostRaceIsNoNews) {
  for (const ErrorKind kind :
       {ErrorKind::kConflict, ErrorKind::kNotFound, ErrorKind::kAlreadyExists})
    EXPECT_FALSE(Carry(status, Error{kind, "another was faster", std::nullopt}).news);
}

TEST_F(ExecutorMachineTest, WhyThereIsNoPodIsToldByTheCoreAlone) {
  const Verdict verdict =
      Carry(Write(Verb::kCreate, Kind::kPod, "p-1"), Invalid("denied by a policy"));
  EXPECT_TRUE(verdict.report);
  EXPECT_FALSE(verdict.news);
}

TEST_F(ExecutorMachineTest, APurchaseThatMayHaveArrivedIsToldAsSuchAfterTwoTries) {
  core::AskCloud ask;
  ask.request_uid = "r";
  core::Outcome outcome = OutcomeOf(ask);
  const Error lost{ErrorKind::kUnavailable, "timed out", std::nullopt, true};
  outcome.error = lost;
  machine.Push(ask, now);
  auto job = *machine.Next(now);
  auto verdict = machine.Judge(job, {lost, outcome}, Duration{5}, now);
  EXPECT_TRUE(verdict.again);
  EXPECT_FALSE(verdict.report);
  machine.Land(std::move(job), verdict, now, 0);
  const Time later = now + std::chrono::seconds(5);
  const Error refused{ErrorKind::kUnavailable, "the webhook failed"};
  outcome.error = refused;
  job = *machine.Next(later);
  verdict = machine.Judge(job, {refused, outcome}, Duration{5}, later);
  EXPECT_FALSE(verdict.again);
  ASSERT_TRUE(verdict.report);
  EXPECT_TRUE(std::get<core::Outcome>(*verdict.report).error->ambiguous);
}

TEST_F(ExecutorMachineTest, WhoeverWaitsForAnAnswerIsToldThatNothingCouldBeSent) {
  const auto written = std::get<core::Outcome>(*CouldNotSend(status, "a bad text").report);
  EXPECT_EQ(written.key, "ns/t");
  EXPECT_EQ(written.error->kind, ErrorKind::kInvalid);
  core::AskCloud ask;
  ask.request_uid = "r";
  ask.op = core::AskCloud::Op::kEnsure;
  EXPECT_EQ(std::get<core::Outcome>(*CouldNotSend(ask, "thrown").report).error->kind,
            ErrorKind::kInvalid);
  ask.op = core::AskCloud::Op::kDiagnose;
  EXPECT_EQ(std::get<core::CloudDiagnosis>(*CouldNotSend(ask, "thrown").report).error,
            api::CloudError::kTransient);
  EXPECT_FALSE(CouldNotSend(core::AskWhy{}, "thrown").report);
}

}  // namespace
}  // namespace spillway::runtime
