#include "operator/core/tasks/status_queue.h"

#include "operator/core/tasks/status.h"
#include "operator/core/world.h"

namespace spillway::core {
namespace {

// A write that may not be needed when others have had their turn.
bool MayWait(const World& world, const TaskState& task) {
  if (api::Finished(task.object.status.phase) || task.held) return false;
  if (world.tasks.to_write.size() + task.tenant->to_write.size() > kCrowded) return true;
  return world.tasks.statuses_in_flight >= kBusy && task.binding &&
         world.now < task.binding->assigned_at + kShortTask;
}

// A status is encoded when its turn has come and not before: what happens to the task until then
// costs no write of its own, and the creation of pods does not wait behind statuses.
void WriteStatuses(World& world) {
  while (!world.tasks.to_write.empty() && world.tasks.statuses_in_flight < kMostStatusesInFlight) {
    const auto task = world.tasks.by_key.find(world.tasks.to_write.front());
    world.tasks.to_write.pop_front();
    if (task == world.tasks.by_key.end() || !std::exchange(task->second.to_write, false)) continue;
    if (task->second.queued) {
      world.explain.to_explain.insert(task->first);  // by now
    } else if (MayWait(world, task->second)) {
      PutOffStatus(world, task->second);
    } else if (Crowds(*task->second.tenant)) {
      StandInLine(task->second, task->first);
    } else {
      FlushStatus(world, task->second);
    }
  }
}

}  // namespace

bool Crowds(const Tenant& tenant) {
  return tenant.statuses_in_flight >=
         (tenant.statuses_fail ? kMostWhereTheyFail : kMostStatusesOfOne);
}

void StandInLine(TaskState& task, const std::string& key) {
  if (!std::exchange(task.to_write, true)) task.tenant->to_write.push_back(key);
}

void FlushTasks(World& world) {
  TakeTasks(world.tasks, world.tasks.touched, [&](TaskState& task, auto key) {
    if (task.queued) {
      world.explain.to_explain.insert(std::move(key));
    } else if (!std::exchange(task.to_write, true)) {
      world.tasks.to_write.push_back(std::move(key.value()));
    }
  });
  WriteStatuses(world);
}

}  // namespace spillway::core
