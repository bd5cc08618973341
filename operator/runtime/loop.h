// The event loop: watches feed one thread that owns the core; its effects go to the executor, and
// their outcomes come back as events.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "operator/base/smooth_clock.h"
#include "operator/core/core.h"
#include "operator/kube/watcher.h"
#include "operator/runtime/executor.h"
#include "operator/runtime/feed.h"
#include "operator/runtime/metrics.h"

namespace spillway::runtime {

struct LoopOptions {
  int workers = 64;
  std::string identity;
  // A step of the core that fails so soon after the process began is likely to fail in the next
  // process as well: this one goes on without its events for so long.
  std::chrono::milliseconds young{600'000};
};

// Whether a process of that age in which a step of the core has failed ends now. One that is not
// ready after two minutes decides nothing without what it has lost; another may lead meanwhile.
bool EndsAfterFailure(std::chrono::milliseconds age, std::chrono::milliseconds young, bool ready);

class Loop {
 public:
  // The references must outlive this.
  Loop(kube::Transport& transport, const cloud::Engines& engines, Metrics& metrics,
       LoopOptions options);

  // Runs until stopped, or until only a new process can know what there is. False if a write of
  // ours may still arrive at the API server.
  bool Run(std::stop_token stop);
  // It has ended by itself: the API server is older than it was (its etcd was restored), or a step
  // of the core was broken off, which has taken up some of its events and not the others.
  bool must_begin_anew() const { return core_.versions_went_back() || broken_off_; }
  // Thread-safe.
  void Push(core::Event event);
  // Everything was listed at least once.
  bool ready() const { return ready_; }
  // The loop has turned within the last half minute.
  bool healthy() const;

 private:
  // By the clock that the core is called with.
  Time Now();
  std::vector<core::Event> Wait(Time wake, std::stop_token stop);
  // Whether Run ends because of a step that failed: the last one, as `thrown` says, or one before.
  bool BreaksOff(const std::optional<std::string>& thrown, std::chrono::milliseconds age);
  void Follow(const Feed& feed, std::stop_token stop);
  // Watches or polls what it has.
  void FollowEngine(cloud::Engine& engine, std::stop_token stop);
  void FollowPolled(const std::string& engine, const cloud::Poll& poll, std::stop_token stop);
  // Tells those that are polled what they have to do with.
  void TellEngines();
  // Polls the nodes' measured use until stopped.
  void FollowLoad(std::stop_token stop);

  kube::Transport& transport_;
  const cloud::Engines& engines_;
  Metrics& metrics_;
  const LoopOptions options_;
  // Of the thread in Run alone.
  core::Core core_;
  SmoothClock clock_;
  std::string failure_;  // of the last step that failed; empty: none did
  bool broken_off_ = false;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<core::Event> events_;  // guarded by mutex_
  std::atomic<bool> ready_{false};
  std::atomic<int64_t> turned_{0};  // milliseconds of the monotonic clock
  Executor executor_;               // last: its threads call Push
};

}  // namespace spillway::runtime
