// A limit for the whole of a request, from its first byte to the last of its answer. A transport
// only limits how long a connection may be silent.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

#include "operator/kube/watcher.h"

namespace spillway::kube {

// Stops what has its token when the caller stops, or after a while.
class Deadline {
 public:
  Deadline(std::chrono::milliseconds after, std::stop_token caller)
      : forward_(std::move(caller), Stop{&source_}), timer_([this, after](std::stop_token ended) {
          SleepFor(after, ended);
          if (ended.stop_requested()) return;
          over_ = true;
          source_.request_stop();
        }) {}

  std::stop_token token() const { return source_.get_token(); }
  // The time was over before this was destroyed.
  bool over() const { return over_; }

 private:
  struct Stop {
    std::stop_source* source;
    void operator()() const { source->request_stop(); }
  };
  std::stop_source source_;
  std::atomic<bool> over_{false};
  std::stop_callback<Stop> forward_;
  std::jthread timer_;  // last: it uses the others
};

}  // namespace spillway::kube
