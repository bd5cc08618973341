// What has happened to tasks, as logs and metrics tell it; see Milestone in events.h. Called once
// for each, where it happens.
#pragma once

#include <string>

#include "operator/core/tasks/state.h"

namespace spillway::core {

// Whose binding must be set: its pod was created.
void ReportBound(Context& context, const TaskState& task);
void ReportRunning(Context& context, const TaskState& task);
// Its current attempt, whose binding must be set, has ended so.
void ReportAttempt(Context& context, const TaskState& task, const api::Attempt& attempt);
// Its status says how it has ended, for good.
void ReportEnd(Context& context, const TaskState& task, const std::string& reason,
               const std::string& message);

}  // namespace spillway::core
