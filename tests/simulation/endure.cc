// What is wrong for hours: one thing, while everything else is well. What has nothing to do with it
// goes on, nothing is tried or bought again and again, and in the end it is set right.
#include <algorithm>

#include "tests/simulation/episode.h"

namespace spillway::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Longer than the operator waits for anything that is not written down.
constexpr Duration kWaitsAtMost = seconds(80);

// By docs/behaviour.md: after each failure a pool is left alone for longer, up to ten minutes, and
// with the five minutes until it times out a purchase takes as long. There are two pools.
constexpr Checks::Pace kAsDocumented{12, 12};
// Those that are asked for before it is known that nodes cannot be seen any more.
constexpr Checks::Pace kAlmostNone{4, 0};

}  // namespace

struct Episode::Affliction {
  const char* name;
  bool may_begin = true;  // a process can begin meanwhile
  void (*begin)(Episode&, Random&, Time until);
};

const std::vector<Episode::Affliction>& Episode::Afflictions() {
  using E = Episode;
  using R = Random;
  static const std::vector<Affliction> kAfflictions = {
      {"writes are refused for hours", true,
       [](E& e, R& random, Time until) {
         Rule rule = AnyRule(random);
         rule.until = until;
         static constexpr const char* kVerbs[] = {"create ", "patch the status of ", "delete "};
         e.Say(kVerbs[static_cast<int>(*rule.verb)] + std::string(core::ToString(*rule.kind)) +
               (rule.ns.empty() ? "" : " in " + rule.ns) + ": " + rule.answer.message);
         e.api_.rules.push_back(std::move(rule));
       }},
      {"a namespace hangs for hours", true,
       [](E& e, R& random, Time until) {
         e.world_.hung = random.OneIn(2) ? "ns" : "team";
         e.world_.hung_until = until;
       }},
      {"an engine is silent for hours", true,
       [](E& e, R& random, Time) { e.cloud_.Silence(Cloud::AnyEngine(random)); }},
      {"pools sell nothing of use for hours", true,
       [](E& e, R& random, Time) {
         using Mood = Cloud::Mood;
         static constexpr Mood kMoods[] = {Mood::kNoCapacity, Mood::kStuck, Mood::kRefuses,
                                           Mood::kUnauthenticated, Mood::kUseless};
         const Mood mood = kMoods[random.Pick(std::size(kMoods))];
         const size_t which = random.Pick(4);
         e.Say("mood " + std::to_string(static_cast<int>(mood)) + " of " + std::to_string(which));
         if (which != 0) e.cloud_.SetMood("spot", mood);
         if (which != 1) e.cloud_.SetMood("on-demand", mood);
       }},
      {"a watch is refused for hours", false,
       [](E& e, R& random, Time until) {
         e.api_.denied =
             random.OneIn(3) ? Kind::kNode : static_cast<Kind>(random.Pick(core::kKinds));
         e.api_.denied_until = until;
         e.Say(core::ToString(*e.api_.denied));
       }},
  };
  return kAfflictions;
}

void Episode::NameAfflictions() {
  for (const Affliction& each : Afflictions()) result_.happened[each.name];
}

// Begins one of them.
Episode::Illness Episode::FallIll(Random& random) {
  constexpr size_t kEnough = 4;  // workers: of fewer, none can be kept for the others
  // With fewer requests a second than that, a task's turn comes later than is judged.
  const bool slow = world_.latency * kEnough > seconds(1) * world_.workers;
  const auto& all = Afflictions();
  const Affliction& affliction = all[random.Pick(all.size())];
  Count(affliction.name);
  Say(affliction.name);
  Illness out;
  const Duration lasts = minutes(60 + random.Pick(120));
  out.end = api_.now + lasts;
  affliction.begin(*this, random, out.end);
  const bool hangs = api_.now < world_.hung_until;
  out.judged = affliction.may_begin && !slow && (world_.workers >= kEnough || !hangs);
  checks_.BoundPurchases(api_.Denies(Kind::kNode) ? kAlmostNone : kAsDocumented);
  if (affliction.may_begin && random.OneIn(2)) out.restart = api_.now + lasts / 2;
  return out;
}

void Episode::Endure() {
  Random random(~script_.seed + 1);
  if (!faults() || !random.OneIn(12) || !Drain(*replicas_.front())) return;
  Illness illness = FallIll(random);
  Time submitted = api_.now;
  std::map<std::string, Time> since;
  while (api_.now < illness.end && !checks_.violation()) {
    if (api_.now >= submitted + minutes(5)) {
      submitted = api_.now;
      users_.Submit(random);
    }
    if (api_.now > illness.restart) {
      illness.restart = kNever;
      End(0);
      Start();
    }
    LiveOn(random);
    if (illness.judged) JudgeOthers(since);
    const Replica& replica = *replicas_.front();
    const Duration least = std::max<Duration>(milliseconds(500), world_.latency);
    // A quick answer that is not taken up would look like one that hangs.
    const Duration next =
        std::min(replica.wake() - replica.now(), replica.next_arrival() - api_.now);
    Pass(std::clamp<Duration>(next, least, seconds(10)));
  }
  checks_.BoundPurchases(std::nullopt);
  Heal();
}

// All goes on but for that one thing.
void Episode::LiveOn(Random& random) {
  nodes_.Recover();
  users_.LetGo();
  Replica& replica = *replicas_.front();
  replica.Recover();
  GoOn(replica);
  for (int i = 0; i < 12; ++i) {
    scheduler_.Schedule(random, false);
    nodes_.MovePod(random, false);
    nodes_.Collect(random);
    nodes_.EvictExpelled(random);
    cloud_.Move(random);
  }
  GoOn(replica);
  if (trace_ != nullptr) Report("endures");
}

void Episode::Heal() {
  Say("healed");
  api_.rules.clear();
  cloud_.Calm();
  world_.hung_until = api_.denied_until = Time{};
}

// Those whom it does not concern do not wait while a server would take them.
void Episode::JudgeOthers(std::map<std::string, Time>& since) {
  std::map<std::string, Time> waits;
  for (const auto& [task, server] : checks_.Idle(*replicas_.front())) {
    const bool hangs = api_.now < world_.hung_until && task.starts_with(world_.hung + "/");
    if (hangs || checks_.TriedOfLate(task)) continue;
    const auto before = since.find(task);
    waits.emplace(task, before == since.end() ? api_.now : before->second);
    if (api_.now - waits.at(task) > kWaitsAtMost)
      checks_.Violate("starved", task + " waits while " + server + " would take it; " +
                                     Says(*api_.Get<api::TaskRequest>(task)));
  }
  since = std::move(waits);
}

}  // namespace spillway::simulation
