// How attempts end, and what follows: success, failure, a retry, or another server.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// The task has succeeded: how long it ran tells of others of its shape.
void NoteRun(TaskState& task);
// The greatest number of an attempt that has ended, 0 before the first.
int64_t LastEnded(const TaskState& task);
// Ended by the cluster (eviction, node shutdown, deletion, a kubelet that refused it), not by
// itself.
bool EndedByCluster(const api::Pod& pod);

// Each of these ends the current attempt, whose binding must be set.
void Succeed(World& world, TaskState& task, const api::Pod& pod);
// Retries, if the task may and its exit code is one to retry; otherwise it is Failed.
void FailAttempt(World& world, TaskState& task, const api::Pod& pod);
// The server or the pod was lost: another attempt, which is no retry.
void LoseAttempt(World& world, TaskState& task, const std::string& reason,
                 const std::string& message);
// It ended before a restart and a later attempt exists: recorded, and counted if it was a failure.
void RecordEarlier(World& world, TaskState& task);
// Stopped on purpose (Cancelled, Suspended, Preempted, a deadline). Does nothing without a binding.
void StopAttempt(World& world, TaskState& task, const std::string& reason,
                 const std::string& message = "stopped by Spillway");

// Ends the task for good.
void Finish(World& world, TaskState& task, api::TaskPhase phase, const std::string& reason,
            const std::string& message);

}  // namespace spillway::core
