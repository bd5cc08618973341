// Which server a waiting task of a shape would go to, and which shapes may find one at all. What a
// shape has found out is kept with it, so that mostly only what has changed since is looked at.
#pragma once

#include <string>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

// So many servers kube-scheduler has to choose from, where it binds the pod.
inline constexpr size_t kMostCandidates = 8;

// The server that a task of the shape would be bound to now; null if none has room. By the index as
// UpdateIndex has left it. Only the shape's own record of what matches changes.
const ServerState* SelectServer(const World& world, Shape& shape);
// The same, for the next task of the shape's queue: one that was refused is tried only where room
// has grown since.
const ServerState* BestServer(World& world, Shape& shape);
// The nodes of other servers that would do as well and cost the same, for kube-scheduler to choose
// from.
std::vector<std::string> OtherNodes(World& world, const Shape& shape, const ServerState& chosen);

// Before a task of a shape joins its queue, which is empty: what has grown while it was.
void ApplyQueueingHints(const World& world, Shape& shape);
// The shape is not tried now, and what has grown meanwhile will count as tried by all: it is kept
// for its next turn, which comes with the next step.
void KeepUntried(World& world, Shape& shape);
// True if a server may have room for the shape; those that have grown and cannot are not looked at
// again. Cheap for a shape that was refused and for which nothing has grown since.
bool AdvanceToCandidate(const World& world, Shape& shape);
// The same for any shape, where there is more room than before.
bool AdvanceToAnyCandidate(World& world);

}  // namespace spillway::core
