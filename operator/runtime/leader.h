// Leader election on a Lease (coordination.k8s.io/v1), as client-go does it and with its timings: a
// lease lasts 15 s, its holder renews every 2 s and gives up if it could not for 10 s.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include "operator/kube/watcher.h"

namespace spillway::runtime {

struct LeaderOptions {
  std::string ns, name;
  std::string identity;  // unique to this process
  std::chrono::milliseconds lease_duration{15'000}, renew_deadline{10'000}, retry_period{2'000};
  // Replaced in tests.
  std::function<void(std::chrono::milliseconds, std::stop_token)> sleep = kube::SleepFor;
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Whether the timings fit together: a process that lost the lease must have stopped before another
// one can get it.
Result<Unit> CheckTimings(const LeaderOptions& options);

class Leader {
 public:
  using Clock = std::chrono::steady_clock;

  // transport must outlive this.
  Leader(kube::Transport& transport, LeaderOptions options)
      : transport_(transport), options_(std::move(options)) {}

  // Blocks until this process holds the lease. False if it was stopped before.
  bool Acquire(std::stop_token stop);
  // Renews until stopped (true), or until it is lost (false): the caller must end the process then,
  // since another one may act already.
  bool Hold(std::stop_token stop);
  // Gives the lease up, so that another process need not wait until it has run out. REQUIRES: no
  // request of ours can arrive any more.
  void Release();
  // Until when this process may act, if it is not renewed: counted from before the last write.
  Clock::time_point may_act_until() const { return renewed_.load() + options_.renew_deadline; }

 private:
  // Takes or renews the lease; false if another holds it or the API server did not answer.
  bool Try(std::stop_token stop);
  bool Write(const kube::Request& request, Clock::time_point begin, std::stop_token stop);
  // Another's lease, as it was read.
  void Observe(const kube::Json& spec);
  // How long to wait before the next attempt to get it.
  std::chrono::milliseconds UntilNextTry() const;
  Result<kube::Json> Call(const kube::Request& request, std::stop_token stop) const;
  kube::Json Spec(int64_t transitions, const std::string& acquired) const;
  // Once for every change.
  void LogFailure(const char* what, const std::string& error);

  kube::Transport& transport_;
  const LeaderOptions options_;
  std::atomic<Clock::time_point> renewed_{};
  std::atomic<bool> taken_{false};  // another's name stands in it
  // Another's last renewal as it was read, and when it runs out, by our clock: clocks may differ.
  std::string seen_renewal_;
  Clock::time_point runs_out_{};
  std::string failure_;  // as it was logged last
};

}  // namespace spillway::runtime
