#include "operator/kube/watcher.h"

#include <condition_variable>
#include <mutex>
#include <random>

namespace spillway::kube {

void SleepFor(std::chrono::milliseconds time, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
}

void Watch(Transport& transport, const WatchTarget& target, const WatchSink& sink,
           std::stop_token stop, const ThreadClock& clock) {
  WatchMachine machine(target, sink, std::random_device{}());
  while (!stop.stop_requested()) {
    const auto next = machine.Begin(clock.now());
    if (const auto* wait = std::get_if<WatchMachine::Wait>(&next)) {
      clock.sleep(*wait, stop);
      continue;
    }
    const auto& [request, streams] = std::get<WatchMachine::Call>(next);
    const auto answer =
        streams
            ? transport.Stream(request, stop, [&](std::string_view piece) { machine.Feed(piece); })
            : transport.Send(request, stop);
    if (!answer && answer.error().kind == ErrorKind::kCancelled) return;
    machine.End(answer, clock.now());
  }
}

}  // namespace spillway::kube
