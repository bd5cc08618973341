#include "operator/core/scheduling/reservations.h"

#include <algorithm>

#include "operator/core/explain/forecast.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

// How long a shape is left alone for which there was no server.
constexpr Duration kReserveAgain{10'000};

bool Better(const Prospect& a, const Prospect& b) {
  return std::pair(a.start, a.ends) < std::pair(b.start, b.ends);
}

void GiveUp(World& world, ServerState& server) {
  server.reservation->shape->reserved = NodeUsage::kNoSlot;
  server.reservation.reset();
  world.servers.capacity_log.Add(server.slot);  // for all the others
}

// False if it is to be given up.
bool Renew(World& world, ServerState& server) {
  Reservation& kept = *server.reservation;
  if (kept.shape->waiting.empty() || !server.schedulable || !kept.shape->fits.Test(server.slot))
    return false;
  const auto prospect = Foresee(world, *kept.shape, server);
  if (!prospect) return false;
  const int64_t priority = kept.shape->waiting.TopPriority();
  if (prospect->start > kept.start || priority < kept.priority)
    world.servers.capacity_log.Add(server.slot);
  kept.start = prospect->start;
  kept.spare = prospect->spare;
  kept.used_then = server.usage->used;
  kept.gap = kept.start == kNever ? Duration{0} : kept.start - world.now;
  kept.priority = priority;
  return true;
}

ServerState* BestToKeep(const World& world, Shape& shape) {
  ServerState* best = nullptr;
  Prospect of_best;
  for (ServerState* server : world.servers.slots) {
    if (server == nullptr || !server->schedulable || server->reservation ||
        !shape.fits.Test(server->slot))
      continue;
    const auto prospect = Foresee(world, shape, *server);
    if (!prospect || (best != nullptr && !Better(*prospect, of_best))) continue;
    best = server;
    of_best = *prospect;
  }
  return best;
}

bool Starves(World& world, const Shape& shape, const TaskState& first) {
  if (!shape.unschedulable || shape.reserved != NodeUsage::kNoSlot || !first.nominated.empty())
    return false;
  const Time since = std::max(first.waiting_since + kStarving, shape.reserve_at);
  if (world.now >= since) return true;
  world.WakeAt(since);
  return false;
}

}  // namespace

std::optional<Prospect> Foresee(const World& world, const Shape& shape, const ServerState& server) {
  const api::Node& node = *server.node->object;
  if (AmountsMisfit(shape.requests, node.allocatable)) return std::nullopt;
  Room room(shape, server);
  Prospect out{world.now, {}, 0};
  const auto leaving = LeavingNode(world, node.meta.name, When::kAtTheLatest);
  for (auto next = leaving.begin(); !room.Fits(); ++next) {
    if (next == leaving.end()) return std::nullopt;
    room.Leave(*next->shape);
    out.start = next->end.time;
    ++out.ends;
  }
  if (shape.exclusive) return out;
  room.Join(shape);
  out.spare = room.Left();
  return out;
}

void ReserveServer(World& world, Shape& shape, ServerState& server) {
  ReleaseReservation(world, shape);
  if (server.reservation) {
    GiveUp(world, server);
  } else {
    world.scheduling.reserved.push_back(server.slot);
  }
  shape.reserved = server.slot;
  server.reservation.emplace();
  server.reservation->shape = &shape;
  server.reservation->task = *shape.waiting.First(world).position.key;
  ++world.generation;
  Renew(world, server);
}

void ReleaseReservation(World& world, Shape& shape) {
  if (shape.reserved == NodeUsage::kNoSlot) return;
  ServerState* server = world.servers.slots[shape.reserved];
  if (server != nullptr && server->reservation && server->reservation->shape == &shape) {
    GiveUp(world, *server);
    std::erase(world.scheduling.reserved, server->slot);
  }
  shape.reserved = NodeUsage::kNoSlot;
}

void KeepReservations(World& world) {
  std::erase_if(world.scheduling.reserved, [&](uint32_t slot) {
    ServerState* server = world.servers.slots[slot];
    if (server == nullptr || !server->reservation) return true;
    if (Renew(world, *server)) return false;
    GiveUp(world, *server);
    return true;
  });
}

void MakeReservations(World& world) {
  if (world.scheduling.reserved.size() >= kMostReservations) return;
  const auto starving = WaitingShapes(world, [&](const Shape& shape, const TaskState& first) {
    return Starves(world, shape, first);
  });
  for (auto& [turn, shape] : starving) {
    if (world.scheduling.reserved.size() >= kMostReservations) return;
    if (ServerState* server = BestToKeep(world, *shape)) {
      ReserveServer(world, *shape, *server);
    } else {
      shape->reserve_at = world.now + kReserveAgain;
    }
  }
}

namespace {

// What has started since the spare room was calculated has taken its part of it.
bool LeavesRoom(const Shape& shape, const ServerState& server, const Reservation& kept) {
  if (shape.exclusive) return false;
  for (const std::string& port : shape.host_ports) {
    const auto& wanted = kept.shape->host_ports;
    if (std::find(wanted.begin(), wanted.end(), port) != wanted.end()) return false;
  }
  api::Resources spare = kept.spare;
  spare += kept.used_then;
  spare -= server.usage->used;
  return !AmountsMisfit(shape.requests, spare);
}

}  // namespace

bool ReservationFits(const Shape& shape, const ServerState& server, FitError* why) {
  if (!server.reservation || server.reservation->shape == &shape) return true;
  const Reservation& kept = *server.reservation;
  if (!shape.waiting.empty() && shape.waiting.TopPriority() > kept.priority) return true;
  if (shape.deadline && kStartAllowance + *shape.deadline + kStopAllowance <= kept.gap) return true;
  if (LeavesRoom(shape, server, kept)) return true;
  if (why == nullptr) return false;
  const bool known = kept.start != kNever;
  *why = {"Reserved",
          "reserved",
          "reserved for task " + kept.task + ", which has waited for long, " +
              (known ? "from " + FormatTime(kept.start) : "as soon as it has the room") +
              (known ? "; set activeDeadlineSeconds so that this task ends before that"
                     : "; it starts there before any of its priority"),
          "",
          0,
          0};
  return false;
}

}  // namespace spillway::core
