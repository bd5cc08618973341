#include "tests/simulation/witness.h"

#include <algorithm>

#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/tasks/lost_pods.h"

namespace spillway::simulation {
namespace {

using api::Pod;
using std::chrono::seconds;

// The operator's own patience: a node that is not ready for so long has lost its pods. Its clock,
// once it was set ahead, goes a tenth faster until it is right.
constexpr Duration kLostAfter = core::kLostServerGrace * 10 / 11;
// Until a process does what it may do again.
constexpr Duration kLooksAgain = seconds(5);

}  // namespace

const PodRecord* TaskRecord::Attempt(int64_t attempt) const {
  const auto at = std::find_if(pods.rbegin(), pods.rend(),
                               [&](const PodRecord& pod) { return pod.attempt == attempt; });
  return at == pods.rend() ? nullptr : &*at;
}

void Witness::Changed(const core::Object* before, const core::Object* after, bool ours) {
  const core::Object& any = after != nullptr ? *after : *before;
  if (std::holds_alternative<Pod>(any)) {
    PodChanged(before == nullptr ? nullptr : &std::get<Pod>(*before),
               after == nullptr ? nullptr : &std::get<Pod>(*after), ours);
  } else if (const auto* node = std::get_if<api::Node>(&any)) {
    Health& health = nodes_[node->meta.name];
    health.there = after != nullptr;
    if (before == nullptr) health.appeared = now;
    if (!health.there) health.vanished = now;
    health.ready = node->ready == api::NodeReady::kTrue;
    Judge(health);
  } else if (const auto* server = std::get_if<api::RegisteredServer>(&any)) {
    servers_[server->meta.name].insert(server->spec.node_name);
  } else if (const auto* scale = std::get_if<api::ScaleRequest>(&any)) {
    if (after == nullptr || scale->meta.deleted) deleted_.try_emplace(scale->meta.uid, now);
  } else if (const auto* claim = std::get_if<api::CloudServer>(&any)) {
    if (claim->ready) ready_.insert(claim->request_uid);
  } else if (const auto* named = std::get_if<api::PriorityClass>(&any)) {
    values_[named->meta.name].emplace_back(now, named->value);
  } else if (std::holds_alternative<api::Budget>(any) && !ours) {
    budget_changed = now;
  }
}

void Witness::Judge(Health& node) const {
  const bool down = node.there && (node.silent || !node.ready);
  if (down == node.since.has_value()) return;
  if (down) {
    node.since = now;
  } else {
    node.downs.emplace_back(*node.since, now);
    node.since.reset();
  }
}

void Witness::Silent(const std::string& node, bool silent) {
  nodes_[node].silent = silent;
  Judge(nodes_[node]);
}

bool Witness::Lost(const std::string& node, Time since) const {
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) return true;
  const Health& health = at->second;
  if (!health.there || health.vanished >= since) return true;
  // It is another than before. What happened at one moment happened in either order.
  if (health.vanished != Time{} && health.appeared >= since) return true;
  const auto long_enough = [&](Time from, Time to) {
    return to >= since && to - from >= kLostAfter;
  };
  if (health.since && long_enough(*health.since, now)) return true;
  return std::any_of(health.downs.begin(), health.downs.end(),
                     [&](const auto& down) { return long_enough(down.first, down.second); });
}

bool Witness::Down(const std::string& node, Duration within) const {
  const auto at = nodes_.find(node);
  if (at == nodes_.end() || !at->second.there || at->second.since) return true;
  const Health& health = at->second;
  return health.vanished + within > now ||
         (!health.downs.empty() && health.downs.back().second + within > now);
}

void Witness::Created(const core::Write& write, const core::Object& object) {
  const Pod& pod = std::get<Pod>(object);
  TaskRecord& task = tasks_[write.uid];
  PodRecord record;
  record.key = pod.meta.key();
  record.uid = pod.meta.uid;
  record.node = pod.node_name;
  record.requests = {pod.requests.cpu_milli, pod.requests.memory};
  record.version = record.bound = pod.meta.resource_version;
  record.began = now;
  const auto asked = asked_for_.find({record.key, record.node});
  record.asked = asked == asked_for_.end() ? now : asked->second;
  if (write.pod) {
    record.exclusive = write.pod->exclusive;
    record.attempt = write.pod->assignment->attempt;
    record.estimate = write.pod->assignment->estimated_micros;
  }
  pods_[pod.meta.uid] = {write.uid, task.pods.size()};
  hosted_.insert(pod.node_name);
  if (Time& proven = proven_[pod.meta.ns]; proven < refused_[pod.meta.ns]) proven = now;
  task.pods.push_back(std::move(record));
}

