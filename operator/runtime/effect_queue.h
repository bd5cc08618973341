// The order in which effects are carried out: those on one object one after the other, those on
// different objects side by side. What makes something happen (a pod, a purchase, a deletion) goes
// before what tells of it (a status, an Event), but not for ever: of four effects at least one
// tells if any waits. No threads here, so that the simulator uses the same rules.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "operator/core/events.h"

namespace spillway::runtime {

// What the effect is about; effects with the same key keep their order.
std::string EffectKey(const core::Effect& effect);

// Not thread-safe.
class EffectQueue {
 public:
  void Push(core::Effect effect);
  // The next effect that may start now.
  std::optional<core::Effect> Pop();
  // The effect with this key, popped before, has ended.
  void Done(const std::string& key);
  // Whether Pop would give something.
  bool ready() const { return !acts_.empty() || !tells_.empty(); }
  size_t size() const { return size_; }

 private:
  void MakeReady(const std::string& key);

  // Keys with waiting effects and none in flight, by the first of those effects.
  std::deque<std::string> acts_, tells_;
  int passed_over_ = 0;  // how often tells_ was, in a row
  std::map<std::string, std::deque<core::Effect>> waiting_;
  std::set<std::string> in_flight_;
  size_t size_ = 0;
};

}  // namespace spillway::runtime
