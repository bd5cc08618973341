// The order in which effects are carried out: those on one object one after the other, those on
// different objects side by side. Actions (a pod, a purchase, a deletion) go before reports (a
// status, an Event), but of four effects at least one is a report if any waits.
//
// What hangs takes nothing else along. A webhook is called for a verb on a kind in a namespace, so
// each of those is a lane with a share of its own of what may be in flight: an eighth at first and
// after each effect that was slow, and more with each that was not. A slow lane stays slow until as
// many in a row were quick: what hangs now and then is not trusted in between. Lanes of a class
// (the same verb on the same kind) take turns, and those that are slow have a quarter of the
// workers together, so that neither a namespace nor a class leaves the others without any. Of an
// engine's requests those of each pool are such lanes, with twice as much. The slow lanes of all
// classes and those of engines have half of the workers together; beyond that, one for each class.
//
// Events that wait, and questions about pods, are bounded, since nobody else holds them back:
// beyond that the new ones are dropped, and so is a question about a pod of which one waits. A
// namespace has at most as many waiting as there is room left for, so that one does not take the
// others' room.
//
// An effect that waits for its next try is not in flight and takes no worker. After a refusal, the
// next effect on the same object waits as well, longer each time. No threads and no clock here, so
// that the simulator uses the same rules.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "operator/base/backoff.h"
#include "operator/core/events.h"

namespace spillway::runtime {

// What the effect is about; effects with the same key keep their order.
std::string EffectKey(const core::Effect& effect);
// Whose effect it is: a namespace, or "" for objects of the whole cluster, or
// "/cloud/engine/pool".
std::string EffectGroup(const core::Effect& effect);
// What of its group's hangs together: a verb on a kind, such as "create Pod", or "Event", "Why".
std::string EffectClass(const core::Effect& effect);

// An effect that is slow, whether it has ended or not, lets its lane have less in flight.
inline constexpr std::chrono::seconds kSlowEffect{2};
// So many Events and questions about pods may wait, of all namespaces.
inline constexpr size_t kMostNotes = 20'000;
// The wait before the next effect on an object whose last one was refused.
inline constexpr BackoffRange kAfterRefusal{std::chrono::milliseconds(100),
                                            std::chrono::milliseconds(30'000)};

struct Job {
  core::Effect effect;
  std::string key;
  int attempts = 0;  // before
  Time pushed{};
  bool ambiguous = false;  // one of those may have been carried out
};

// Not thread-safe. Times are of any clock that does not go back.
class EffectQueue {
 public:
  // workers: how many effects may be in flight at once.
  explicit EffectQueue(size_t workers = 32);

  // Returns the effect if it is dropped.
  std::optional<core::Effect> Push(core::Effect effect, Time now);
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
  struct Group;
  struct Lane;
  struct Class {
    bool tells = false;
    std::deque<Lane*> turns;  // lanes with keys that may start
    size_t in_flight = 0, slow_in_flight = 0, most_slow = 0;
    uint64_t served = 0;  // when it last had its turn
  };
  struct Lane {
    Group* group;
    Class* kind;
    size_t least, most;             // may be in flight
    std::deque<std::string> ready;  // keys that may start
    bool engine;                    // asks one
    size_t in_flight = 0;
    size_t overdue = 0;  // of those, known to be slow
    size_t quick = 0;    // have ended in a row
    bool slow = false;

    bool patient() const { return slow || engine; }
  };
  struct Group {
    std::map<std::string, Lane> lanes;  // by class
    size_t in_flight = 0;
    size_t objects = 0;
    size_t notes = 0;  // that wait
  };
  struct Object {
    std::map<std::string, Group>::iterator group;
    std::deque<Job> waiting;
    bool held = false;     // in flight, or not to start before its time
    Lane* lane = nullptr;  // while it is in flight
    Time since{};          // in flight since
  };
  struct Refusals {
    int count = 0;
    Time until{};
  };
  using Objects = std::map<std::string, Object>;

  Object& Find(const std::string& key, const core::Effect& effect);
  Lane& LaneOf(Group& group, const core::Effect& effect);
  bool HasRoom(const core::Effect& effect) const;
  // Marks the object's first waiting effect as ready, unless something holds it back.
  void Offer(const std::string& key, Object& object, Time now);
  Object& Land(const Job& job, Time now);
  bool MayStart(const Lane& lane) const;
  // The first lane of the class that may start something; turns.end() if there is none.
  std::deque<Lane*>::iterator First(Class& kind) const;
  // Of the classes that tell, or of those that do not, the one whose turn it is; null if none may
  // start anything.
  Class* Next(bool tells);
  void SetSlow(Lane& lane, bool slow);
  void Fly(Lane& lane, int change);
  // An effect waits, or does no more.
  void Wait(Group& group, const core::Effect& effect, int change);
  void WakeDue(Time now);
  void NoteOverdue(Time now);
  void NoteRefusal(const std::string& key, Time now, bool refused);

  // In flight: of a lane at first, of one at most, of a group or a class at most, of the slow lanes
  // of a class together; of a lane even where its group has its most, and of that group then. Of
  // the patient lanes of all classes together: as of one lane, and as of a class where one of
  // theirs has nothing in flight.
  const size_t least_, most_of_lane_, most_, most_slow_, always_, most_of_group_;
  std::map<std::string, Class> classes_;
  uint64_t served_ = 0;
  int passed_over_ = 0;  // how often reports were, in a row
  std::map<std::string, Group> groups_;
  Objects objects_;
  std::set<std::pair<Time, std::string>> flying_;  // since when, and not yet known to be slow
  std::multimap<Time, std::string> later_;         // objects that are held until then
  std::map<std::string, Refusals> refusals_;
  Time pruned_at_{};             // when those that are over were forgotten
  size_t size_ = 0, notes_ = 0;  // that wait
  size_t patient_in_flight_ = 0;
};

}  // namespace spillway::runtime
