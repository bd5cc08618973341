// The pod of one attempt, as it is sent to the API server.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// "<task>-<attempt>": fixed, so that an attempt is created once however often it is asked for.
std::string PodName(const api::TaskRequest& task, int64_t attempt);
// The template plus our labels, the owner, the node (which is the binding), and on a cloud server
// the toleration of its pool's taint.
api::Json PodBody(const api::TaskRequest& task, const Binding& binding);

// What a write sends.
api::Json Body(const Write& write);

}  // namespace spillway::core
