#include "operator/core/observe.h"

#include <algorithm>
#include <cstdlib>

#include "operator/core/budgets/budgets.h"
#include "operator/core/provisioning/scaling.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/gangs.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/attempts.h"
#include "operator/core/tasks/ownership.h"
#include "operator/core/tasks/pod_usage.h"
#include "operator/core/tasks/tasks.h"

namespace spillway::core {
namespace {

using api::ObjectMeta;

// ---- tasks ----

void ForgetTask(World& world, const std::string& key) {
  const auto at = world.tasks.by_key.find(key);
  if (at == world.tasks.by_key.end()) return;
  TaskState& task = at->second;
  Commit(world, task, 0);
  Dequeue(world, task);
  Settle(world, task);
  if (task.shape != nullptr && task.shape->tasks == 1) GiveUpReservation(world, *task.shape);
  LeaveGang(world, task);
  world.scheduling.shapes.Drop(task.shape);
  if (task.admission != nullptr) LeaveAdmission(world, task);
  world.scheduling.preemptible -= task.object.spec.preemption == api::Preemption::kAllowed ? 1 : 0;
  task.owner->task = nullptr;
  DropOwner(world, task.uid());
  world.tasks.to_reconcile.erase(key);
  world.tasks.touched.erase(key);
  world.explain.to_explain.erase(key);
  world.provisioning.nominated.erase(key);
  world.tasks.by_key.erase(at);
}

void AddTask(World& world, const api::TaskRequest& object) {
  ++world.explain.generation;
  const std::string key = object.meta.key();
  const auto at = world.tasks.by_key.try_emplace(key).first;
  TaskState& task = at->second;
  task.key = &at->first;
  task.object = object;
  task.owner = &world.tasks.owners[object.meta.uid];
  task.owner->task = &task;
  JoinGang(world, task);
  world.scheduling.preemptible += object.spec.preemption == api::Preemption::kAllowed ? 1 : 0;
  task.tenant = &world.scheduling.tenants[object.meta.ns];
  NoteSpent(*task.tenant, object.status);
  task.writer.written = Fingerprint(EncodeStatus(object.status));
  task.assigned_written = object.status.phase == api::TaskPhase::kAssigned ||
                          object.status.phase == api::TaskPhase::kRunning;
  if (object.status.retry_at) task.not_before = *object.status.retry_at;
  task.first_seen = world.now;
  if (object.status.phase == api::TaskPhase::kScaling)
    task.object.status.phase = api::TaskPhase::kPending;
  const auto shape = world.scheduling.shapes.Intern(object.spec);
  task.object.spec.pod_template.reset();
  task.object.spec.requirements = {};
  task.object.spec.placement.reset();
  task.object.meta.labels.clear();
  if (shape) {
    task.pod_template = (*shape)->Template(*object.spec.pod_template);
    JoinAdmission(world, task, **shape);
    if (!api::Finished(object.status.phase)) ShareConditions(task, *task.object.status.conditions);
    if (object.status.phase == api::TaskPhase::kSucceeded) NoteRun(task);
  } else if (!api::Finished(object.status.phase)) {
    task.object.status.observed_generation = object.meta.generation;
    Finish(world, task, api::TaskPhase::kFailed, "InvalidTemplate", shape.error().message);
  }
  TakePods(world, task);
}

bool SameEnd(const api::TaskStatus& a, const api::TaskStatus& b) {
  if (a.phase != b.phase || a.result.has_value() != b.result.has_value()) return false;
  if (!a.result) return true;
  // As they are written: to the second.
  const auto when = [](const api::TaskResult& result) {
    return std::chrono::floor<std::chrono::seconds>(result.finished_at.value_or(Time{}));
  };
  return when(*a.result) == when(*b.result) && a.result->exit_code == b.result->exit_code &&
         a.result->reason == b.result->reason && a.result->output == b.result->output;
}

// Another leader has ended the task: what stands in the API server is history, and ours gives way.
void AcceptEnd(World& world, TaskState& task, const api::TaskStatus& status) {
  Dequeue(world, task);
  task.binding.reset();
  task.nominated.clear();
  TakeSpentBack(*task.tenant, task.object.status);
  NoteSpent(*task.tenant, status);
  task.object.status = status;
  task.status_due = kNever;
  task.writer.written = Fingerprint(EncodeStatus(status));
  world.tasks.touched.insert(task.object.meta.key());
}

void SeeTask(World& world, const api::TaskRequest& object) {
  const std::string key = object.meta.key();
  auto at = world.tasks.by_key.find(key);
  if (at != world.tasks.by_key.end() && at->second.uid() != object.meta.uid) {
    if (at->second.object.meta.resource_version > object.meta.resource_version) return;
    ForgetTask(world, key);
    at = world.tasks.by_key.end();
  }
  if (at == world.tasks.by_key.end()) {
    AddTask(world, object);
  } else {
    TaskState& task = at->second;
    if (object.meta.resource_version <= task.object.meta.resource_version) return;
    if (task.object.meta.generation != object.meta.generation ||
        task.object.meta.deleted != object.meta.deleted)
      ++world.explain.generation;
    task.object.meta = object.meta;
    task.object.meta.labels.clear();
    task.object.spec.priority = object.spec.priority;
    task.object.spec.priority_class = object.spec.priority_class;
    task.object.spec.suspend = object.spec.suspend;
    task.object.spec.cancel = object.spec.cancel;
    if (api::Finished(object.status.phase) && !SameEnd(object.status, task.object.status))
      AcceptEnd(world, task, object.status);
  }
  world.tasks.to_reconcile.insert(key);
}

// ---- pods ----

void TouchOwner(World& world, const PodState& pod) {
  if (pod.owner != nullptr && pod.owner->task != nullptr)
    world.tasks.to_reconcile.insert(*pod.owner->task->key);
}

void ForgetPod(World& world, const std::string& key) {
  const auto at = world.servers.pods.find(key);
  if (at == world.servers.pods.end()) return;
  PodState& pod = at->second;
  TouchOwner(world, pod);
  if (!world.scheduling.closed.empty())
    EaseQuota(world, world.scheduling.tenants[pod.object.meta.ns]);
  const TaskState* task = pod.owner == nullptr ? nullptr : pod.owner->task;
  if (pod.owner != nullptr && pod.owner->task != nullptr && pod.owner->task->pods_deleted)
    pod.owner->task->pods_deleted->erase(pod.object.meta.uid);
  Disown(world, pod);
  // It was another leader's; ours is still on its way.
  if (task != nullptr && task->creating && task->creating == task->binding &&
      pod.object.meta.name == task->creating->pod_name)
    AssumePod(world, *task, world.servers.ledger.Keep(task->creating->node_name));
  world.servers.pods.erase(at);
}

// Whether someone has edited it so that it belongs to another, or to nobody.
bool ChangesHands(const api::Pod& known, const api::Pod& pod) {
  const Claim before = ClaimOf(known), now = ClaimOf(pod);
  if (before.task == nullptr || now.task == nullptr) return before.task != now.task;
  return before.task->uid != now.task->uid || before.attempt != now.attempt;
}

void SeePod(World& world, const api::Pod& pod) {
  const std::string key = pod.meta.key();
  if (const auto at = world.servers.pods.find(key); at != world.servers.pods.end()) {
    const api::Pod& known = at->second.object;
    if (known.meta.resource_version >= pod.meta.resource_version) return;
    if (known.meta.uid != pod.meta.uid) {
      ForgetPod(world, key);
    } else if (ChangesHands(known, pod)) {
      TouchOwner(world, at->second);
      Disown(world, at->second);
    }
  }
  PodState& state = world.servers.pods[key];
  if (state.bound_by == 0 || state.object.node_name != pod.node_name)
    state.bound_by = pod.meta.resource_version;
  state.object = pod;
  state.object.meta.labels.clear();
  state.object.admitted.reset();
  if (pod.terminal() && !world.scheduling.closed.empty())
    EaseQuota(world, world.scheduling.tenants[pod.meta.ns]);
  if (state.owner == nullptr) Own(world, state);
  if (!world.synced[static_cast<size_t>(Kind::kTask)]) {  // its task may be still to come
    state.task = state.owner != nullptr && pod.meta.labels.contains(api::kTaskLabel);
    state.exclusive = state.task && pod.meta.labels.contains(api::kExclusiveLabel);
  }
  CountPod(world, state);
  TouchOwner(world, state);
}

// ---- nodes and servers ----

void SeeNode(World& world, const api::Node& object) {
  NodeState& node = world.servers.nodes[object.meta.name];
  if (node.object && node.object->meta.resource_version >= object.meta.resource_version) return;
  const bool same =
      node.object && node.object->meta.labels == object.meta.labels &&
      node.object->taints == object.taints && node.object->allocatable == object.allocatable &&
      node.object->unschedulable == object.unschedulable && node.object->ready == object.ready &&
      node.object->meta.uid == object.meta.uid && node.object->max_pods == object.max_pods;
  // One that comes under its name begins anew: what was known of the one before, and a Lease that
  // is left of it, say nothing of how long this one has been silent.
  if (!node.object || node.object->meta.uid != object.meta.uid)
    node.not_ready_since = node.told_since = kNever;
  node.object = object;
  node.gone = false;
  if (CallsItselfReady(node)) {
    node.told_since = kNever;
  } else {
    node.told_since = std::min(node.told_since, world.news);
  }
  if (!same) NodeChanged(world, object.meta.name);
  CheckNode(world, object.meta.name);
}

void ForgetNode(World& world, const std::string& name) {
  const auto node = world.servers.nodes.find(name);
  if (node == world.servers.nodes.end()) return;
  node->second.object.reset();
  node->second.gone = true;
  node->second.registering = false;
  NodeChanged(world, name);
  CheckNode(world, name);
  WakeTasksOn(world, name);
}

void SeeLease(World& world, const api::NodeLease& lease) {
  NodeState& node = world.servers.nodes[lease.meta.name];
  if (node.renewed == lease.renewed) return;
  // At first sight its own time counts, if it is not ahead of ours; later the moment of its
  // arrival.
  const bool first = !node.renewed;
  node.renewed = lease.renewed;
  const bool old = first && lease.renewed && *lease.renewed < world.now;
  node.heard = old ? world.news - (world.now - *lease.renewed) : world.news;
  CheckNode(world, lease.meta.name);
}

// Its node has one server less.
void Detach(World& world, ServerState& server) {
  const std::string& name = server.object.spec.node_name;
  NodeState& node = world.servers.nodes[name];
  node.servers.erase(server.object.meta.name);
  ChooseServer(world, name);
  world.servers.to_reconcile.insert(name);
}

void ForgetServer(World& world, const std::string& name) {
  const auto at = world.servers.by_name.find(name);
  if (at == world.servers.by_name.end()) return;
  ServerState& server = at->second;
  world.servers.capacity -= server.offered;
  if (server.reservation) GiveUpReservation(world, *server.reservation->shape);
  Detach(world, server);
  world.servers.index.Free(server.slot);
  world.servers.slots[server.slot] = nullptr;
  world.servers.property_log.Add(server.slot);
  if (server.wake != kNever) world.servers.wakes.erase({server.wake, name});
  if (server.touched) std::erase(world.servers.touched, server.slot);
  world.servers.by_name.erase(at);
}

void SeeServer(World& world, const api::RegisteredServer& object) {
  const auto at = world.servers.by_name.find(object.meta.name);
  if (at != world.servers.by_name.end()) {
    if (at->second.object.meta.resource_version >= object.meta.resource_version) return;
    if (at->second.object.meta.uid != object.meta.uid) ForgetServer(world, object.meta.name);
  }
  const bool added = !world.servers.by_name.contains(object.meta.name);
  ServerState& server = world.servers.by_name[object.meta.name];
  if (added) {
    server.object = object;
    server.slot = world.servers.index.Claim();
    world.servers.slots.resize(world.servers.index.slots());
    world.servers.slots[server.slot] = &server;
    server.writer.written = Fingerprint(EncodeStatus(object.status));
  } else {
    const bool same = server.object.meta.generation == object.meta.generation &&
                      server.object.meta.deleted == object.meta.deleted;
    if (!same) Detach(world, server);
    server.object.meta = object.meta;
    server.object.spec = object.spec;
    if (same) return;  // an echo of our own status
  }
  NodeState& node = world.servers.nodes[object.spec.node_name];
  server.node = &node;
  server.usage = &world.servers.ledger.Keep(object.spec.node_name);
  node.registering = false;
  node.servers.insert(object.meta.name);
  ChooseServer(world, object.spec.node_name);
  NodeChanged(world, object.spec.node_name);
}

// ---- pools, scale requests, cloud servers ----

void SeePool(World& world, const api::ServerPool& object) {
  const auto known = world.provisioning.pools.find(object.meta.name);
  // One of the same name that was made anew has nothing to do with it.
  if (known != world.provisioning.pools.end() && known->second.object.meta.uid != object.meta.uid &&
      known->second.object.meta.resource_version < object.meta.resource_version)
    world.provisioning.pools.erase(known);
  const bool added = !world.provisioning.pools.contains(object.meta.name);
  PoolState& pool = world.provisioning.pools[object.meta.name];
  if (!added && pool.object.meta.resource_version >= object.meta.resource_version) return;
  if (added) pool.writer.written = Fingerprint(EncodeStatus(object.status));
  if (!added && pool.object.meta.generation != object.meta.generation) {
    pool.hold_until = Time{};  // what was wrong may be mended
    pool.failures = 0;
    pool.observed.reset();
  }
  const api::ServerPoolStatus status = added ? object.status : pool.object.status;
  pool.object = object;
  pool.object.status = status;
  if (!added) return;
  for (const auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.pool != object.meta.name) continue;
    RememberFailure(world, scale);
    NoteBoot(pool, scale);
  }
}

// The phases of a purchase only ever go forward, whoever leads.
bool Further(api::ScalePhase a, api::ScalePhase b) {
  const auto rank = [](api::ScalePhase phase) {
    switch (phase) {
      case api::ScalePhase::kFailed:
      case api::ScalePhase::kReleased:
        return 5;
      case api::ScalePhase::kReleasing:
        return 4;
      case api::ScalePhase::kReady:
        return 3;
      case api::ScalePhase::kProvisioning:
        return 2;
      case api::ScalePhase::kRequested:
        return 1;
      case api::ScalePhase::kNone:
        break;
    }
    return 0;
  };
  return rank(a) > rank(b);
}

void SeeScale(World& world, const api::ScaleRequest& object) {
  const auto at = world.provisioning.scales.find(object.meta.name);
  if (at != world.provisioning.scales.end() && at->second.created) {
    ScaleState& scale = at->second;
    if (scale.object.meta.resource_version >= object.meta.resource_version) return;
    if (scale.object.meta.uid == object.meta.uid) {
      scale.object.meta = object.meta;
      if (Further(object.status.phase, scale.object.status.phase)) {  // another leader's work
        scale.object.status = object.status;
        scale.settled.reset();
        scale.writer.written = Fingerprint(EncodeStatus(object.status));
        RememberFailure(world, scale);
      }
      return;
    }
  }
  ScaleState& scale = world.provisioning.scales[object.meta.name];
  const int64_t nominated = scale.nominated;
  scale = {};
  scale.object = object;
  scale.nominated = nominated;
  scale.created = true;
  scale.seen_ended = object.status.finished_at.has_value();
  scale.writer.written = Fingerprint(EncodeStatus(object.status));
  if (const auto pool = world.provisioning.pools.find(object.pool);
      pool != world.provisioning.pools.end())
    NoteBoot(pool->second, scale);
  // A purchase that was asked for before a restart is asked for again: the name makes it the same.
  RememberFailure(world, scale);
}

void SeeCloudServer(World& world, const api::CloudServer& object) {
  auto [at, added] = world.provisioning.cloud_servers.emplace(object.request_uid, object);
  if (added) return;
  if (at->second.resource_version < object.resource_version) at->second = object;
}

void ForgetCloudServer(World& world, const std::string& name) {
  std::erase_if(world.provisioning.cloud_servers,
                [&](const auto& entry) { return entry.second.name == name; });
}

// ---- priority classes, namespaces ----

// What waits may have another priority now, or one at all.
void Reprioritize(World& world) {
  for (auto& [key, task] : world.tasks.by_key) {
    if (task.binding && task.priority == kGivesWayToNone) PrioritizeBound(world, task);
    if (!task.binding && !api::Finished(task.object.status.phase))
      world.tasks.to_reconcile.insert(key);
  }
}

void SeePriorityClass(World& world, const api::PriorityClass& object) {
  api::PriorityClass& known = world.scheduling.priority_classes[object.meta.name];
  if (known.meta.resource_version >= object.meta.resource_version) return;
  known = object;
  Reprioritize(world);
}

void SeeNamespace(World& world, const api::Namespace& object) {
  Tenant& tenant = world.scheduling.tenants[object.meta.name];
  if (tenant.resource_version >= object.meta.resource_version) return;
  tenant.resource_version = object.meta.resource_version;
  tenant.weight_milli = object.weight_milli;
}

void SeeBudget(World& world, const api::Budget& object) {
  const std::string key = object.meta.key();
  const auto at = world.budgets.by_key.find(key);
  if (at != world.budgets.by_key.end() &&
      at->second.object.meta.resource_version >= object.meta.resource_version)
    return;
  const bool added =
      at == world.budgets.by_key.end() || at->second.object.meta.uid != object.meta.uid;
  BudgetState& budget = world.budgets.by_key[key];
  if (added) {
    budget = {};
    budget.object = object;
    budget.writer.written = Fingerprint(EncodeStatus(object.status));
  } else {
    budget.object.meta = object.meta;
    budget.object.spec = object.spec;
  }
  Tenant& tenant = world.scheduling.tenants[object.meta.ns];
  tenant.budgets.insert(key);
  EaseAtOnce(tenant);
}

void ForgetBudget(World& world, const std::string& key) {
  const auto at = world.budgets.by_key.find(key);
  if (at == world.budgets.by_key.end()) return;
  Tenant& tenant = world.scheduling.tenants[at->second.object.meta.ns];
  tenant.budgets.erase(key);
  EaseAtOnce(tenant);
  world.budgets.by_key.erase(at);
}

struct Observer {
  World& world;
  void operator()(const api::TaskRequest& object) const { SeeTask(world, object); }
  void operator()(const api::RegisteredServer& object) const { SeeServer(world, object); }
  void operator()(const api::ServerPool& object) const { SeePool(world, object); }
  void operator()(const api::ScaleRequest& object) const { SeeScale(world, object); }
  void operator()(const api::Pod& object) const { SeePod(world, object); }
  void operator()(const api::Node& object) const { SeeNode(world, object); }
  void operator()(const api::CloudServer& object) const { SeeCloudServer(world, object); }
  void operator()(const api::NodeLease& object) const { SeeLease(world, object); }
  void operator()(const api::PriorityClass& object) const { SeePriorityClass(world, object); }
  void operator()(const api::Namespace& object) const { SeeNamespace(world, object); }
  void operator()(const api::Budget& object) const { SeeBudget(world, object); }
};

void ForgetKey(World& world, Kind kind, const std::string& key) {
  switch (kind) {
    case Kind::kTask:
      return ForgetTask(world, key);
    case Kind::kPod:
      return ForgetPod(world, key);
    case Kind::kNode:
      return ForgetNode(world, key);
    case Kind::kCloudServer:
      return ForgetCloudServer(world, key);
    case Kind::kPool:
      world.provisioning.pools.erase(key);
      return;
    case Kind::kScale:
      world.provisioning.scales.erase(key);
      return;
    case Kind::kServer:
      ForgetServer(world, key);
      for (auto& [name, scale] : world.provisioning.scales) {
        if (MayBeNamed(scale, key)) scale.server_sent = false;  // it may be registered again
      }
      return;
    case Kind::kLease:
      if (const auto slash = key.find('/'); slash != std::string::npos) {
        if (const auto node = world.servers.nodes.find(key.substr(slash + 1));
            node != world.servers.nodes.end())
          node->second.renewed.reset();
      }
      return;
    case Kind::kPriorityClass:
      world.scheduling.priority_classes.erase(key);
      return Reprioritize(world);
    case Kind::kNamespace:
      world.scheduling.tenants[key].weight_milli = 1000;
      return;
    case Kind::kBudget:
      return ForgetBudget(world, key);
  }
}

// The version of what is known under the key; 0 if nothing is, or only what was asked for.
template <typename Map, typename Version>
void Collect(const Map& map, const Listed& listed, std::vector<std::string>& out, Version version) {
  for (const auto& [key, value] : map) {
    const auto [name, seen] = version(key, value);
    if (seen > 0 && seen <= listed.resource_version && !listed.keys.contains(name))
      out.push_back(name);
  }
}

std::vector<std::string> Missing(const World& world, const Listed& listed) {
  std::vector<std::string> out;
  const auto by_meta = [](const std::string& key, const auto& state) {
    return std::pair(key, state.object.meta.resource_version);
  };
  switch (listed.kind) {
    case Kind::kTask:
      Collect(world.tasks.by_key, listed, out, by_meta);
      break;
    case Kind::kServer:
      Collect(world.servers.by_name, listed, out, by_meta);
      break;
    case Kind::kPool:
      Collect(world.provisioning.pools, listed, out, by_meta);
      break;
    case Kind::kScale:
      Collect(world.provisioning.scales, listed, out, by_meta);
      break;
    case Kind::kPod:
      Collect(world.servers.pods, listed, out, [](const auto& key, const auto& pod) {
        return std::pair(key, pod.object.meta.resource_version);
      });
      break;
    case Kind::kNode:
      Collect(world.servers.nodes, listed, out, [](const auto& key, const auto& node) {
        return std::pair(key, node.object ? node.object->meta.resource_version : 0);
      });
      break;
    case Kind::kCloudServer:
      Collect(world.provisioning.cloud_servers, listed, out, [](const auto&, const auto& server) {
        return std::pair(server.name, server.resource_version);
      });
      break;
    case Kind::kPriorityClass:
      Collect(world.scheduling.priority_classes, listed, out,
              [](const auto& key, const auto& each) {
                return std::pair(key, each.meta.resource_version);
              });
      break;
    case Kind::kBudget:
      Collect(world.budgets.by_key, listed, out, by_meta);
      break;
    case Kind::kNamespace:  // what is in them tells more than whether they are there
    case Kind::kLease:
      break;
  }
  return out;
}

}  // namespace

