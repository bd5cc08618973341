#include "operator/core/scheduling/preemption.h"

#include <algorithm>

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

std::vector<TaskState*> Candidates(World& world, const TaskState& task, const ServerState& server) {
  std::vector<TaskState*> out;
  const std::string& node = server.object.spec.node_name;
  world.servers.ledger.ForEachOwner(node, [&](const Owner& owner) {
    TaskState* other = owner.task;
    if (other == nullptr || !other->binding || other->binding->node_name != node ||
        other->priority >= task.priority || !Consents(task, *other))
      return;
    if (std::find(out.begin(), out.end(), other) == out.end()) out.push_back(other);
  });
  // The lowest priority first, and of one priority what has run for the shortest time.
  std::sort(out.begin(), out.end(), [](const TaskState* a, const TaskState* b) {
    return std::tuple(a->priority, b->binding->assigned_at, std::string_view(*a->key)) <
           std::tuple(b->priority, a->binding->assigned_at, std::string_view(*b->key));
  });
  return out;
}

struct Choice {
  ServerState* server = nullptr;
  std::vector<TaskState*> victims;

  // Of the victims, the highest priority is as low as possible; then as few as possible.
  auto Cost() const { return std::pair(victims.back()->priority, victims.size()); }
};

Choice SelectCandidate(World& world, const TaskState& task) {
  Choice best;
  for (ServerState* server : world.servers.slots) {
    if (server == nullptr || !server->schedulable || !task.shape->fits.Test(server->slot)) continue;
    const Reservation* kept = ReservationOn(world.scheduling, server->slot);
    if (kept != nullptr && kept->shape != task.shape && kept->priority >= task.priority) continue;
    if (!MayPay(world, task, server->object.spec.price_micros)) continue;
    Choice choice{server, Victims(world, task, *server)};
    if (choice.victims.empty()) continue;
    if (best.server == nullptr || choice.Cost() < best.Cost()) best = std::move(choice);
  }
  return best;
}

bool RoomIsComing(const World& world, const Shape& shape) {
  if (shape.reserved == NodeUsage::kNoSlot) return false;
  const Reservation* kept = ReservationOn(world.scheduling, shape.reserved);
  return kept != nullptr && kept->shape == &shape && kept->start != kNever &&
         kept->start <= world.now + kWorthWaiting;
}

bool Wants(const World& world, const Buyable& buyable, const Shape& shape, const TaskState& first) {
  const Preemption says = first.object.spec.preemption;
  if (!shape.unschedulable || !first.may_preempt || !first.nominated.empty()) return false;
  if (says == Preemption::kNever ||
      (says == Preemption::kUnset && world.scheduling.preemptible == 0))
    return false;
  return !RoomIsComing(world, shape) && !buyable(shape);
}

void IssuePreemption(Decisions& decisions, TaskState& victim, const TaskState& to) {
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
  std::vector<TaskState*> victims;
  for (TaskState* each : Candidates(world, task, server)) {
    if (room.Fits()) break;
    room.Leave(*each->shape);
    victims.push_back(each);
  }
  if (!room.Fits()) return {};
  // Those of the highest priority stay, where the others are enough.
  for (size_t i = victims.size(); i-- > 0;) {
    const Shape& shape = *victims[i]->shape;
    room.Join(shape);
    if (room.Fits()) {
      victims.erase(victims.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      room.Leave(shape);
    }
  }
  return victims;
}

void Preempt(World& world, Decisions& decisions, const Buyable& buyable) {
  const auto wanting = WaitingShapes(world, [&](const Shape& shape, const TaskState& first) {
    return Wants(world, buyable, shape, first);
  });
  for (auto& [turn, shape] : wanting) {
    const TaskState& first = *shape->waiting.First(world).position.task;
    const Choice choice = SelectCandidate(world, first);
    if (choice.server == nullptr) continue;
    for (TaskState* victim : choice.victims) IssuePreemption(decisions, *victim, first);
    ReserveServer(world, *shape, *choice.server);
  }
}

}  // namespace spillway::core
