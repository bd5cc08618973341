// The decisions of carrying effects out: what is taken next, and what follows from how a try of it
// has ended. Without threads, I/O or a clock: the executor's threads carry what it says, and the
// simulator in its own way.
#pragma once

#include <optional>
#include <string>

#include "operator/runtime/effect_queue.h"
#include "operator/runtime/refusal_log.h"

namespace spillway::runtime {

// How a try has ended.
struct Tried {
  std::optional<Error> error;
  std::optional<core::Event> report;  // for the core, unless it is tried again
};

// Of an effect that could not even be sent: the core waits for an answer to whatever it has asked
// for.
Tried CouldNotSend(const core::Effect& effect, const std::string& why);

// Not thread-safe. Times are of any clock that does not go back.
class ExecutorMachine {
 public:
  // workers: how many effects may be in flight at once.
  explicit ExecutorMachine(size_t workers) : queue_(workers) {}

  // What follows from a try.
  struct Verdict {
    std::optional<Error> error;
    std::optional<core::Event> report;  // for the core
    bool again = false;                 // it is tried again, after a pause
    bool news = false;                  // the error is worth a line in the log
  };

  // Returns the effect if it is dropped; see EffectQueue.
  std::optional<core::Effect> Push(core::Effect effect, Time now) {
    return queue_.Push(std::move(effect), now);
  }
  // The next effect that is to be tried now. Each is answered by Judge, and then by Land.
  std::optional<Job> Next(Time now);
  Verdict Judge(const Job& job, Tried tried, Duration took, Time now);
  // It is in flight no more. Only after the report was handed over: what is next on the object may
  // begin now, and is reported after it. random: any number.
  void Land(Job job, const Verdict& verdict, Time now, uint64_t random);

  // Whether Next would give something.
  bool ready(Time now) { return queue_.ready(now); }
  // When the next effect that waits for its time may start; kNever if there is none.
  Time next() const { return queue_.next(); }
  // Those that are not in flight, and those that are.
  size_t waiting() const { return queue_.size(); }
  size_t in_flight() const { return in_flight_; }

 private:
  bool IsNews(const Job& job, const Error& error, bool again, Time now);

  EffectQueue queue_;
  RefusalLog refusals_;
  size_t in_flight_ = 0;
};

}  // namespace spillway::runtime
