// Leader election on a Lease (coordination.k8s.io/v1), with the timings of client-go: a lease lasts
// 15 s, its holder renews every 2 s and gives up if it could not for 10 s.
#pragma once

#include <functional>
#include <string>

#include "operator/kube/request.h"

namespace spillway::runtime {

struct LeaderOptions {
  std::string ns, name;
  std::string identity;  // unique to this process
};

class Leader {
 public:
  // transport must outlive this.
  Leader(kube::Transport& transport, LeaderOptions options)
      : transport_(transport), options_(std::move(options)) {}

  // Blocks until this process holds the lease. False if it was stopped before.
  bool Acquire(std::stop_token stop);
  // Renews until stopped (then gives the lease up and returns true) or until it is lost (false):
  // the caller must end the process, since another one may act already.
  bool Hold(std::stop_token stop);

 private:
  using Clock = std::chrono::steady_clock;

  // Takes or renews the lease; false if another holds it or the API server did not answer.
  bool Try(std::stop_token stop);
  void Release();

  kube::Transport& transport_;
  const LeaderOptions options_;
  // Another's last renewal as it was read, and when it was seen to change: clocks may differ.
  std::string seen_renewal_;
  Clock::time_point seen_at_{};
};

}  // namespace spillway::runtime
