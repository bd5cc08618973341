#include <gtest/gtest.h>

#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr char kTask[] = "ns/t";

bool IsStatus(const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  return write != nullptr && write->kind == Kind::kTask;
}

// A server, and a task that must not run twice: its status tells of each attempt first. The first
// leader ends once that is written.
class AtRestTest : public testing::Test {
 protected:
  AtRestTest() {
    Pass(seconds(1'800'000'000));
    api.witness = &witness;
    nodes.Add("s0", *api::DecodeResources({{"cpu", "2"}, {"memory", "8Gi"}}));
    nodes.Beat();
    for (int i = 0; i < 3; ++i) GoOn(first), GoOn(second);
    Submit();
    for (int i = 0; i < 10 && !first.dead(); ++i) GoOn(first);
    EXPECT_EQ(Task().status.phase, api::TaskPhase::kAssigned);
  }

  void Submit() {
    api::TaskRequest task = *api::DecodeTaskRequest(
        {{"spec",
          {{"retry", {{"lossLimit", 0}}},
           {"template", {{"spec", {{"containers", {{{"name", "c"}, {"image", "x"}}}}}}}}}}});
    task.meta.ns = "ns";
    task.meta.name = "t";
    api.Put(task);
  }
  const api::TaskRequest& Task() const { return *api.Get<api::TaskRequest>(kTask); }

  void GoOn(Replica& replica) {
    for (size_t kind = 0; kind < core::kKinds; ++kind)
      replica.Deliver(static_cast<Kind>(kind), 1'000);
    replica.Turn();
    while (replica.Begin()) continue;
    while (replica.Carry(0, Fate::kGood)) continue;
    while (replica.Answer(0)) continue;
  }
  void Pass(Duration time) {
    api.now += time;
    witness.now = api.now;
    nodes.Beat();
  }

  ApiServer api;
  Witness witness;
  cloud::Engines engines;
  Cloud cloud{api, engines, [](const std::string&) {}};
  Nodes nodes{api, [](const std::string&) {}};
  Checks checks{api, witness, cloud};
  Replica::World world{
      api,
      engines,
      [this](const Replica& by, const core::Effect& effect) { checks.Decided(by, effect); },
      [this](const Replica&, const core::Write& write) { checks.Before(write); },
      [this](const Replica& by, const core::Write& write) { checks.After(by, write); },
      [this](const Replica& by) { checks.Turned(by); },
      [this](const Replica& by, const core::Effect& effect) { checks.Tried(by, effect); },
      [this](const Replica&, const core::Effect& effect) { checks.Failed(effect); },
      [](const core::Write&) {},
      [](const core::Effect& effect, bool carried) { return carried && IsStatus(effect); }};
  Replica first{0, world}, second{1, world};
};

TEST_F(AtRestTest, AnAttemptThatAnotherLeaderHasRecordedIsWaitedForTwoMinutes) {
  GoOn(second);
  EXPECT_TRUE(checks.Idle(second).empty());
  Pass(minutes(2));
  EXPECT_TRUE(checks.Idle(second).empty());
  Pass(seconds(20));
  EXPECT_EQ(checks.Idle(second), (Checks::Waits{{kTask, "s0"}})) << "it should be lost by now";
  GoOn(second);
  EXPECT_EQ(Task().status.phase, api::TaskPhase::kFailed);
  EXPECT_TRUE(checks.Idle(second).empty());
  EXPECT_FALSE(checks.violation());
}

TEST_F(AtRestTest, TheTwoMinutesBeginWhenTheOtherIsTold) {
  Pass(minutes(10));
  GoOn(second);
  EXPECT_TRUE(checks.Idle(second).empty());
}

TEST_F(AtRestTest, AnAttemptOfItsOwnIsNotWaitedFor) {
  GoOn(first);
  EXPECT_EQ(checks.Idle(first), (Checks::Waits{{kTask, "s0"}}));
}

// Task u is tried again at some time.
class RetryTest : public AtRestTest {
 protected:
  void SetClockAhead(Duration by) {
    second.JumpClock(by);
    Pass(minutes(2));  // it follows slowly
  }
  void RetryAt(Time time) {
    api::TaskRequest task = Task();
    task.meta.name = "u";
    task.status = {};
    task.status.phase = api::TaskPhase::kPending;
    task.status.retry_at = time;
    api.Put(task);
  }
  bool IsDue() {
    second.Read();
    return checks.Idle(second).contains({"ns/u", "s0"});
  }
};

TEST_F(RetryTest, IsNotDueBeforeThatByASlowClock) {
  SetClockAhead(-seconds(10));
  RetryAt(api.now);
  EXPECT_FALSE(IsDue());
  Pass(seconds(9));
  EXPECT_FALSE(IsDue());
  Pass(seconds(1));
  EXPECT_TRUE(IsDue());
}

TEST_F(RetryTest, IsDueAsSoonAsThatByAFastClock) {
  SetClockAhead(seconds(10));
  RetryAt(api.now + seconds(11));
  EXPECT_FALSE(IsDue());
  Pass(seconds(1));
  EXPECT_TRUE(IsDue());
}

TEST(ApiServerTest, WhatAdmissionAddedMayBeReckonedWithForAWhile) {
  ApiServer api;
  api.admission["ns"] = {false, 300};
  EXPECT_EQ(api.ReckonedCpu("ns"), 300);
  api.EndAdmission();
  EXPECT_EQ(api.AddedCpu("ns"), 0);
  EXPECT_EQ(api.ReckonedCpu("ns"), 300);
  EXPECT_EQ(api.ReckonedCpu("team"), 0);
  api.now += minutes(11);
  EXPECT_EQ(api.ReckonedCpu("ns"), 300) << "by a slow clock it is ten minutes";
  api.now += seconds(30);
  EXPECT_EQ(api.ReckonedCpu("ns"), 0);
}

TEST(WitnessTest, ANodeIsLostAfterAMinuteByAClockThatGoesATenthFaster) {
  Witness witness;
  api::Node node;
  node.meta.name = "s0";
  node.ready = api::NodeReady::kTrue;
  const core::Object seen(node);
  witness.Changed(nullptr, &seen, false);
  witness.now += seconds(1);
  const Time since = witness.now;
  witness.Silent("s0", true);
  witness.now += seconds(54);
  EXPECT_FALSE(witness.Lost("s0", since));
  witness.now += seconds(1);
  EXPECT_TRUE(witness.Lost("s0", since));
}

TEST(WitnessTest, ANodeIsAnotherIfItCameBackAtTheMomentOfTheDecision) {
  Witness witness;
  witness.now += seconds(1);
  api::Node node;
  node.meta.name = "s0";
  node.ready = api::NodeReady::kTrue;
  const core::Object seen(node);
  witness.Changed(nullptr, &seen, false);
  EXPECT_FALSE(witness.Lost("s0", witness.now)) << "the first of its name";
  witness.now += seconds(1);
  witness.Changed(&seen, nullptr, false);
  witness.now += seconds(1);
  witness.Changed(nullptr, &seen, false);
  EXPECT_TRUE(witness.Lost("s0", witness.now));
  EXPECT_FALSE(witness.Lost("s0", witness.now + seconds(1)));
}

// What kube-scheduler had no node for.
class TakenBackTest : public testing::Test {
 protected:
  void TakeBack(const std::string& uid, bool complained = true) {
    api::Pod pod;
    pod.meta.ns = "ns";
    pod.meta.name = pod.meta.uid = uid;
    pod.node_name = "s0";
    core::Write write;
    write.uid = "t";
    witness.Created(write, core::Object(pod));
    if (complained) witness.Blame(uid, "unschedulable");
    witness.TakenBack(uid, asked);
  }

  api::Resources asked = *api::DecodeResources({{"cpu", "2"}});
  Witness witness;
};

TEST_F(TakenBackTest, ItsServerIsPassedOverByWhoAsksForTheSame) {
  TakeBack("a");
  EXPECT_TRUE(witness.HasNoneFor("s0", asked));
  EXPECT_FALSE(witness.HasNoneFor("s1", asked));
  EXPECT_FALSE(witness.HasNoneFor("s0", *api::DecodeResources({{"cpu", "1"}})));
  witness.now += seconds(15);
  EXPECT_FALSE(witness.HasNoneFor("s0", asked));
}

TEST_F(TakenBackTest, ItsServerIsPassedOverForLongerTheNextTime) {
  TakeBack("a");
  witness.now += seconds(15);
  TakeBack("b");
  witness.now += seconds(20);
  EXPECT_TRUE(witness.HasNoneFor("s0", asked));
  witness.now += seconds(5);
  EXPECT_FALSE(witness.HasNoneFor("s0", asked));
}

TEST_F(TakenBackTest, NoServerIsPassedOverWhereNobodyComplained) {
  TakeBack("a", false);
  EXPECT_FALSE(witness.HasNoneFor("s0", asked));
}

// Task u says that pool spot can be asked.
class UnboughtTest : public AtRestTest {
 protected:
  void SetUp() override {
    api::ServerPool pool;
    pool.meta.name = "spot";
    pool.spec.price_micros = 400'000;
    api.Put(pool);
    api::TaskRequest task = Task();
    task.meta.name = "u";
    task.status = {};
    task.status.phase = api::TaskPhase::kPending;
    Explain(std::move(task), "");
  }
  // more: what it says besides.
  void Explain(api::TaskRequest task, const std::string& more) {
    api::Explanation says;
    says.summary = "0 of 1 servers fit: 1 insufficient cpu; pools: spot available" + more;
    task.status.explanation = std::make_shared<const api::Explanation>(says);
    api.Put(task);
  }
  Checks::Waits Unbought() {
    second.Read();
    return checks.Unbought(second);
  }
};

TEST_F(UnboughtTest, ATaskDoesNotWaitForLongWhileAPoolCanBeAsked) {
  EXPECT_EQ(Unbought(), Checks::Waits{}) << "it is new";
  Pass(minutes(3));
  EXPECT_EQ(Unbought(), (Checks::Waits{{"ns/u", "spot"}}));
}

TEST_F(UnboughtTest, ExceptWhileItWaitsForAPurchase) {
  for (const char* why : {"; no other server is bought for it before 2027-01-15T08:00:00Z: the one "
                          "that was did not take it",
                          "; nothing else is bought for it while ScaleRequest spw-1-0 lasts"}) {
    Explain(*api.Get<api::TaskRequest>("ns/u"), why);
    Pass(minutes(3));
    EXPECT_EQ(Unbought(), Checks::Waits{}) << why;
  }
}

TEST_F(UnboughtTest, ExceptWhereABudgetMayCloseWhatHasAPrice) {
  api::Budget budget;
  budget.meta.ns = "ns";
  budget.meta.name = "b";
  api.Put(budget);
  Pass(minutes(3));
  EXPECT_EQ(Unbought(), Checks::Waits{});
}

}  // namespace
}  // namespace spillway::simulation
