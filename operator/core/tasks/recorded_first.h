// Of a task that is never run a second time after it may have run (spec.retry.lossLimit: 0), the
// status tells of an attempt before its pod is created. Otherwise the pod alone would tell of it,
// and whoever comes next would know of neither once that is gone.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

inline constexpr std::chrono::seconds kLongestTurn{25};

bool IsRecordedFirst(const TaskState& task);
// A pod that was taken back before it ran, for want of a node or of room, may be started before its
// deletion arrives. It counts as having run then, and no other follows.
void NoteRanAfterAll(const World& world, TaskState& task);
bool RanAfterAll(const TaskState& task);
// Nobody knows what has become of its last creation: the pod may appear yet, or have been and gone
// unseen. Its record stays, and the next creation is of the same pod.
bool IsUnsettled(const TaskState& task);
// The last attempt was recorded as over, such as for one of a higher priority, before its pod's
// creation ended without a clear answer: that pod may appear yet, beside the next one's.
bool MayAppearLate(const TaskState& task);
// True while that pod may appear; once it cannot any more, the record is taken back.
bool KeepRecord(World& world, TaskState& task);
// False if it would be in vain to bind the task: statuses of its namespace are not answered.
bool MayRecord(const World& world, const TaskState& task);
// A status of the namespace was written.
void StatusesGoOn(World& world, Tenant& tenant);
// The task has just been bound: its status is due, and the creation waits for that.
void HoldCreation(World& world, TaskState& task, Write creation);
// The API server has the status as it was when it was sent last, or has refused it.
void StatusRecorded(World& world, TaskState& task, const std::optional<Error>& error);
// The status tells of the pod, and the task still wants it.
bool MaySend(const TaskState& task);
// Sends the creation, unless its server does not take the task any more. Only if it may be sent,
// and after purchases were looked at: one of them may have ended the server in this very step.
void SendHeld(World& world, TaskState& task);
// The creation is given up, and with it the room that is kept for it.
void DropHeld(World& world, TaskState& task);
// A creation that is not wanted any more is given up once no status is on its way: until then it is
// not known what the API server has.
void DropUnwanted(World& world, TaskState& task);
// When the status that the task waits for is overdue: kSlowAnswer after the task was bound, or, as
// long as it may wait its turn behind others, after one of its namespace was written, but at most
// kLongestTurn later.
Time RecordDue(const TaskState& task);
// It is overdue: the task's room is given back, and taken again if it is answered and the server
// still takes the task. What to say of it.
std::string RecordOverdue(World& world, TaskState& task);

}  // namespace spillway::core
