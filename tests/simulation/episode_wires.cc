// In one episode of four, what the processes are told goes through the shipped watch and decoders.
#include "tests/simulation/episode.h"

namespace spillway::simulation {

void Episode::LayWires() {
  for (const char* what :
       {"watches in bytes", "lists in pages", "silent watch given up", "watch ends with an error",
        "watch sends what is no event", "watch ends in the midst of a line"})
    result_.happened[what];
  Random random(script_.seed ^ 0x77697265);
  const bool drawn = random.OneIn(4);
  if (script_.reads == Reads::kObjects || (script_.reads == Reads::kDrawn && !drawn)) return;
  Count("watches in bytes");
  wires_.seed = random.Next();
  wires_.in_peace = !faults();
  wires_.cuts = faults() && random.OneIn(2);
  wires_.pages = faults() && random.OneIn(3);
  if (wires_.pages) Count("lists in pages");
  wires_.met = [this](const char* what) {
    Count(what);
    checks_.Disturbed();
  };
  wires_.unreadable = [this](const std::string& what) {
    checks_.Violate("encodes", "what the API server has cannot be read: " + what);
  };
  world_.wires = &wires_;
}

}  // namespace spillway::simulation
