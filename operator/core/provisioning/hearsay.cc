#include "operator/core/provisioning/hearsay.h"

#include <algorithm>
#include <limits>

#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/launch.h"
#include "operator/core/provisioning/scale_status.h"

namespace spillway::core {
namespace {

// For so long a polled engine may tell what it has listed before.
constexpr Duration kListKept{10'000};

// True if the engine has told since then what it has. The list of a polled one that comes next may
// have been begun before, the one after it was not, but it may be kept. A watch has come as far as
// that once it tells of a later version, or after a while in which it was heard of: versions of
// another API server are others.
bool WakeUnlessTold(World& world, const EngineFeed& engine, const Hearsay& told) {
  if (!engine.traits.polled) {
    if (engine.seen_up_to >= told.version) return true;
    const Time until = std::max(told.at + kFresh, engine.heard.row + kBacklog);
    if (world.now < until) world.WakeAt(until);
    return world.now >= until && engine.heard.last >= told.at + kBacklog;
  }
  const Time until = told.at + kListKept;
  if (world.now < until) world.WakeAt(until);
  return world.now >= until && engine.lists >= told.lists + 2;
}

}  // namespace

Time MayComeUntil(const World& world, const ScaleState& scale) {
  const Time requested = scale.object.status.requested_at.value_or(scale.hearsay->at);
  return std::max(requested, scale.sent_at) + ProvisionTimeout(world, scale);
}

void NoteMade(const World& world, ScaleState& scale) {
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  if (engine == nullptr || ServerOf(world, scale) != nullptr) return;
  // Its version is not known.
  scale.hearsay = {std::numeric_limits<int64_t>::max(), engine->lists, world.now};
}

void TakeHearsay(const World& world, ScaleState& scale) {
  const api::ScaleStatus& status = scale.object.status;
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  if (engine == nullptr) return;
  if (status.phase == api::ScalePhase::kProvisioning || status.phase == api::ScalePhase::kReady)
    scale.hearsay = {scale.object.meta.resource_version, engine->lists, world.now};
  // It was withdrawn, and perhaps while its engine was asked.
  if (status.phase == api::ScalePhase::kReleasing && status.backend_name.empty())
    NoteMade(world, scale);
}

bool KeepHearsay(World& world, ScaleState& scale) {
  if (!scale.hearsay) return false;
  const EngineFeed* engine = world.Engine(EngineOf(world.provisioning, scale));
  if (engine != nullptr && ServerOf(world, scale) == nullptr &&
      !WakeUnlessTold(world, *engine, *scale.hearsay)) {
    const Time until = MayComeUntil(world, scale);
    if (world.now < until) world.WakeAt(until);
    // One that was never listed may be so no more, and there is nothing to ask it for.
    if (engine->synced || world.now < until) return true;
  }
  scale.hearsay.reset();
  return false;
}

}  // namespace spillway::core