void Witness::PodChanged(const Pod* before, const Pod* after, bool ours) {
  const Pod& any = after != nullptr ? *after : *before;
  PodRecord* const known = Find(any.meta.uid);
  if (known == nullptr) return;
  PodRecord& pod = *known;
  if (after != nullptr && before->intended && !after->intended) {
    pod.moved = pod.node != after->node_name;
    pod.node = after->node_name;
    pod.bound = after->meta.resource_version;
    hosted_.insert(pod.node);
  }
  const bool deleted = after == nullptr || (after->meta.deleted && !before->meta.deleted);
  if (deleted && pod.cause.empty() && (!ours || overlap)) pod.cause = "deleted";
  if (deleted && after != nullptr && !pod.over) pod.asked_to_end = true;
  const auto second = [](Time time) { return std::chrono::floor<seconds>(time); };
  if (deleted && pod.over) pod.unclear |= clocks_wrong || second(*pod.over) >= second(now);
  if (after != nullptr && after->phase == api::PodPhase::kRunning && !pod.ran) {
    pod.ran = now;
    nodes_[pod.node].took[pod.requests] = now;
  }
  if (after == nullptr || after->terminal()) {
    if (!pod.over) {
      pod.over = now;
      pod.own_fault = after != nullptr && after->phase == api::PodPhase::kFailed &&
                      !pod.disrupted && !pod.asked_to_end;
    }
    if (after != nullptr && pod.ended == 0) pod.ended = after->meta.resource_version;
  }
  if (after != nullptr && after->termination && !pod.end) pod.end = after->termination;
}

void Witness::Blame(const std::string& pod_uid, const std::string& cause) {
  PodRecord* const known = Find(pod_uid);
  if (known == nullptr) return;
  PodRecord& pod = *known;
  if (pod.cause.empty()) pod.cause = cause;
  pod.gave_way = pod.gave_way || cause == "gave way";
  if (cause == "unschedulable") pod.unbound = pod.node;
  if (cause != "refused") return;
  pod.refused = true;
  nodes_[pod.node].refused = now;
}

void Witness::Disrupt(const std::string& pod_uid, const std::string& cause) {
  Blame(pod_uid, cause);
  PodRecord* const known = Find(pod_uid);
  if (known == nullptr) return;
  PodRecord& pod = *known;
  pod.disrupted = true;
  if (cause != "turned away") return;
  pod.turned_away = true;
  nodes_[pod.node].refused = now;  // whoever has not seen it run takes it for refused
}

int Witness::OwnFaults(const TaskRecord& task) {
  return static_cast<int>(std::count_if(task.pods.begin(), task.pods.end(),
                                        [](const PodRecord& pod) { return pod.own_fault; }));
}

void Witness::Stopped(const std::string& pod_uid) {
  if (PodRecord* pod = Find(pod_uid)) pod->stopped = true;
}

std::optional<int64_t> Witness::LowestOf(const std::string& priority_class, Time since) const {
  const auto at = values_.find(priority_class);
  if (at == values_.end()) return std::nullopt;
  int64_t lowest = at->second.back().second;
  for (auto value = at->second.rbegin(); value != at->second.rend(); ++value) {
    lowest = std::min(lowest, value->second);
    if (value->first < since) break;
  }
  return lowest;
}

bool Witness::Unproven(const std::string& ns) const {
  const auto refused = refused_.find(ns);
  if (refused == refused_.end()) return false;
  const auto proven = proven_.find(ns);
  return proven == proven_.end() || proven->second < refused->second ||
         now < proven->second + seconds(5);
}

bool Witness::RefusedBy(const std::string& node, Duration within) const {
  const auto at = nodes_.find(node);
  return at != nodes_.end() && at->second.refused != Time{} && now < at->second.refused + within;
}

