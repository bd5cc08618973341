// When a waiting task will start, as its status tells it.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// The task's place in the queue and its estimate, as they are told: not every small change is.
void ForecastTask(World& world, TaskState& task);

}  // namespace spillway::core
