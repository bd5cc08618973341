// That servers which were bought could not be used for what they were bought for; see refusals.h.
#pragma once

#include <string>

#include "operator/base/time.h"

namespace spillway::core {

struct CloudRefusal {
  int times = 0;       // in a row
  std::string server;  // the last of them
  Time at{};           // when that one was noted
  Time until{};        // no other is bought
};

}  // namespace spillway::core
