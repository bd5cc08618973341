// The pod of one attempt, as it is sent to the API server.
#pragma once

#include <string>
#include <string_view>

#include "operator/core/events.h"

namespace spillway::core {

// "<task>-<attempt>": fixed, so that an attempt is created once however often it is asked for.
std::string PodName(const std::string& task, int64_t attempt);
// The attempt of the task that has the pod of this name; 0 if none has.
int64_t AttemptOf(std::string_view task, std::string_view pod);
// What a write sends. Of a pod: the template plus our labels, the owner, the node (which is the
// binding), and on a cloud server the toleration of its pool's taint. Made here, by whoever sends
// it, and not when it is decided: that would be the larger part of a decision. Thread-safe.
api::Json Body(const Write& write);

}  // namespace spillway::core
