#include "operator/core/tasks/pod_usage.h"

#include <algorithm>

#include "operator/core/scheduling/assume.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/world.h"

namespace spillway::core {

namespace {

// A DaemonSet's pod, or a static one.
bool IsDaemon(const api::Pod& pod) {
  return std::any_of(pod.meta.owners.begin(), pod.meta.owners.end(), [](const auto& owner) {
    return owner.controller && (owner.kind == "DaemonSet" || owner.kind == "Node");
  });
}

// Mostly its task's shape has it.
Shared<Demand> DemandOf(const PodState& state) {
  Demand demand{state.object.requests, state.object.host_ports, state.task, state.exclusive,
                IsDaemon(state.object)};
  const TaskState* task = TaskOf(state);
  if (task != nullptr && task->shape != nullptr && *task->shape->demand == demand)
    return task->shape->demand;
  return demand;
}

// What its task knows better than the pod, of which others may have taken something away.
void TakeFromTask(PodState& state) {
  const TaskState* task = TaskOf(state);
  if (task == nullptr) return;
  state.task = true;
  state.exclusive = task->object.spec.exclusive;
  api::Pod& pod = state.object;
  // Its creation may have been given up, and the next one be meant for another node.
  if (!pod.intended || !pod.node_name.empty()) return;
  for (const auto& binding : {task->creating, task->binding}) {
    if (binding != nullptr && binding->pod_name == pod.meta.name)
      pod.node_name = binding->node_name;
  }
}

}  // namespace

void CountPod(World& world, PodState& state) {
  const api::Pod& pod = state.object;
  TakeFromTask(state);
  const TaskState* task = TaskOf(state);
  if (task != nullptr && task->creating && task->creating->pod_name == pod.meta.name)
    ForgetAssumed(world, *task->owner);
  // A pod that waits for its gates may do so for long: meanwhile its room is for others.
  const bool gated = pod.unscheduled && pod.waiting_reason == "SchedulingGated";
  if (pod.node_name.empty() || pod.terminal() || (pod.intended && !state.task) || gated) {
    Unbook(world.servers, state.place);
    return;
  }
  NodeState& node = world.servers.nodes[pod.node_name];
  if (!node.object && node.named_by == 0) node.named_by = pod.meta.resource_version;
  const Shared<Demand> demand = DemandOf(state);
  Book(world.servers, state.place, world.servers.ledger.Keep(pod.node_name),
       {demand, state.owner, demand->task ? &world.scheduling.tenants[pod.meta.ns].used : nullptr});
  if (!pod.started) return;
  // What was measured before its start was heard of may cover it: then there is more room.
  if (const NodeUsage* usage = world.servers.ledger.Started(state.place, *pod.started))
    Reindex(world.servers, *usage, true);
}

}  // namespace spillway::core
