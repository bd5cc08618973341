// A running mean of durations in which the latest sixteen or so count.
#pragma once

#include <algorithm>
#include <cstdint>

#include "operator/base/time.h"

namespace spillway::core {

class Mean {
 public:
  void Add(Duration value) {
    count_ = std::min<int64_t>(count_ + 1, 16);
    ms_ += (static_cast<double>(value.count()) - ms_) / static_cast<double>(count_);
  }
  // Something was added.
  bool known() const { return count_ > 0; }
  Duration value() const { return Duration{static_cast<int64_t>(ms_)}; }

 private:
  int64_t count_ = 0;
  double ms_ = 0;
};

}  // namespace spillway::core
