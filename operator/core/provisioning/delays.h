// What keeps a server on its way, told to the tasks that wait for it.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// That its engine could not be asked, or has not launched it, is told once it has lasted for so
// long, and what is said of one that boots later: most of it passes sooner, and costs each task
// that waits a write.
inline constexpr Duration kSayRefusal{5'000}, kSayProgress{60'000};
// Between two such texts that are told one after the other.
inline constexpr Duration kSayAgain{60'000};

// Why the server is not there yet. patience: after which that is told.
void NoteDelay(World& world, ScaleState& scale, std::string why, Duration patience);
// It goes on.
void NoDelay(World& world, ScaleState& scale);
// As NoteDelay: what its engine, which tries yet, says of the server.
void NoteEngineSays(World& world, ScaleState& scale, const std::string& what, bool launched);
// Tells those who wait for it where what keeps it has changed: also that its creation, or the
// request to its engine, has no answer.
void TellDelay(World& world, ScaleState& scale);

}  // namespace spillway::core
