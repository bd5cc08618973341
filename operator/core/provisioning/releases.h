// The end of a purchase: its server is given back, then the ScaleRequest is deleted.
#pragma once

#include <optional>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// Asks the engine to take back what it may have for the purchase; again after a while, as long as
// that is seen.
void AskRelease(World& world, ScaleState& scale);
// No task is put there from now on.
void BeginRelease(World& world, ScaleState& scale, const std::string& why);
// Until its server is seen to be gone.
void Release(World& world, ScaleState& scale);
// Has failed, or was given back: it stays for users to read, and goes.
void Ended(World& world, ScaleState& scale);
// How the engine answered a release: a refused one is asked for again ever more slowly.
void ReleaseAsked(World& world, ScaleState& scale, const std::optional<Error>& error);
// Gives back each server whose request is gone: it was bought for nobody.
void ReleaseOrphans(World& world);

}  // namespace spillway::core
