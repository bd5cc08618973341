// What goes wrong in an episode.
#include <algorithm>

#include "tests/simulation/episode.h"

namespace spillway::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// An API server gives a request up after a minute, and whoever sent it before that.
constexpr Duration kLatest = seconds(120);

}  // namespace

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

bool Episode::LookAmiss(Random& random) {
  const bool fails = random.OneIn(2);
  if (!Any(random).Look(random.Next(), fails ? Sight::kFails : Sight::kOld)) return false;
  Count(fails ? "a list of an engine failed" : "an engine listed what was");
  return true;
}

void Episode::DeleteAtOnce(const core::Write& write) {
  constexpr int64_t kOneOf = 30;
  if (!faults() || still_ || write.verb != core::Verb::kCreate || api_.version() % kOneOf > 1)
    return;
  Count("deleted as soon as it is made");
  const bool listed = api_.version() % kOneOf == 1;
  api_.Remove(write.kind, write.key());
  if (!listed) return;
  for (auto& replica : replicas_) replica->Break(write.kind);
}

bool Episode::Break(Random& random) {
  Any(random).Break(static_cast<Kind>(random.Pick(core::kKinds)));
  return true;
}

bool Episode::BreakTwice(Random& random) {
  return Any(random).BreakTwice(static_cast<Kind>(random.Pick(core::kKinds)));
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

bool Episode::ArmCrash(Random& random) {
  crashes_.Arm(random);
  return true;
}

void Episode::Bury() {
  const auto dead = std::find_if(replicas_.begin(), replicas_.end(),
                                 [](const auto& replica) { return replica->dead(); });
  if (dead == replicas_.end()) return;
  Say("operator " + std::to_string((*dead)->id()) + " has ended");
  End(static_cast<size_t>(dead - replicas_.begin()));
  if (!replicas_.empty()) return;
  Pass(crashes_.pause());
  Start();
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
  if (answer && write.kind == Kind::kTask) checks_.Arrived(write);
  if (answer && write.kind == Kind::kScale && write.verb == core::Verb::kCreate)
    checks_.Made(write);
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

// The caller sets until when it holds.
Rule Episode::AnyRule(Random& random) {
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
  const size_t answers = std::size(kAnswers) - (verb == Verb::kCreate ? 0 : 1);
  return {verb, kind, ns, kAnswers[random.Pick(answers)]};
}

// For half a minute up to twenty of them.
bool Episode::Refuse(Random& random) {
  std::erase_if(api_.rules,
                [&](const Rule& rule) { return rule.until + seconds(600) <= api_.now; });
  api_.rules.push_back(AnyRule(random));
  api_.rules.back().until = api_.now + seconds(30 << random.Pick(6)) + seconds(random.Pick(200));
  return true;
}

bool Episode::HangNamespace(Random& random) {
  world_.hung = random.OneIn(2) ? "ns" : "team";
  world_.hung_until = api_.now + seconds(30 + random.Pick(300));
  return true;
}

}  // namespace spillway::simulation
