// What has happened, as logs and metrics tell it; see Milestone in events.h. Called once for each,
// where it happens.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// Whose binding must be set: its pod was created.
void ReportBound(World& world, const TaskState& task);
void ReportRunning(World& world, const TaskState& task);
// Its current attempt, whose binding must be set, has ended so.
void ReportAttempt(World& world, const TaskState& task, const api::Attempt& attempt);
// Its status says how it has ended, for good.
void ReportEnd(World& world, const TaskState& task, const std::string& reason,
               const std::string& message);
// It has come from that phase to the one that its status tells.
void ReportScale(World& world, const ScaleState& scale, api::ScalePhase before);

}  // namespace spillway::core
