// WithdrawPurchases of scaling.h.
#include <algorithm>
#include <string>
#include <utility>

#include "operator/core/provisioning/engines.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/servers/registrar.h"

namespace spillway::core {
namespace {

using api::ScalePhase;

// Of a pod on a server of its pool nobody knows whether it was created.
bool AwaitsAnswers(const World& world, const ScaleState& scale) {
  const auto& overdue = world.scheduling.overdue;
  return std::any_of(overdue.begin(), overdue.end(),
                     [&](const auto& entry) { return entry.second == scale.object.pool; });
}

// A leader before has made a server of it, without having told so: those who waited may run there.
// Of one that is gone only the registration is left.
bool HasServer(World& world, const ScaleState& scale) {
  const ServerState* own = OwnServer(world, scale);
  if (own == nullptr) return false;
  return own->usage->tasks > 0 || ServerOf(world, scale) != nullptr ||
         EngineMisfit(world, EngineOf(world.provisioning, scale));
}

}  // namespace

void WithdrawPurchases(World& world) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (!scale.created || IsWanted(world, scale) || !IsInflight(scale) ||
        scale.object.status.phase == ScalePhase::kReady)
      continue;
    // It takes up its place: a server may be on its way, and a task may want it yet.
    if (world.now < scale.asked_before_until) {
      world.WakeAt(scale.asked_before_until);
      continue;
    }
    // Others may have taken their room meanwhile: where their pods come after all, they wait anew.
    if (AwaitsAnswers(world, scale)) continue;
    if (HasServer(world, scale)) continue;
    const std::string why = "no task waits for it any more";
    const bool asked = scale.ensured || !scale.object.status.backend_name.empty() ||
                       scale.asked_before_until != Time{} || scale.hearsay;
    const ScalePhase before = std::exchange(scale.object.status.phase,
                                            asked ? ScalePhase::kReleasing : ScalePhase::kReleased);
    scale.object.status.message = why;
    if (!asked) scale.object.status.finished_at = world.now;
    ReportScale(world, scale, before);
    api::SetProgress(scale.object.status.conditions,
                     asked ? api::Progress::kReconciling : api::Progress::kReady, "Withdrawn", why,
                     scale.object.meta.generation, world.now);
    RecordEvent(world, scale, false, "Withdrawn", why);
    world.WakeAt(world.now);
  }
}

}  // namespace spillway::core
