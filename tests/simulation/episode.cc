#include "tests/simulation/episode.h"

#include <algorithm>
#include <utility>

#include "operator/core/world.h"
#include "operator/runtime/pod_body.h"

namespace spillway::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kBeatEvery = seconds(10);

}  // namespace

Script Script::Make(uint64_t run_seed, uint64_t index, size_t steps) {
  Random random(Random(run_seed).Next() ^ Random(~index).Next());
  Script script{random.Next(), {}, ""};
  script.steps.reserve(steps);
  for (size_t i = 0; i < steps; ++i) script.steps.push_back(random.Next());
  return script;
}

Episode::Episode(const Script& script, std::vector<std::string>* trace)
    : script_(script),
      trace_(trace),
      world_{api_,
             engines_,
             [this](const Replica& replica, const core::Effect& effect) {
               checks_.Decided(replica, effect);
               const std::string key = runtime::EffectKey(effect);
               digest_.Add(key);
               last_decided_ = key;
               if (trace_ != nullptr) SayDecision(replica, effect);
             },
             [this](const Replica&, const core::Write& write) { checks_.Before(write); },
             [this](const Replica& replica, const core::Write& write) {
               checks_.After(replica, write);
               DeleteAtOnce(write);
             },
             [this](const Replica& replica) { checks_.Turned(replica); },
             [this](const Replica& replica, const core::Effect& effect) {
               checks_.Tried(replica, effect);
             },
             [this](const Replica&, const core::Effect& effect) { checks_.Failed(effect); },
             [this](const core::Write& write) { late_.emplace_back(api_.now, write); },
             [this](const core::Effect& effect, bool carried) {
               const char* point = crashes_.Meet(effect, carried);
               if (point != nullptr) Count(point);
               return point != nullptr;
             }} {
  Mix();
  checks_.JudgeOnly(script_.only);
  static constexpr size_t kWorkers[] = {1, 2, 4, 32, 64, 64};
  static constexpr int kLatencies[] = {0, 0, 50, 1'000};  // ms
  static constexpr int64_t kPrice = 400'000;
  Random random(script_.seed);
  world_.workers = kWorkers[random.Pick(6)];
  world_.latency = milliseconds(kLatencies[random.Pick(4)]);
  Furnish(random);
  LayWires();
  api_.witness = &witness_;
  witness_.now = api_.now = Time{} + seconds(1'800'000'000);
  beat_ = api_.now;
  static constexpr const char* kCpus[] = {"2", "4", "6"};
  // Some clusters are so large that the bounds in the core are met.
  Random kind(script_.seed);
  const bool large = kind.OneIn(8);
  for (size_t i = 0; i < (large ? 12 : 3); ++i)
    nodes_.Add("s" + std::to_string(i),
               *api::DecodeResources({{"cpu", kCpus[i % 3]}, {"memory", "8Gi"}}));
  if (large) users_.Bound(80);
  // Some have a pool without a price, where every task fits.
  users_.AddPool("spot", "4", 1, kind.OneIn(4) ? 0 : kPrice, Cloud::AnyEngine(random));
  users_.AddPool("on-demand", "8", 0, kPrice, Cloud::AnyEngine(random));
  users_.AddClass("high", 4);
  users_.AddClass("low", -1);
  nodes_.Beat();
  Start();
}

void Episode::Start() {
  replicas_.push_back(std::make_unique<Replica>(next_id_++, world_));
  checks_.Disturbed();
  if (replicas_.size() > 1) checks_.Overlap(true);
}

void Episode::End(size_t index) {
  for (const core::Effect& effect : replicas_[index]->Unsent()) {
    if (const auto* write = std::get_if<core::Write>(&effect)) late_.emplace_back(api_.now, *write);
  }
  checks_.Ended(*replicas_[index]);
  replicas_.erase(replicas_.begin() + static_cast<std::ptrdiff_t>(index));
}

Result Episode::Run() {
  static constexpr size_t kCompactEvery = 512, kKeep = 400;
  for (size_t i = 0; i < script_.steps.size() && !checks_.violation(); ++i) {
    Random random(script_.steps[i]);
    if (!Act(random)) continue;
    if (++result_.steps % kCompactEvery == 0) api_.Compact(kKeep);
    digest_.Add(static_cast<uint64_t>(api_.version()));
  }
  if (!checks_.violation()) Quiet();
  result_.happened["a finalizer keeps what is deleted"] += api_.times_kept();
  digest_.Add(static_cast<uint64_t>(api_.version()));
  digest_.Add(static_cast<uint64_t>(api_.now.time_since_epoch().count()));
  result_.digest = digest_.value();
  result_.violation = checks_.violation();
  return result_;
}

const std::vector<Episode::Action>& Episode::Actions() {
  using E = Episode;
  using R = Random;
  static const std::vector<Action> kActions = {
      {90, false, "watch", [](E& e, R& r) { return e.Deliver(r); }},
      {30, false, "watch, everything", [](E& e, R& r) { return e.DeliverAll(r); }},
      {40, false, "an engine says what it has", [](E& e, R& r) { return e.Look(r); }},
      {80, false, "turn", [](E& e, R& r) { return e.Turn(r); }},
      {70, false, "send", [](E& e, R& r) { return e.Begin(r); }},
      {70, false, "arrive", [](E& e, R& r) { return e.Carry(r); }},
      {70, false, "answer", [](E& e, R& r) { return e.Answer(r); }},
      {12, false, "flow", [](E& e, R& r) { return e.Flow(r); }},
      {60, false, "time", [](E& e, R& r) { return e.Tick(r); }},
      {12, false, "measure", [](E& e, R& r) { return e.Measure(r); }},
      {60, false, "kubelet", [](E& e, R& r) { return e.nodes_.MovePod(r, e.faults()); }},
      {40, false, "kube-scheduler",
       [](E& e, R& r) { return e.scheduler_.Schedule(r, e.faults()); }},
      {20, false, "collect", [](E& e, R& r) { return e.nodes_.Collect(r); }},
      {40, false, "cloud", [](E& e, R& r) { return e.cloud_.Move(r); }},
      {30, false, "submit", [](E& e, R& r) { return e.users_.Submit(r), true; }},
      {4, false, "submit group", [](E& e, R& r) { return e.users_.SubmitGroup(r); }},
      {3, false, "settle", [](E& e, R& r) { return e.Settle(r); }},
      {3, false, "delete task", [](E& e, R& r) { return e.users_.Delete(r); }},
      {5, false, "edit task", [](E& e, R& r) { return e.users_.Edit(r); }},
      {3, true, "re-apply task", [](E& e, R& r) { return e.users_.Reapply(r); }},
      {4, true, "finalizer", [](E& e, R& r) { return e.users_.Finalize(r); }},
      {3, true, "delete pod", [](E& e, R& r) { return e.users_.DeletePod(r); }},
      {2, true, "delete server", [](E& e, R& r) { return e.users_.DeleteServer(r); }},
      {4, true, "edit server", [](E& e, R& r) { return e.users_.Cordon(r); }},
      {2, true, "edit class", [](E& e, R& r) { return e.users_.ChangeQueue(r); }},
      {2, true, "edit budget", [](E& e, R& r) { return e.users_.ChangeBudget(r); }},
      {3, true, "node fenced", [](E& e, R& r) { return e.nodes_.Fence(r); }},
      {2, true, "node expels pods", [](E& e, R& r) { return e.nodes_.Expel(r); }},
      {10, false, "taint manager", [](E& e, R& r) { return e.nodes_.EvictExpelled(r); }},
      {2, true, "node shrinks or grows", [](E& e, R& r) { return e.nodes_.Shrink(r); }},
      {2, true, "node label", [](E& e, R& r) { return e.nodes_.Unlabel(r); }},
      {2, true, "edit pool", [](E& e, R& r) { return e.users_.ChangePool(r); }},
      {4, true, "foreign pod", [](E& e, R& r) { return e.nodes_.AddForeignPod(r); }},
      {6, true, "node trouble", [](E& e, R& r) { return e.nodes_.Trouble(r); }},
      {3, true, "cloud mood", [](E& e, R& r) { return e.Mood(r); }},
      {2, true, "claim deleted", [](E& e, R& r) { return e.cloud_.DeleteAny(r); }},
      {3, true, "spot notice", [](E& e, R& r) { return e.cloud_.Announce(r); }},
      {20, true, "an engine says nothing, or what was", [](E& e, R& r) { return e.LookAmiss(r); }},
      {3, true, "watch breaks", [](E& e, R& r) { return e.Break(r); }},
      {4, true, "a list breaks off halfway", [](E& e, R& r) { return e.BreakTwice(r); }},
      {3, true, "watch hangs", [](E& e, R& r) { return e.Hang(r); }},
      {4, true, "event doubled", [](E& e, R& r) { return e.Double(r); }},
      {1, true, "history lost", [](E& e, R& r) { return e.Compact(r); }},
      {2, true, "crash", [](E& e, R& r) { return e.Crash(r); }},
      {4, true, "crash prepared", [](E& e, R& r) { return e.ArmCrash(r); }},
      {1, true, "second leader", [](E& e, R& r) { return e.Second(r); }},
      {3, true, "late write", [](E& e, R& r) { return e.LateWrite(r); }},
      {1, true, "clock", [](E& e, R& r) { return e.Clock(r); }},
      {3, true, "lasting refusal", [](E& e, R& r) { return e.Refuse(r); }},
      {2, true, "namespace hangs", [](E& e, R& r) { return e.HangNamespace(r); }},
      {1, true, "one namespace hangs, the others go on", [](E& e, R& r) { return e.Starve(r); }},
      {8, true, "annotation", [](E& e, R& r) { return e.users_.Annotate(r); }},
      {1, true, "outage", [](E& e, R& r) { return e.Outage(r); }},
  };
  return kActions;
}

// What is so for the whole episode.
void Episode::Furnish(Random& random) {
  const auto some = [&](const char* what, size_t n) {
    result_.happened[what];
    const bool yes = faults() && random.OneIn(n);
    if (yes) Count(what);
    return yes;
  };
  if (some("admission changes pods", 4)) {
    for (const char* ns : {"ns", "team"})
      api_.admission[ns] = {random.OneIn(2), static_cast<int64_t>(100 * random.Pick(4))};
  }
  if (some("kubelets refuse", 5)) nodes_.Prejudice(random.Next() | 1);
  if (some("clocks of nodes are wrong", 5)) {
    nodes_.SkewClocks(random.Next() | 1);
    witness_.clocks_wrong = true;
  }
  if (some("kube-scheduler binds some pods", 3)) users_.LeaveToScheduler();
  if (some("servers arrive slowly", 3)) cloud_.ComeSlowly();
  if (some("hostile texts", 8)) {
    nodes_.TalkMuch();
    checks_.ExpectHostileTexts();
  }
}

void Episode::Mix() {
  // A 32nd to four times as often, each kind for itself; half of them never.
  static constexpr size_t kScale = 32;
  Random random(~script_.seed);
  const auto mixed = [&](size_t rate) -> size_t {
    const size_t factor = size_t{1} << random.Pick(8);
    return !faults() || random.OneIn(2) ? 0 : rate * factor;
  };
  for (const Action& action : Actions()) {
    const auto weight = static_cast<size_t>(action.weight);
    weights_.push_back(action.fault ? mixed(weight) : weight * kScale);
    all_weights_ += weights_.back();
    result_.happened[action.name];
  }
  const size_t kUsual[] = {0, 20, 10, 15, 10};
  for (size_t fate = 1; fate < fates_.size(); ++fate) fates_[fate] = mixed(kUsual[fate]);
  for (const char* name : {"request refused", "request lost", "answer lost", "request delayed"})
    result_.happened[name];
  Crashes::NameAll(result_.happened);
  for (const std::string& name : Cloud::Names()) result_.happened[name];
  NameAfflictions();
  for (const std::string& name : Nodes::Names()) result_.happened[name];
  for (const std::string& name : Scheduler::Names()) result_.happened[name];
  for (const char* name : {"a list of an engine failed", "an engine listed what was"})
    result_.happened[name];
}

bool Episode::Act(Random& random) {
  size_t luck = random.Pick(all_weights_), which = 0;
  while (luck >= weights_[which]) luck -= weights_[which++];
  const Action& action = Actions()[which];
  const bool acted = action.act(*this, random);
  if (acted) {
    if (action.fault) checks_.Disturbed();
    Count(action.name);
    digest_.Add(which);
    if (trace_ != nullptr) Report(action.name);
  }
  Bury();
  return acted;
}

bool Episode::Deliver(Random& random) {
  Replica& replica = Any(random);
  return replica.Deliver(static_cast<Kind>(random.Pick(core::kKinds)), 1 + random.Pick(6));
}

bool Episode::DeliverAll(Random& random) {
  Replica& replica = Any(random);
  bool any = replica.LookAround();
  for (size_t kind = 0; kind < core::kKinds; ++kind)
    any = replica.Deliver(static_cast<Kind>(kind), 1'000) || any;
  return any;
}

bool Episode::Look(Random& random) {
  if (!Any(random).Look(random.Next(), Sight::kNow)) return false;
  if (!random.OneIn(4)) return true;
  // What is asked of the engine meanwhile is answered before its list is taken.
  for (int i = 0; i < 3; ++i) {
    Begin(random);
    Carry(random);
    Answer(random);
  }
  return true;
}

void Episode::TurnOf(Replica& replica) {
  if (replica.dead()) return;
  const bool events = replica.HasEvents();
  // Nothing calls it before it wants to be called.
  const bool asleep = !events && !replica.awaits_answers() && replica.Read() < replica.wake();
  const size_t effects = replica.Turn();
  ++result_.turns;
  // A loop that is called again at once, without an event and without doing anything, spins.
  const bool empty = !events && effects == 0 && replica.wake() <= replica.now();
  const std::pair<int, Time> turn{replica.id(), api_.now};
  const bool same = std::exchange(turned_, turn) == turn;
  empty_turns_ = !empty ? 0 : same ? empty_turns_ + 1 : 1;
  if (empty_turns_ > 5) checks_.Violate("busy-loop", "the core wants to be called again at once");
  if (asleep && effects > 0)
    checks_.Violate(
        "overslept",
        "without an event, and before it wanted to be called, the core did " + last_decided_);
}

bool Episode::Turn(Random& random) {
  Replica& replica = Any(random);
  if (!replica.HasEvents() && replica.Read() < replica.wake()) return false;
  TurnOf(replica);
  return true;
}

bool Episode::Begin(Random& random) { return Any(random).Begin(); }

Fate Episode::Luck(Random& random) {
  static constexpr const char* kNames[] = {"", "request refused", "request lost", "answer lost",
                                           "request delayed"};
  size_t luck = random.Pick(10'000);
  for (size_t fate = 1; fate < fates_.size(); ++fate) {
    if (luck < fates_[fate]) return Count(kNames[fate]), static_cast<Fate>(fate);
    luck -= fates_[fate];
  }
  return Fate::kGood;
}

bool Episode::Carry(Random& random) {
  Replica& replica = Any(random);
  return replica.Carry(random.Pick(64), Luck(random));
}

bool Episode::Answer(Random& random) {
  Replica& replica = Any(random);
  return replica.Answer(random.Pick(64));
}

bool Episode::Flow(Random& random) {
  Replica& replica = Any(random);
  for (int i = 0; i < 4; ++i) {
    DeliverAll(random);
    TurnOf(replica);
    while (replica.Begin()) continue;
    while (replica.Carry(0, Fate::kGood)) continue;
    while (replica.Answer(0)) continue;
  }
  return true;
}

void Episode::Pass(Duration time) {
  witness_.now = api_.now += time;
  if (api_.now - beat_ < kBeatEvery) return;
  beat_ = api_.now;
  nodes_.Beat();
}

bool Episode::Measure(Random& random) {
  Any(random).Measure(nodes_.Measure(random));
  return true;
}

bool Episode::Tick(Random& random) {
  const size_t luck = random.Pick(20);
  if (luck < 12) {
    Pass(milliseconds(random.Pick(200)));
  } else if (luck < 19) {
    Pass(milliseconds(random.Pick(5'000)));
  } else {
    // Nothing happens for a while, and the processes are called as they wish.
    for (size_t left = random.Pick(18); left > 0; --left) {
      Pass(seconds(5));
      for (auto& replica : replicas_) {
        replica->Deliver(Kind::kLease, 100);
        TurnOf(*replica);
      }
    }
  }
  return true;
}

}  // namespace spillway::simulation
