#include "operator/core/tasks/cleanup.h"

#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

// Its pods go, and what they said is in its status; it stays, so that it is not run again.
void DeletePodsWhenOld(World& world, TaskState& task, Time finished) {
  if (task.owner->pods.empty() ||
      !WakeUnlessPassed(world, task, finished, task.object.spec.pod_ttl))
    return;
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (pod->terminal() && !pod->meta.deleted) DeletePod(world, task, *pod, std::nullopt);
  }
}

}  // namespace

void DeletePod(World& world, TaskState& task, const api::Pod& pod, std::optional<int64_t> grace) {
  if (!task.pods_deleted) task.pods_deleted.emplace();
  Deletion& deletion = (*task.pods_deleted)[pod.meta.uid];
  // Who was to end it may be gone since.
  if (grace == 0 && !deletion.forced) deletion.sent = false;
  Time wake = kNever;
  if (!MayDelete(world, deletion, &wake)) return world.tasks.Wake(task, wake);
  deletion.sent = true;
  deletion.forced = grace == 0;
  if (deletion.asked_at == Time{}) deletion.asked_at = world.now;
  Write write{Verb::kDelete, Kind::kPod, pod.meta.ns, pod.meta.name,
              pod.meta.uid,  0,          nullptr,     grace};
  write.task = task.object.meta.name;
  write.task_uid = task.uid();
  write.attempt = AttemptOf(task.object.meta.name, pod.meta.name);
  world.effects.push_back(std::move(write));
}

void DeleteOrphans(World& world, TaskState& task) {
  const int64_t last = LastEnded(task);
  const auto& pods = task.owner->pods;
  size_t ended = 0;
  for (auto at = pods.rbegin(); at != pods.rend(); ++at) {
    const auto& [attempt, seen] = *at;
    if (task.binding && task.binding->attempt == attempt) continue;
    const api::Pod& pod = *seen;
    if (pod.terminal()) {
      if (attempt <= last && ++ended > kKeptPods) DeletePod(world, task, pod, std::nullopt);
      continue;
    }
    const bool node_gone = !pod.node_name.empty() && !pod.intended && NodeVanished(world, pod);
    if (pod.meta.deleted && !node_gone) continue;
    // Nobody is left on a vanished node to confirm the end of a pod.
    DeletePod(world, task, pod, node_gone ? std::optional<int64_t>(0) : std::nullopt);
  }
}

void DeleteWhenOld(World& world, TaskState& task) {
  const auto& ttl = task.object.spec.ttl_after_finished;
  const auto& result = task.object.status.result;
  if (task.writer.in_flight || task.status_due != kNever) return;
  const Time finished = result && result->finished_at ? *result->finished_at : world.now;
  DeletePodsWhenOld(world, task, finished);
  if (task.object.meta.deleted || !WakeUnlessPassed(world, task, finished, ttl)) return;
  if (!task.deletion) task.deletion.emplace();
  Time wake = kNever;
  if (!MayDelete(world, *task.deletion, &wake)) return world.tasks.Wake(task, wake);
  task.deletion->sent = true;
  const api::ObjectMeta& meta = task.object.meta;
  Write write{Verb::kDelete, Kind::kTask, meta.ns, meta.name, meta.uid, 0, nullptr, std::nullopt};
  write.task = meta.name;
  write.task_uid = meta.uid;
  write.attempt = LatestAttempt(task);
  world.effects.push_back(std::move(write));
}

}  // namespace spillway::core
