#include "operator/core/what_if.h"

#include <algorithm>

#include "operator/core/explain.h"
#include "operator/core/placer.h"
#include "operator/core/scaling.h"

namespace spillway::core {
namespace {

size_t Ahead(const World& world, int64_t priority) {
  size_t count = 0;
  for (const Shape* shape : world.shapes.all()) {
    shape->waiting.AnyOf([&](const QueuePosition& each) {
      count += each.priority >= priority ? 1 : 0;
      return false;
    });
  }
  return count;
}

}  // namespace

Result<Forecast> WhatIf(const World& world, const api::TaskSpec& spec) {
  ShapeTable table;
  const auto interned = table.Intern(spec);
  if (!interned) return interned.error();
  Shape& shape = **interned;
  Forecast out;
  out.ahead = Ahead(world, spec.priority);
  if (const ServerState* server = Choose(world, shape)) {
    out.place = Forecast::Place::kServer;
    out.name = server->object.meta.name;
    out.cloud = server->object.spec.cloud;
    out.price_micros = server->object.spec.price_micros;
    return out;
  }
  out.explanation = Explain(world, shape);
  if (shape.placement.policy == api::Policy::kLocalOnly) return out;
  const ScaleState* coming = ServerOnTheWay(world, shape);
  const PoolState* pool = coming == nullptr ? BestPool(world, shape) : nullptr;
  if (coming == nullptr && pool == nullptr) return out;
  out.cloud = true;
  out.not_before = shape.placement.burst_after;
  if (coming != nullptr) {
    out.place = Forecast::Place::kOnTheWay;
    out.name = coming->object.meta.name;
    out.price_micros = api::ParsePrice(coming->object.status.price_per_hour).value_or(0);
  } else {
    out.place = Forecast::Place::kPool;
    out.name = pool->object.meta.name;
    out.price_micros = pool->object.spec.price_micros;
  }
  return out;
}

}  // namespace spillway::core
