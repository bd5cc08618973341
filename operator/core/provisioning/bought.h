// What was bought for a need: for a task, or for the stock of a pool.
#pragma once

#include <cstdint>
#include <string>

#include "operator/core/world.h"

namespace spillway::core {

// need: the uid of the task, or of the pool.
std::string PurchaseName(const std::string& need, int64_t number);

// By the numbers behind their names.
struct Bought {
  int64_t last = 0;
  int64_t lasting = 0;  // nothing else is bought for the need while that one lasts; 0: none
};

// To a new leader one before the last may be open, since no status has told of its end.
Bought BoughtFor(const World& world, const std::string& need);

}  // namespace spillway::core
