// What the room of explanations owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

namespace spillway::core {

struct Explanations {
  std::set<std::string> to_explain;  // tasks that wait, whose explanation may be due
  uint64_t generation = 0;           // of anything that an explanation may tell of
  size_t tested = 0;                 // servers looked at in this step to explain and to foresee
};

}  // namespace spillway::core
