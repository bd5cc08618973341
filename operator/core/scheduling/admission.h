// What the API server makes of the pods of one shape in one namespace.
//
// Whether they can be created, and what they ask for once defaults, policies and webhooks have had
// their way, is the same for all of them. Until the first one was created, and once one could not
// be, only one creation is tried at a time: a broken webhook costs one try now and then, and a
// default that no template shows is known before the second pod is made. Meanwhile the other tasks
// are out of the queues' sight.
#pragma once

#include <optional>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// A creation without an answer for so long takes no room any more.
inline constexpr Duration kSlowAnswer{5'000};
// What was learned holds for so long after the last creation: a policy may be gone.
inline constexpr Duration kLearnedFor{600'000};

// The task's, as its template says; sets the shape that its pods really have. Each is answered by a
// LeaveAdmission.
void JoinAdmission(World& world, TaskState& task, Shape& asked);
void LeaveAdmission(World& world, TaskState& task);

// What was learned too long ago is not known any more.
void DoubtOld(const World& world, Admission& admission);
// Whether another pod may be created now.
bool MayCreate(const World& world, const Admission& admission);
// Whether it will be known within kSlowAnswer whether its pods can be created. Wakes when that is
// true no more.
bool AnswerIsNear(World& world, const Admission& admission);
// Takes its tasks out of the queues' sight until a pod may be created again.
void CloseGate(World& world, Admission& admission);
// Shows what may be created again. Scheduling::gates_at: when there may be more to show, such as
// now.
void OpenGates(World& world);

// The creation of the task's pod is on its way.
void CreationSent(World& world, TaskState& task);
// It was answered, or has failed. task: null if there is none any more. own: the pod that there is
// by now, if it is the task's.
void CreationAnswered(World& world, Owner& owner, TaskState* task, const Outcome& outcome,
                      const api::Pod* own);
// It is not sent after all. pod: its key.
void CreationDropped(World& world, Owner& owner, const std::string& pod);
// Whether it was sent so long ago that the API server must have had it for kSlowAnswer, which has
// passed since the task was bound; or the API server has answered none of its namespace for so
// long, and told of something else.
bool CreationHangs(const World& world, const TaskState& task);
// It has not been answered for kSlowAnswer: its room is given back.
void CreationOverdue(World& world, TaskState& task);
// A pod of the task was found, such as after a restart: its like can be created, and if it asks for
// what was reckoned with, that is known as well.
void NoteAdopted(World& world, const TaskState& task, const api::Pod& pod);
// A pod of the namespace has ended: a quota may have room again.
void EaseQuota(World& world, const std::string& ns);

// Why a creation was refused.
enum class Denial {
  kForNow,    // by a policy, a quota, a webhook, or because something is not there
              // yet
  kTemplate,  // it can never pass
  kGated,     // whoever adds scheduling gates wants kube-scheduler to bind the pod
};
Denial DenialOf(const Error& error);

// That the task waits until another pod of its namespace has been created; empty if it does not, or
// not for long.
std::string ExplainTurn(const World& world, const TaskState& task);
// That it waits for such a creation, but not for long yet: until when nothing need be said of it.
std::optional<Time> TurnIsNear(const World& world, const TaskState& task);
// Why its pods cannot be created; null while they can, as far as is known.
std::shared_ptr<const api::Explanation> ExplainAdmission(const TaskState& task);

}  // namespace spillway::core
