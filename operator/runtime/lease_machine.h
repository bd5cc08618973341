// The decisions of leader election on a Lease (coordination.k8s.io/v1), as client-go takes them and
// with its timings: a lease lasts 15 s, its holder renews every 2 s and gives up if it could not
// for 10 s. A state machine without I/O, threads or a clock: the caller carries requests and sleeps
// (leader.h).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "operator/base/time.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

struct LeaseOptions {
  std::string ns, name;
  std::string identity;  // unique to this process
  std::chrono::milliseconds lease_duration{15'000}, renew_deadline{10'000}, retry_period{2'000};
};

// Whether the timings fit together: a process that lost the lease must have stopped before another
// one can get it.
Result<Unit> CheckTimings(const LeaseOptions& options);

// Not thread-safe. `now` is of one monotonic clock, `wall` of one that tells the time of day: what
// others wrote by theirs is never compared with it.
class LeaseMachine {
 public:
  using Clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;

  explicit LeaseMachine(LeaseOptions options) : options_(std::move(options)) {}

  struct Step {
    std::optional<kube::Request> next;  // of the same try; none: it has ended
    // What could not be done, where that is worth a line in the log.
    const char* failed = nullptr;
    std::string error;
  };

  // A try to take the lease, or to renew it, begins. A try before that has not ended is given up.
  kube::Request Try(Clock::time_point now);
  // The answer to the try's last request; TooLate() if there was none within patience().
  Step Answer(const Result<kube::Json>& answer, Clock::time_point now, Time wall);
  // Whether the last try has taken or renewed the lease.
  bool held() const { return held_; }
  // An answer after the deadline is useless, and the next try may be quicker.
  milliseconds patience() const { return options_.renew_deadline / 2; }
  Error TooLate() const;

  // Without the lease: how long to wait before the next try to get it.
  milliseconds UntilNextTry(Clock::time_point now) const;
  // With it: for how long this process may act, if it is not renewed; 0: not any more. Counted from
  // before the last write.
  milliseconds Left(Clock::time_point now) const;
  Clock::time_point may_act_until() const { return renewed_ + options_.renew_deadline; }

  // Gives the lease up, so that another process need not wait until it has run out. REQUIRES: no
  // try is under way, and none follows.
  kube::Request Release();

 private:
  enum class Sent { kNothing, kRead, kWrite, kReadToRelease };

  Step AnswerRead(const Result<kube::Json>& known, Clock::time_point now, Time wall);
  Step AnswerWrite(const Result<kube::Json>& written);
  Step AnswerReadToRelease(const Result<kube::Json>& known);
  Step Write(kube::Request request);
  // Another's lease, as it was read.
  void Observe(const kube::Json& spec, Clock::time_point now);
  kube::Json Spec(int64_t transitions, const std::string& acquired, Time wall) const;

  const LeaseOptions options_;
  Sent sent_ = Sent::kNothing;
  Clock::time_point begin_{};  // of the try
  bool held_ = false;
  Clock::time_point renewed_{};
  bool taken_ = false;  // another's name stands in it
  // Another's last renewal as it was read, and when it runs out, by our clock: clocks may differ.
  std::string seen_renewal_;
  Clock::time_point runs_out_{};
};

}  // namespace spillway::runtime
