// Two leaders may act for a moment. What another has recorded of a task that must not run twice
// (see recorded_first.h) counts as begun, though neither its pod nor that pod's end was seen: it is
// taken up, as a new leader takes up what its first list tells, and never written over.
#pragma once

#include <optional>

#include "operator/core/world.h"

namespace spillway::core {

// Another leader has written this status of the task, and ours gives way to it.
void GiveWay(World& world, TaskState& task, api::TaskStatus stored);
// Ours may be written over this one without any news of the task. What tells of attempts that are
// not known here is left as it is until there are.
bool MayWriteOver(const TaskState& task, const api::TaskStatus& stored);
// This status of the task stands in the API server. Whose it is may be known only once a patch of
// ours is answered.
void NoteStored(World& world, TaskState& task, const api::TaskStatus& stored);
// The task's status is on its way.
void NoteSent(TaskState& task);
// How that has ended.
void SettleStored(World& world, TaskState& task, const std::optional<Error>& error);
// What is recorded is another leader's, and its pod may appear yet: nothing is begun meanwhile, and
// what it costs is committed. Once it cannot appear any more it has been and gone.
bool AwaitsAnother(const TaskState& task);
// Whether that is so still: not once its pod was found, or cannot appear any more.
bool KeepAnothers(World& world, TaskState& task);

}  // namespace spillway::core
