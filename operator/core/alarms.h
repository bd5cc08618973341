// Who is to be looked at again, and when. Cheap where many have the same time, as all tasks of one
// step have.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "operator/base/time.h"

namespace spillway::core {

// Not thread-safe. A timer cannot be cancelled: whoever is called checks that its deadline still
// holds.
class Alarms {
 public:
  void Add(Time time, std::string key) { at_[time].push_back(std::move(key)); }
  // kNever if there is none.
  Time next() const { return at_.empty() ? kNever : at_.begin()->first; }
  // Calls ring(time, key) for each whose time has come.
  template <typename Ring>
  void Due(Time now, Ring ring) {
    while (next() <= now) {
      const auto due = at_.extract(at_.begin());
      for (const std::string& key : due.mapped()) ring(due.key(), key);
    }
  }

 private:
  std::map<Time, std::vector<std::string>> at_;
};

}  // namespace spillway::core