void Observe(World& world, const Object& object) { std::visit(Observer{world}, object); }

void Forget(World& world, const Gone& gone) {
  if (gone.kind == Kind::kTask) {
    const auto task = world.tasks.by_key.find(gone.key);
    if (task != world.tasks.by_key.end() && task->second.uid() != gone.uid) return;
  }
  if (gone.kind == Kind::kPod) {
    const auto pod = world.servers.pods.find(gone.key);
    if (pod != world.servers.pods.end() && pod->second.object.meta.uid != gone.uid) return;
  }
  ForgetKey(world, gone.kind, gone.key);
}

void ForgetOthers(World& world, const Listed& listed) {
  for (const std::string& key : Missing(world, listed)) ForgetKey(world, listed.kind, key);
  if (listed.kind == Kind::kTask && !world.synced[static_cast<size_t>(Kind::kTask)])
    DropClaims(world);
}

namespace {

constexpr char kDeleteFailed[] = "DeleteFailed";
constexpr char kAgain[] = "; tried again with growing pauses of up to a minute";

// Those of its namespace that wait for it have their turn.
void StatusAnswered(World& world, Tenant& tenant, const std::optional<Error>& error) {
  --world.tasks.statuses_in_flight;
  --tenant.statuses_in_flight;
  tenant.statuses_fail = error && error->retryable();
  const bool all = tenant.statuses_in_flight == 0;
  for (int64_t free = kMostStatusesOfOne - tenant.statuses_in_flight;
       !tenant.to_write.empty() && (all || free > 0); --free) {
    world.tasks.to_write.push_back(std::move(tenant.to_write.front()));
    tenant.to_write.pop_front();
  }
}

void ConcludeTask(World& world, const Outcome& outcome) {
  if (outcome.verb == Verb::kPatchStatus)
    StatusAnswered(world, world.scheduling.tenants[outcome.key.substr(0, outcome.key.find('/'))],
                   outcome.error);
  const auto at = world.tasks.by_key.find(outcome.key);
  if (at == world.tasks.by_key.end() || at->second.uid() != outcome.request_uid) return;
  TaskState& task = at->second;
  const auto& error = outcome.error;
  world.tasks.to_reconcile.insert(outcome.key);
  if (outcome.verb == Verb::kDelete) {
    if (!task.deletion) task.deletion.emplace();
    if (Deleted(world, *task.deletion, task.uid(), error))
      RecordEvent(world, task, true, kDeleteFailed,
                  "could not be deleted: " + error->message + kAgain);
    return;
  }
  if (StatusWritten(world, task.writer, task.object.meta, error))
    RecordEvent(world, task, true, "StatusRefused",
                "the status was refused: " + error->message + kAgain);
  if (error && error->kind != ErrorKind::kNotFound) task.status_due = world.now;
}

void PodDeleted(World& world, const Outcome& outcome) {
  const auto pod = world.servers.pods.find(outcome.key);
  if (pod == world.servers.pods.end() || pod->second.object.meta.uid != outcome.request_uid) return;
  TaskState* task = pod->second.owner == nullptr ? nullptr : pod->second.owner->task;
  if (task == nullptr || !task->pods_deleted) return;
  const std::string& uid = outcome.request_uid;
  if (Deleted(world, (*task->pods_deleted)[uid], uid, outcome.error))
    RecordEvent(world, *task, true, kDeleteFailed,
                "pod " + outcome.key + " could not be deleted: " + outcome.error->message + kAgain);
  world.tasks.to_reconcile.insert(*task->key);
}

void ConcludePod(World& world, const Outcome& outcome) {
  if (outcome.verb == Verb::kDelete) return PodDeleted(world, outcome);
  const auto owner = world.tasks.owners.find(outcome.request_uid);
  if (owner == world.tasks.owners.end()) return;
  // Seen by now, or refused, or seen and gone already: what was reserved for it is not needed.
  ForgetAssumed(world, owner->second);
  TaskState* task = owner->second.task;
  CreationAnswered(world, owner->second, task, outcome);
  if (task != nullptr) {
    task->creating.reset();
    PodCreated(world, *task, outcome);
    world.tasks.to_reconcile.insert(*task->key);
  }
  DropOwner(world, outcome.request_uid);
}

template <typename Map>
void ConcludeStatus(World& world, Map& map, const Outcome& outcome) {
  const auto at = map.find(outcome.key);
  if (at == map.end() || at->second.object.meta.uid != outcome.request_uid) return;
  StatusWritten(world, at->second.writer, at->second.object.meta, outcome.error);
  if constexpr (requires { at->second.settled; }) {
    if (outcome.error) at->second.settled.reset();
  }
}

void ServerDeleted(World& world, const Outcome& outcome) {
  const auto at = world.servers.by_name.find(outcome.key);
  if (at == world.servers.by_name.end() || at->second.object.meta.uid != outcome.request_uid)
    return;
  ServerState& server = at->second;
  if (Deleted(world, server.deletion, outcome.request_uid, outcome.error))
    RecordEvent(world, server, true, kDeleteFailed,
                "could not be deleted: " + outcome.error->message + kAgain);
  if (!server.deletion.sent)
    world.servers.nodes[server.object.spec.node_name].register_at =
        server.deletion.backoff.not_before;
}

void ConcludeServer(World& world, const Outcome& outcome) {
  const auto server = world.servers.by_name.find(outcome.key);
  if (outcome.verb == Verb::kPatchStatus) {
    if (server != world.servers.by_name.end()) world.servers.Touch(server->second);
    return ConcludeStatus(world, world.servers.by_name, outcome);
  }
  if (outcome.verb == Verb::kDelete) return ServerDeleted(world, outcome);
  if (!outcome.error) return;
  const std::string& why = outcome.error->message;
  if (const auto node = world.servers.nodes.find(outcome.key); node != world.servers.nodes.end()) {
    node->second.registering = false;
    node->second.registration.Fail(world.now, outcome.key, why, kRegister);
    node->second.register_at = node->second.registration.not_before;
  }
  for (auto& [name, scale] : world.provisioning.scales) {
    if (!MayBeNamed(scale, outcome.key)) continue;
    scale.server_sent = false;
    if (scale.registration.Fail(world.now, outcome.key, why, kRegister))
      RecordEvent(world, scale, true, "RegisterFailed",
                  "RegisteredServer " + outcome.key + " could not be created: " + why + kAgain);
  }
}

void ConcludeScale(World& world, const Outcome& outcome) {
  const auto at = world.provisioning.scales.find(outcome.key);
  if (at == world.provisioning.scales.end()) return;
  ScaleState& scale = at->second;
  if (outcome.verb == Verb::kPatchStatus)
    return ConcludeStatus(world, world.provisioning.scales, outcome);
  if (outcome.verb == Verb::kCreate) return ScaleCreated(world, scale, outcome);
  if (scale.object.meta.uid != outcome.request_uid) return;
  if (Deleted(world, scale.deletion, outcome.request_uid, outcome.error))
    RecordEvent(world, scale, true, kDeleteFailed,
                "could not be deleted: " + outcome.error->message + kAgain);
}

void ConcludeCloud(World& world, const Outcome& outcome) {
  for (auto& [name, scale] : world.provisioning.scales) {
    if (scale.object.meta.uid == outcome.request_uid) return CloudAsked(world, scale, outcome);
  }
  if (const auto server = world.provisioning.cloud_servers.find(outcome.request_uid);
      server != world.provisioning.cloud_servers.end() && outcome.error) {
    server->second.deleting = outcome.error->kind == ErrorKind::kNotFound;
    if (!server->second.deleting)
      world.provisioning.orphans_at = world.now + std::chrono::seconds(30);
  }
}

}  // namespace

void Conclude(World& world, const Outcome& outcome) {
  if (outcome.object) {
    const Object& object = *outcome.object;
    const int64_t version = VersionOf(object);
    // Older than what was delivered: seen already, and perhaps gone again.
    if (version > world.seen_up_to[object.index()]) Observe(world, object);
  }
  switch (outcome.kind) {
    case Kind::kTask:
      return ConcludeTask(world, outcome);
    case Kind::kPod:
      return ConcludePod(world, outcome);
    case Kind::kServer:
      return ConcludeServer(world, outcome);
    case Kind::kPool:
      return ConcludeStatus(world, world.provisioning.pools, outcome);
    case Kind::kScale:
      return ConcludeScale(world, outcome);
    case Kind::kCloudServer:
      return ConcludeCloud(world, outcome);
    case Kind::kBudget:
      return ConcludeStatus(world, world.budgets.by_key, outcome);
    case Kind::kNode:
    case Kind::kLease:
    case Kind::kPriorityClass:
    case Kind::kNamespace:
      return;
  }
}

}  // namespace spillway::core
