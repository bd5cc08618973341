#include "operator/runtime/leader.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "operator/kube/deadline.h"
#include "operator/runtime/guard.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestHold{1'000};

Time Wall() { return std::chrono::floor<Duration>(std::chrono::system_clock::now()); }

}  // namespace

// Given up after the machine's patience.
Result<kube::Json> Leader::Call(const kube::Request& request, std::stop_token stop) const {
  const kube::Deadline deadline(machine_.patience(), stop);
  auto answer = kube::Call(transport_, request, deadline.token());
  if (!answer && answer.error().kind == ErrorKind::kCancelled && !stop.stop_requested())
    return machine_.TooLate();
  return answer;
}

void Leader::LogFailure(const char* what, const std::string& error) {
  if (std::exchange(failure_, error) == error) return;
  Warn(what, {{"lease", options_.ns + "/" + options_.name}, {"error", error}});
}

void Leader::Carry(kube::Request request, std::stop_token stop) {
  std::optional<kube::Request> next = std::move(request);
  while (next) {
    const auto answer = Call(*next, stop);
    const auto now = clock_.now();
    LeaseMachine::Step step;
    {
      const std::lock_guard lock(mutex_);
      step = machine_.Answer(answer, now, Wall());
    }
    if (step.failed != nullptr) LogFailure(step.failed, step.error);
    next = std::move(step.next);
  }
}

bool Leader::Try(std::stop_token stop) {
  const auto now = clock_.now();
  std::unique_lock lock(mutex_);
  kube::Request first = machine_.Try(now);
  lock.unlock();
  Carry(std::move(first), std::move(stop));
  lock.lock();
  if (machine_.held()) failure_.clear();
  return machine_.held();
}

bool Leader::Acquire(std::stop_token stop) {
  Info("waiting for the leader election Lease",
       {{"lease", options_.ns + "/" + options_.name}, {"identity", options_.identity}});
  while (!stop.stop_requested()) {
    bool held = false;
    const auto thrown = Guarded([&] { held = Try(stop); });
    if (thrown) LogFailure("cannot take the leader election Lease", *thrown);
    if (held) {
      Info("became the leader", {{"identity", options_.identity}});
      return true;
    }
    clock_.sleep(machine_.UntilNextTry(clock_.now()), stop);  // there is no other thread yet
  }
  return false;
}

bool Leader::Hold(std::stop_token stop) {
  // In a thread of its own: a renewal may hang for longer than the lease lasts.
  const std::jthread renewer([&](std::stop_token ended) {
    while (!ended.stop_requested()) {
      clock_.sleep(options_.retry_period, ended);
      if (ended.stop_requested()) return;
      if (const auto thrown = Guarded([&] { (void)Try(ended); }))
        LogFailure("cannot renew the leader election Lease", *thrown);
    }
  });
  while (!stop.stop_requested()) {
    const auto now = clock_.now();
    std::unique_lock lock(mutex_);
    const milliseconds left = machine_.Left(now);
    lock.unlock();
    if (left == milliseconds(0)) {
      Fail("lost the leader election Lease", {{"identity", options_.identity}});
      return false;
    }
    clock_.sleep(std::min(left, kLongestHold), stop);
  }
  return true;
}

void Leader::Release() { Carry(machine_.Release(), {}); }

Leader::Clock::time_point Leader::may_act_until() const {
  const std::lock_guard lock(mutex_);
  return machine_.may_act_until();
}

}  // namespace spillway::runtime
