#include "operator/core/provisioning/delays.h"

#include <algorithm>
#include <utility>

#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/scheduling/admission.h"

namespace spillway::core {
namespace {

using api::ScalePhase;

// True if its creation, or the request to its engine, has had no answer for too long.
bool WakeUnlessOverdue(World& world, const ScaleState& scale) {
  if (!scale.asking && (!scale.creating || scale.created)) return false;
  const Time due = scale.sent_at + kSlowAnswer;
  if (world.now < due) world.WakeAt(due);
  return world.now >= due;
}

// The last purchase of its pool was refused: that is told, and the answer to this one tells more
// than that there is none yet.
bool IsTriedAgain(const World& world, const ScaleState& scale) {
  const PoolState* pool = PoolOf(world.provisioning, scale);
  return !scale.created && pool != nullptr && pool->creation.told != 0;
}

std::string Unanswered(const ScaleState& scale) {
  return ", of which nothing has been heard since " + FormatTime(scale.sent_at) +
         "; an admission webhook may not answer";
}

// What was noted, once that is due; empty if nothing is to be told of it.
std::string Noted(World& world, const Delay& delay) {
  if (delay.why.empty() || delay.told == delay.why) return delay.why;
  const Time due = delay.told.empty() ? delay.due : std::max(delay.due, delay.told_at + kSayAgain);
  if (world.now >= due) return delay.why;
  world.WakeAt(due);
  return delay.told;  // rather than nothing for a moment
}

// The ScaleRequest says so itself as well.
void SayUnanswered(World& world, ScaleState& scale) {
  if (scale.object.status.phase != ScalePhase::kRequested) return;
  SetPhase(world, scale, ScalePhase::kRequested,
           "pool " + scale.object.pool + " was asked for a server at " + FormatTime(scale.sent_at) +
               ", without an answer yet; an admission webhook or the engine may not answer");
}

}  // namespace

void NoteDelay(World& world, ScaleState& scale, std::string why, Duration patience) {
  why.insert(0, "; ");
  if (scale.delay.why == why) return;
  scale.delay.why = std::move(why);
  scale.delay.due = world.now + patience;
  world.WakeAt(scale.delay.due);
}

void NoDelay(World& world, ScaleState& scale) {
  if (!std::exchange(scale.delay.why, {}).empty()) world.WakeAt(world.now);
}

void NoteEngineSays(World& world, ScaleState& scale, const std::string& what, bool launched) {
  if (what.empty()) return NoDelay(world, scale);
  NoteDelay(world, scale, "its engine " + EngineOf(world.provisioning, scale) + " says: " + what,
            launched ? kSayProgress : kSayRefusal);
}

void TellDelay(World& world, ScaleState& scale) {
  Delay& delay = scale.delay;
  // Once there is a server, that is told of.
  if (scale.object.status.phase > ScalePhase::kProvisioning) return delay.told.clear();
  std::string told = Noted(world, delay);
  const bool unanswered =
      told.empty() && !IsTriedAgain(world, scale) && WakeUnlessOverdue(world, scale);
  if (unanswered) told = Unanswered(scale);
  if (delay.told == told) return;
  delay.told = std::move(told);
  delay.told_at = world.now;
  if (unanswered) SayUnanswered(world, scale);
  TellWaiting(world, scale);
}

}  // namespace spillway::core
