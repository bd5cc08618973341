// How attempts end, and what follows: success, failure, a retry, or another server.
#pragma once

#include <optional>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// Between retries at most.
inline constexpr Duration kMaxBackoff{3'600'000};

// The task has succeeded: how long it ran tells of others of its shape.
void NoteRun(TaskState& task);
// The greatest number of an attempt that has ended, 0 before the first.
int64_t LastEnded(const TaskState& task);
int64_t LastEnded(const api::TaskStatus& status);
// The current attempt is lost; its pod, which the cluster ends or has ended, says why.
void LosePod(World& world, TaskState& task, const api::Pod& pod);
// Of the current attempt, by its status: a process that begins anew may find only what its pod says
// in the end, which may be that it was refused (see KeepStart in observe_pods.cc).
bool WasSeenToRun(const TaskState& task);
// The pod of the current attempt has ended, and not by itself: it was refused, or disrupted, or its
// end had been asked for before it came, or its node does not know how it ended. So it does not
// count that its program made a good end of it. A task that was evicted for what it took itself has
// failed.
bool EndedByCluster(const World& world, const TaskState& task, const api::Pod& pod);

// Each of these ends the current attempt, whose binding must be set. One that the cluster has ended
// is lost, whatever its pod says.
void Succeed(World& world, TaskState& task, const api::Pod& pod);
// Retries, if the task may and its exit code is one to retry; otherwise it is Failed.
void FailAttempt(World& world, TaskState& task, const api::Pod& pod);
// The server or the pod was lost: another attempt, which is no retry, unless it was lost too often
// (spec.retry.lossLimit). cause, words: for its reason and message; where its server ends, that
// counts.
void LoseAttempt(World& world, TaskState& task, const std::string& cause, const std::string& words);
// It ended before a restart and a later attempt exists: recorded, and counted if it was a failure.
void RecordEarlier(World& world, TaskState& task);
// Stopped on purpose (Cancelled, Suspended, Preempted, a deadline). Does nothing without a binding.
void StopAttempt(World& world, TaskState& task, const std::string& reason,
                 const std::string& message = "stopped by Spillway");
// Somebody has asked for its end, whether it has ended since or not.
bool IsAskedToEnd(const api::Pod& pod);
// Whether the pod, which has ended, was asked to before that; nothing if only its node's clock can
// tell.
std::optional<bool> SeenToEndOnRequest(const World& world, const api::Pod& pod);
// It has not ended as its record says, if there is one: it is to be recorded once more.
void EraseAttempt(TaskState& task, int64_t attempt);

// Ends the task for good, by something else than the end of its pod: what earlier attempts left is
// no result of it.
void Finish(World& world, TaskState& task, api::TaskPhase phase, const std::string& reason,
            const std::string& message);

}  // namespace spillway::core
