// When a process ends: not at any time, but where what was done and what is written down differ.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "operator/core/events.h"
#include "tests/simulation/random.h"

namespace spillway::simulation {

class Crashes {
 public:
  // From now on, where the next one is; and for how long nobody leads then.
  void Arm(Random& random);
  void Disarm() { armed_.reset(); }
  // The name of the point that the effect has come to, if that was waited for: the process ends.
  // carried: it was carried out, and its answer is on its way; else it is about to be sent.
  const char* Meet(const core::Effect& effect, bool carried);
  // Of the crash that was met last.
  Duration pause() const { return pause_; }
  // Each point has its entry.
  static void NameAll(std::map<std::string, size_t>& happened);

 private:
  std::optional<size_t> armed_;
  Duration pause_{0};
};

}  // namespace spillway::simulation
