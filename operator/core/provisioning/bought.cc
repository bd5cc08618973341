#include "operator/core/provisioning/bought.h"

#include <algorithm>
#include <cstdlib>

#include "operator/core/provisioning/hearsay.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/scale_status.h"
#include "operator/core/provisioning/scaling.h"

namespace spillway::core {
namespace {

using api::ScalePhase;

// It is over, which nobody else knows.
bool IsUntold(const ScaleState& scale) {
  return scale.object.status.phase > ScalePhase::kProvisioning && IsOpenToOthers(scale);
}

// Its server is given back, and the engine has not begun with that. One that the engine takes away
// by itself may last as long as others run there. What is not seen is waited for as long as a
// server may take.
bool IsReturning(const World& world, const ScaleState& scale) {
  if (scale.object.status.phase != ScalePhase::kReleasing) return false;
  const auto* server = ServerOf(world, scale);
  if (server != nullptr) return !server->deleting && server->ending.empty();
  return scale.hearsay && world.now < MayComeUntil(world, scale);
}

// Nothing else is bought for those that it was bought for.
bool Lasts(const World& world, const ScaleState& scale) {
  return (IsInflight(scale) && IsBelieved(world, scale)) || scale.asking ||
         IsReturning(world, scale) || IsUntold(scale) || MayHostYet(world, scale);
}

}  // namespace

std::string PurchaseName(const std::string& need, int64_t number) {
  return "spw-" + need + "-" + std::to_string(number);
}

Bought BoughtFor(const World& world, const std::string& need) {
  const std::string prefix = "spw-" + need + "-";
  Bought bought;
  for (auto at = world.provisioning.scales.lower_bound(prefix);
       at != world.provisioning.scales.end() && at->first.starts_with(prefix); ++at) {
    const int64_t number = std::strtoll(at->first.c_str() + prefix.size(), nullptr, 10);
    bought.last = std::max(bought.last, number);
    if (Lasts(world, at->second)) bought.lasting = std::max(bought.lasting, number);
  }
  return bought;
}

}  // namespace spillway::core
