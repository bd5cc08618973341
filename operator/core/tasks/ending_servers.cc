#include "operator/core/tasks/ending_servers.h"

#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/cleanup.h"

namespace spillway::core {
namespace {

// Null if it does not end.
const Ending* EndingOf(const World& world, const TaskState& task) {
  if (!task.binding) return nullptr;
  const auto node = world.servers.nodes.find(task.binding->node_name);
  if (node == world.servers.nodes.end()) return nullptr;
  const ServerState* server = node->second.server;
  if (server == nullptr) return node->second.ending ? &*node->second.ending : nullptr;
  const bool its = server->ending && server->object.meta.name == task.binding->server;
  return its ? &*server->ending : nullptr;
}

// What has not begun loses nothing; but what must not run twice may begin before it is deleted.
Time StopAt(const World& world, const TaskState& task, const Ending& ending, const api::Pod& pod) {
  const bool waits = pod.phase != api::PodPhase::kRunning && !pod.started_any;
  if (!ending.at || (waits && task.object.spec.retry.loss_limit > 0)) return world.now;
  return *ending.at - pod.grace - kStopMargin;
}

}  // namespace

std::string EndingText(const World& world, const TaskState& task) {
  const Ending* ending = EndingOf(world, task);
  return ending == nullptr ? "" : DescribeEnding(*ending);
}

void FollowEnding(World& world, TaskState& task, const api::Pod& pod) {
  const Ending* ending = EndingOf(world, task);
  if (ending == nullptr || pod.meta.deleted) return;
  const Time stop = StopAt(world, task, *ending, pod);
  if (world.now < stop) return world.tasks.Wake(task, stop);
  DeletePod(world, task, pod, std::nullopt);
}

std::pair<std::string, std::string> WhyLost(const World& world, const TaskState& task,
                                            std::string reason, std::string message) {
  const std::string ending = EndingText(world, task);
  if (ending.empty()) return {std::move(reason), std::move(message)};
  return {kServerEnding, ending + "; " + message};
}

}  // namespace spillway::core
