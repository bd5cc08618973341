// Everything the core knows, composed of what each room owns: what was seen of the API server's
// objects, and what was asked for and is on its way. Rebuilt from a list after every restart;
// nothing private is kept anywhere.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "operator/core/budgets/state.h"
#include "operator/core/context.h"
#include "operator/core/explain/state.h"
#include "operator/core/provisioning/state.h"
#include "operator/core/scheduling/state.h"
#include "operator/core/servers/state.h"
#include "operator/core/tasks/state.h"

namespace spillway::core {

struct World : Context {
  Servers servers;
  Budgets budgets;
  Scheduling scheduling;
  Provisioning provisioning;
  Tasks tasks;
  Explanations explain;
};

// The shapes that wait and are wanted, by whose turn it is: wanted(shape, its first task).
template <typename Wanted>
std::vector<std::pair<Turn, Shape*>> WaitingShapes(const World& world, Wanted wanted) {
  std::vector<std::pair<Turn, Shape*>> out;
  for (Shape* shape : world.scheduling.shapes.all()) {
    if (shape->waiting.empty()) continue;
    const Turn turn = shape->waiting.First(world);
    if (wanted(*shape, *turn.position.task)) out.emplace_back(turn, shape);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

}  // namespace spillway::core
