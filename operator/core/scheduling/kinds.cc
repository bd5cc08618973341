#include "operator/core/scheduling/kinds.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

// Of the namespace's tasks with that template, in the table of shapes.
std::string KeyOf(const Shape& asked, const TaskState& task) {
  return asked.key + "kind" + task.object.meta.ns + "/" +
         std::to_string(std::hash<std::string>{}(*task.pod_template));
}

void Move(World& world, TaskState& task, Admission& to) {
  ClearOverBudget(world, task);
  const bool queued = task.queued.has_value();
  Dequeue(world, task);
  Shape& before = *task.shape;
  if (before.tasks == 1) ReleaseReservation(world, before);
  task.shape = to.shape;
  ++to.shape->tasks;
  world.scheduling.shapes.Drop(&before);
  Leave(task);
  Enter(task, to);
  world.tasks.to_reconcile.insert(*task.key);
  if (queued) JoinQueue(world, task);
}

}  // namespace

void Enter(TaskState& task, Admission& admission) {
  task.admission = &admission;
  task.admission_place = admission.tasks.size();
  admission.tasks.push_back(&task);
}

Admission& Leave(TaskState& task) {
  Admission& admission = *std::exchange(task.admission, nullptr);
  TaskState* last = admission.tasks.back();
  admission.tasks[task.admission_place] = last;
  last->admission_place = task.admission_place;
  admission.tasks.pop_back();
  return admission;
}

Shape& OwnKind(World& world, const TaskState& task, Shape& asked) {
  if (task.tenant->apart == 0) return asked;
  Shape* own = world.scheduling.shapes.Find(KeyOf(asked, task));
  if (own == nullptr) return asked;
  ++own->tasks;
  world.scheduling.shapes.Drop(&asked);
  return *own;
}

Admission* SetApart(World& world, Admission& from, const TaskState& like) {
  if (from.apart) return &from;
  if (from.tenant->apart >= kMostApart) return nullptr;
  Shape& shape = world.scheduling.shapes.Like(*from.asked, KeyOf(*from.asked, like));
  const auto [at, added] = world.scheduling.admissions.try_emplace({from.tenant, &shape});
  Admission& to = at->second;
  if (added) {
    to.tenant = from.tenant;
    to.asked = to.shape = &shape;
    to.by_scheduler = from.by_scheduler;
    to.apart = true;
    shape.holds += 2;
    ++from.tenant->apart;
    TakeRefusals(world, *from.shape, shape);
  }
  const auto same = [&](const TaskState& task) {
    return task.pod_template == like.pod_template || *task.pod_template == *like.pod_template;
  };
  for (TaskState* task : std::vector<TaskState*>(from.tasks)) {
    if (same(*task)) Move(world, *task, to);
  }
  return &to;
}

}  // namespace spillway::core
