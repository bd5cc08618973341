// A server that is taken away, or given back, while tasks run there.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// Beyond the grace period of its pods, for a kubelet to end them.
inline constexpr Duration kSlowEnd{60'000};

// Why the server that was ready cannot be used any more, by no doing of ours; empty if it can.
// server: what its engine has; null if nothing.
std::string WhyTaken(const World& world, const ScaleState& scale, const api::CloudServer* server);
// Whether that is the server which the purchase has led to.
bool IsTheOne(const api::ScaleStatus& status, const api::CloudServer& server);
// Of a purchase whose server is given back: those who run there are told until when they have time,
// and nobody goes there any more. True once none of them is left, or can be waited for.
bool Vacate(World& world, const ScaleState& scale);
// Whether tasks run on the node of the claim, or on what else is registered for its purchase.
bool HasTasks(const World& world, const api::CloudServer& server);
// The same of a server whose purchase is gone.
bool VacateOrphan(World& world, const api::CloudServer& orphan);

}  // namespace spillway::core
