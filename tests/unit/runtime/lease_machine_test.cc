// Leader election without threads: answers and times in, requests out.
#include "operator/runtime/lease_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "tests/unit/runtime/lease_store.h"

namespace spillway::runtime {
namespace {

using kube::Json;
using kube::Request;
using kube::Response;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = LeaseMachine::Clock;

class LeaseMachineTest : public testing::Test {
 protected:
  // A whole try that begins now; each answer takes so long.
  bool Try(LeaseMachine& machine, milliseconds each = milliseconds(0)) {
    std::optional<Request> next = machine.Try(now);
    while (next) {
      const Result<Json> answer = store.Ask(*next);
      now += each;
      next = machine.Answer(answer, now, Time{}).next;
    }
    return machine.held();
  }

  LeaseStore store;
  Clock::time_point now{seconds(100'000)};
  LeaseMachine ours{{"ns", "lease", "we"}}, theirs{{"ns", "lease", "they"}};
};

TEST_F(LeaseMachineTest, MayActForTheDeadlineFromBeforeTheFirstRequest) {
  EXPECT_EQ(ours.Left(now), milliseconds(0)) << "it was never held";
  ASSERT_TRUE(Try(ours, seconds(2)));
  EXPECT_EQ(ours.Left(now), seconds(6));
  EXPECT_EQ(ours.Left(now + seconds(6)), milliseconds(0));
}

TEST_F(LeaseMachineTest, ARenewalKeepsWhenItWasAcquired) {
  ASSERT_TRUE(Try(ours));
  const Json acquired = store.lease["spec"]["acquireTime"];
  store.lease["spec"]["acquireTime"] = "earlier";
  ASSERT_TRUE(Try(ours));
  EXPECT_EQ(store.lease["spec"]["acquireTime"], "earlier");
  EXPECT_EQ(store.lease["spec"]["leaseTransitions"], 0);
  EXPECT_TRUE(acquired.is_string());
}

TEST_F(LeaseMachineTest, WhatAnotherHoldsIsLookedAtEachSecondAndWhenItRunsOut) {
  ASSERT_TRUE(Try(theirs));
  EXPECT_FALSE(Try(ours));
  EXPECT_EQ(ours.UntilNextTry(now), seconds(1));
  EXPECT_EQ(ours.UntilNextTry(now + milliseconds(14'400)), milliseconds(600));
  now += seconds(15);
  EXPECT_TRUE(Try(ours));
  EXPECT_EQ(store.lease["spec"]["leaseTransitions"], 1);
}

TEST_F(LeaseMachineTest, WhoReadsAnothersNameStopsAtOnce) {
  ASSERT_TRUE(Try(ours));
  store.lease["spec"]["holderIdentity"] = "they";
  EXPECT_FALSE(Try(ours));
  EXPECT_EQ(ours.Left(now), milliseconds(0));
}

TEST_F(LeaseMachineTest, ARaceThatIsLostIsNoFailure) {
  ours.Try(now);
  const auto create = ours.Answer(Error{ErrorKind::kNotFound, ""}, now, Time{});
  ASSERT_TRUE(create.next);
  ASSERT_TRUE(Try(theirs));
  const auto step = ours.Answer(store.Ask(*create.next), now, Time{});
  EXPECT_FALSE(step.next);
  EXPECT_EQ(step.failed, nullptr);
  EXPECT_FALSE(ours.held());
}

TEST_F(LeaseMachineTest, NoAnswerIsAFailureOfTheTry) {
  ours.Try(now);
  EXPECT_EQ(ours.patience(), seconds(5));
  const auto step = ours.Answer(ours.TooLate(), now, Time{});
  EXPECT_FALSE(step.next);
  EXPECT_STREQ(step.failed, "cannot read the leader election Lease");
  EXPECT_EQ(step.error, "no answer within 5s");
}

TEST_F(LeaseMachineTest, GivesUpOnlyWhatIsItsOwn) {
  ASSERT_TRUE(Try(ours));
  EXPECT_FALSE(theirs.Answer(store.Ask(theirs.Release()), now, Time{}).next);
  const auto step = ours.Answer(store.Ask(ours.Release()), now, Time{});
  ASSERT_TRUE(step.next);
  ASSERT_TRUE(store.Ask(*step.next));
  EXPECT_FALSE(ours.Answer(Json::object(), now, Time{}).next);
  EXPECT_TRUE(Try(theirs)) << "at once";
}

TEST(LeaseTimingsTest, MustGoTogether) {
  const auto good = [](int duration, int deadline, int period) {
    LeaseOptions options;
    options.lease_duration = milliseconds(duration);
    options.renew_deadline = milliseconds(deadline);
    options.retry_period = milliseconds(period);
    return CheckTimings(options).ok();
  };
  EXPECT_TRUE(good(15'000, 10'000, 2'000));
  EXPECT_TRUE(good(137'000, 107'000, 26'000));
  EXPECT_FALSE(good(10'000, 10'000, 2'000));
  EXPECT_FALSE(good(15'000, 2'400, 2'000));
  EXPECT_FALSE(good(15'000, 10'000, 0));
  EXPECT_FALSE(good(900, 500, 200));
}

// Processes that want the same Lease: answers that are late, lost, or of requests that arrive when
// nobody waits for them any more; and processes that end.
class Rivals {
 public:
  explicit Rivals(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 3; ++i) processes_.push_back(Begin());
  }

  // Lets the time pass; false if two were ever allowed to act at once.
  bool Live(milliseconds time, bool faults) {
    for (const auto end = now_ + time; now_ < end; now_ += milliseconds(100)) {
      if (faults && OneIn(600)) processes_[random_() % processes_.size()] = Begin();
      std::erase_if(late_, [&](const auto& late) {
        if (late.second > now_) return false;
        (void)store_.Ask(late.first);
        return true;
      });
      for (Process& process : processes_) Move(process, faults);
      if (Acting() > 1) return false;
    }
    return true;
  }
  int Acting() const {
    return static_cast<int>(std::count_if(
        processes_.begin(), processes_.end(),
        [&](const Process& process) { return process.machine->Left(now_) > milliseconds(0); }));
  }
  int changes() const { return changes_; }

 private:
  struct Process {
    std::unique_ptr<LeaseMachine> machine;
    Clock::time_point next{};  // when it tries, or when what was sent arrives or is answered
    std::optional<Request> sent = {};
    std::optional<Result<Json>> answer = {};
    bool led = false;
    Duration clock_ahead{0};
  };

  bool OneIn(uint64_t n) { return random_() % n == 0; }
  milliseconds UpTo(uint64_t most) {
    return milliseconds(static_cast<int64_t>(random_() % (most + 1)));
  }
  Process Begin() {
    LeaseOptions options{"ns", "lease", "process " + std::to_string(++begun_)};
    Process process{std::make_unique<LeaseMachine>(options), now_ + UpTo(2'000)};
    process.clock_ahead = UpTo(7'200'000) - UpTo(7'200'000);
    return process;
  }
  Time WallOf(const Process& process) const {
    return Time(std::chrono::floor<Duration>(now_.time_since_epoch())) + process.clock_ahead;
  }

  void Move(Process& process, bool faults) {
    if (process.next > now_) return;
    LeaseMachine& machine = *process.machine;
    if (process.answer) {
      auto step = machine.Answer(*std::exchange(process.answer, {}), now_, WallOf(process));
      if (step.next) return Send(process, std::move(*step.next), faults);
      if (machine.held() && !std::exchange(process.led, true)) ++changes_;
      process.next = now_ + (process.led ? seconds(2) : machine.UntilNextTry(now_));
    } else if (process.sent) {
      process.answer = store_.Ask(*std::exchange(process.sent, {}));
      process.next += UpTo(faults ? 2'000 : 100);
    } else if (process.led && machine.Left(now_) == milliseconds(0)) {
      process = Begin();  // it has lost the lease, and ends
    } else {
      Send(process, machine.Try(now_), faults);
    }
  }

  void Send(Process& process, Request request, bool faults) {
    if (faults && OneIn(5)) {  // it never arrives, or when it was given up
      if (OneIn(2)) late_.emplace_back(std::move(request), now_ + UpTo(60'000));
      process.answer = process.machine->TooLate();
      process.next = now_ + process.machine->patience();
      return;
    }
    process.sent = std::move(request);
    process.next = now_ + UpTo(faults ? 2'500 : 100);
  }

  std::mt19937_64 random_;
  LeaseStore store_;
  Clock::time_point now_{seconds(100'000)};
  std::vector<Process> processes_;
  std::vector<std::pair<Request, Clock::time_point>> late_;
  int begun_ = 0, changes_ = 0;
};

TEST(LeaseRivalsTest, NeverActAtTheSameTimeAndOneLeadsSoonAfterTheFaults) {
  int changes = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rivals rivals(seed);
    ASSERT_TRUE(rivals.Live(seconds(600), true)) << "seed " << seed;
    ASSERT_TRUE(rivals.Live(seconds(60), false)) << "seed " << seed;
    ASSERT_EQ(rivals.Acting(), 1) << "seed " << seed;
    changes += rivals.changes();
  }
  EXPECT_GT(changes, 100) << "else nothing was tried";
}

}  // namespace
}  // namespace spillway::runtime
