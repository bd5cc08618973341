#include "tests/simulation/shrink.h"

#include <algorithm>

namespace spillway::simulation {
namespace {

Script Without(const Script& script, size_t from, size_t count) {
  Script out{script.seed, {}, script.only};
  for (size_t i = 0; i < script.steps.size(); ++i) {
    if (i < from || i >= from + count) out.steps.push_back(script.steps[i]);
  }
  return out;
}

}  // namespace

Script Shrink(Script script, const std::function<bool(const Script&)>& fails,
              std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (size_t chunk = std::max<size_t>(script.steps.size() / 2, 1); chunk > 0; chunk /= 2) {
    for (bool shorter = true; shorter;) {
      shorter = false;
      for (size_t from = 0; from < script.steps.size();) {
        if (std::chrono::steady_clock::now() > end) return script;
        Script less = Without(script, from, chunk);
        if (fails(less)) {
          script = std::move(less);
          shorter = true;
        } else {
          from += chunk;
        }
      }
      if (chunk > 1) break;
    }
  }
  return script;
}

}  // namespace spillway::simulation
