// Makes a failing script short enough to be read.
#pragma once

#include <chrono>

#include "tests/simulation/episode.h"

namespace spillway::simulation {

// Leaves out as many steps as it can while the same invariant is still broken (delta debugging:
// Zeller, Hildebrandt, Simplifying and isolating failure-inducing input, 2002). Ends after the
// time given with what it has.
Script Shrink(Script script, const std::string& invariant, std::chrono::seconds limit);

}  // namespace spillway::simulation
