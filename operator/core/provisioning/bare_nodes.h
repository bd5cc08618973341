// Nodes that join by themselves, without a hand of their engine (EngineTraits::bare_nodes): when
// they may be used, what of the pool's labels and taints they lack, and their end.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// What the machine that its engine calls ready is waiting for until it can be registered; empty if
// nothing. Asks for the labels and taints that its Node lacks.
std::string AwaitNode(World& world, ScaleState& scale, const api::CloudServer& server);
// Whether the Node of the server that is gone is gone as well. Of an engine with bare nodes it is
// deleted, if it is the one that the server had.
bool NodeGone(World& world, ScaleState& scale);
// Whether the server was given back, and its Node is left for its engine to take away, or to lend
// for the next purchase.
bool LeftToEngine(const World& world, const ScaleState& scale);
// How a write to a Node has ended.
void OnNodeOutcome(World& world, const Outcome& outcome);

}  // namespace spillway::core
