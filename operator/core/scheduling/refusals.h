// Servers that have refused a pod: it failed before any of its containers started, whatever the
// reason. They are passed over for that shape for a while, longer each time, and then taken only
// where no other would do, until the refusal is forgotten.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

inline constexpr BackoffRange kPassOver{std::chrono::seconds(10), std::chrono::seconds(600)};
// So long after the last refusal nothing is known of it any more.
inline constexpr Duration kForgetRefusal{1'200'000};
// So long after a bought server did not take the task that it was bought for no other is: its
// kubelet refused the pod, or kube-scheduler did.
inline constexpr BackoffRange kNextPurchase{std::chrono::minutes(1), std::chrono::hours(2)};
inline constexpr BackoffRange kNoPurchase{std::chrono::minutes(30), std::chrono::hours(8)};
// After so many refusals in a row, wherever they came from, a task is tried ever more seldom.
inline constexpr int kRefusalsAtOnce = 3;

// The reason of an attempt whose pod kube-scheduler had no node for, and which was taken back.
inline constexpr char kUnschedulable[] = "Unschedulable";

// Its server's kubelet refused the pod: it failed before any of its containers was started, so the
// task has not run.
bool Refused(const api::Pod& pod);
// Whether the pod failed without ever having run, and nobody had asked for its end.
bool NeverRan(const api::Pod& pod);
// The server of the task's binding has refused its pod, or nobody could bind it there.
void NoteRefusal(World& world, TaskState& task, const std::string& why);
// A pod of the task's shape runs where it is bound.
void NoteAccepted(World& world, const TaskState& task);
// What is known of the one shape is known of the other, whose tasks are the same.
void TakeRefusals(World& world, const Shape& from, Shape& to);
// Servers whose time is over may be tried again; what is old is forgotten.
void EndRefusals(World& world);
// The slots of servers that have refused the shape and may be asked again, or not yet; ascending.
std::vector<uint32_t> RefusedBefore(const World& world, const Shape& shape);
// Where the server of the task's binding was bought: the creation of the task's pod was refused
// there, and none is bought for its kind for a while.
void NoteDenialInCloud(const World& world, TaskState& task);
// The same: it has not taken the task, and none is bought for the task. Several attempts there
// count once.
void NoteRefusalInCloud(const World& world, TaskState& task, BackoffRange pause);
// The server was bought for the task, which still waits, and is given back since nobody uses it.
// While it is not known whether pods of the task's kind can be created, that counts for all of
// them, until one was.
void NoteUnusedInCloud(const World& world, TaskState& task, const std::string& server);
// A bought server did not take the task, and it has not run since: another would be bought in vain.
// Until when none is, as what stood in the way may have changed by then.
std::optional<Time> RefusedInCloud(const World& world, const TaskState& task);
// Why the server is passed over; null if it is not.
const ServerRefusal* PassedOver(const World& world, const Shape& shape, const ServerState& server);

}  // namespace spillway::core
