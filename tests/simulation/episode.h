// One short life of a simulated cluster: a number of steps with faults, then quiet, in which
// everything must come to its end. Each step has a seed of its own, so that a failing episode can
// be shrunk by leaving steps out.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/checks.h"
#include "tests/simulation/cloud.h"
#include "tests/simulation/crashes.h"
#include "tests/simulation/nodes.h"
#include "tests/simulation/replica.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/users.h"

namespace spillway::simulation {

// What processes are told of the API server: objects, or bytes that they read by the shipped watch
// and decoders.
enum class Reads { kDrawn, kObjects, kBytes };

struct Script {
  uint64_t seed = 0;            // of the world: its faults
  std::vector<uint64_t> steps;  // one seed each
  std::string only;             // the one invariant that is judged; empty: all
  Reads reads = Reads::kDrawn;  // in one episode of four, bytes

  // The index-th episode of a run.
  static Script Make(uint64_t run_seed, uint64_t index, size_t steps);
};

struct Result {
  uint64_t digest = 0;
  // Things that happened: an event delivered, an effect carried out, a fault, a change by a user.
  size_t steps = 0;
  size_t turns = 0;  // of the core
  // How often each kind of thing happened; 0 for those that did not.
  std::map<std::string, size_t> happened;
  std::optional<Violation> violation;
};

class Episode {
 public:
  // trace: a line for everything that happens is appended; may be null.
  Episode(const Script& script, std::vector<std::string>* trace);

  Result Run();

 private:
  // Each does one thing; false if there was nothing to do.
  bool Act(Random& random);
  bool Deliver(Random& random);
  bool DeliverAll(Random& random);
  bool Look(Random& random);
  bool Turn(Random& random);
  bool Begin(Random& random);
  bool Carry(Random& random);
  bool Answer(Random& random);
  bool Flow(Random& random);
  bool Measure(Random& random);
  bool Tick(Random& random);
  bool Outage(Random& random);
  bool LookAmiss(Random& random);
  // What the operator has just made, before it is told so.
  void DeleteAtOnce(const core::Write& write);
  bool Break(Random& random);
  bool BreakTwice(Random& random);
  bool Hang(Random& random);
  bool Double(Random& random);
  bool Compact(Random& random);
  bool Crash(Random& random);
  bool ArmCrash(Random& random);
  bool Second(Random& random);
  bool LateWrite(Random& random);
  bool Clock(Random& random);
  bool Settle(Random& random);
  bool Mood(Random& random);
  bool Refuse(Random& random);
  bool HangNamespace(Random& random);
  bool Starve(Random& random);

  struct Action {
    int weight;
    bool fault;
    const char* name;
    bool (*act)(Episode&, Random&);
  };
  static const std::vector<Action>& Actions();
  // Which faults there are in this episode, and how often: what goes wrong all the time hides what
  // goes wrong seldom.
  void Mix();
  void Furnish(Random& random);
  void LayWires();
  Fate Luck(Random& random);
  void HoldStill();
  Replica& Any(Random& random) { return *replicas_[random.Pick(replicas_.size())]; }
  void TurnOf(Replica& replica);
  // Delivers, decides and carries out all that there is by now.
  void GoOn(Replica& replica);
  // False if it was not to come to rest.
  bool Drain(Replica& replica);
  void Pass(Duration time);
  void Quiet();
  void Calm();
  // What is wrong for hours (endure.cc).
  struct Affliction;
  static const std::vector<Affliction>& Afflictions();
  void NameAfflictions();
  struct Illness {
    Time end{}, restart = kNever;  // of the process
    bool judged = false;           // what becomes of the others
  };
  Illness FallIll(Random& random);
  void Endure();
  void LiveOn(Random& random);
  void Heal();
  void JudgeOthers(std::map<std::string, Time>& since);
  static Rule AnyRule(Random& random);
  void Start();
  void End(size_t index);
  // Ends what is dead, and starts another if nobody is left.
  void Bury();
  void Report(const std::string& what);
  void SayDecision(const Replica& replica, const core::Effect& effect);
  void Say(const std::string& line) {
    if (trace_ != nullptr) trace_->push_back(line);
  }
  bool faults() const { return script_.seed % 4 != 0; }
  void Count(const char* what) { ++result_.happened[what]; }

  const Script& script_;
  std::vector<std::string>* trace_;
  Digest digest_;
  Result result_;
  ApiServer api_;
  Witness witness_;
  cloud::Engines engines_;
  Cloud cloud_{api_, engines_, [this](const std::string& what) { ++result_.happened[what]; }};
  Nodes nodes_{api_, [this](const std::string& what) { ++result_.happened[what]; }};
  Scheduler scheduler_{api_, [this](const std::string& what) { ++result_.happened[what]; }};
  Checks checks_{api_, witness_, cloud_};
  Users users_{api_, checks_};
  Crashes crashes_;
  WireOptions wires_;
  Replica::World world_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<std::pair<Time, core::Write>> late_;  // that nobody waits for, and since when
  Time beat_{};
  bool still_ = false;  // nothing is deleted as soon as it is made
  int next_id_ = 0, empty_turns_ = 0;
  std::pair<int, Time> turned_{};  // who had the last turn, and when
  std::string last_decided_;       // the key of an effect
  std::vector<size_t> weights_;    // of the actions, in this episode
  size_t all_weights_ = 0;
  std::array<size_t, 5> fates_{};  // of 10,000 requests, by Fate
  std::array<size_t, core::kKinds> reported_{};
};

}  // namespace spillway::simulation
