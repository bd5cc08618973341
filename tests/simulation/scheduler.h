// Kubernetes' scheduler, which binds the pods that are left to it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/simulation/api_server.h"
#include "tests/simulation/random.h"

namespace spillway::simulation {

class Scheduler {
 public:
  Scheduler(ApiServer& api, std::function<void(const std::string&)> happened)
      : api_(api), happened_(std::move(happened)) {}

  // All that it may tell of.
  static std::vector<std::string> Names();

  // A pod is bound, or told that no node takes it. False if nothing changes by that.
  bool Schedule(Random& random, bool faults);

 private:
  std::vector<std::string> Feasible(const api::Pod& pod) const;
  bool Complain(api::Pod pod, const std::string& why);

  ApiServer& api_;
  std::function<void(const std::string&)> happened_;
};

}  // namespace spillway::simulation
