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

namespace {

Result<Response> Carry(Transport& transport, const WatchMachine::Call& call, WatchMachine& machine,
                       std::stop_token stop) {
  if (!call.streams) return transport.Send(call.request, stop);
  std::stop_source over;
  const std::stop_callback on_stop(stop, [&] { over.request_stop(); });
  return transport.Stream(call.request, over.get_token(), [&](std::string_view piece) {
    if (!machine.Feed(piece)) over.request_stop();
  });
}

}  // namespace

void Watch(Transport& transport, const WatchTarget& target, const WatchSink& sink,
           std::stop_token stop, const ThreadClock& clock) {
  WatchMachine machine(target, sink, std::random_device{}());
  while (!stop.stop_requested()) {
    const auto next = machine.Begin(clock.now());
    if (const auto* wait = std::get_if<WatchMachine::Wait>(&next)) {
      clock.sleep(*wait, stop);
      continue;
    }
    const auto answer = Carry(transport, std::get<WatchMachine::Call>(next), machine, stop);
    if (!answer && answer.error().kind == ErrorKind::kCancelled && stop.stop_requested()) return;
    machine.End(answer, clock.now());
  }
}

}  // namespace spillway::kube
