// Servers that have refused a pod: it failed before any of its containers started, whatever the
// reason. They are passed over for that shape for a while, longer each time.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

inline constexpr Duration kPassOver{10'000};
inline constexpr Duration kPassOverAtMost{600'000};
// After so many refusals in a row, wherever they came from, a task is tried ever more seldom.
inline constexpr int kRefusalsAtOnce = 3;

// Whether the pod failed without ever having run, and nobody had asked for its end.
bool NeverRan(const api::Pod& pod);
// The server of the task's binding has refused its pod, or nobody could bind it there.
void NoteRefusal(World& world, TaskState& task, const std::string& why);
// A pod of the task's shape runs where it is bound.
void NoteAccepted(World& world, const TaskState& task);
// Servers whose time is over may be tried again.
void EndRefusals(World& world);
// Why the server is passed over; null if it is not.
const ServerRefusal* PassedOver(const World& world, const Shape& shape, const ServerState& server);

}  // namespace spillway::core
