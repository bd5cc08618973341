// What the scheduling room takes up of what was seen: priority classes, and the weights of
// namespaces.
#pragma once

#include <string>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// A state that is older than the one known is ignored.
void OnSeen(World& world, const api::PriorityClass& object);
void OnSeen(World& world, const api::Namespace& object);
void OnPriorityClassGone(World& world, const std::string& name);
void OnNamespaceGone(World& world, const std::string& name);

}  // namespace spillway::core
