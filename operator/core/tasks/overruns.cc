#include "operator/core/tasks/overruns.h"

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/tasks/attempt_times.h"

namespace spillway::core {

void CountOverruns(World& world) {
  if (world.budgets.by_key.empty()) return;
  if (world.now < world.tasks.overruns_at) return world.WakeAt(world.tasks.overruns_at);
  world.tasks.overruns_at = world.now + kAmountsEvery;
  for (auto& [key, task] : world.tasks.by_key) {
    if (task.committed == 0 || !task.binding) continue;
    const auto server = world.servers.by_name.find(task.binding->server);
    const api::Pod* pod = PodOf(task, task.binding->attempt);
    if (server == world.servers.by_name.end() || pod == nullptr) continue;
    if (!pod->started && !pod->init_started) continue;
    const int64_t by_now =
        CostOf(server->second.object.spec.price_micros, world.now - RunsSince(world, task, *pod));
    if (by_now > task.committed) Commit(world, task, by_now);
  }
}

}  // namespace spillway::core
