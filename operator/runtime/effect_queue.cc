#include "operator/runtime/effect_queue.h"

#include <utility>

namespace spillway::runtime {
namespace {

struct Keyer {
  std::string operator()(const core::Write& write) const {
    return std::string(core::ToString(write.kind)) + "/" + write.key();
  }
  std::string operator()(const core::AskCloud& ask) const {
    return "CloudServer/" + ask.request_uid;
  }
  // Events of one object share a key: they stay in order and cannot crowd out the writes.
  std::string operator()(const core::Note& note) const { return "Event/" + note.uid; }
};

}  // namespace

std::string EffectKey(const core::Effect& effect) { return std::visit(Keyer{}, effect); }

void EffectQueue::Push(core::Effect effect) {
  std::string key = EffectKey(effect);
  auto& queue = waiting_[key];
  queue.push_back(std::move(effect));
  ++size_;
  if (queue.size() == 1 && !in_flight_.contains(key)) ready_.push_back(std::move(key));
}

std::optional<core::Effect> EffectQueue::Pop() {
  if (ready_.empty()) return std::nullopt;
  const std::string key = std::move(ready_.front());
  ready_.pop_front();
  const auto queue = waiting_.find(key);
  core::Effect effect = std::move(queue->second.front());
  queue->second.pop_front();
  if (queue->second.empty()) waiting_.erase(queue);
  in_flight_.insert(key);
  --size_;
  return effect;
}

void EffectQueue::Done(const std::string& key) {
  in_flight_.erase(key);
  if (waiting_.contains(key)) ready_.push_back(key);
}

}  // namespace spillway::runtime
