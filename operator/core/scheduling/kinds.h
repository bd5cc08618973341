// Pods of one template that were refused, or changed, kept apart from others of their shape and
// namespace.
//
// A ServiceAccount that does not exist, an image that a policy denies, a label that a policy adds a
// node selector for: what admission judges by is more than what a server is chosen by, so that of
// two tasks of one shape one may be refused or changed and the other not. Tasks with such a
// template get a shape and an Admission of their own; the others go on.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// So many templates of a namespace are kept apart at most: one more holds up all of its shape.
inline constexpr int64_t kMostApart = 256;

// Adds the task to those of the admission.
void Enter(TaskState& task, Admission& admission);
// Takes it out of those of its admission, which is returned.
Admission& Leave(TaskState& task);

// The shape of the task's own kind, where its template is kept apart; else the one it asks for. The
// task's hold on asked goes over.
Shape& OwnKind(World& world, const TaskState& task, Shape& asked);
// Keeps all tasks of the admission with that task's template apart. Their Admission, or null where
// there are too many.
Admission* SetApart(World& world, Admission& from, const TaskState& task);

}  // namespace spillway::core
