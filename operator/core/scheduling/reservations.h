// The starvation guard: room that is kept for a task that has waited for long, and backfill.
//
// A task that many small ones pass never finds a server with as much room as it wants. So after a
// while the server where that is expected first is kept for it: others start there only if they
// leave it its room at that time, or have ended by then by their own deadline, or have a higher
// priority (EASY backfilling: Mu'alem and Feitelson, 2001, with a reservation for the first task of
// each of a few shapes).
#pragma once

#include <optional>

#include "operator/core/scheduling/fit.h"
#include "operator/core/world.h"

namespace spillway::core {

// A task at the head of its queue that has waited for so long has a server kept for it.
inline constexpr Duration kStarving{30'000};
inline constexpr size_t kMostReservations = 16;
// Nothing is kept for longer where nobody knows when it will do, and nobody leaves meanwhile; then
// nothing is kept for the task for a while, so that others use what lies idle.
inline constexpr Duration kMostBlind{1'800'000}, kBlindPause{600'000};

// Looks at every reservation anew: those that nobody needs, or whose server cannot keep them, are
// given up.
void KeepReservations(World& world);
// Keeps servers for those that have waited for long, in the order of the queue.
void MakeReservations(World& world);
// Keeps the server for the shape's first task; what was kept for it elsewhere is given up, as is
// what was kept there for another. made_way: tasks there give way to it.
void ReserveServer(World& world, Shape& shape, const ServerState& server, bool made_way = false);
// Nothing is kept for the shape any more.
void ReleaseReservation(World& world, Shape& shape);
// The server is going: it is kept for nobody any more.
void ReleaseServer(World& world, const ServerState& server);
// Of the server with that slot; null if it is not kept for a task.
const Reservation* ReservationOn(const Scheduling& scheduling, uint32_t slot);

// The reason of a server that is kept for another task.
inline constexpr char kReserved[] = "Reserved";

// Whether a task of the shape may start in spite of what is kept there. why may be null.
bool ReservationFits(const World& world, const Shape& shape, const ServerState& server,
                     FitError* why);

// What becomes of a server's room as the tasks there end.
struct Prospect {
  Time start = kNever;   // when the shape fits; kNever: after the end of a task without a deadline
  api::Resources spare;  // what is left beside it then
  double ends = 0;       // tasks that must have ended
  double unknown = 0;    // of those, the ones of which nobody knows when
  // Those that were told to go are enough, whoever else goes before.
  bool stopped = false;
};
// Nothing where the shape would not even fit without any task. Pods that are not ours stay.
std::optional<Prospect> Foresee(const World& world, const Shape& shape, const ServerState& server);

}  // namespace spillway::core
