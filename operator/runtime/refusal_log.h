// What was said of refusals already, so that each is told once, and again when it changes: not with
// every try, nor with every number in it. Pure.
#pragma once

#include <map>
#include <string>

#include "operator/base/time.h"

namespace spillway::runtime {

// A refusal that was not heard of for so long is told again.
inline constexpr Duration kRefusalForgotten{600'000};
// More are not kept: the oldest is forgotten.
inline constexpr size_t kMostRefusals = 2'000;

// Not thread-safe. Times are of any clock that does not go back.
class RefusalLog {
 public:
  // Whether the refusal of what was asked for the object is to be told: nothing like it was since
  // the object's last success. Numbers in it do not matter.
  bool IsNews(const std::string& object, const std::string& message, Time now);
  void Succeeded(const std::string& object);
  bool empty() const { return heard_.empty(); }

 private:
  void Forget(Time now);

  std::map<std::string, std::map<std::string, Time>> heard_;  // by object and words: when, last
  size_t size_ = 0;
};

}  // namespace spillway::runtime
