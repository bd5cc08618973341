// The decisions of Spillway as one function of what is known: Step takes what happened and returns
// what is to be done. No I/O, no clock, no thread, no log: it can be simulated and replayed.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "operator/core/events.h"

namespace spillway::core {

struct World;

// Not thread-safe: one thread owns it.
class Core {
 public:
  // engines: those that pools can be served by.
  explicit Core(std::vector<api::EngineTraits> engines = {});
  ~Core();

  // Takes the events in their order, then decides once. Nothing is decided before every kind, and
  // what each watched engine has, was listed (Listed) and the load was asked for (Measured). now
  // must not go back by more than the resolution of deadlines can bear. Every Write and AskCloud
  // among the effects must be answered by an Outcome.
  StepResult Step(std::span<const Event> events, Time now);

  // The API server is older than it was: its etcd was restored. Nothing that was known of it holds,
  // nor can it be told from what is new. Nothing is decided any more: the process begins anew.
  bool versions_went_back() const { return versions_went_back_; }

  // For probes, metrics and tests.
  const World& world() const { return *world_; }

 private:
  std::unique_ptr<World> world_;
  bool versions_went_back_ = false;
};

}  // namespace spillway::core
