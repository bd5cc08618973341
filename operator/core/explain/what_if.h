// Where a task would go if it were applied now, without doing anything: the same tests and the same
// order of preference as the placer's and the purchases'.
#pragma once

#include <string>

#include "operator/core/world.h"

namespace spillway::core {

struct Prediction {
  enum class Place {
    kServer,    // name: the RegisteredServer that it would be bound to at once
    kOnTheWay,  // name: the ScaleRequest whose server has room for it
    kPool,      // name: the ServerPool that would be asked for a server
    kQueue,     // nothing has room, and nothing may be bought
  };
  Place place = Place::kQueue;
  std::string name;
  bool cloud = false;
  int64_t price_micros = 0;  // per hour, of the server or the pool
  // Not before so long: spec.placement.burstAfterSeconds, where a server would be bought.
  Duration not_before{0};
  // Waiting tasks that are tried before it. Counted one by one: O(waiting tasks).
  size_t ahead = 0;
  // When it is expected to start, and what that is known from; nothing where it is not known.
  std::optional<Time> start;
  std::string basis;
  api::Explanation explanation;  // why no server takes it; empty for kServer
};

// Fails where the template's amounts cannot be read. Looks at every server: for questions of
// people, not for the decisions of the loop. ns: whose Budgets count. A group is not looked at: the
// answer is for the task alone.
Result<Prediction> WhatIf(const World& world, const std::string& ns, const api::TaskSpec& spec);

}  // namespace spillway::core
