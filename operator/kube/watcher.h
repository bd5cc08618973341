// Follows one resource with the calling thread: lists it, then watches it, and lists it again when
// the server no longer has the history. What is asked and what follows is decided in
// watch_machine.h.
#pragma once

#include <chrono>
#include <functional>

#include "operator/kube/watch_machine.h"

namespace spillway::kube {

// Sleeps for so long, or until stopped.
void SleepFor(std::chrono::milliseconds time, std::stop_token stop);

// How a thread waits; replaced in tests.
struct ThreadClock {
  std::function<void(std::chrono::milliseconds, std::stop_token)> sleep = SleepFor;
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Runs until stopped. The sink is called from the thread in which the transport hands over what it
// has received: the calling one.
void Watch(Transport& transport, const WatchTarget& target, const WatchSink& sink,
           std::stop_token stop, const ThreadClock& clock = {});

}  // namespace spillway::kube
