#include "tests/simulation/episode.h"

#include <algorithm>

#include "operator/core/world.h"
#include "operator/runtime/pod_body.h"

namespace spillway::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A task that nothing stands in the way of has its pod asked for within that time.
constexpr Duration kInTime = seconds(5);
constexpr Duration kBeatEvery = seconds(10);
// An API server gives a request up after a minute, and whoever sent it before that.
constexpr Duration kLatest = seconds(120);

std::string Describe(const core::Object& object) {
  if (const auto* task = std::get_if<api::TaskRequest>(&object)) {
    return std::string(api::ToString(task->status.phase)) +
           (task->status.assignment ? " on " + task->status.assignment->server : "") +
           (task->spec.suspend ? " suspend" : "") + (task->spec.cancel ? " cancel" : "");
  }
  if (const auto* scale = std::get_if<api::ScaleRequest>(&object))
    return std::string(api::ToString(scale->status.phase)) + " " + scale->status.message;
  if (const auto* pod = std::get_if<api::Pod>(&object)) {
    static constexpr const char* kPhases[] = {"Pending", "Running", "Succeeded", "Failed", "?"};
    return std::string(kPhases[static_cast<int>(pod->phase)]) + " on " + pod->node_name +
           (pod->meta.deleted ? " deleted" : "");
  }
  if (const auto* node = std::get_if<api::Node>(&object))
    return node->ready == api::NodeReady::kTrue ? "Ready" : "NotReady";
  if (const auto* server = std::get_if<api::RegisteredServer>(&object))
    return server->status.phase + (server->spec.cordoned ? " cordoned" : "");
  if (const auto* claim = std::get_if<api::CloudServer>(&object))
    return std::string(claim->ready ? "ready" : "not ready") + (claim->deleting ? " deleting" : "");
  return "";
}

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
               if (trace_ != nullptr) SayDecision(replica, effect);
             },
             [this](const Replica&, const core::Write& write) { checks_.Before(write); },
             [this](const Replica& replica, const core::Write& write) {
               checks_.After(replica, write);
             },
             [this](const Replica& replica) { checks_.Turned(replica); },
             [this](const Replica& replica, const core::Effect& effect) {
               checks_.Tried(replica, effect);
             },
             [this](const Replica&, const core::Write& write) { checks_.Failed(write); },
             [this](const core::Write& write) { late_.emplace_back(api_.now, write); }} {
  Mix();
  checks_.JudgeOnly(script_.only);
  static constexpr size_t kWorkers[] = {1, 2, 4, 32, 32, 32};
  static constexpr int kLatencies[] = {0, 0, 50, 1'000};  // ms
  Random random(script_.seed);
  world_.workers = kWorkers[random.Pick(6)];
  world_.latency = milliseconds(kLatencies[random.Pick(4)]);
  Furnish(random);
  api_.witness = &witness_;
  witness_.now = api_.now = Time{} + seconds(1'800'000'000);
  beat_ = api_.now;
  static constexpr const char* kCpus[] = {"2", "4", "6"};
  // Some clusters are so large that the bounds in the core are met.
  const bool large = Random(script_.seed).OneIn(8);
  for (size_t i = 0; i < (large ? 12 : 3); ++i)
    nodes_.Add("s" + std::to_string(i), kCpus[i % 3], "8Gi");
  if (large) users_.Bound(80);
  users_.AddPool("spot", "4", 1);
  users_.AddPool("on-demand", "8", 0);
  users_.AddClass("high", 4);
  users_.AddClass("low", -1);
  nodes_.Beat();
  Start();
}

void Episode::SayDecision(const Replica& replica, const core::Effect& effect) {
  std::string line = "    operator " + std::to_string(replica.id()) + " decides: ";
  if (const auto* write = std::get_if<core::Write>(&effect)) {
    if (write->kind == Kind::kServer && write->verb == core::Verb::kPatchStatus) return;
    static constexpr const char* kVerbs[] = {"create ", "status ", "delete "};
    line += kVerbs[static_cast<int>(write->verb)];
    if (write->kind == Kind::kPod && write->verb == core::Verb::kCreate)
      line += "for " + write->uid + " on " +
              api::GetString(api::GetObject(runtime::Body(*write), "spec"), "nodeName") + " ";
  }
  const auto* note = std::get_if<core::Note>(&effect);
  Say(line + runtime::EffectKey(effect) +
      (note == nullptr ? "" : " " + note->reason + ": " + note->message));
  if (checks_.violation()) Say("VIOLATED: " + checks_.violation()->message);
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
      {80, false, "turn", [](E& e, R& r) { return e.Turn(r); }},
      {70, false, "send", [](E& e, R& r) { return e.Begin(r); }},
      {70, false, "arrive", [](E& e, R& r) { return e.Carry(r); }},
      {70, false, "answer", [](E& e, R& r) { return e.Answer(r); }},
      {12, false, "flow", [](E& e, R& r) { return e.Flow(r); }},
      {60, false, "time", [](E& e, R& r) { return e.Tick(r); }},
      {12, false, "measure", [](E& e, R& r) { return e.Measure(r); }},
      {60, false, "kubelet", [](E& e, R& r) { return e.nodes_.MovePod(r, e.faults()); }},
      {20, false, "collect", [](E& e, R& r) { return e.nodes_.Collect(r); }},
      {40, false, "cloud", [](E& e, R& r) { return e.cloud_.Move(r); }},
      {30, false, "submit", [](E& e, R& r) { return e.users_.Submit(r), true; }},
      {4, false, "submit group", [](E& e, R& r) { return e.users_.SubmitGroup(r); }},
      {3, false, "settle", [](E& e, R& r) { return e.Settle(r); }},
      {3, false, "delete task", [](E& e, R& r) { return e.users_.Delete(r); }},
      {5, false, "edit task", [](E& e, R& r) { return e.users_.Edit(r); }},
      {3, true, "re-apply task", [](E& e, R& r) { return e.users_.Reapply(r); }},
      {3, true, "delete pod", [](E& e, R& r) { return e.users_.DeletePod(r); }},
      {4, true, "edit server", [](E& e, R& r) { return e.users_.Cordon(r); }},
      {2, true, "edit class", [](E& e, R& r) { return e.users_.ChangeQueue(r); }},
      {2, true, "edit budget", [](E& e, R& r) { return e.users_.ChangeBudget(r); }},
      {3, true, "node fenced", [](E& e, R& r) { return e.nodes_.Fence(r); }},
      {2, true, "edit pool", [](E& e, R& r) { return e.users_.ChangePool(r); }},
      {4, true, "foreign pod", [](E& e, R& r) { return e.nodes_.AddForeignPod(r); }},
      {6, true, "node trouble", [](E& e, R& r) { return e.nodes_.Trouble(r); }},
      {3, true, "cloud mood", [](E& e, R& r) { return e.Mood(r); }},
      {2, true, "claim deleted", [](E& e, R& r) { return e.cloud_.DeleteAny(r); }},
      {3, true, "watch breaks", [](E& e, R& r) { return e.Break(r); }},
      {3, true, "watch hangs", [](E& e, R& r) { return e.Hang(r); }},
      {4, true, "event doubled", [](E& e, R& r) { return e.Double(r); }},
      {1, true, "history lost", [](E& e, R& r) { return e.Compact(r); }},
      {2, true, "crash", [](E& e, R& r) { return e.Crash(r); }},
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
  return acted;
}

// What the step has changed in the API server.
void Episode::Report(const std::string& what) {
  const auto now = api_.now.time_since_epoch() - seconds(1'800'000'000);
  const size_t lines = trace_->size();
  Say(FormatDuration(now) + " " + what);
  for (size_t kind = 0; kind < core::kKinds; ++kind) {
    const auto of = static_cast<Kind>(kind);
    reported_[kind] = std::max(reported_[kind], api_.first(of));
    for (; reported_[kind] < api_.end(of); ++reported_[kind]) {
      const Change& change = api_.at(of, reported_[kind]);
      if (of == Kind::kLease || (of == Kind::kServer && what == "quiet")) continue;
      Say("    " + std::string(core::ToString(of)) + " " + change.key + " v" +
          std::to_string(change.version) + " " +
          (change.object == nullptr ? "is gone" : Describe(*change.object)));
    }
  }
  if (trace_->size() == lines + 1 && what == "quiet") trace_->pop_back();
  // What goes on for hours without an end.
  constexpr std::ptrdiff_t kMost = 100'000;
  if (std::ssize(*trace_) > kMost) trace_->erase(trace_->begin(), trace_->begin() + kMost / 2);
}

bool Episode::Deliver(Random& random) {
  Replica& replica = Any(random);
  return replica.Deliver(static_cast<Kind>(random.Pick(core::kKinds)), 1 + random.Pick(6));
}

bool Episode::DeliverAll(Random& random) {
  Replica& replica = Any(random);
  bool any = false;
  for (size_t kind = 0; kind < core::kKinds; ++kind)
    any = replica.Deliver(static_cast<Kind>(kind), 1'000) || any;
  return any;
}

void Episode::TurnOf(Replica& replica) {
  const bool events = replica.HasEvents();
  const size_t effects = replica.Turn();
  ++result_.turns;
  // A loop that is called again at once, without an event and without doing anything, spins.
  empty_turns_ = events || effects > 0 || replica.wake() > replica.now() ? 0 : empty_turns_ + 1;
  if (empty_turns_ > 5) checks_.Violate("busy-loop", "the core wants to be called again at once");
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

// The API server cannot be reached for some minutes; everything else goes on.
bool Episode::Outage(Random& random) {
  if (!random.OneIn(2)) return false;
  for (size_t left = 12 + random.Pick(50); left > 0; --left) {
    Pass(seconds(5));
    for (auto& replica : replicas_) TurnOf(*replica);
  }
  // The watches do not come back in the same moment.
  for (auto& replica : replicas_) {
    for (int i = 0; i < 6; ++i) {
      replica->Deliver(static_cast<Kind>(random.Pick(core::kKinds)), 100);
      TurnOf(*replica);
      Pass(milliseconds(500));
    }
    for (size_t kind = 0; kind < core::kKinds; ++kind)
      replica->Deliver(static_cast<Kind>(kind), 1'000);
  }
  return true;
}

bool Episode::Break(Random& random) {
  Any(random).Break(static_cast<Kind>(random.Pick(core::kKinds)));
  return true;
}

bool Episode::Hang(Random& random) {
  Any(random).Hang(static_cast<Kind>(random.Pick(core::kKinds)), seconds(30 + random.Pick(300)));
  return true;
}

bool Episode::Double(Random& random) {
  return Any(random).Double(static_cast<Kind>(random.Pick(core::kKinds)));
}

bool Episode::Compact(Random& random) {
  if (!random.OneIn(3)) return false;
  api_.Compact(random.Pick(3));
  return true;
}

bool Episode::Crash(Random& random) {
  End(random.Pick(replicas_.size()));
  if (replicas_.empty()) {
    Pass(milliseconds(random.Pick(20'000)));
    Start();
  }
  return true;
}

// A leader that does not know yet that it is one no more, and the next one.
bool Episode::Second(Random&) {
  if (replicas_.size() > 1) return false;
  Start();
  return true;
}

// A request of a process that has ended arrives after all.
bool Episode::LateWrite(Random& random) {
  if (late_.empty()) return false;
  const auto [sent, write] = std::move(late_.back());
  late_.pop_back();
  if (!random.OneIn(2) || api_.now > sent + kLatest) return true;
  const auto answer = api_.Carry(write);
  if (answer && write.kind == Kind::kPod && write.verb == core::Verb::kCreate)
    witness_.Late(write.uid);
  return answer.ok();
}

bool Episode::Clock(Random& random) {
  Replica& replica = Any(random);
  if (random.OneIn(3)) {
    replica.SetClock();
  } else {
    replica.JumpClock(random.OneIn(2) ? Duration(seconds(random.Pick(600)))
                                      : -Duration(seconds(random.Pick(60))));
  }
  return true;
}

bool Episode::Mood(Random& random) {
  static constexpr Cloud::Mood kMoods[] = {Cloud::Mood::kGood,           Cloud::Mood::kGood,
                                           Cloud::Mood::kGood,           Cloud::Mood::kNoCapacity,
                                           Cloud::Mood::kStuck,          Cloud::Mood::kRefuses,
                                           Cloud::Mood::kUnauthenticated};
  cloud_.SetMood(random.OneIn(2) ? "spot" : "on-demand", kMoods[random.Pick(7)]);
  return true;
}

// For half a minute up to twenty of them.
bool Episode::Refuse(Random& random) {
  using core::Verb;
  static constexpr std::pair<Verb, Kind> kWrites[] = {
      {Verb::kCreate, Kind::kPod},         {Verb::kCreate, Kind::kPod},
      {Verb::kCreate, Kind::kScale},       {Verb::kCreate, Kind::kServer},
      {Verb::kPatchStatus, Kind::kTask},   {Verb::kPatchStatus, Kind::kTask},
      {Verb::kPatchStatus, Kind::kScale},  {Verb::kPatchStatus, Kind::kPool},
      {Verb::kPatchStatus, Kind::kServer}, {Verb::kDelete, Kind::kPod},
      {Verb::kDelete, Kind::kServer},      {Verb::kDelete, Kind::kTask}};
  static const Error kAnswers[] = {
      {ErrorKind::kForbidden, "pods is forbidden: not allowed by policy", std::nullopt},
      {ErrorKind::kForbidden, "exceeded quota: pods", std::nullopt},
      {ErrorKind::kConflict, "the object has been modified", std::nullopt},
      {ErrorKind::kUnavailable, "failed calling webhook", std::nullopt},
      {ErrorKind::kInvalid, "spec: Invalid value", std::nullopt},
      {ErrorKind::kNotFound, "the server could not find the requested resource", std::nullopt}};
  const auto [verb, kind] = kWrites[random.Pick(std::size(kWrites))];
  const bool namespaced = kind == Kind::kPod || kind == Kind::kTask;
  const char* ns = !namespaced || random.OneIn(3) ? "" : random.OneIn(2) ? "ns" : "team";
  // What is not there cannot be deleted, and is not: that answer does not last.
  size_t answers = std::size(kAnswers) - (verb == Verb::kCreate ? 0 : 1);
  std::erase_if(api_.rules, [&](const Rule& rule) { return rule.until <= api_.now; });
  api_.rules.push_back({verb, kind, ns, kAnswers[random.Pick(answers)],
                        api_.now + seconds(30 << random.Pick(6)) + seconds(random.Pick(200))});
  return true;
}

bool Episode::HangNamespace(Random& random) {
  world_.hung = random.OneIn(2) ? "ns" : "team";
  world_.hung_until = api_.now + seconds(30 + random.Pick(300));
  return true;
}

void Episode::GoOn(Replica& replica) {
  for (size_t kind = 0; kind < core::kKinds; ++kind)
    replica.Deliver(static_cast<Kind>(kind), 1'000);
  TurnOf(replica);
  while (replica.Begin()) continue;
  while (replica.Carry(0, Fate::kGood)) continue;
  while (replica.Answer(0)) continue;
}

// Everything works but the writes in one namespace: the tasks of the others get their pods in time.
bool Episode::Starve(Random& random) {
  constexpr size_t kEnough = 4;  // workers: of fewer, none can be kept for the others
  if (replicas_.size() != 1 || world_.workers < kEnough || api_.now < world_.hung_until)
    return false;
  Replica& replica = *replicas_.front();
  if (!Drain(replica)) return true;
  world_.hung = random.OneIn(2) ? "ns" : "team";
  world_.hung_until = api_.now + seconds(90);
  std::map<std::string, Time> since;
  while (api_.now < world_.hung_until && !checks_.violation()) {
    GoOn(replica);
    std::map<std::string, Time> waits;
    for (const auto& [task, server] : checks_.Idle()) {
      if (task.starts_with(world_.hung + "/") || checks_.TriedOfLate(task)) continue;
      const auto before = since.find(task);
      waits.emplace(task, before == since.end() ? api_.now : before->second);
      if (api_.now - waits.at(task) > kInTime + 2 * world_.latency)
        checks_.Violate("starved", task + " waits while " + server +
                                       " would take it and namespace " + world_.hung + " hangs");
    }
    since = std::move(waits);
    Pass(milliseconds(500));
  }
  return true;
}

bool Episode::Drain(Replica& replica) {
  replica.Recover();
  // One worker carries out one write in each, and what was refused is tried again in its own time.
  constexpr int kMostTurns = 2'000;
  for (int i = 0; i < kMostTurns && !checks_.violation(); ++i) {
    GoOn(replica);
    if (replica.Idle()) {
      // The one that is left knows all that the other did.
      if (replicas_.size() == 1) checks_.Overlap(false);
      return true;
    }
    Pass(std::max<Duration>(milliseconds(300), world_.latency));
  }
  // What is refused again and again is tried again and again, and the writes of many objects take
  // turns; how often each of them may be is for attempt-rate.
  const bool refused = std::any_of(api_.rules.begin(), api_.rules.end(),
                                   [&](const Rule& rule) { return api_.now < rule.until; });
  if (!refused && !checks_.violation())
    checks_.Violate("restless", "the operator does not come to rest");
  return false;
}

bool Episode::Settle(Random&) {
  if (replicas_.size() != 1 || api_.now < world_.hung_until) return false;
  if (!Drain(*replicas_.front())) return true;
  checks_.Settled(*replicas_.front());
  HoldStill();
  return true;
}

// Nothing but time passes, and longer than the operator waits for anything that is not written
// down.
void Episode::HoldStill() {
  Checks::Waits waits = checks_.Idle();
  for (int i = 0; i < 15 && !waits.empty() && !checks_.violation(); ++i) {
    Pass(seconds(5));
    if (!Drain(*replicas_.front())) return;
    const Checks::Waits now = checks_.Idle();
    std::erase_if(waits, [&](const auto& wait) { return !now.contains(wait); });
  }
  if (waits.empty() || checks_.violation()) return;
  const auto& [key, server] = *waits.begin();
  checks_.Violate("idle-server", key + " waits while server " + server + " would take it; " +
                                     Says(*api_.Get<api::TaskRequest>(key)));
}

void Episode::Quiet() {
  while (replicas_.size() > 1) End(0);
  Replica& replica = *replicas_.front();
  if (faults()) replica.SetClock();
  cloud_.Calm();
  nodes_.Prejudice(0);
  api_.admission.clear();
  late_.clear();
  api_.rules.clear();
  world_.hung_until = Time{};
  Random random(script_.seed);
  Say("quiet");
  std::optional<Violation> left;
  // Three hours: the longest patience of the operator is an hour (backoff).
  for (const Time end = api_.now + seconds(10'800); api_.now < end && !checks_.violation();) {
    nodes_.Recover();
    users_.LetGo();
    Drain(replica);
    for (int i = 0; i < 12; ++i) {
      nodes_.MovePod(random, false);
      nodes_.Collect(random);
      cloud_.Move(random);
    }
    if (trace_ != nullptr) Report("quiet");
    if (replica.Idle()) {
      left = checks_.Quiet(replica);
      if (!left) return;
    }
    Pass(std::clamp<Duration>(replica.wake() - replica.Read(), milliseconds(100), seconds(10)));
    TurnOf(replica);
    while (nodes_.MovePod(random, false)) continue;
  }
  if (left && !checks_.violation()) checks_.Violate(left->invariant, left->message);
}

}  // namespace spillway::simulation
