#include "operator/core/scheduling/observe.h"

#include "operator/core/world.h"

namespace spillway::core {
namespace {

// What waits may have another priority now, or one at all.
void Reprioritize(World& world) {
  for (auto& [key, task] : world.tasks.by_key) {
    if (task.binding && task.priority == kGivesWayToNone) PrioritizeBound(world, task);
    if (!task.binding && !api::Finished(task.object.status.phase))
      world.tasks.to_reconcile.insert(key);
  }
}

}  // namespace

void OnSeen(World& world, const api::PriorityClass& object) {
  api::PriorityClass& known = world.scheduling.priority_classes[object.meta.name];
  if (known.meta.resource_version >= object.meta.resource_version) return;
  known = object;
  Reprioritize(world);
}

void OnSeen(World& world, const api::Namespace& object) {
  Tenant& tenant = world.scheduling.tenants[object.meta.name];
  if (tenant.resource_version >= object.meta.resource_version) return;
  tenant.resource_version = object.meta.resource_version;
  tenant.weight_milli = object.weight_milli;
}

void OnPriorityClassGone(World& world, const std::string& name) {
  world.scheduling.priority_classes.erase(name);
  Reprioritize(world);
}

void OnNamespaceGone(World& world, const std::string& name) {
  const auto tenant = world.scheduling.tenants.find(name);
  if (tenant != world.scheduling.tenants.end()) tenant->second.weight_milli = kUsualWeight;
}

}  // namespace spillway::core
