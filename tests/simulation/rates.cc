#include "tests/simulation/rates.h"

#include <algorithm>

namespace spillway::simulation {

std::optional<int> Rates::Tried(const std::string& what, const std::string& state, Time now) {
  // A status that is refused gets three quick tries, and so does each of the next two texts.
  constexpr double kBurst = 15, kEvery = 5'000;  // ms
  Bucket& bucket = buckets_[what];
  if (bucket.state != state) bucket = {state, 0, 0, now};
  const double passed = static_cast<double>((now - bucket.last).count());
  bucket.level = std::max(0.0, bucket.level - passed / kEvery) + 1;
  bucket.last = now;
  ++bucket.tries;
  return bucket.level > kBurst + 1 ? std::optional(bucket.tries) : std::nullopt;
}

}  // namespace spillway::simulation
