// Tasks into the queues and out of them.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "operator/core/world.h"

namespace spillway::core {

// Into the queue of its shape, or its group, by its priority; it must not be in it.
void JoinQueue(World& world, TaskState& task);
// Does nothing where it is in none.
void Dequeue(World& world, TaskState& task);

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
