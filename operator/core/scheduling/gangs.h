// Groups of tasks that start together or not at all (spec.group).
//
// The members of a group wait together until as many as it wants are there and all of them have
// room at one moment; then all are bound in one step. From then on each is a task of its own: one
// that lost its server waits alone. If not all run within the group's deadline, those that were
// bound are taken back, and the group waits again. After a crash in the middle of that step, those
// that are left start together or not at all.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/scheduling/assume.h"
#include "operator/core/scheduling/decisions.h"
#include "operator/core/scheduling/queue.h"
#include "operator/core/world.h"

namespace spillway::core {

// How long a group that was taken back waits before it is tried again.
inline constexpr Duration kGroupPause{10'000};

// The task joins its group, if its spec names one, or leaves it.
void JoinGang(World& world, TaskState& task);
void LeaveGang(World& world, TaskState& task);
// Its group, which it must have, is looked at again.
void TouchGang(World& world, const TaskState& task);
// Whether the member waits for room for itself alone: it has been bound before, or the group has
// started without it.
bool WaitsAlone(const TaskState& task);
// As many wait or were bound as the group wants.
bool Complete(const Gang& gang);

// Lets those of the groups that were touched wait where they should, and takes back those whose
// deadline has passed.
void FollowGangs(World& world, Decisions& decisions);

using GangPlaces = std::vector<std::pair<TaskState*, const ServerState*>>;
// Binds all members that wait, each by bind(task, server), if choose(shape) finds a server for
// each and pay(places) agrees to them; otherwise nothing is changed but what the group lacks.
template <typename Choose, typename Pay, typename Bind>
bool PlaceGang(World& world, Gang& gang, Choose choose, Pay pay, Bind bind);
// Whether anything may have changed since the group was tried last.
bool WorthTrying(const World& world, const Gang& gang);
void Tried(const World& world, Gang& gang);
// Those that wait, the hardest to place first: those that cannot go to the cloud, then those that
// want a server to themselves, then the larger.
std::vector<TaskState*> HardestFirst(const Gang& gang);
// Why the group does not start; empty if that is not what keeps the task.
std::string ExplainGang(const TaskState& task);

template <typename Choose, typename Pay, typename Bind>
bool PlaceGang(World& world, Gang& gang, Choose choose, Pay pay, Bind bind) {
  GangPlaces places;
  gang.unplaced.clear();
  for (TaskState* task : HardestFirst(gang)) {
    const ServerState* server = choose(*task->shape);
    if (server == nullptr) {
      gang.unplaced.push_back(*task->key);
    } else {
      SimulateAdd(world, *task, *server);
      places.emplace_back(task, server);
    }
  }
  const bool placed = gang.unplaced.empty() && pay(std::as_const(places));
  for (auto& [task, server] : places) {
    if (placed) {
      bind(*task, *server);
    } else {
      RevertAdd(world, *task);
    }
  }
  Tried(world, gang);
  return placed;
}

}  // namespace spillway::core
