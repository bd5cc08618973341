// Leader election with threads: what is asked, and what follows from the answers, is decided in
// lease_machine.h.
#pragma once

#include <mutex>
#include <string>

#include "operator/kube/watcher.h"
#include "operator/runtime/lease_machine.h"

namespace spillway::runtime {

class Leader {
 public:
  using Clock = LeaseMachine::Clock;

  // transport must outlive this.
  Leader(kube::Transport& transport, LeaseOptions options, kube::ThreadClock clock = {})
      : transport_(transport),
        options_(std::move(options)),
        clock_(std::move(clock)),
        machine_(options_) {}

  // Blocks until this process holds the lease. False if it was stopped before.
  bool Acquire(std::stop_token stop);
  // Renews until stopped (true), or until it is lost (false): the caller must end the process then,
  // since another one may act already.
  bool Hold(std::stop_token stop);
  // Gives the lease up, so that another process need not wait until it has run out. REQUIRES: no
  // request of ours can arrive any more.
  void Release();
  // Until when this process may act, if it is not renewed: counted from before the last write.
  // Thread-safe.
  Clock::time_point may_act_until() const;

 private:
  // Takes or renews the lease; false if another holds it or the API server did not answer.
  bool Try(std::stop_token stop);
  // Carries this request and those that follow from its answer.
  void Carry(kube::Request request, std::stop_token stop);
  Result<kube::Json> Call(const kube::Request& request, std::stop_token stop) const;
  // Once for every change.
  void LogFailure(const char* what, const std::string& error);

  kube::Transport& transport_;
  const LeaseOptions options_;
  const kube::ThreadClock clock_;
  mutable std::mutex mutex_;
  LeaseMachine machine_;  // guarded by mutex_
  std::string failure_;   // as it was logged last; of the thread that tries
};

}  // namespace spillway::runtime
