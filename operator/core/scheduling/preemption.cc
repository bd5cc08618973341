#include "operator/core/scheduling/preemption.h"

#include <algorithm>
#include <utility>

#include "operator/core/scheduling/estimates.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/servers/load.h"

namespace spillway::core {
namespace {

using api::Preemption;

bool Consents(const TaskState& waiting, const TaskState& running) {
  const Preemption mine = waiting.object.spec.preemption, other = running.object.spec.preemption;
  if (mine == Preemption::kNever || other == Preemption::kNever) return false;
  return mine == Preemption::kAllowed || other == Preemption::kAllowed;
}

struct Candidate {
  TaskState* task = nullptr;
  std::vector<const Demand*> takes;  // by each of its pods there
};

std::vector<Candidate> Candidates(World& world, const TaskState& task, const ServerState& server) {
  std::vector<Candidate> out;
  const std::string& node = server.object.spec.node_name;
  world.servers.ledger.ForEachOwner(node, [&](const Owner& owner, const Demand& demand) {
    TaskState* other = owner.task;
    if (other == nullptr || !other->binding || other->binding->node_name != node ||
        other->priority >= task.priority || !Consents(task, *other))
      return;
    auto at = std::find_if(out.begin(), out.end(),
                           [&](const Candidate& each) { return each.task == other; });
    if (at == out.end()) at = out.insert(at, Candidate{other, {}});
    at->takes.push_back(&demand);
  });
  // The lowest priority first, and of one priority what has run for the shortest time.
  std::sort(out.begin(), out.end(), [](const Candidate& left, const Candidate& right) {
    const TaskState &a = *left.task, &b = *right.task;
    return std::tuple(a.priority, b.binding->assigned_at, std::string_view(*a.key)) <
           std::tuple(b.priority, a.binding->assigned_at, std::string_view(*b.key));
  });
  return out;
}

struct Choice {
  ServerState* server = nullptr;
  std::vector<TaskState*> victims;

