#include "operator/core/tasks/carry_out.h"

#include <algorithm>
#include <utility>

#include "operator/core/scheduling/payment.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/tasks/recorded_first.h"
#include "operator/core/tasks/status.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {

std::shared_ptr<const Binding> BindingTo(const TaskState& task, const ServerState& server,
                                         std::string pod_name, int64_t attempt, Time at) {
  const api::RegisteredServerSpec& spec = server.object.spec;
  return std::make_shared<const Binding>(
      Binding{{server.object.meta.name, spec.node_name, spec.cloud, spec.pool, spec.scale_request,
               std::move(pod_name), attempt, at, EstimateCost(*task.shape, spec.price_micros)},
              spec.price_micros});
}

namespace {

// A bought server that was idle may have been a spare of its pool, which is replaced at once; one
// that nobody has used yet may be promised to another.
void WakeForSpares(World& world, const api::RegisteredServerSpec& server) {
  const auto at = world.provisioning.scales.find(server.scale_request);
  if (at == world.provisioning.scales.end()) return;
  const ScaleState& scale = at->second;
  if (scale.idle_since != kNever || !scale.hosted) world.WakeAt(world.now);
}

}  // namespace

bool CarryOut::MayStart(const TaskState& task) const {
  Time unused = kNever;
  return MayRecord(world_, task) && Lingering(world_, task, &unused) == nullptr;
}

void CarryOut::AwaitStart(TaskState& task) {
  Time wake = kNever;
  Lingering(world_, task, &wake);
  if (!MayRecord(world_, task)) wake = std::min(wake, task.tenant->unrecorded_until);
  if (wake != kNever) world_.tasks.Wake(task, wake);
}

void CarryOut::Bind(TaskState& task, const ServerState& server,
                    std::vector<std::string> other_nodes) {
  const int64_t attempt = NextAttempt(task);
  task.binding =
      BindingTo(task, server, PodName(task.object.meta.name, attempt), attempt, world_.now);
  task.confirmed = false;
  task.creating = task.binding;
  const api::ObjectMeta& meta = task.object.meta;
  Write write{Verb::kCreate, Kind::kPod, meta.ns, task.binding->pod_name,
              meta.uid,      0,          nullptr, std::nullopt};
  write.pod = PodOrder{task.pod_template,
                       meta.name,
                       task.binding,
                       task.object.spec.exclusive,
                       task.object.spec.priority_class,
                       task.shape->via_scheduler || task.admission->by_scheduler,
                       std::move(other_nodes),
                       annotations_(server.object.spec)};
  DescribeBound(world_, task);
  WakeForSpares(world_, server.object.spec);
  if (IsRecordedFirst(task)) return HoldCreation(world_, task, std::move(write));
  world_.effects.emplace_back(std::move(write));
}

void CarryOut::Fail(TaskState& task, const std::string& reason, const std::string& message) {
  Finish(world_, task, api::TaskPhase::kFailed, reason, message);
  RecordEvent(world_, task, true, reason, message);
  world_.tasks.to_reconcile.insert(*task.key);
}

namespace {

// The pod of the task's attempt, if somebody has asked for its end while it ran: that is why it
// ends, whatever else is decided by then. Null if nobody has.
const api::Pod* TakenPod(const TaskState& task) {
  const api::Pod* pod = task.binding ? PodOf(task, task.binding->attempt) : nullptr;
  if (pod == nullptr || pod->phase != api::PodPhase::kRunning) return nullptr;
  return IsAskedToEnd(*pod) ? pod : nullptr;
}

}  // namespace

void CarryOut::Requeue(TaskState& task, Duration pause, const std::string& reason,
                       const std::string& why) {
  if (const api::Pod* taken = TakenPod(task)) {
    LosePod(world_, task, *taken);
    ReconcileTask(world_, task);
    world_.tasks.touched.insert(*task.key);
    return;
  }
  if (pause > Duration{0}) BackOff(world_, task, pause);
  StopAttempt(world_, task, reason, why);
  DescribeWaiting(world_, task, api::TaskPhase::kPending, why);
  RecordEvent(world_, task, true, reason, why);
  ReconcileTask(world_, task);
  world_.tasks.touched.insert(*task.key);
}

}  // namespace spillway::core
