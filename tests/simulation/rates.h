// How often each thing may be tried: refused tries, Events and requests to engines count as well.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "operator/base/time.h"

namespace spillway::simulation {

class Rates {
 public:
  // what: the verb, the kind and the object, and who asks. state: of what the answer depends on;
  // the tries begin anew when it is another one. How many there were, if that is too many: more
  // than 12, and one each 5 s, in some span of time.
  std::optional<int> Tried(const std::string& what, const std::string& state, Time now);

 private:
  struct Bucket {
    std::string state;
    double level = 0;
    int tries = 0;
    Time last{};
  };
  std::map<std::string, Bucket> buckets_;
};

}  // namespace spillway::simulation