  // Of the victims, the highest priority is as low as possible; then as few as possible.
  auto Cost() const { return std::pair(victims.back()->priority, victims.size()); }
};

// Whether the task may have the server, once there is room.
bool MayTake(const World& world, const TaskState& task, const ServerState* server) {
  if (server == nullptr || !server->schedulable || !task.shape->fits.Test(server->slot))
    return false;
  const Reservation* kept = ReservationOn(world.scheduling, server->slot);
  if (kept != nullptr && kept->shape != task.shape && kept->priority >= task.priority) return false;
  return MayPay(world, task, server->object.spec.price_micros);
}

Choice SelectCandidate(World& world, const TaskState& task) {
  Choice best;
  for (ServerState* server : world.servers.slots) {
    if (!MayTake(world, task, server)) continue;
    Choice choice{server, Victims(world, task, *server)};
    if (choice.victims.empty()) continue;
    if (best.server == nullptr || choice.Cost() < best.Cost()) best = std::move(choice);
  }
  return best;
}

// So long what somebody else has told to go is waited for before others are told as well.
constexpr Duration kWorthWaitingForStopped{600'000};

// The server on which those that were told to go leave room enough first, such as when another
// leader has told them; null if there is none.
const ServerState* WhereRoomIsMade(const World& world, const TaskState& task) {
  const ServerState* first = nullptr;
  Time until = world.now + kWorthWaitingForStopped;
  for (const ServerState* server : world.servers.slots) {
    if (!MayTake(world, task, server) || !LoadFits(task.shape->requests, *server, nullptr))
      continue;
    const auto prospect = Foresee(world, *task.shape, *server);
    if (!prospect || !prospect->stopped || prospect->start <= world.now || prospect->start > until)
      continue;
    first = server;
    until = prospect->start;
  }
  return first;
}

// It is looked at again when that should have come true, or when one of those that leave is
// overdue.
bool RoomIsComing(World& world, const Shape& shape) {
  const Reservation* kept = ReservationOn(world.scheduling, shape.reserved);
  if (kept == nullptr || kept->shape != &shape || kept->start == kNever ||
      (!kept->stopped && kept->start > world.now + kWorthWaiting))
    return false;
  const ServerState& server = *world.servers.slots[kept->slot];
  const auto leaving = LeavingNode(world, server.object.spec.node_name, When::kAtTheLatest);
  for (const Leaving& each : leaving) {
    if (each.end.doubted > world.now) world.WakeAt(each.end.doubted);
  }
  if (kept->start > world.now) world.WakeAt(kept->start);
  return true;
}

// Nobody gives way to it yet. It is looked at again when that is over, which it is as well once
// pods of the namespace that had been refused are created again.
bool IsPaused(World& world, const TaskState& task) {
  const VainPreemptions& in_vain = task.admission->in_vain;
  if (world.now >= in_vain.until || in_vain.at < task.tenant->eased_at) return false;
  world.WakeAt(in_vain.until);
  return true;
}

bool Wants(const TaskState& task, const Buyable& buyable) {
  const Preemption says = task.object.spec.preemption;
  if (!task.may_preempt || !task.nominated.empty()) return false;
  return says != Preemption::kNever && !buyable(task);
}

void IssuePreemption(Decisions& decisions, TaskState& victim, const TaskState& to) {
  victim.made_way = 0;
  const std::string why = "gave way to task " + *to.key + " of priority " +
                          std::to_string(to.priority) + " (its own is " +
                          std::to_string(victim.priority) + ")";
  decisions.Requeue(victim, Duration{0}, "Preempted", why);
}

}  // namespace

std::vector<TaskState*> Victims(World& world, const TaskState& task, const ServerState& server) {
  Room room(*task.shape, server);
  // What a task that gives way has really used is not known: it must fit by the measurement as it
  // is.
  if (room.Fits() || !LoadFits(task.shape->requests, server, nullptr)) return {};
  const auto leave = [&](const Candidate& each) {
    for (const Demand* demand : each.takes) room.Leave(*demand);
  };
  std::vector<Candidate> leaving;
  for (Candidate& each : Candidates(world, task, server)) {
    if (room.Fits()) break;
    leave(each);
    leaving.push_back(std::move(each));
  }
  if (!room.Fits()) return {};
  // Those of the highest priority stay, where the others are enough.
  for (size_t i = leaving.size(); i-- > 0;) {
    for (const Demand* demand : leaving[i].takes) room.Join(*demand);
    if (room.Fits()) {
      leaving.erase(leaving.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      leave(leaving[i]);
    }
  }
  std::vector<TaskState*> victims;
  for (const Candidate& each : leaving) victims.push_back(each.task);
  return victims;
}

void Preempt(World& world, Decisions& decisions, const Buyable& buyable) {
  if (world.scheduling.preemptible == 0) return;
  const auto wanting = WaitingShapes(world, [&](const Shape& shape, const TaskState&) {
    return shape.unschedulable && !RoomIsComing(world, shape);
  });
  for (auto& [turn, shape] : wanting) {
    const TaskState* first =
        shape->waiting.First(world, [&](const TaskState& task) { return !IsPaused(world, task); });
    // Those that gave way to one that may not start would have done so in vain.
    if (first == nullptr || !Wants(*first, buyable) || !decisions.MayStart(*first)) continue;
    const Choice choice = SelectCandidate(world, *first);
    if (choice.server == nullptr) continue;
    if (const ServerState* server = WhereRoomIsMade(world, *first)) {
      ReserveServer(world, *shape, *server);
      continue;
    }
    for (TaskState* victim : choice.victims) IssuePreemption(decisions, *victim, *first);
    ReserveServer(world, *shape, *choice.server, true);
  }
}

void NoteMadeWay(const World& world, TaskState& task) {
  const Reservation* kept = ReservationOn(world.scheduling, task.shape->reserved);
  const bool made = kept != nullptr && kept->shape == task.shape && kept->made_way;
  task.made_way = made ? task.binding->attempt : 0;
}

void NoteInVain(const World& world, TaskState& task) {
  const auto& attempts = task.object.status.attempts;
  const int64_t attempt = std::exchange(task.made_way, 0);
  const bool ran = !attempts.empty() && attempts.back().attempt == attempt &&
                   attempts.back().started_at.has_value();
  if (attempt == 0 || ran) return;
  VainPreemptions& in_vain = task.admission->in_vain;
  in_vain.priority = task.priority;
  in_vain.at = world.now;
  in_vain.until = world.now + BackoffAfter(++in_vain.times, kNextPreemption, 0);
}

void NoteNotInVain(TaskState& task) {
  task.made_way = 0;
  if (task.admission == nullptr) return;
  // Those that give way run as well.
  VainPreemptions& in_vain = task.admission->in_vain;
  if (task.priority >= in_vain.priority) in_vain = {};
}

}  // namespace spillway::core
