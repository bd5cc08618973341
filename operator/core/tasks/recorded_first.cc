#include "operator/core/tasks/recorded_first.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "operator/core/budgets/budgets.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/admitted_pods.h"
#include "operator/core/scheduling/assume.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/tasks/attempt_times.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/follow.h"
#include "operator/core/tasks/kept.h"
#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

constexpr char kWhy[] =
    "with spec.retry.lossLimit 0, the pod is created once the status tells of it; ";
constexpr BackoffRange kAfterOverdue{std::chrono::seconds(10), std::chrono::seconds(60)};

bool IsWanted(const TaskState& task) {
  if (task.object.meta.deleted) return false;  // also where a finalizer keeps it
  if (task.binding) return task.binding == task.creating && !task.confirmed;
  const api::TaskSpec& spec = task.object.spec;
  return task.held->overdue && !api::Finished(task.object.status.phase) && !spec.suspend &&
         !spec.cancel;
}

// Why its server does not take it any more; empty if it does.
std::string NotTaken(World& world, const TaskState& task) {
  const std::string& name = task.creating->server;
  const auto server = world.servers.by_name.find(name);
  // Its name may be that of another machine by now.
  if (server == world.servers.by_name.end() ||
      server->second.object.spec.node_name != task.creating->node_name)
    return "server " + name + " is gone";
  FitError why;
  ForgetAssumed(world, *task.owner);  // the room that is kept for it
  bool fits = PropertiesFit(world, *task.shape, server->second, &why) &&
              RoomFits(world, *task.shape, server->second, &why);
  // What others have reserved since it was bound begins after it.
  fits = fits || (!task.held->overdue && why.reason == kReserved);
  if (fits) AssumePod(world, task, *server->second.usage);
  return fits ? "" : "server " + name + " takes it no more: " + why.message;
}

// Budgets may have been changed since it was bound. What it commits counts already, if it does.
// What runs for a moment is estimated at nothing, and has a price all the same.
bool IsPaid(const World& world, const TaskState& task) {
  const Binding& binding = *task.creating;
  return binding.price_micros == 0 ||
         LeftOf(world.budgets, *task.account) >= binding.estimated_micros - task.committed;
}

// Why the pod is not created although the status tells of it; empty if it is. A pod of an earlier
// attempt may have appeared meanwhile, of another leader.
std::string WhyNotSent(World& world, const TaskState& task) {
  Time wake = kNever;
  if (const api::Pod* pod = Lingering(world, task, &wake))
    return "pod " + pod->meta.name + " of an earlier attempt may still run";
  return IsPaid(world, task) ? NotTaken(world, task) : "a Budget was changed";
}

}  // namespace

bool IsRecordedFirst(const TaskState& task) { return task.object.spec.retry.loss_limit == 0; }

void NoteRanAfterAll(const World& world, TaskState& task) {
  auto& attempts = task.object.status.attempts;
  if (!IsRecordedFirst(task) || attempts.empty() || attempts.back().started_at) return;
  const api::Pod* pod = PodOf(task, attempts.back().attempt);
  if (pod == nullptr || !pod->started_any) return;
  const Time created = std::min(pod->meta.created, world.now);
  attempts.back().started_at = std::clamp(FirstStart(*pod).value_or(world.now), created, world.now);
  task.status_due = world.now;
}

bool RanAfterAll(const TaskState& task) {
  const auto& attempts = task.object.status.attempts;
  if (!IsRecordedFirst(task) || attempts.empty() || !attempts.back().started_at) return false;
  const std::string& reason = attempts.back().reason;
  return reason == kUnschedulable || reason == kDoesNotFit;
}

bool IsUnsettled(const TaskState& task) {
  const auto& record = task.object.status.assignment;
  return task.unsure && IsRecordedFirst(task) && record && record->attempt > LastEnded(task);
}

bool MayAppearLate(const TaskState& task) {
  const auto& record = task.object.status.assignment;
  return task.unsure && record && record->attempt <= LastEnded(task) &&
         PodOf(task, record->attempt) == nullptr;
}

bool KeepRecord(World& world, TaskState& task) {
  if (!IsUnsettled(task)) return false;
  if (task.creating) return true;
  if (world.now < task.may_appear_until) {
    world.tasks.Wake(task, task.may_appear_until);
    return true;
  }
  task.unsure = false;
  task.object.status.assignment.reset();
  task.status_due = world.now;
  return false;
}

