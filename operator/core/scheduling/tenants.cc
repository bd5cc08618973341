#include "operator/core/scheduling/tenants.h"

#include "operator/core/budgets/budgets.h"

namespace spillway::core {
namespace {

// No task, no pod and no write that is on its way refers to it, and all else is as it would be if
// it were new.
bool IsUnused(const World& world, const Tenant& tenant) {
  const bool held_back = world.now < tenant.unrecorded_until || world.now < tenant.probe_at;
  return tenant.tasks == 0 && tenant.used.pods == 0 && tenant.creating == 0 &&
         tenant.statuses_in_flight == 0 && tenant.weight_milli == kUsualWeight && !held_back;
}

}  // namespace

void ForgetTenants(World& world) {
  if (world.now < world.scheduling.forget_at) return;
  world.scheduling.forget_at = world.now + kForgetTenantsEvery;
  std::erase_if(world.scheduling.tenants,
                [&](const auto& entry) { return IsUnused(world, entry.second); });
  ForgetAccounts(world, world.budgets);
}

}  // namespace spillway::core
