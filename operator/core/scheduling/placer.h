// Binds waiting tasks to registered servers.
#pragma once

#include <vector>

#include "operator/core/scheduling/decisions.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/world.h"

namespace spillway::core {

// Waiting tasks in order of the queue, each to the best server that has room: a local one before a
// cloud one, the cheaper before the dearer, then the one that is left fullest (best fit). A shape
// for which no server has room is not tried again before room may have grown. Those that cannot pay
// the server that they would take are out of the queue: they are to be marked as such.
std::vector<UnpaidTask> PlaceWaiting(World& world, Decisions& decisions);

}  // namespace spillway::core
