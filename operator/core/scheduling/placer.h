// Binds waiting tasks to registered servers.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// So many servers kube-scheduler has to choose from, where it binds the pod.
inline constexpr size_t kMostCandidates = 8;

// Waiting tasks in order of the queue, each to the best server that has room: a local one before a
// cloud one, the cheaper before the dearer, then the one that is left fullest (best fit). A shape
// for which no server has room is not tried again before room may have grown.
void PlaceWaiting(World& world);

// Before a task of a shape joins its queue, which is empty: what has grown while it was.
void ApplyQueueingHints(const World& world, Shape& shape);

// The server that a task of the shape would be bound to now; null if none has room. By the index as
// UpdateIndex has left it. Only the shape's own record of what matches changes.
const ServerState* SelectServer(const World& world, Shape& shape);

}  // namespace spillway::core
