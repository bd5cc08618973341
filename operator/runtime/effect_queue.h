// The order in which effects are carried out: those on one object one after the other, those on
// different objects side by side. Actions (a pod, a purchase, a deletion) go before reports (a
// status, an Event), but of four effects at least one is a report if any waits.
//
// Namespaces take turns, and each has a bound of its own for what is in flight, so that one whose
// webhook hangs leaves room to the others: a quarter at first and after each effect that was slow,
// and more with each that was not. An effect that waits for its next try is not in flight and takes
// no worker. After a refusal, the next effect on the same object waits as well, longer each time.
// No threads and no clock here, so that the simulator uses the same rules.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "operator/base/backoff.h"
#include "operator/core/events.h"

namespace spillway::runtime {

// What the effect is about; effects with the same key keep their order.
std::string EffectKey(const core::Effect& effect);
// Whose effect it is: a namespace, or "" for objects of the whole cluster, or "/cloud/…" for
// an engine.
std::string EffectGroup(const core::Effect& effect);

// An effect that is slow lets its namespace have less in flight.
inline constexpr std::chrono::seconds kSlowEffect{2};
// The wait before the next effect on an object whose last one was refused.
inline constexpr BackoffRange kAfterRefusal{std::chrono::milliseconds(100),
                                            std::chrono::milliseconds(30'000)};

struct Job {
  core::Effect effect;
  std::string key;
  int attempts = 0;  // before
  Time pushed{};
};

// Not thread-safe. Times are of any clock that does not go back.
class EffectQueue {
 public:
  // workers: how many effects may be in flight at once.
  explicit EffectQueue(size_t workers = 32);

  void Push(core::Effect effect, Time now);
  // The next effect that may start now.
  std::optional<Job> Pop(Time now);
  // The popped job has ended: for good (Done), or to be tried again at `then` (Again). Other
  // effects on its object wait until it has ended for good.
  void Done(const Job& job, Time now, bool refused = false);
  void Again(Job job, Time now, Time at);
  // Whether Pop would give something.
  bool ready(Time now);
  // The next time at which a waiting effect may start; kNever if that depends only on what is in
  // flight.
  Time next() const { return later_.empty() ? kNever : later_.begin()->first; }
  // Those that are not in flight.
  size_t size() const { return size_; }

 private:
  // Index 0: actions; 1: reports.
  struct Group {
    std::array<std::deque<std::string>, 2> ready;  // keys that may start
    std::array<bool, 2> in_turn{};
    size_t in_flight = 0, most = 0;
    size_t objects = 0;
  };
  struct Object {
    std::map<std::string, Group>::iterator group;
    std::deque<Job> waiting;
    bool held = false;  // in flight, or not to start before its time
    Time since{};       // in flight since
  };
  struct Refusals {
    int count = 0;
    Time until{};
  };
  using Objects = std::map<std::string, Object>;

  Object& Find(const std::string& key, const core::Effect& effect);
  // Marks the object's first waiting effect as ready, unless something holds it back.
  void Offer(const std::string& key, Object& object, Time now);
  Object& Land(const Job& job, Time now);
  void TakeTurns(Group& group);
  void SkipFull();
  void WakeDue(Time now);
  void NoteRefusal(const std::string& key, Time now, bool refused);

  const size_t least_, most_;  // of one group in flight
  // Groups with keys that may start; the first of each is not at its bound.
  std::array<std::deque<Group*>, 2> turns_;
  int passed_over_ = 0;  // how often turns_[1] was, in a row
  std::map<std::string, Group> groups_;
  Objects objects_;
  std::multimap<Time, std::string> later_;  // objects that are held until then
  std::map<std::string, Refusals> refusals_;
  size_t size_ = 0;
};

}  // namespace spillway::runtime
