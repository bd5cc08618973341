// What the room of explanations owns.
#pragma once

#include <cstddef>
#include <set>
#include <string>

namespace spillway::core {

struct Explanations {
  std::set<std::string> to_explain;  // tasks that wait, whose explanation may be due
  size_t tested = 0;                 // servers looked at in this step to explain and to foresee
};

}  // namespace spillway::core
