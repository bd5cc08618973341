// Remembers which refusals were logged, so that each is logged once, and again when its words
// change; a new try or another number in it is no change. Pure.
#pragma once

#include <map>
#include <string>

#include "operator/base/time.h"

namespace spillway::runtime {

// A refusal that comes back after so long is logged again.
inline constexpr Duration kRefusalForgotten{600'000};
// How many are kept; the oldest is dropped first.
inline constexpr size_t kMostRefusals = 2'000;

// Not thread-safe. Times are of any clock that does not go back.
class RefusalLog {
 public:
  // Whether to log this refusal: nothing like it was logged since the object's last success.
  // Numbers in it are ignored.
  bool IsNews(const std::string& object, const std::string& message, Time now);
  void Succeeded(const std::string& object);
  bool empty() const { return heard_.empty(); }

 private:
  void Forget(Time now);

  std::map<std::string, std::map<std::string, Time>> heard_;  // by object and words: when, last
  size_t size_ = 0;
};

}  // namespace spillway::runtime
