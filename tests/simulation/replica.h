// One process of the operator: the real core and the real rules by which its effects are carried
// out, with watches and requests that are as late as the simulation lets them be.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "operator/base/smooth_clock.h"
#include "operator/cloud/engines.h"
#include "operator/core/core.h"
#include "operator/runtime/executor_machine.h"
#include "tests/simulation/api_server.h"
#include "tests/simulation/wire.h"

namespace spillway::simulation {

// What happens to a request on its way.
enum class Fate {
  kGood,
  kRefused,     // 429 or 500: not carried out, and the client knows
  kLost,        // it never arrived; the client sees a timeout
  kAnswerLost,  // it was carried out, and the client sees a timeout
  kLater,       // the client sees a timeout, and it is carried out when nobody waits for it
};

// An attempt as a status records it: two leaders may each have one of the same number.
struct Record {
  std::string task_uid, server, pod, assigned_at;

  friend auto operator<=>(const Record&, const Record&) = default;
};

// What the task's status tells of, which has an assignment.
Record RecordOf(const api::TaskRequest& task);

// What a node uses, as the core was told last.
struct Load {
  api::NodeMetrics said;
  Time arrived{}, before{};  // by the clock of the process: this, and what it was told before

  // By that clock, if it is of the node that was created then. The node's clock may be wrong, but
  // only it tells how old the first measurement is.
  Time MadeAt(Time created) const {
    return before >= created ? arrived : std::min(arrived, said.observed);
  }
};

// What a polled engine answers when it is asked what it has.
enum class Sight {
  kNow,
  kOld,    // what it had said before: it keeps that for a while
  kFails,  // nothing, or only a part
};

class Replica {
 public:
  // What an effect asks of the world outside. The references must outlive this.
  struct World {
    ApiServer& api;
    const cloud::Engines& engines;
    // Called when the core decides on an effect, and around each write that is carried out.
    std::function<void(const Replica&, const core::Effect&)> decided;
    std::function<void(const Replica&, const core::Write&)> before, after;
    // Called after all that the core has decided on in one step.
    std::function<void(const Replica&)> turned;
    // Called for every try, before it is answered.
    std::function<void(const Replica&, const core::Effect&)> tried;
    // Called when a process learns that what it wanted has failed, or that nobody knows.
    std::function<void(const Replica&, const core::Effect&)> failed;
    // Takes a write that will arrive later.
    std::function<void(const core::Write&)> delayed;
    // Whether the process ends here: with the effect about to be sent, or carried out.
    std::function<bool(const core::Effect&, bool carried)> ends;
    size_t workers = 32;  // that carry out requests at the same time
    Duration latency{0};  // of a request
    // The namespace whose requests get no answer, such as by a webhook that hangs; and until when.
    std::string hung = {};
    Time hung_until{};
    // How watches are read from bytes; null: they are not.
    const WireOptions* wires = nullptr;
  };

  Replica(int id, const World& world);

  int id() const { return id_; }
  // By its own clock, as it was read last, and now.
  Time now() const { return now_; }
  Time Read();
  const core::Core& core() const { return core_; }
  Time wake() const { return wake_; }
  Time born() const { return born_; }
  // When it had been told of everything for the first time; kNever before that.
  Time listed() const { return listed_; }

  // Hands over up to so many events of the kind's watch (or pages of its list); false if there are
  // none.
  bool Deliver(Kind kind, size_t most);
  // Asks one of the polled engines what it has, if it is time for that; what it says is delivered
  // later. which: any number.
  bool Look(size_t which, Sight sight);
  // Asks all of them.
  bool LookAround();
  // The watch ends and its history is gone: it is listed again.
  void Break(Kind kind);
  // The same, and that list breaks off halfway as well: the next one begins anew.
  bool BreakTwice(Kind kind);
  // The watch's connection is dead for some time, and nobody notices.
  void Hang(Kind kind, Duration time);
  // Everybody notices.
  void Recover();
  // The last event arrives once more; false if there is none, or the watch hangs.
  bool Double(Kind kind);
  // What nodes use arrives, in its order.
  void Measure(core::Measured measured) { inbox_.push_back(std::move(measured)); }
  // The last measurement of the node that the core has taken; null if there is none.
  const Load* LoadOf(const std::string& node) const {
    const auto at = loads_.find(node);
    return at == loads_.end() ? nullptr : &at->second;
  }
  // The core takes what has arrived. Called without events when time has passed. Returns how many
  // effects it wants.
  size_t Turn();
  bool HasEvents() const { return !inbox_.empty(); }
  // It has ended, and does nothing more.
  bool dead() const { return dead_; }

