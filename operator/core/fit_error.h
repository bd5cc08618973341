// Why one server, or one pool, does not take a task.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace spillway::core {

// The first test that failed.
struct FitError {
  std::string reason;   // CamelCase, for machines: InsufficientResource
  std::string summary;  // for counting servers: "insufficient cpu"
  std::string message;  // with the numbers
  // Only amounts are missing, this much of one resource: what nearestFit is made of.
  std::string resource = {};
  int64_t requested = 0, available = 0;
  bool property = false;  // no amount of waiting helps: labels, capabilities, taints, price
};

// False; why, which may be null, is set to the error.
inline bool Fail(FitError* why, FitError error) {
  if (why != nullptr) *why = std::move(error);
  return false;
}

}  // namespace spillway::core
