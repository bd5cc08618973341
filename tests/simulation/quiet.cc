// How an episode comes to rest, and what must hold then.
#include <algorithm>

#include "tests/simulation/episode.h"

namespace spillway::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A task that nothing stands in the way of has its pod asked for within that time: a creation that
// nobody answers keeps its room for kSlowAnswer, by a clock that may be slow.
constexpr Duration kInTime = seconds(6);
// What hung is answered after half a minute at most, and tried again after a minute at most.
constexpr Duration kAfterHanging = seconds(100);

}  // namespace

void Episode::GoOn(Replica& replica) {
  still_ = true;
  // What has arrived meanwhile leaves its worker free for the next.
  while (replica.Carry(0, Fate::kGood)) continue;
  while (replica.Answer(0)) continue;
  replica.LookAround();
  for (size_t kind = 0; kind < core::kKinds; ++kind)
    replica.Deliver(static_cast<Kind>(kind), 1'000);
  TurnOf(replica);
  while (replica.Begin()) continue;
  while (replica.Carry(0, Fate::kGood)) continue;
  while (replica.Answer(0)) continue;
  still_ = false;
}

// Everything works but the writes in one namespace: the tasks of the others get their pods in time.
bool Episode::Starve(Random& random) {
  constexpr size_t kEnough = 4;  // workers: of fewer, none can be kept for the others
  if (replicas_.size() != 1 || world_.workers < kEnough || api_.now < world_.hung_until)
    return false;
  Replica& replica = *replicas_.front();
  if (!Drain(replica)) return true;
  const std::string before_it = world_.hung;
  const Time rested = world_.hung_until + kAfterHanging;
  world_.hung = random.OneIn(2) ? "ns" : "team";
  world_.hung_until = api_.now + seconds(90);
  std::map<std::string, Time> since;
  while (api_.now < world_.hung_until && !checks_.violation()) {
    GoOn(replica);
    std::map<std::string, Time> waits;
    for (const auto& [task, server] : checks_.Idle(*replicas_.front())) {
      if (task.starts_with(world_.hung + "/") || checks_.TriedOfLate(task) ||
          (task.starts_with(before_it + "/") && api_.now < rested))
        continue;
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
  crashes_.Disarm();
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
  const Replica& replica = *replicas_.front();
  Checks::Waits waits = checks_.Idle(replica), unbought = checks_.Unbought(replica);
  std::set<std::string> unregistered = checks_.Unregistered(), misleading = checks_.Misleading(),
                        unnoticed = checks_.Unnoticed(replica);
  const auto all_is_well = [&] {
    return waits.empty() && unbought.empty() && unregistered.empty() && misleading.empty() &&
           unnoticed.empty();
  };
  const auto keep = [](auto& before, const auto& now) {
    std::erase_if(before, [&](const auto& each) { return !now.contains(each); });
  };
  for (int i = 0; i < 15 && !all_is_well() && !checks_.violation(); ++i) {
    Pass(seconds(5));
    if (!Drain(*replicas_.front())) return;
    keep(waits, checks_.Idle(replica));
    keep(unbought, checks_.Unbought(replica));
    keep(unregistered, checks_.Unregistered());
    keep(misleading, checks_.Misleading());
    keep(unnoticed, checks_.Unnoticed(replica));
  }
  if (checks_.violation()) return;
  for (const auto& [key, server] : waits)
    checks_.Violate("idle-server", key + " waits while server " + server + " would take it; " +
                                       Says(*api_.Get<api::TaskRequest>(key)));
  for (const auto& [key, pool] : unbought)
    checks_.Violate("unbought", key + " waits, and pool " + pool + " is not asked; " +
                                    Says(*api_.Get<api::TaskRequest>(key)));
  for (const std::string& what : unregistered)
    checks_.Violate("unused", what + ", which is ready, and is not registered");
  for (const std::string& what : misleading) checks_.Violate("misleading", what);
  for (const std::string& what : unnoticed) checks_.Violate("unnoticed", what);
}

void Episode::Calm() {
  while (replicas_.size() > 1) End(0);
  Replica& replica = *replicas_.front();
  if (faults()) replica.SetClock();
  cloud_.Calm();
  nodes_.Prejudice(0);
  api_.EndAdmission();
  api_.LetAllGo();
  late_.clear();
  api_.rules.clear();
  world_.hung_until = Time{};
}

void Episode::Quiet() {
  Calm();
  Endure();
  Replica& replica = *replicas_.front();
  Random random(script_.seed);
  Say("quiet");
  std::optional<Violation> left;
  // Three hours: the longest patience of the operator is an hour (backoff).
  for (const Time end = api_.now + seconds(10'800); api_.now < end && !checks_.violation();) {
    nodes_.Recover();
    users_.LetGo();
    Drain(replica);
    for (int i = 0; i < 12; ++i) {
      scheduler_.Schedule(random, false);
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
    while (scheduler_.Schedule(random, false) || nodes_.MovePod(random, false)) continue;
  }
  if (left && !checks_.violation()) checks_.Violate(left->invariant, left->message);
}

}  // namespace spillway::simulation
