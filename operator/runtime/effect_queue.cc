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
  std::string operator()(const core::AskCloud& ask) const {
    const bool ensure = ask.op == core::AskCloud::Op::kEnsure;
    return "/cloud/" + ask.engine() + "/" + (ensure ? ask.pool.meta.name : ask.server.pool);
  }
  std::string operator()(const auto& effect) const { return effect.ns; }
};

struct Classifier {
  std::string operator()(const core::Write& write) const {
    const char* verb = write.verb == core::Verb::kCreate   ? "create "
                       : write.verb == core::Verb::kDelete ? "delete "
                                                           : "patch ";
    return verb + std::string(core::ToString(write.kind));
  }
  // Engines have nothing to do with each other.
  std::string operator()(const core::AskCloud& ask) const {
    const char* what = ask.op == core::AskCloud::Op::kEnsure    ? "ensure "
                       : ask.op == core::AskCloud::Op::kRelease ? "release "
                                                                : "diagnose ";
    return what + ask.engine();
  }
  std::string operator()(const core::Note&) const { return "Event"; }
  std::string operator()(const core::AskWhy&) const { return "Why"; }
};

constexpr int kMostPassedOver = 3;
constexpr size_t kManyRefusals = 1'000;

// Nothing follows from it but what is told.
bool MayBeDropped(const core::Effect& effect) {
  return std::holds_alternative<core::Note>(effect) || std::holds_alternative<core::AskWhy>(effect);
}

bool Tells(const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  return write != nullptr ? write->verb == core::Verb::kPatchStatus
                          : !std::holds_alternative<core::AskCloud>(effect);
}

}  // namespace

std::string EffectKey(const core::Effect& effect) { return std::visit(Keyer{}, effect); }
std::string EffectGroup(const core::Effect& effect) { return std::visit(Grouper{}, effect); }

std::string EffectClass(const core::Effect& effect) { return std::visit(Classifier{}, effect); }

EffectQueue::EffectQueue(size_t workers)
    : least_(std::max<size_t>(2, workers / 8)),
      most_of_lane_(std::max(least_, workers / 2)),
      most_(std::max(least_, workers * 3 / 4)),
      most_slow_(std::max(least_, workers / 4)),
      always_(std::max<size_t>(1, workers / 16)),
      most_of_group_(std::max(most_, workers - workers / 8)) {}

EffectQueue::Object& EffectQueue::Find(const std::string& key, const core::Effect& effect) {
  const auto [object, is_new] = objects_.try_emplace(key);
  if (is_new) {
    object->second.group = groups_.try_emplace(EffectGroup(effect)).first;
    ++object->second.group->second.objects;
  }
  return object->second;
}

EffectQueue::Lane& EffectQueue::LaneOf(Group& group, const core::Effect& effect) {
  std::string name = EffectClass(effect);
  const auto known = group.lanes.find(name);
  if (known != group.lanes.end()) return known->second;
  Class& kind = classes_[name];
  kind.tells = Tells(effect);
  // An engine may take its time over each of its servers.
  const bool engine = std::holds_alternative<core::AskCloud>(effect);
  const size_t least = engine ? most_slow_ : least_;
  kind.most_slow = engine ? most_of_lane_ : most_slow_;
  return group.lanes.emplace(std::move(name), Lane{&group, &kind, least, least, {}, engine})
      .first->second;
}

void EffectQueue::Wait(Group& group, const core::Effect& effect, int change) {
  size_ += static_cast<size_t>(change);
  if (!MayBeDropped(effect)) return;
  notes_ += static_cast<size_t>(change);
  group.notes += static_cast<size_t>(change);
}

bool EffectQueue::HasRoom(const core::Effect& effect) const {
  if (!MayBeDropped(effect)) return true;
  const auto group = groups_.find(EffectGroup(effect));
  return notes_ + (group == groups_.end() ? 0 : group->second.notes) < kMostNotes;
}

std::optional<core::Effect> EffectQueue::Push(core::Effect effect, Time now) {
  if (!HasRoom(effect)) return effect;
  std::string key = EffectKey(effect);
  Object& object = Find(key, effect);
  if (std::holds_alternative<core::AskWhy>(effect) && !object.waiting.empty()) return effect;
  Wait(object.group->second, effect, 1);
  object.waiting.push_back({std::move(effect), key, 0, now});
  if (object.waiting.size() == 1 && !object.held) Offer(key, object, now);
  return std::nullopt;
}

void EffectQueue::Offer(const std::string& key, Object& object, Time now) {
  const auto refusals = refusals_.find(key);
  if (refusals != refusals_.end() && now < refusals->second.until) {
    object.held = true;
    later_.emplace(refusals->second.until, key);
    return;
  }
  Lane& lane = LaneOf(object.group->second, object.waiting.front().effect);
  if (lane.ready.empty()) lane.kind->turns.push_back(&lane);
  lane.ready.push_back(key);
}

