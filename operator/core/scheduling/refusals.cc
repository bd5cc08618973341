#include "operator/core/scheduling/refusals.h"

#include <algorithm>

namespace spillway::core {
namespace {

template <typename S>
S& Kept(S& shape) {
  return shape.paid == nullptr ? shape : *shape.paid;
}

void MarkChanged(World& world, uint32_t slot) {
  world.servers.property_log.Add(slot);
  world.servers.capacity_log.Add(slot);
  ++world.generation;
}

}  // namespace

bool Refused(const api::Pod& pod) {
  return pod.phase == api::PodPhase::kFailed && !pod.started_any && !pod.started &&
         !pod.termination;
}

bool NeverRan(const api::Pod& pod) { return Refused(pod) && !pod.disrupted && !pod.meta.deleted; }

void NoteRefusal(World& world, TaskState& task, const std::string& why) {
  const auto server = world.servers.by_name.find(task.binding->server);
  if (server == world.servers.by_name.end()) return;
  auto& refused = Kept(*task.shape).refused;
  if (!refused) refused.emplace();
  ServerRefusal& refusal = (*refused)[server->second.object.meta.uid];
  if (world.now < refusal.until) return;  // by another pod that was on its way there
  refusal.slot = server->second.slot;
  refusal.at = world.now;
  refusal.until = world.now + BackoffAfter(++refusal.times, kPassOver, 0);
  refusal.why = why;
  world.scheduling.refusals_end.emplace(refusal.until, refusal.slot);
  world.scheduling.refusals_end.emplace(refusal.at + kForgetRefusal, refusal.slot);
  MarkChanged(world, refusal.slot);
}

void NoteAccepted(World& world, const TaskState& task) {
  auto& refused = Kept(*task.shape).refused;
  if (!refused) return;
  const auto server = world.servers.by_name.find(task.binding->server);
  if (server == world.servers.by_name.end() || refused->erase(server->second.object.meta.uid) == 0)
    return;
  if (refused->empty()) refused.reset();
  MarkChanged(world, server->second.slot);
}

void TakeRefusals(World& world, const Shape& from, Shape& to) {
  if (!Kept(from).refused) return;
  auto& refused = Kept(to).refused;
  if (!refused) refused.emplace();
  for (const auto& [uid, refusal] : *Kept(from).refused) {
    if (refused->emplace(uid, refusal).second && world.servers.slots[refusal.slot] != nullptr)
      MarkChanged(world, refusal.slot);
  }
}

namespace {

void ForgetOld(World& world) {
  for (Shape* shape : world.scheduling.shapes.all()) {
    if (!shape->refused) continue;
    std::erase_if(*shape->refused, [&](const auto& refusal) {
      return world.now >= refusal.second.at + kForgetRefusal;
    });
    if (shape->refused->empty()) shape->refused.reset();
  }
}

}  // namespace

void EndRefusals(World& world) {
  auto& ends = world.scheduling.refusals_end;
  if (!ends.empty() && ends.begin()->first <= world.now) ForgetOld(world);
  while (!ends.empty() && ends.begin()->first <= world.now) {
    const uint32_t slot = ends.begin()->second;
    ends.erase(ends.begin());
    if (slot < world.servers.slots.size() && world.servers.slots[slot] != nullptr)
      MarkChanged(world, slot);
  }
  if (!ends.empty()) world.WakeAt(ends.begin()->first);
}

std::vector<uint32_t> RefusedBefore(const World& world, const Shape& shape) {
  std::vector<uint32_t> slots;
  const auto& refused = Kept(shape).refused;
  if (!refused) return slots;
  for (const auto& [uid, refusal] : *refused) {
    const ServerState* server =
        world.servers.slots[refusal.slot];  // another one may have it by now
    if (server != nullptr && server->object.meta.uid == uid) slots.push_back(refusal.slot);
  }
  std::sort(slots.begin(), slots.end());
  return slots;
}

namespace {

// server: one that was bought.
void NoteIn(CloudRefusal& refusal, const World& world, const std::string& server,
            BackoffRange pause) {
  if (refusal.server == server && world.now < refusal.until) return;
  refusal.server = server;
  refusal.at = world.now;
  refusal.until = world.now + BackoffAfter(++refusal.times, pause, 0);
}

CloudRefusal& OwnRefusal(TaskState& task) {
  if (!task.refused_in_cloud) task.refused_in_cloud.emplace();
  return *task.refused_in_cloud;
}

}  // namespace

void NoteRefusalInCloud(const World& world, TaskState& task, BackoffRange pause) {
  if (task.binding->cloud) NoteIn(OwnRefusal(task), world, task.binding->server, pause);
}

void NoteDenialInCloud(const World& world, TaskState& task) {
  if (task.binding->cloud)
    NoteIn(task.admission->refused_in_cloud, world, task.binding->server, kNextPurchase);
}

void NoteUnusedInCloud(const World& world, TaskState& task, const std::string& server) {
  const bool of_kind = task.admission != nullptr && !task.admission->known;
  NoteIn(of_kind ? task.admission->refused_in_cloud : OwnRefusal(task), world, server,
         kNextPurchase);
}

namespace {

// Until when none is bought for any task of this kind, whose pods could not be created. That is
// over once pods of the namespace that had been refused are created again.
std::optional<Time> DeniedInCloud(const World& world, const TaskState& task) {
  if (task.admission == nullptr) return std::nullopt;
  const CloudRefusal& refusal = task.admission->refused_in_cloud;
  if (world.now >= refusal.until || refusal.at < task.tenant->eased_at) return std::nullopt;
  return refusal.until;
}

}  // namespace

std::optional<Time> RefusedInCloud(const World& world, const TaskState& task) {
  const auto if_ahead = [&](Time until) {
    return world.now < until ? std::optional(until) : std::nullopt;
  };
  if (const auto until = DeniedInCloud(world, task)) return until;
  if (task.refused_in_cloud) return if_ahead(task.refused_in_cloud->until);
  // Before this process began.
  const api::TaskStatus& status = task.object.status;
  if (!status.assignment || !status.assignment->cloud || status.attempts.empty())
    return std::nullopt;
  const api::Attempt& last = status.attempts.back();
  if (last.reason != kUnschedulable || last.attempt != status.assignment->attempt)
    return std::nullopt;
  return if_ahead(last.finished_at.value_or(world.now) + kNoPurchase.first);
}

const ServerRefusal* PassedOver(const World& world, const Shape& shape, const ServerState& server) {
  const auto& refused = Kept(shape).refused;
  if (!refused) return nullptr;
  const auto at = refused->find(server.object.meta.uid);
  return at == refused->end() || world.now >= at->second.until ? nullptr : &at->second;
}

}  // namespace spillway::core
