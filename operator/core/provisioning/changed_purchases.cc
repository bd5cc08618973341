#include "operator/core/provisioning/changed_purchases.h"

#include <algorithm>
#include <string>
#include <utility>

#include "operator/core/provisioning/scale_status.h"

namespace spillway::core {
namespace {

using api::CloudError;
using api::ScaleRequest;

// As in "was admitted ..."; empty if nothing that matters has changed.
std::string ChangeOf(const ScaleRequest& asked, const ScaleRequest& admitted) {
  if (admitted.meta.name != asked.meta.name) return "under the name " + admitted.meta.name;
  if (admitted.pool != asked.pool)
    return "with spec.poolName " + admitted.pool + " in place of " + asked.pool;
  if (admitted.engine != asked.engine) return "with another spec.backend";
  if (admitted.for_tasks != asked.for_tasks) return "with another spec.forTasks";
  const auto& kept = admitted.finalizers;
  for (const std::string& finalizer : asked.finalizers) {
    if (std::find(kept.begin(), kept.end(), finalizer) == kept.end())
      return "without its finalizer " + finalizer;
  }
  return "";
}

}  // namespace

bool RejectChanged(World& world, ScaleState& scale, const ScaleRequest& admitted) {
  if (!scale.asked) return false;
  const ScaleRequest asked = *std::exchange(scale.asked, std::nullopt);
  const std::string change = ChangeOf(asked, admitted);
  if (change.empty()) return false;
  const std::string message =
      "ScaleRequest " + asked.meta.name + " was admitted " + change +
      ", so that nothing is bought for it; exempt Spillway's ScaleRequests from the policy or "
      "webhook that changes this";
  ScaleState meant;
  meant.object = asked;
  HoldPool(world, meant, CloudError::kInvalidRequest, message, world.now);
  // What the answer brings is seen by now, if it is not gone again.
  const auto at = world.provisioning.scales.find(admitted.meta.name);
  const bool there = at != world.provisioning.scales.end() && at->second.created;
  if (there) EndScale(world, at->second, CloudError::kInvalidRequest, message);
  if (!there || admitted.meta.name != asked.meta.name) NoteNotCreated(world, meant, message);
  return true;
}

}  // namespace spillway::core