bool MayRecord(const World& world, const TaskState& task) {
  return !IsRecordedFirst(task) || world.now >= task.tenant->unrecorded_until;
}

void StatusesGoOn(World& world, Tenant& tenant) {
  tenant.recorded_at = world.now;
  tenant.unrecorded = 0;
  if (std::exchange(tenant.unrecorded_until, Time{}) == Time{}) return;
  for (const auto& [of, admission] : world.scheduling.admissions) {
    if (of.first != &tenant) continue;
    for (TaskState* task : admission.tasks) {
      if (IsRecordedFirst(*task)) world.tasks.Wake(*task, world.now);
    }
  }
}

void HoldCreation(World& world, TaskState& task, Write creation) {
  task.held = HeldCreation{std::move(creation)};
  task.status_due = world.now;
  world.tasks.touched.insert(*task.key);
}

void StatusRecorded(World& world, TaskState& task, const std::optional<Error>& error) {
  if (!task.held || !std::exchange(task.held->told, false)) return;
  world.tasks.Wake(task, world.now);
  if (!error) {
    task.held->recorded = true;
    return;
  }
  task.assigned_written = false;
  if (error->kind == ErrorKind::kConflict) return;  // it is sent again in a moment
  const bool bound = task.binding != nullptr && task.binding == task.creating;
  DropHeld(world, task);
  // The next one tells of another attempt, so that it is another text.
  BackOff(world, task, task.writer.refused->not_before - world.now);
  if (!bound) return;
  NoteRefusalInCloud(world, task, kNextPurchase);
  Unassign(world, task, "FailedCreate", kWhy + ("the API server refuses that: " + error->message));
}

void DropHeld(World& world, TaskState& task) {
  CreationDropped(world, *task.owner, task.held->write.key());
  task.held.reset();
  task.creating.reset();
}

bool MaySend(const TaskState& task) { return task.held && task.held->recorded && IsWanted(task); }

void DropUnwanted(World& world, TaskState& task) {
  if (!task.held || MaySend(task)) return;
  if (task.writer.in_flight || (task.binding && IsWanted(task))) return;
  const bool comes = task.binding != task.creating || task.confirmed;
  DropHeld(world, task);
  if (!comes) Unassign(world, task, "Deleted", kBeginsNoMore);
}

void SendHeld(World& world, TaskState& task) {
  const std::string why = WhyNotSent(world, task);
  if (!why.empty()) {
    DropHeld(world, task);
    if (task.binding) Unassign(world, task, "FailedCreate", why);
    return world.tasks.Wake(task, world.now);
  }
  // Whatever counts from when it was bound counts from now.
  Binding binding = *task.creating;
  binding.assigned_at = world.now;
  task.binding = task.creating = std::make_shared<const Binding>(std::move(binding));
  DescribeBound(world, task);
  task.assigned_written = true;
  if (task.held->overdue) {
    CreationSent(world, task);
    Commit(world, task, task.binding->estimated_micros);
  }
  Write& write = task.held->write;
  write.pod->assignment = task.binding;
  world.effects.emplace_back(std::move(write));
  task.held.reset();
}

Time RecordDue(const TaskState& task) {
  const Time bound = task.binding->assigned_at;
  return std::clamp(task.tenant->recorded_at, bound, bound + kLongestTurn) + kSlowAnswer;
}

std::string RecordOverdue(World& world, TaskState& task) {
  CreationDropped(world, *task.owner, task.held->write.key());
  Tenant& tenant = *task.tenant;
  if (world.now >= tenant.unrecorded_until)
    tenant.unrecorded_until = world.now + BackoffAfter(++tenant.unrecorded, kAfterOverdue, 0);
  task.held->overdue = true;
  NoteRefusalInCloud(world, task, kNextPurchase);
  std::string why = kWhy + ("the API server has not answered that since " +
                            FormatTime(task.binding->assigned_at));
  // As long as no status can be written, nothing but an Event can say so.
  if (!task.writer.refused && !std::exchange(task.overdue_told, true))
    RecordEvent(world, task, true, "StatusOverdue", why);
  return why;
}

}  // namespace spillway::core
