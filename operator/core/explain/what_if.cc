#include "operator/core/explain/what_if.h"

#include <algorithm>

#include "operator/core/budgets/budgets.h"
#include "operator/core/explain/explain.h"
#include "operator/core/provisioning/patience.h"
#include "operator/core/provisioning/promises.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/search.h"

namespace spillway::core {
namespace {

size_t Ahead(const World& world, int64_t priority) {
  size_t count = 0;
  for (const Shape* shape : world.scheduling.shapes.all()) {
    shape->waiting.AnyOf([&](const QueuePosition& each) {
      count += each.priority >= priority ? 1 : 0;
      return false;
    });
  }
  return count;
}

int64_t Payable(const World& world, const std::string& ns, const Shape& shape) {
  const auto account = world.budgets.accounts.find(ns);
  return account == world.budgets.accounts.end()
             ? api::kMostMicros
             : PayableUpTo(world.budgets, account->second, ExpectedRun(shape));
}

void SetStart(const std::optional<Estimate>& estimate, Prediction& out) {
  if (!estimate) return;
  out.start = estimate->start;
  out.basis = estimate->basis;
}

void GoTo(const World& world, const ServerState& server, Prediction& out) {
  out.place = Prediction::Place::kServer;
  out.name = server.object.meta.name;
  out.cloud = server.object.spec.cloud;
  out.price_micros = server.object.spec.price_micros;
  out.start = world.now;
}

Estimate Boot(const World& world, const PoolState& pool) {
  if (!pool.boot.known()) return {world.now + kBootGuess, "a guess"};
  return {world.now + pool.boot.value(),
          "observed start of servers of pool " + pool.object.meta.name};
}

// False if no server would be bought, and none is on its way.
bool Burst(const World& world, const Shape& shape, int64_t most, Prediction& out) {
  if (const ScaleState* coming = FindInflight(world, shape, most)) {
    out.place = Prediction::Place::kOnTheWay;
    out.name = coming->object.meta.name;
    out.price_micros = api::ParsePrice(coming->object.status.price_per_hour).value_or(0);
    SetStart(EstimateArrival(world, out.name), out);
  } else if (const PoolState* pool = BestPool(world, shape, most)) {
    out.place = Prediction::Place::kPool;
    out.name = pool->object.meta.name;
    out.price_micros = pool->object.spec.price_micros;
    Estimate boot = Boot(world, *pool);
    boot.start += shape.placement.burst_after;
    SetStart(boot, out);
  } else {
    return false;
  }
  out.cloud = true;
  out.not_before = shape.placement.burst_after;
  return true;
}

// It is tested from here on as one that can be paid only so much per hour.
void PayAtMost(Shape& shape, int64_t micros) {
  shape.paid = &shape;
  shape.payable_micros = micros;
}

}  // namespace

Result<Prediction> WhatIf(const World& world, const std::string& ns, const api::TaskSpec& spec) {
  ShapeTable table;
  const auto interned = table.Intern(spec);
  if (!interned) return interned.error();
  Shape& shape = **interned;
  const Shape* known = world.scheduling.shapes.Find(shape.key);
  if (known != nullptr) shape.runs = known->runs;
  const int64_t most = Payable(world, ns, shape);
  Prediction out;
  out.ahead = Ahead(world, spec.priority);
  const ServerState* server = SelectServer(world, shape);
  if (server != nullptr && server->object.spec.price_micros > most) {
    PayAtMost(shape, most);
    shape.matched = false;
    server = SelectServer(world, shape);
  }
  if (server != nullptr) {
    GoTo(world, *server, out);
    return out;
  }
  const bool bursts = Burst(world, shape, most, out);
  if (!bursts && (FindInflight(world, shape) != nullptr || BestPool(world, shape) != nullptr))
    PayAtMost(shape, most);
  out.explanation = Explain(world, shape);
  if (!bursts) {
    const auto waiting = known == nullptr ? 0 : known->waiting.Count();
    SetStart(EstimateTurn(world, shape, static_cast<int64_t>(waiting) + 1), out);
  }
  return out;
}

}  // namespace spillway::core
