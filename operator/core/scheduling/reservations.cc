#include "operator/core/scheduling/reservations.h"

#include <algorithm>
#include <utility>

#include "operator/core/scheduling/estimates.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

// How long a shape is left alone for which there was no server.
constexpr Duration kReserveAgain{10'000};

bool Better(const Prospect& a, const Prospect& b) {
  return std::pair(a.start, a.ends) < std::pair(b.start, b.ends);
}

Reservation* Find(Scheduling& scheduling, uint32_t slot) {
  return const_cast<Reservation*>(ReservationOn(std::as_const(scheduling), slot));
}

// It is to be erased, or made anew.
void GiveUp(World& world, Reservation& kept) {
  kept.shape->reserved = NodeUsage::kNoSlot;
  world.servers.capacity_log.Add(kept.slot);  // for all the others
}

// As it looks now. False if the server cannot keep it.
bool Look(const World& world, Reservation& kept) {
  const ServerState* server = world.servers.slots[kept.slot];
  if (server == nullptr || kept.shape->waiting.empty() || !server->schedulable ||
      !kept.shape->fits.Test(kept.slot))
    return false;
  const auto prospect = Foresee(world, *kept.shape, *server);
  if (!prospect) return false;
  if (prospect->start != kNever) {
    kept.blind_since = kNever;
  } else if (kept.blind_since == kNever || prospect->unknown < kept.unknown) {
    kept.blind_since = world.now;
  }
  kept.start = prospect->start;
  kept.stopped = prospect->stopped;
  kept.unknown = prospect->unknown;
  kept.spare = prospect->spare;
  kept.used_then = server->usage->used;
  kept.gap = kept.start == kNever ? Duration{0} : kept.start - world.now;
  kept.priority = kept.shape->waiting.TopPriority();
  return true;
}

// Whether others may start there that might not before.
bool LetsMoreStart(const Reservation& before, const Reservation& now) {
  const auto beside = [](const Reservation& kept) {
    api::Resources left = kept.spare;
    left += kept.used_then;
    return left;
  };
  return now.gap > before.gap || now.start > before.start || now.priority < before.priority ||
         AmountsMisfit(beside(now), beside(before));
}

// True once nobody has known for too long when it will do.
bool IsBlind(World& world, const Reservation& kept) {
  if (kept.blind_since == kNever) return false;
  const Time until = kept.blind_since + kMostBlind;
  if (world.now >= until) return true;
  world.WakeAt(until);
  return false;
}

// False if it is to be given up.
bool Renew(World& world, Reservation& kept) {
  const Reservation before = kept;
  if (!Look(world, kept)) return false;
  if (IsBlind(world, kept)) {
    kept.shape->reserve_at = world.now + kBlindPause;
    return false;
  }
  if (LetsMoreStart(before, kept)) world.servers.capacity_log.Add(kept.slot);
  return true;
}

const ServerState* BestToKeep(const World& world, Shape& shape) {
  const ServerState* best = nullptr;
  Prospect of_best;
  for (const ServerState* server : world.servers.slots) {
    if (server == nullptr || !server->schedulable ||
        ReservationOn(world.scheduling, server->slot) != nullptr || !shape.fits.Test(server->slot))
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

// Whether there is room once those have gone that were told to, and are not overdue.
bool StoppedAreEnough(Room room, const std::vector<Leaving>& leaving) {
  for (const Leaving& each : leaving) {
    if (each.end.stopped && each.end.time != kNever) room.Leave(*each.demand);
  }
  return room.Fits();
}

}  // namespace

std::optional<Prospect> Foresee(const World& world, const Shape& shape, const ServerState& server) {
  const api::Node& node = *server.node->object;
  if (AmountsMisfit(shape.requests, node.allocatable)) return std::nullopt;
  Room room(shape, server);
  Prospect out{world.now, {}};
  const auto leaving = LeavingNode(world, node.meta.name, When::kAtTheLatest);
  out.stopped = StoppedAreEnough(room, leaving);
  for (auto next = leaving.begin(); !room.Fits(); ++next) {
    if (next == leaving.end()) return std::nullopt;
    room.Leave(*next->demand);
    out.start = next->end.time;
    ++out.ends;
    out.unknown += next->end.time == kNever ? 1 : 0;
  }
  if (shape.exclusive) return out;
  room.Join(*shape.demand);
  out.spare = room.Left();
  return out;
}

const Reservation* ReservationOn(const Scheduling& scheduling, uint32_t slot) {
  for (const Reservation& each : scheduling.reserved) {
    if (each.slot == slot) return &each;
  }
  return nullptr;
}

void ReserveServer(World& world, Shape& shape, const ServerState& server, bool made_way) {
  ReleaseReservation(world, shape);
  Reservation* kept = Find(world.scheduling, server.slot);
  if (kept != nullptr) {
    GiveUp(world, *kept);
  } else {
    kept = &world.scheduling.reserved.emplace_back();
  }
  *kept = {};
  kept->slot = shape.reserved = server.slot;
  kept->shape = &shape;
  kept->task = *shape.waiting.First(world).position.key;
  kept->made_way = made_way;
  ++world.generation;
  Look(world, *kept);
}

void ReleaseReservation(World& world, Shape& shape) {
  const uint32_t slot = std::exchange(shape.reserved, NodeUsage::kNoSlot);
  if (slot == NodeUsage::kNoSlot) return;
  Reservation* kept = Find(world.scheduling, slot);
  if (kept == nullptr || kept->shape != &shape) return;
  GiveUp(world, *kept);
  std::erase_if(world.scheduling.reserved,
                [&](const Reservation& each) { return each.slot == slot; });
}

void ReleaseServer(World& world, const ServerState& server) {
  if (const Reservation* kept = ReservationOn(world.scheduling, server.slot))
    ReleaseReservation(world, *kept->shape);
}

void KeepReservations(World& world) {
  auto& reserved = world.scheduling.reserved;
  for (auto at = reserved.begin(); at != reserved.end();) {
    if (Renew(world, *at)) {
      ++at;
    } else {
      GiveUp(world, *at);
      at = reserved.erase(at);
    }
  }
}

void MakeReservations(World& world) {
  if (world.scheduling.reserved.size() >= kMostReservations) return;
  const auto starving = WaitingShapes(world, [&](const Shape& shape, const TaskState& first) {
    return Starves(world, shape, first);
  });
  for (auto& [turn, shape] : starving) {
    if (world.scheduling.reserved.size() >= kMostReservations) return;
    if (const ServerState* server = BestToKeep(world, *shape)) {
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

// Of the group that is being placed, or of the shape's first task.
int64_t PriorityOf(const World& world, const Shape& shape) {
  const Gang* gang = world.scheduling.placing;
  return gang == nullptr ? shape.waiting.TopPriority() : gang->waiting.begin()->priority;
}

}  // namespace

bool ReservationFits(const World& world, const Shape& shape, const ServerState& server,
                     FitError* why) {
  const Reservation* on = ReservationOn(world.scheduling, server.slot);
  if (on == nullptr || on->shape == &shape) return true;
  const Reservation& kept = *on;
  if (PriorityOf(world, shape) > kept.priority) return true;
  if (shape.deadline && kStartAllowance + *shape.deadline + kStopAllowance <= kept.gap) return true;
  if (LeavesRoom(shape, server, kept)) return true;
  if (why == nullptr) return false;
  const bool known = kept.start != kNever;
  *why = {kReserved,
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
