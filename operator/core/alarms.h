// Who is to be looked at again, and when. Cheap where many have the same time, as all tasks of one
// step have.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "operator/base/time.h"

namespace spillway::core {

// Not thread-safe. A timer cannot be cancelled: whoever is called checks that its deadline still
// holds.
class Alarms {
 public:
  void Add(Time time, std::string key) {
    at_[time].push_back(std::move(key));
    ++size_;
  }
  // Those that are meant no more count as well.
  size_t size() const { return size_; }
  // kNever if there is none.
  Time next() const { return at_.empty() ? kNever : at_.begin()->first; }
  // Calls ring(time, key) for each whose time has come.
  template <typename Ring>
  void Due(Time now, Ring ring) {
    while (next() <= now) {
      const auto due = at_.extract(at_.begin());
      size_ -= due.mapped().size();
      for (const std::string& key : due.mapped()) ring(due.key(), key);
    }
  }
  // Forgets those for which meant(time, key) is false, and what was added twice.
  template <typename Meant>
  void Keep(Meant meant) {
    size_ = 0;
    for (auto at = at_.begin(); at != at_.end();) {
      const Time time = at->first;
      std::vector<std::string>& keys = at->second;
      std::sort(keys.begin(), keys.end());
      keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
      std::erase_if(keys, [&](const std::string& key) { return !meant(time, key); });
      size_ += keys.size();
      at = keys.empty() ? at_.erase(at) : std::next(at);
    }
  }

 private:
  std::map<Time, std::vector<std::string>> at_;
  size_t size_ = 0;
};

}  // namespace spillway::core
