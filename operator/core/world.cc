#include "operator/core/world.h"

#include "operator/base/json.h"
#include "operator/base/prefetch.h"
#include "operator/core/servers/load.h"

namespace spillway::core {

const char* ToString(Kind kind) {
  static constexpr const char* kNames[] = {
      "TaskRequest", "RegisteredServer", "ServerPool", "ScaleRequest", "Pod", "Node", "CloudServer",
      "Lease",       "PriorityClass",    "Namespace",  "Budget"};
  return kNames[static_cast<size_t>(kind)];
}

int64_t VersionOf(const Object& object) {
  return std::visit(
      [](const auto& value) -> int64_t {
        if constexpr (requires { value.resource_version; })
          return value.resource_version;
        else
          return value.meta.resource_version;
      },
      object);
}

void World::Hear(Kind kind) {
  news = heard_at == Time{} ? now : news + std::clamp(now - heard_at, Duration{0}, kMostSilence);
  heard_at = now;
  heard_of[static_cast<size_t>(kind)] = news;
  const auto i = static_cast<size_t>(kind);
  if (now > last_of[i] + kFresh) row_of[i] = now;
  last_of[i] = now;
}

void World::WakeTask(TaskState& task, Time time) {
  if (time >= task.wake) return;
  task.wake = time;
  wakes.Add(time, task.object.meta.key());
}

void World::WakeServer(ServerState& server, Time time) {
  if (time >= server.wake) return;
  const std::string& name = server.object.meta.name;
  if (server.wake != kNever) server_wakes.erase({server.wake, name});
  server.wake = time;
  server_wakes.insert({time, name});
}

const ServerState* World::ServerOn(const std::string& node) const {
  const auto at = nodes.find(node);
  return at == nodes.end() ? nullptr : at->second.server;
}

ServerState* World::ServerOn(const std::string& node) {
  return const_cast<ServerState*>(std::as_const(*this).ServerOn(node));
}

const TaskState* World::TaskByUid(const std::string& uid) const {
  const auto owner = owners.find(uid);
  return owner == owners.end() ? nullptr : owner->second.task;
}

TaskState* World::TaskByUid(const std::string& uid) {
  return const_cast<TaskState*>(std::as_const(*this).TaskByUid(uid));
}

const api::Pod* World::PodOf(const TaskState& task, int64_t attempt) const {
  for (const auto& [of, pod] : task.owner->pods) {
    if (of == attempt) return pod;
  }
  return nullptr;
}

int64_t LatestAttempt(const TaskState& task) {
  if (task.binding) return task.binding->attempt;
  const api::TaskStatus& status = task.object.status;
  int64_t last = status.assignment ? status.assignment->attempt : 0;
  for (const api::Attempt& attempt : status.attempts) last = std::max(last, attempt.attempt);
  return last;
}

void World::Tell(const TaskState& task, bool warning, std::string reason, std::string message) {
  const api::ObjectMeta& meta = task.object.meta;
  effects.push_back(Note{Kind::kTask, meta.ns, meta.name, meta.uid, warning, std::move(reason),
                         std::move(message), LatestAttempt(task)});
}

void World::Tell(const ServerState& server, bool warning, std::string reason, std::string message) {
  const api::ObjectMeta& meta = server.object.meta;
  effects.push_back(
      Note{Kind::kServer, "", meta.name, meta.uid, warning, std::move(reason), std::move(message)});
}

void World::Tell(const ScaleState& scale, bool warning, std::string reason, std::string message) {
  const api::ObjectMeta& meta = scale.object.meta;
  effects.push_back(
      Note{Kind::kScale, "", meta.name, meta.uid, warning, std::move(reason), std::move(message)});
}

void World::Tell(const BudgetState& budget, bool warning, std::string reason, std::string message) {
  const api::ObjectMeta& meta = budget.object.meta;
  effects.push_back(Note{Kind::kBudget, meta.ns, meta.name, meta.uid, warning, std::move(reason),
                         std::move(message)});
}

void Reindex(World& world, const NodeUsage& usage, bool grown) {
  if (usage.slot == NodeUsage::kNoSlot) return;
  ServerState& server = *world.slots[usage.slot];
  world.TouchServer(server);
  world.Misplace(server);
  if (grown && server.usable) world.grown.Add(server.slot);
}

void UpdateIndex(World& world) {
  for (const uint32_t slot : world.misplaced) {
    ServerState* server = world.slots[slot];
    if (server == nullptr) continue;
    server->misplaced = false;
    if (!server->usable || server->node->server != server) {
      world.index.Remove(slot);
      continue;
    }
    const api::Resources &total = server->offered, &used = server->usage->used;
    world.index.Put(slot, {server->object.spec.cloud, server->object.spec.price_micros,
                           server->usage->tasks == 0,
                           std::min(total.cpu_milli - used.cpu_milli, CpuHeadroom(*server)),
                           std::min(total.memory - used.memory, MemoryHeadroom(*server))});
  }
  world.misplaced.clear();
}

void Book(World& world, Ledger::Entry& pod, const NodeUsage& node, Footprint footprint) {
  const NodeUsage* left = nullptr;
  const NodeUsage* usage = world.ledger.Take(pod, node, std::move(footprint), &left);
  if (usage != nullptr) Reindex(world, *usage, usage == left);
  if (left != nullptr && left != usage) Reindex(world, *left, true);
}

namespace {

// Somebody takes the room soon. What is read of the server then:
void PrefetchForBinding(const World& world, uint32_t slot) {
  if (slot >= world.slots.size()) return;
  const ServerState* server = world.slots[slot];
  if (server == nullptr) return;
  __builtin_prefetch(server);
  Prefetch(&server->object.meta.name);
  Prefetch(&server->object.spec);
}

}  // namespace

void Unbook(World& world, Ledger::Entry& pod) {
  if (!pod.counted()) return;
  PrefetchForBinding(world, world.ledger.Announce(pod));
  Reindex(world, *world.ledger.Release(pod), true);
}

void Reserve(World& world, const TaskState& task, const NodeUsage& node) {
  Owner& owner = *task.owner;
  Book(world, owner.reserved, node, {task.shape->demand, &owner, &task.tenant->used});
}

void Unreserve(World& world, Owner& owner) { Unbook(world, owner.reserved); }

namespace {

// Mostly its task's shape has it.
Shared<Demand> DemandOf(const PodState& state) {
  Demand demand{state.object.requests, state.object.host_ports, state.task, state.exclusive};
  const TaskState* task = state.owner == nullptr ? nullptr : state.owner->task;
  if (task != nullptr && task->shape != nullptr && *task->shape->demand == demand)
    return task->shape->demand;
  return demand;
}

// What its task knows better than the pod, of which others may have taken something away.
void TakeFromTask(PodState& state) {
  if (state.owner == nullptr || state.owner->task == nullptr) return;
  const TaskState& task = *state.owner->task;
  state.task = true;
  state.exclusive = task.object.spec.exclusive;
  api::Pod& pod = state.object;
  if (!pod.intended) return;
  for (const auto& binding : {task.creating, task.binding}) {
    if (binding != nullptr && binding->pod_name == pod.meta.name)
      pod.node_name = binding->node_name;
  }
}

}  // namespace

void CountPod(World& world, PodState& state) {
  const api::Pod& pod = state.object;
  TakeFromTask(state);
  if (state.owner != nullptr && state.owner->task != nullptr) {
    const TaskState& task = *state.owner->task;
    if (task.creating && task.creating->pod_name == pod.meta.name) Unreserve(world, *task.owner);
  }
  // A pod that waits for its gates may do so for long: meanwhile its room is for others.
  const bool gated = pod.unscheduled && pod.waiting_reason == "SchedulingGated";
  if (pod.node_name.empty() || pod.terminal() || (pod.intended && !state.task) || gated) {
    Unbook(world, state.place);
    return;
  }
  NodeState& node = world.nodes[pod.node_name];
  if (!node.object && node.named_by == 0) node.named_by = pod.meta.resource_version;
  const Shared<Demand> demand = DemandOf(state);
  Book(world, state.place, world.ledger.Keep(pod.node_name),
       {demand, state.owner, demand->task ? &world.tenants[pod.meta.ns].used : nullptr});
  if (pod.started) world.ledger.Started(state.place, *pod.started);
}

size_t Fingerprint(const api::Json& status) { return std::hash<std::string>{}(Dump(status)); }

bool WriteStatus(World& world, StatusWriter& writer, Kind kind, const api::ObjectMeta& meta,
                 api::Json status, Time* wake) {
  if (writer.in_flight) return true;
  const size_t fingerprint = Fingerprint(status);
  if (fingerprint == writer.written) return true;
  if (const Time due = writer.NotBefore(fingerprint); world.now < due) {
    *wake = std::min(*wake, due);
    return false;
  }
  writer.in_flight = true;
  writer.sent = fingerprint;
  writer.last = world.now;
  world.effects.push_back(Write{Verb::kPatchStatus, kind, meta.ns, meta.name, meta.uid,
                                meta.resource_version, std::move(status), std::nullopt});
  return true;
}

bool StatusWritten(World& world, StatusWriter& writer, const api::ObjectMeta& meta,
                   const std::optional<Error>& error) {
  writer.in_flight = false;
  if (!error) {
    writer.written = writer.sent;
    writer.refused.reset();
    return false;
  }
  if (!writer.refused) writer.refused.emplace();
  if (error->kind == ErrorKind::kInvalid) {
    Backoff same{{}, writer.refused->failures};
    same.Fail(world.now, meta.uid, error->message, kInvalidStatus);
    writer.refused->same_not_before = same.not_before;
  } else {
    writer.refused->same_not_before = Time{};
  }
  // A conflict: the newer object is on its way to us.
  const bool conflict = error->kind == ErrorKind::kConflict;
  const BackoffRange range{std::chrono::milliseconds(conflict ? 200 : 2'000), kRefused.last};
  return writer.refused->Fail(world.now, meta.uid, error->message, range) && !conflict;
}

bool MayDelete(const World& world, const Deletion& deletion, Time* wake) {
  if (deletion.sent) return false;
  if (world.now >= deletion.backoff.not_before) return true;
  *wake = std::min(*wake, deletion.backoff.not_before);
  return false;
}

bool Deleted(World& world, Deletion& deletion, const std::string& uid,
             const std::optional<Error>& error) {
  deletion.sent = !error || error->kind == ErrorKind::kNotFound;
  if (deletion.sent) return false;
  return deletion.backoff.Fail(world.now, uid, error->message);
}

}  // namespace spillway::core
