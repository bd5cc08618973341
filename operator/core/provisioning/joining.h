// A bought server from when its node is ready until it can take its first task.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// Makes its RegisteredServer, if there is none on the node.
void RegisterServer(World& world, ScaleState& scale, const api::CloudServer& server);
// What it really offers, to its pool: without what runs there already for tasks, which may be much
// after a restart.
void TakeSize(World& world, ScaleState& scale, const ServerState& server);
// While its node is ready, and no RegisteredServer is on it. False if it is given back for that.
bool AwaitRegistration(World& world, ScaleState& scale, const api::CloudServer& server);
// A task runs on it: it takes tasks, whatever keeps it from the next one.
void NoteUse(World& world, ScaleState& scale);
// While it is registered, and takes none of the tasks that it was bought for. False if it is given
// back for that.
bool AwaitJoin(World& world, ScaleState& scale, const ServerState& server);

}  // namespace spillway::core
