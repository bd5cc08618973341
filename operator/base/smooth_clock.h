// Wall time that never jumps: deadlines must not pass because someone has set the machine's clock.
#pragma once

#include <algorithm>
#include <optional>

#include "operator/base/time.h"

namespace spillway {

// Follows the monotonic clock and comes nearer to the wall clock by at most a tenth of the time
// that passes, as adjtime(3) does, so that it never goes back. Not thread-safe.
class SmoothClock {
 public:
  // wall, monotonic: what the machine's two clocks say now. monotonic: since any fixed moment.
  Time Read(Time wall, Duration monotonic) {
    if (!now_) {
      now_ = wall;
    } else {
      const Duration passed = std::max(monotonic - monotonic_, Duration{0});
      const Duration most = passed / 10;
      *now_ += passed;
      *now_ += std::clamp(wall - *now_, -most, most);
    }
    monotonic_ = std::max(monotonic, monotonic_);
    return *now_;
  }

 private:
  std::optional<Time> now_;
  Duration monotonic_ = Duration::min();
};

}  // namespace spillway
