#include "operator/core/budgets/observe.h"

#include "operator/core/budgets/budgets.h"
#include "operator/core/world.h"

namespace spillway::core {

void OnSeen(World& world, const api::Budget& object) {
  const std::string key = object.meta.key();
  const auto at = world.budgets.by_key.find(key);
  if (at != world.budgets.by_key.end() &&
      at->second.object.meta.resource_version >= object.meta.resource_version)
    return;
  const bool added =
      at == world.budgets.by_key.end() || at->second.object.meta.uid != object.meta.uid;
  BudgetState& budget = world.budgets.by_key[key];
  if (added) {
    budget = {};
    budget.object = object;
    budget.writer.written = Fingerprint(EncodeStatus(object.status));
  } else {
    budget.object.meta = object.meta;
    budget.object.spec = object.spec;
  }
  Tenant& tenant = world.scheduling.tenants[object.meta.ns];
  tenant.budgets.insert(key);
  RetryHeld(tenant);
}

void OnBudgetGone(World& world, const std::string& key) {
  const auto at = world.budgets.by_key.find(key);
  if (at == world.budgets.by_key.end()) return;
  Tenant& tenant = world.scheduling.tenants[at->second.object.meta.ns];
  tenant.budgets.erase(key);
  RetryHeld(tenant);
  world.budgets.by_key.erase(at);
}

}  // namespace spillway::core