void Witness::TakenBack(const std::string& pod_uid, const api::Resources& asked) {
  PodRecord* const known = Find(pod_uid);
  if (known == nullptr) return;
  PodRecord& pod = *known;
  pod.taken_back = true;
  if (pod.unbound.empty()) return;
  auto& all = nodes_[pod.unbound].unbound[{asked.cpu_milli, asked.memory}];
  std::erase_if(all, [&](const auto& each) { return each.second == pod_uid; });
  all.emplace_back(now, pod_uid);
}

bool Witness::HasNoneFor(const std::string& node, const api::Resources& asked) const {
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) return false;
  const auto pods = at->second.unbound.find({asked.cpu_milli, asked.memory});
  if (pods == at->second.unbound.end()) return false;
  Time last{};
  int times = 0;  // in a row
  for (const auto& [taken, uid] : pods->second) {
    times = taken < last + core::kForgetRefusal ? times + 1 : 1;
    last = taken;
  }
  // What its kubelet refused is counted with them.
  const bool both = RefusedBy(node, core::kForgetRefusal + core::kPassOver.last);
  const Duration pass =
      both ? Duration(core::kPassOver.last) : Duration(BackoffAfter(times, core::kPassOver, 0));
  return now < last + pass + kLooksAgain;
}

const TaskRecord* Witness::Task(const std::string& uid) const {
  const auto at = tasks_.find(uid);
  return at == tasks_.end() ? nullptr : &at->second;
}

const PodRecord* Witness::RecordOf(const std::string& pod_uid) const {
  const auto at = pods_.find(pod_uid);
  return at == pods_.end() ? nullptr : &tasks_.at(at->second.first).pods[at->second.second];
}

PodRecord* Witness::Find(const std::string& pod_uid) {
  const auto at = pods_.find(pod_uid);
  return at == pods_.end() ? nullptr : &tasks_.at(at->second.first).pods[at->second.second];
}

const std::string* Witness::OwnerOf(const std::string& pod_uid) const {
  const auto at = pods_.find(pod_uid);
  return at == pods_.end() ? nullptr : &at->second.first;
}

int Witness::Refusals(const std::string& task_uid, const std::string& node, Duration within,
                      const std::function<bool(const std::string&)>& told) const {
  const TaskRecord* task = Task(task_uid);
  const auto at = nodes_.find(node);
  if (task == nullptr || at == nodes_.end()) return 0;
  return static_cast<int>(
      std::count_if(task->pods.begin(), task->pods.end(), [&](const PodRecord& pod) {
        const auto took = at->second.took.find(pod.requests);
        return pod.refused && !pod.stopped && !pod.asked_to_end && pod.node == node && pod.over &&
               *pod.over >= at->second.appeared && now < *pod.over + within &&
               (took == at->second.took.end() || took->second < *pod.over) && told(pod.uid);
      }));
}

int Witness::Causes(const TaskRecord& task) const {
  int causes = task.edits + task.late;
  for (const PodRecord& pod : task.pods)
    causes += !pod.cause.empty() || pod.unclear || Lost(pod.node, pod.asked) ||
                      pod.began >= pod.asked + core::kSlowAnswer - seconds(1)
                  ? 1
                  : 0;
  return causes;
}

bool Witness::Rested(const std::string& task_uid, Duration time) const {
  if (const auto at = refused_.find(task_uid); at != refused_.end() && now < at->second + time)
    return false;
  const TaskRecord* task = Task(task_uid);
  return task == nullptr || std::all_of(task->pods.begin(), task->pods.end(), [&](const auto& pod) {
           return pod.over && now >= *pod.over + time;
         });
}

bool Witness::Unrecorded(const api::TaskRequest& task) const {
  const TaskRecord* record = Task(task.meta.uid);
  if (record == nullptr || record->pods.empty()) return false;
  const auto& attempts = task.status.attempts;
  return std::any_of(record->pods.begin(), record->pods.end(), [&](const PodRecord& pod) {
    return !pod.over || attempts.empty() || attempts.back().attempt < pod.attempt;
  });
}

bool Witness::ServedBy(const std::string& server, const std::string& node) const {
  const auto at = servers_.find(server);
  return server == node || (at != servers_.end() && at->second.contains(node));
}

}  // namespace spillway::simulation
