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
  std::string operator()(const core::AskWhy& ask) const { return "Why/" + ask.pod_uid; }
  // Events of one object share a key: they stay in order and cannot crowd out the writes.
  std::string operator()(const core::Note& note) const { return "Event/" + note.uid; }
};

constexpr int kMostPassedOver = 3;

bool Tells(const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  return write != nullptr ? write->verb == core::Verb::kPatchStatus
                          : std::holds_alternative<core::Note>(effect) ||
                                std::holds_alternative<core::AskWhy>(effect);
}

}  // namespace

std::string EffectKey(const core::Effect& effect) { return std::visit(Keyer{}, effect); }

void EffectQueue::Push(core::Effect effect) {
  const std::string key = EffectKey(effect);
  auto& queue = waiting_[key];
  queue.push_back(std::move(effect));
  ++size_;
  if (queue.size() == 1 && !in_flight_.contains(key)) MakeReady(key);
}

void EffectQueue::MakeReady(const std::string& key) {
  (Tells(waiting_.at(key).front()) ? tells_ : acts_).push_back(key);
}

std::optional<core::Effect> EffectQueue::Pop() {
  if (!ready()) return std::nullopt;
  const bool tell = acts_.empty() || (!tells_.empty() && passed_over_ == kMostPassedOver);
  passed_over_ = tell || tells_.empty() ? 0 : passed_over_ + 1;
  auto& ready = tell ? tells_ : acts_;
  const std::string key = std::move(ready.front());
  ready.pop_front();
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
  if (waiting_.contains(key)) MakeReady(key);
}

}  // namespace spillway::runtime
