#include "operator/runtime/effect_queue.h"

#include <algorithm>
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

struct Grouper {
  std::string operator()(const core::AskCloud& ask) const { return "/cloud/" + ask.engine(); }
  std::string operator()(const auto& effect) const { return effect.ns; }
};

constexpr int kMostPassedOver = 3;
constexpr size_t kManyRefusals = 1'000;

size_t Tells(const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  const bool tells = write != nullptr ? write->verb == core::Verb::kPatchStatus
                                      : std::holds_alternative<core::Note>(effect) ||
                                            std::holds_alternative<core::AskWhy>(effect);
  return tells ? 1 : 0;
}

}  // namespace

std::string EffectKey(const core::Effect& effect) { return std::visit(Keyer{}, effect); }
std::string EffectGroup(const core::Effect& effect) { return std::visit(Grouper{}, effect); }

EffectQueue::EffectQueue(size_t workers)
    : least_(std::max<size_t>(2, workers / 4)), most_(std::max(least_, workers * 3 / 4)) {}

EffectQueue::Object& EffectQueue::Find(const std::string& key, const core::Effect& effect) {
  const auto [object, is_new] = objects_.try_emplace(key);
  if (is_new) {
    object->second.group = groups_.try_emplace(EffectGroup(effect)).first;
    Group& group = object->second.group->second;
    if (group.objects++ == 0) group.most = least_;
  }
  return object->second;
}

void EffectQueue::Push(core::Effect effect, Time now) {
  std::string key = EffectKey(effect);
  Object& object = Find(key, effect);
  object.waiting.push_back({std::move(effect), key, 0, now});
  ++size_;
  if (object.waiting.size() == 1 && !object.held) Offer(key, object, now);
}

void EffectQueue::Offer(const std::string& key, Object& object, Time now) {
  const auto refusals = refusals_.find(key);
  if (refusals != refusals_.end() && now < refusals->second.until) {
    object.held = true;
    later_.emplace(refusals->second.until, key);
    return;
  }
  Group& group = object.group->second;
  group.ready[Tells(object.waiting.front().effect)].push_back(key);
  TakeTurns(group);
}

void EffectQueue::TakeTurns(Group& group) {
  if (group.in_flight >= group.most) return;
  for (size_t kind : {0, 1}) {
    if (group.ready[kind].empty() || std::exchange(group.in_turn[kind], true)) continue;
    turns_[kind].push_back(&group);
  }
}

void EffectQueue::SkipFull() {
  for (size_t kind : {0, 1}) {
    auto& turn = turns_[kind];
    while (!turn.empty() && turn.front()->in_flight >= turn.front()->most) {
      turn.front()->in_turn[kind] = false;
      turn.pop_front();
    }
  }
}

void EffectQueue::WakeDue(Time now) {
  while (next() <= now) {
    const std::string key = std::move(later_.begin()->second);
    later_.erase(later_.begin());
    Object& object = objects_.at(key);
    object.held = false;
    Offer(key, object, now);
  }
}

bool EffectQueue::ready(Time now) {
  WakeDue(now);
  return !turns_[0].empty() || !turns_[1].empty();
}

std::optional<Job> EffectQueue::Pop(Time now) {
  if (!ready(now)) return std::nullopt;
  const bool tell = turns_[0].empty() || (!turns_[1].empty() && passed_over_ == kMostPassedOver);
  passed_over_ = tell || turns_[1].empty() ? 0 : passed_over_ + 1;
  const size_t kind = tell ? 1 : 0;
  Group& group = *turns_[kind].front();
  turns_[kind].pop_front();
  group.in_turn[kind] = false;
  Object& object = objects_.at(group.ready[kind].front());
  group.ready[kind].pop_front();
  Job job = std::move(object.waiting.front());
  object.waiting.pop_front();
  object.held = true;
  object.since = now;
  ++group.in_flight;
  --size_;
  TakeTurns(group);
  SkipFull();
  return job;
}

EffectQueue::Object& EffectQueue::Land(const Job& job, Time now) {
  Object& object = objects_.at(job.key);
  Group& group = object.group->second;
  --group.in_flight;
  const bool slow = now - object.since >= kSlowEffect;
  group.most = slow ? least_ : std::min(most_, group.most + 1);
  return object;
}

void EffectQueue::Done(const Job& job, Time now, bool refused) {
  Object& object = Land(job, now);
  NoteRefusal(job.key, now, refused);
  object.held = false;
  const auto group = object.group;
  if (!object.waiting.empty()) {
    Offer(job.key, object, now);
  } else {
    objects_.erase(job.key);
    --group->second.objects;
  }
  if (group->second.objects > 0) {
    TakeTurns(group->second);
  } else {
    groups_.erase(group);
  }
  SkipFull();
}

void EffectQueue::Again(Job job, Time now, Time at) {
  Object& object = Land(job, now);
  later_.emplace(at, job.key);
  ++job.attempts;
  object.waiting.push_front(std::move(job));
  ++size_;
  TakeTurns(object.group->second);
  SkipFull();
}

void EffectQueue::NoteRefusal(const std::string& key, Time now, bool refused) {
  if (!refused) {
    refusals_.erase(key);
    return;
  }
  if (refusals_.size() >= kManyRefusals)
    std::erase_if(refusals_,
                  [&](const auto& entry) { return entry.second.until + kAfterRefusal.last < now; });
  Refusals& known = refusals_[key];
  ++known.count;
  known.until =
      now + BackoffAfter(known.count, kAfterRefusal,
                         std::hash<std::string>{}(key) + static_cast<size_t>(known.count));
}

}  // namespace spillway::runtime
