// Attempts on a server that is taken away or given back: what they are told, and how they are
// stopped in time.
#pragma once

#include <string>
#include <utility>

#include "operator/core/world.h"

namespace spillway::core {

inline constexpr char kServerEnding[] = "ServerEnding";
// Before the end of a server, for its kubelet to hear of a deletion.
inline constexpr Duration kStopMargin{5'000};

// What the task is told of the end of its attempt's server; empty if that does not end.
std::string EndingText(const World& world, const TaskState& task);
// Stops the pod of the attempt, which has not ended, in time for its grace period: at once where
// nobody says when the server ends, or where the pod has not started.
void FollowEnding(World& world, TaskState& task, const api::Pod& pod);
// Reason and message of the loss of the attempt; those given, unless its server ends.
std::pair<std::string, std::string> WhyLost(const World& world, const TaskState& task,
                                            std::string reason, std::string message);

}  // namespace spillway::core
