// Which pods are lost with their node, and which may still run where they are.
#pragma once

#include <optional>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// How long a node may be unready before its tasks are run elsewhere.
inline constexpr Duration kLostServerGrace{60'000};

// The pod's node is gone, and nobody is left there to confirm the pod's end.
bool NodeVanished(const World& world, const api::Pod& pod);
// Why what was bound to the node counts as lost; nothing while it does not. pod: null if it is not
// there. wake: when that may change.
std::optional<std::string> NodeLost(const World& world, const std::string& name,
                                    const api::Pod* pod, Time* wake);
// A pod of an earlier attempt that may still run where it is; null if there is none. wake: when it
// may count as lost.
const api::Pod* Lingering(const World& world, const TaskState& task, Time* wake);

}  // namespace spillway::core