  // The next effect goes on its way; false if there is none.
  bool Begin();
  // A request arrives, or its answer is taken; false if there is none that can. which: any number.
  bool Carry(size_t which, Fate fate);
  bool Answer(size_t which);
  // Requests that are on their way when the process ends may still arrive.
  std::vector<core::Effect> Unsent() const;
  // The keys, with this prefix, of pods whose creations are on their way or not answered yet.
  std::vector<std::string> Unanswered(const std::string& prefix) const;

  // Whether its watch, and each engine that is polled, has told what happened at this version.
  bool HasSeen(Kind kind, int64_t version) const;
  // Whether its watch has listed all of the kind, at least once.
  bool HasListed(Kind kind) const;
  // Whether it was told how the pod with this uid ended.
  bool HasMetEnded(const std::string& uid) const { return met_ended_.contains(uid); }
  // The same, before it was told that the pod was asked to end.
  bool HasMetEndedFirst(const std::string& uid) const { return met_ended_first_.contains(uid); }
  // Whether it was told that the pod with this uid runs.
  bool HasMetRunning(const std::string& uid) const { return met_running_.contains(uid); }
  // Whether it was ever told of the pod with this uid.
  bool HasMet(const std::string& uid) const { return met_.contains(uid); }
  // When it was first told that a status tells of this, of a task that must not run twice; by the
  // clock that is right.
  std::optional<Time> ToldOf(const Record& record) const {
    const auto at = told_.find(record);
    return at == told_.end() ? std::nullopt : std::optional(at->second);
  }
  // The last time, by its clock, that it decided anything without having been told of the pod.
  Time UntoldUntil(const std::string& uid) const {
    const auto at = met_.find(uid);
    return at == met_.end() ? now_ : at->second;
  }
  // Everything was delivered, taken, carried out and answered, but for what is refused again and
  // again by a rule.
  bool Idle();
  // Requests are on their way, or wait for their turn: what becomes of them is told to the core.
  bool awaits_answers() const { return !flights_.empty() || machine_.waiting() > 0; }
  // When the next request arrives, if all goes on.
  Time next_arrival() const {
    Time next = kNever;
    for (const Flight& flight : flights_) {
      if (!flight.arrived) next = std::min(next, flight.arrives);
    }
    return next;
  }
  // Someone sets the machine's clock, or NTP sets it right.
  void JumpClock(Duration by) { clock_ahead_ += by; }
  void SetClock() { clock_ahead_ = Duration{0}; }

 private:
  struct Stream {
    bool listed = false;
    size_t next = 0;        // in the history
    int64_t delivered = 0;  // version
    std::deque<core::Event> pages;
    std::optional<size_t> breaks_at = {};  // so many of them are never delivered
    int64_t list_version = 0;
    std::optional<core::Event> last;
    Time told{};  // anything
    Time hangs_until{};
  };
  // A polled engine.
  struct Polled {
    std::string engine;
    Time next{};
    std::deque<core::Event> said = {};  // and not delivered yet
    int64_t listed = 0, delivered = 0;  // what it has said was so at this version
    std::vector<api::CloudServer> last = {};
    bool stirred = true;  // it was asked for something since
  };
  struct Flight {
    runtime::Job job;
    Time sent{}, arrives{};
    bool hangs = false;    // it gets no answer
    bool arrived = false;  // carried out, or not to be: the answer is there
    runtime::Tried tried = {};
  };

  // Null where the kind's watch is not read from bytes.
  Wire* WireOf(Kind kind) const { return wires_[static_cast<size_t>(kind)].get(); }
  void LayWires();
  void Note(const core::Measured& measured, Time now);
  void List(Kind kind, Stream& stream);
  bool SendBookmark(Kind kind, Stream& stream);
  bool DeliverPolled(size_t most);
  void Stir(const std::string& engine);
  void Send(Flight& flight, Fate fate);
  // As the executor reports it, where it is not tried again.
  static void Fail(Flight& flight, Error error);

  const int id_;
  const World& world_;
  core::Core core_;
  runtime::ExecutorMachine machine_;
  std::array<Stream, core::kKinds> streams_;
  std::vector<Polled> polled_;
  std::array<std::unique_ptr<Wire>, core::kKinds> wires_;
  std::vector<core::Event> inbox_;
  std::map<std::string, Load> loads_;
  std::vector<Flight> flights_;
  std::map<std::string, Time> met_;                                  // by uids of pods: UntoldUntil
  std::set<std::string> met_ended_, met_ended_first_, met_running_;  // uids of pods
  std::map<Record, Time> told_;                                      // ToldOf
  std::set<std::string> barred_;  // keys of what a rule refused, and what is tried again
  Time wake_{}, born_{}, listed_ = kNever, turned_{};  // turned_: by its clock
  SmoothClock clock_;
  Time now_{};
  Duration clock_ahead_{0};
  bool dead_ = false;
};

}  // namespace spillway::simulation
