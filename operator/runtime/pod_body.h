// The pod of one attempt, as it is sent to the API server. Pure.
#pragma once

#include "operator/core/events.h"

namespace spillway::runtime {

// What a write sends. Of a pod: the template plus our labels, the owner, the node (which is the
// binding), and on a cloud server the toleration of its pool's taint and what its engine asks for.
// Made by whoever sends it, and not when it is decided: that would be the larger part of a
// decision. Thread-safe.
api::Json Body(const core::Write& write);

}  // namespace spillway::runtime
