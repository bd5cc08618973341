// Makes a failing script short enough to be read.
#pragma once

#include <chrono>
#include <functional>

#include "tests/simulation/episode.h"

namespace spillway::simulation {

// Leaves out as many steps as it can while it still fails (delta debugging:
// Zeller, Hildebrandt, Simplifying and isolating failure-inducing input, 2002). Ends after the
// time given with what it has.
Script Shrink(Script script, const std::function<bool(const Script&)>& fails,
              std::chrono::seconds limit);

}  // namespace spillway::simulation
