#include "operator/core/scheduling/assume.h"

namespace spillway::core {

void AssumePod(World& world, const TaskState& task, const NodeUsage& node) {
  Owner& owner = *task.owner;
  Book(world.servers, owner.assumed, node, {task.shape->demand, &owner, &task.tenant->used});
}

void ForgetAssumed(World& world, Owner& owner) { Unbook(world.servers, owner.assumed); }

void SimulateAdd(World& world, const TaskState& task, const ServerState& server) {
  AssumePod(world, task, *server.usage);
}

void RevertAdd(World& world, const TaskState& task) {
  const NodeUsage* usage = world.servers.ledger.Release(task.owner->assumed);
  if (usage != nullptr) Reindex(world.servers, *usage, false);
}

}  // namespace spillway::core
