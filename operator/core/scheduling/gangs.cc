#include "operator/core/scheduling/gangs.h"

#include <algorithm>

#include "operator/core/scheduling/admitted_pods.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

std::string Name(const TaskState& task) {
  return task.object.meta.ns + "/" + task.object.spec.group->name;
}

constexpr char kTakenBack[] = "GroupDeadlineExceeded";

// It runs, has ended, or has run since the group began to start: then it goes on by itself, also
// where it is tried again or suspended.
bool HasRun(const TaskState& task, Time begin) {
  const api::TaskStatus& status = task.object.status;
  if (status.phase == api::TaskPhase::kRunning || api::Finished(status.phase)) return true;
  if (status.started_at && *status.started_at >= begin) return true;
  // An attempt that did not fit, or was refused, tells nothing of those before it.
  for (auto at = status.attempts.rbegin(); at != status.attempts.rend(); ++at) {
    if (at->reason == kTakenBack) return false;
    if (at->started_at) return true;
  }
  return false;
}

// Of the members, those that are bound or have run to an end.
int64_t BoundOf(const Gang& gang) {
  return std::count_if(gang.members.begin(), gang.members.end(), [](const auto& member) {
    const TaskState& task = *member.second;
    return task.binding ||
           (api::Finished(task.object.status.phase) && task.object.status.started_at);
  });
}

void Regroup(World& world, Gang& gang) {
  for (auto& [key, task] : gang.members) {
    if (!task->queued || task->in_gang != WaitsAlone(*task)) continue;
    Dequeue(world, *task);
    JoinQueue(world, *task);
  }
}

void RequeueMembers(Decisions& decisions, Gang& gang) {
  const std::string why = "not every task of its group ran within " +
                          FormatDuration(gang.deadline) + "; the group starts again";
  for (auto& [key, task] : gang.members) {
    if (!task->binding) continue;
    decisions.Requeue(*task, kGroupPause, kTakenBack, why);
  }
}

void CheckDeadline(const World& world, Decisions& decisions, Gang& gang) {
  Time begin = kNever;
  for (const auto& [key, task] : gang.members) {
    if (task->binding) begin = std::min(begin, task->binding->assigned_at);
  }
  const auto ran = std::count_if(gang.members.begin(), gang.members.end(),
                                 [&](const auto& member) { return HasRun(*member.second, begin); });
  // Those that are deleted are not waited for.
  const int64_t all = std::min(gang.size, static_cast<int64_t>(gang.members.size()));
  gang.until = begin == kNever || ran >= all ? kNever : begin + gang.deadline;
  if (gang.until != kNever && world.now >= gang.until) RequeueMembers(decisions, gang);
}

// One that has left may have asked for more than the others do.
void Resize(Gang& gang) {
  gang.size = 0;
  gang.deadline = {};
  for (const auto& [key, task] : gang.members) {
    const auto& group = task->object.spec.group;
    if (!group) continue;
    gang.size = std::max(gang.size, group->size);
    gang.deadline = std::max(gang.deadline, group->deadline);
  }
}

}  // namespace

void JoinGang(World& world, TaskState& task) {
  const auto& group = task.object.spec.group;
  if (!group) return;
  task.gang = &world.scheduling.gangs[Name(task)];
  task.gang->members[*task.key] = &task;
  task.gang->size = std::max(task.gang->size, group->size);
  task.gang->deadline = std::max(task.gang->deadline, group->deadline);
}

void LeaveGang(World& world, TaskState& task) {
  if (task.gang == nullptr) return;
  task.gang->members.erase(*task.key);
  if (task.gang->members.empty()) {
    world.scheduling.gangs.erase(Name(task));
  } else {
    TouchGang(world, task);
  }
  task.gang = nullptr;
}

void TouchGang(World& world, const TaskState& task) {
  world.scheduling.touched_gangs.insert(Name(task));
}

bool WaitsAlone(const TaskState& task) {
  // An attempt that was taken back as it was admitted tells nothing of those before it.
  const auto& attempts = task.object.status.attempts;
  const auto last = std::find_if(attempts.rbegin(), attempts.rend(),
                                 [](const auto& each) { return each.reason != kDoesNotFit; });
  if (last != attempts.rend() && last->reason != kTakenBack) return true;
  return BoundOf(*task.gang) >= task.gang->size;
}

bool Complete(const Gang& gang) {
  return static_cast<int64_t>(gang.waiting.size()) + BoundOf(gang) >= gang.size;
}

void FollowGangs(World& world, Decisions& decisions) {
  for (const std::string& name : std::exchange(world.scheduling.touched_gangs, {})) {
    const auto gang = world.scheduling.gangs.find(name);
    if (gang == world.scheduling.gangs.end()) continue;
    Resize(gang->second);
    CheckDeadline(world, decisions, gang->second);
    Regroup(world, gang->second);
  }
  for (auto& [name, gang] : world.scheduling.gangs) {
    if (gang.until == kNever) continue;
    if (world.now >= gang.until) {
      CheckDeadline(world, decisions, gang);
      Regroup(world, gang);
    } else {
      world.WakeAt(gang.until);
    }
  }
}

bool WorthTrying(const World& world, const Gang& gang) {
  return gang.tried_members != gang.waiting.size() ||
         gang.tried_capacity != world.servers.capacity_log.end() ||
         gang.tried_properties != world.servers.property_log.end();
}

void Tried(const World& world, Gang& gang) {
  gang.tried_members = gang.waiting.size();
  gang.tried_capacity = world.servers.capacity_log.end();
  gang.tried_properties = world.servers.property_log.end();
}

std::vector<TaskState*> HardestFirst(const Gang& gang) {
  std::vector<TaskState*> out;
  for (const QueuePosition& position : gang.waiting) out.push_back(position.task);
  const auto rank = [](const TaskState* task) {
    const Shape& shape = *task->shape;
    return std::tuple(shape.placement.policy != api::Policy::kLocalOnly, !shape.exclusive,
                      -shape.requests.cpu_milli, -shape.requests.memory);
  };
  std::stable_sort(out.begin(), out.end(),
                   [&](const TaskState* a, const TaskState* b) { return rank(a) < rank(b); });
  return out;
}

std::string ExplainGang(const TaskState& task) {
  if (task.gang == nullptr || !task.in_gang) return "";
  const Gang& gang = *task.gang;
  const std::string group = "group " + task.object.spec.group->name;
  const int64_t there = static_cast<int64_t>(gang.waiting.size()) + BoundOf(gang);
  if (!Complete(gang)) {
    const int64_t lacking = gang.size - there;
    return group + " waits for " + std::to_string(lacking) + " more task" +
           (lacking == 1 ? "" : "s") + " (" + std::to_string(there) + " of " +
           std::to_string(gang.size) + ")";
  }
  return group + " of " + std::to_string(gang.waiting.size()) +
         " tasks starts when all have room, " + std::to_string(gang.unplaced.size()) +
         " of them have none";
}

}  // namespace spillway::core
