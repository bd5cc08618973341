#include "operator/core/scheduling/waiting.h"

#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/preemption.h"
#include "operator/core/scheduling/search.h"

namespace spillway::core {

void JoinQueue(World& world, TaskState& task) {
  Shape& shape = *task.shape;
  NoteInVain(world, task);
  task.in_gang = task.gang != nullptr && !WaitsAlone(task);
  if (task.in_gang) {
    task.gang->waiting.insert(task.position());
    task.gang->tried_members = 0;  // it may ask for something else than when it was tried
  } else {
    if (shape.waiting.empty()) ApplyQueueingHints(world, shape);
    shape.waiting.Insert(*task.tenant, task.position());
    if (task.admission->closed) shape.waiting.Hide(*task.tenant);
    shape.burst_at = Time{};  // nothing is planned for it yet
  }
  task.queued = task.priority;
  if (task.tenant->waiting++ == 0) world.scheduling.tenants_waiting.insert(task.tenant);
  world.scheduling.by_share =
      world.scheduling.by_share || world.scheduling.tenants_waiting.size() > 1;
  // One of a higher priority may have what is kept for others.
  if (!world.scheduling.reserved.empty()) shape.unschedulable = false;
  if (!shape.unschedulable || !shape.retry_slots.empty()) world.scheduling.shapes.SetUntried(shape);
}

void Dequeue(World& world, TaskState& task) {
  if (!task.queued) return;
  if (task.in_gang) {
    task.gang->waiting.erase(task.place());
  } else {
    task.shape->waiting.Erase(*task.tenant, task.place());
  }
  task.queued.reset();
  if (--task.tenant->waiting == 0) world.scheduling.tenants_waiting.erase(task.tenant);
}

}  // namespace spillway::core
