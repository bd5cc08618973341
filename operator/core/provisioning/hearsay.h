// What is known of a purchase's server by the word of another than the engine's list or watch. What
// that has told before does not show whether the server is there.
#pragma once

#include "operator/core/world.h"

namespace spillway::core {

// The ScaleRequest was seen as another process has left it.
void TakeHearsay(const World& world, ScaleState& scale);
// The engine was asked for a server, and has made it or may have. The answer did not bring it.
void NoteMade(const World& world, ScaleState& scale);
// True while that is the last that is known of the server; then it is forgotten.
bool KeepHearsay(World& world, ScaleState& scale);
// How long a server may take that is known by hearsay alone, which there must be: nobody waits for
// it longer.
Time MayComeUntil(const World& world, const ScaleState& scale);

}  // namespace spillway::core