bool EffectQueue::MayStart(const Lane& lane) const {
  if (lane.in_flight >= lane.most) return false;
  if (lane.slow && lane.kind->slow_in_flight >= lane.kind->most_slow) return false;
  // What is quick of the class may never pause: a slow lane does not wait for that.
  const size_t own = lane.engine ? lane.kind->in_flight : lane.kind->slow_in_flight;
  const size_t patient = own == 0 ? most_ : most_of_lane_;
  if (lane.patient() && patient_in_flight_ >= patient) return false;
  const size_t all = lane.group->in_flight;
  return all < most_ || (all < most_of_group_ && lane.in_flight < always_);
}

std::deque<EffectQueue::Lane*>::iterator EffectQueue::First(Class& kind) const {
  if (kind.in_flight >= most_) return kind.turns.end();
  return std::find_if(kind.turns.begin(), kind.turns.end(),
                      [&](const Lane* lane) { return MayStart(*lane); });
}

EffectQueue::Class* EffectQueue::Next(bool tells) {
  Class* next = nullptr;
  for (auto& [name, kind] : classes_) {
    if (kind.tells != tells || (next != nullptr && next->served <= kind.served)) continue;
    if (First(kind) != kind.turns.end()) next = &kind;
  }
  return next;
}

void EffectQueue::Fly(Lane& lane, int change) {
  for (size_t* count : {&lane.in_flight, &lane.group->in_flight, &lane.kind->in_flight})
    *count += static_cast<size_t>(change);
  if (lane.slow) lane.kind->slow_in_flight += static_cast<size_t>(change);
  if (lane.patient()) patient_in_flight_ += static_cast<size_t>(change);
}

void EffectQueue::SetSlow(Lane& lane, bool slow) {
  if (slow) lane.most = lane.least;
  if (lane.slow == slow) return;
  // What is in flight counts as the lane does.
  const auto flying = static_cast<int>(lane.in_flight);
  Fly(lane, -flying);
  lane.slow = slow;
  Fly(lane, flying);
}

void EffectQueue::NoteOverdue(Time now) {
  while (!flying_.empty() && flying_.begin()->first + kSlowEffect <= now) {
    Lane& lane = *objects_.at(flying_.begin()->second).lane;
    ++lane.overdue;
    SetSlow(lane, true);
    flying_.erase(flying_.begin());
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
  NoteOverdue(now);
  return Next(false) != nullptr || Next(true) != nullptr;
}

std::optional<Job> EffectQueue::Pop(Time now) {
  WakeDue(now);
  NoteOverdue(now);
  Class *act = Next(false), *tell = Next(true);
  if (act == nullptr && tell == nullptr) return std::nullopt;
  const bool tells = act == nullptr || (tell != nullptr && passed_over_ == kMostPassedOver);
  passed_over_ = tells || tell == nullptr ? 0 : passed_over_ + 1;
  Class& kind = tells ? *tell : *act;
  kind.served = ++served_;
  const auto turn = First(kind);
  Lane& lane = **turn;
  kind.turns.erase(turn);
  const std::string key = std::move(lane.ready.front());
  lane.ready.pop_front();
  if (!lane.ready.empty()) kind.turns.push_back(&lane);
  Object& object = objects_.at(key);
  Job job = std::move(object.waiting.front());
  object.waiting.pop_front();
  object.held = true;
  object.lane = &lane;
  object.since = now;
  flying_.emplace(now, key);
  Fly(lane, 1);
  Wait(*lane.group, job.effect, -1);
  return job;
}

EffectQueue::Object& EffectQueue::Land(const Job& job, Time now) {
  Object& object = objects_.at(job.key);
  Lane& lane = *std::exchange(object.lane, nullptr);
  if (flying_.erase({object.since, job.key}) == 0) --lane.overdue;
  Fly(lane, -1);
  const bool slow = now - object.since >= kSlowEffect;
  lane.quick = slow ? 0 : lane.quick + 1;
  SetSlow(lane, slow || (lane.slow && (lane.overdue > 0 || lane.quick < lane.least)));
  if (!lane.slow) lane.most = std::min(most_of_lane_, lane.most + 1);
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
  if (group->second.objects == 0) groups_.erase(group);
}

void EffectQueue::Again(Job job, Time now, Time at) {
  Object& object = Land(job, now);
  later_.emplace(at, job.key);
  ++job.attempts;
  Wait(object.group->second, job.effect, 1);
  object.waiting.push_front(std::move(job));
}

void EffectQueue::NoteRefusal(const std::string& key, Time now, bool refused) {
  if (!refused) {
    refusals_.erase(key);
    return;
  }
  // At most once a second: all are looked at.
  if (refusals_.size() >= kManyRefusals && now >= pruned_at_ + std::chrono::seconds(1)) {
    pruned_at_ = now;
    std::erase_if(refusals_,
                  [&](const auto& entry) { return entry.second.until + kAfterRefusal.last < now; });
  }
  Refusals& known = refusals_[key];
  ++known.count;
  known.until =
      now + BackoffAfter(known.count, kAfterRefusal,
                         std::hash<std::string>{}(key) + static_cast<size_t>(known.count));
}

}  // namespace spillway::runtime
