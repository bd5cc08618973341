#include "operator/core/tasks/kept.h"

#include <algorithm>

#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/status.h"

namespace spillway::core {

void RestKept(World& world, TaskState& task) {
  api::TaskStatus& status = task.object.status;
  Dequeue(world, task);
  task.nominated.clear();
  if (status.phase == api::TaskPhase::kSuspended) return;
  if (Tells(status, kBeginsNoMore)) return;
  status.explanation.reset();
  status.forecast.reset();
  status.retry_at.reset();
  DescribeWaiting(world, task, api::TaskPhase::kPending, kBeginsNoMore);
  task.status_due = std::min(task.status_due, world.now + kExplainAfter);
  world.tasks.Wake(task, task.status_due);
}

}  // namespace spillway::core
