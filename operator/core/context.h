// What every step begins with and what comes of it: the time, what is heard of the API server, the
// effects, and when the core wants to be called next. No room owns it: all read it, add effects and
// milestones, and say when to wake.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

#include "operator/core/events.h"

namespace spillway::core {

// The longest time between two events that counts in full: shorter than any heartbeat's patience.
inline constexpr Duration kMostSilence{10'000};
// A watch that has said nothing for longer may hang: it sends a bookmark about every minute, if
// nothing else.
inline constexpr Duration kFresh{90'000};
// So long may it take until a watch that comes back has told all that it had missed.
inline constexpr Duration kBacklog{15'000};
// After a pause that is longer, what a watch tells may be as old as that, and not all of it.
// Between two pauses there is time to look at what was told: more than kBacklog.
inline constexpr Duration kPause{20'000};

// How long a request may still arrive whose sender is gone, or whose answer was lost.
inline constexpr std::chrono::minutes kLateArrival{2};

// When a kind, or an engine, was heard of.
struct Heard {
  Time last{};  // the last time
  Time row{};   // since when without a long pause

  void Hear(Time now) {
    if (now > last + kPause) row = now;
    last = now;
  }
};

// An engine of this operator, and how much is known of what it has.
struct EngineFeed {
  api::EngineTraits traits;
  int64_t seen_up_to = 0;      // as of the other kinds, in its own versions
  bool synced = false;         // listed at least once
  uint64_t lists = 0;          // so many times
  bool behind = false;         // its watch broke, and is not current again
  Time behind_since = kNever;  // since when its first list has not come
  bool let_go = false;         // it is waited for no more, as long as it is not listed
  Heard heard{};
};

struct Context {
  Time now{};
  // Watch time: advances only while events arrive, and ignores jumps of the wall clock. How long a
  // node is silent or unready is measured by it, so losing the API server never makes nodes look
  // lost.
  Time news{};
  Time heard_at{};                            // when the last event came
  std::array<Time, kKinds> heard_of{};        // of each kind, by news: its watch was alive then
  std::array<Heard, kKinds> heard{};          // the same, by now
  std::array<int64_t, kKinds> seen_up_to{};   // the version up to which everything was delivered
  std::array<bool, kKinds> synced{};          // listed at least once
  std::array<bool, kKinds> behind{};          // its watch broke, and is not current again
  std::map<std::string, EngineFeed> engines;  // by name; kCloudServer is kept here alone
  bool measured = false;                      // the load was asked for at least once

  // Counts changes of anything that an explanation may tell of.
  uint64_t generation = 0;

  std::vector<Effect> effects;
  std::vector<Milestone> milestones;
  Time wake = kNever;  // when the core must be called again, if nothing happens before

  // Null if this operator has no such engine.
  const EngineFeed* Engine(const std::string& name) const;
  // The version up to which everything was delivered; null for an engine that is not there.
  int64_t* SeenUpTo(Kind kind, const std::string& engine);
  // A complete list has come.
  void MarkSynced(Kind kind, const std::string& engine);
  bool Synced(Kind kind) const { return synced[static_cast<size_t>(kind)]; }
  // Enough is known to decide.
  bool ready() const;
  void WakeAt(Time time) {
    if (time < wake) wake = time;
  }
  // A task, server, node or pod may have changed without our knowledge, and news are on their way.
  bool IsBehind() const;
  // Its watch broke a while ago, and does not come back.
  bool IsBlind(Kind kind) const {
    const auto i = static_cast<size_t>(kind);
    return behind[i] && now >= heard[i].last + kFresh;
  }
  bool IsBlind(const EngineFeed& engine) const {
    return engine.behind && now >= engine.heard.last + kFresh;
  }
  // An event has come. Of the API server only a watch tells.
  void Hear(Kind kind, const std::string& engine);
  Time HeardOf(Kind kind) const { return heard_of[static_cast<size_t>(kind)]; }
  // The watch was heard of recently, and the events that it had missed have been delivered.
  bool HearsOf(Kind kind) const {
    const auto i = static_cast<size_t>(kind);
    return now <= heard[i].last + kFresh && now >= heard[i].row + kBacklog;
  }
  // When news will have reached that time, if events keep coming.
  Time ByNews(Time time) const { return now + std::max(time - news, Duration{1'000}); }
};

// A Kubernetes Event on the object. attempt: of a task, the latest.
void RecordEvent(Context& context, Kind kind, const api::ObjectMeta& meta, bool warning,
                 std::string reason, std::string message, int64_t attempt = 0);

}  // namespace spillway::core
