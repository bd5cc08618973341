// What must hold when the operator has done all that it wants to do.
#include <algorithm>

#include "operator/core/world.h"
#include "tests/simulation/checks.h"
#include "tests/simulation/nodes.h"

namespace spillway::simulation {

using api::Pod;
using api::TaskRequest;
using std::chrono::seconds;

namespace {

// What hangs keeps no room; what only waits for others to be carried out does.
constexpr Duration kPromised = seconds(120);

}  // namespace

bool IsOffered(const api::Node& node) {
  const auto label = node.meta.labels.find(api::kRegisterLabel);
  const bool labelled = label != node.meta.labels.end() && label->second == "true";
  return labelled || node.meta.labels.contains(api::kPoolLabel);
}

bool Suits(const TaskRequest& task, const api::RegisteredServer& server, const api::Node& node) {
  const api::Policy policy = task.spec.placement->policy;
  if (server.spec.cordoned || server.meta.deleted || node.unschedulable) return false;
  if (server.spec.max_cpu_percent || server.spec.requires_metrics) return false;  // see CheckLoad
  if (node.ready != api::NodeReady::kTrue || !IsOffered(node)) return false;
  if ((policy == api::Policy::kLocalOnly && server.spec.cloud) ||
      (policy == api::Policy::kCloudOnly && !server.spec.cloud))
    return false;
  for (const auto& want : task.spec.requirements) {
    const auto has = server.spec.capabilities.find(want.key);
    if (has == server.spec.capabilities.end() || has->second != want.values.at(0)) return false;
  }
  return std::all_of(node.taints.begin(), node.taints.end(), [&](const api::Taint& taint) {
    return taint.effect == "PreferNoSchedule" || Tolerates(task, taint) ||
           (server.spec.cloud && taint.key == api::kPoolTaint);
  });
}

api::Resources TemplateRequests(const TaskRequest& task) {
  return *api::PodRequests(api::GetObject(*task.spec.pod_template, "spec"));
}

bool WouldFit(const TaskRequest& task, const api::RegisteredServer& server, const api::Node& node,
              const ApiServer& api, Room room) {
  if (!Suits(task, server, node)) return false;
  api::Resources used = TemplateRequests(task);
  int64_t tasks = 0;
  for (const auto& [key, object] : api.All(Kind::kPod)) {
    const Pod& pod = std::get<Pod>(*object);
    if (room == Room::kOfEmpty || pod.node_name != node.meta.name || pod.terminal()) continue;
    used += pod.requests;
    const PodRecord* record = api.witness->RecordOf(pod);
    if (record == nullptr) continue;
    ++tasks;
    if (record->exclusive) return false;
  }
  if (task.spec.exclusive && tasks > 0) return false;
  if (server.spec.max_tasks && tasks >= *server.spec.max_tasks) return false;
  // Once a pod was created, the operator knows what admission adds, and counts that as well. Room
  // on an empty server may have been kept before it knew.
  if (room == Room::kForSure) used.cpu_milli += api.ReckonedCpu(task.meta.ns);
  return Fits(used, node.allocatable);
}

void Checks::Settled(const Replica& replica) {
  if (const auto differs = ViewDiffers(replica)) Violate("view-equals", *differs);
  CheckPatience(replica);
}

// What is not there in its pool's time, by the process's clock, is given up, whatever its engine
// says or does not say.
void Checks::CheckPatience(const Replica& replica) {
  const auto is_refused = [&](const Rule& rule) {
    return rule.kind == Kind::kScale && rule.until + seconds(600) > api_.now;
  };
  if (std::any_of(api_.rules.begin(), api_.rules.end(), is_refused) || replica.listed() == kNever ||
      api_.now < replica.listed() + kTold)
    return;
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*object);
    const auto* pool = api_.Get<api::ServerPool>(scale.pool);
    const bool waits = scale.status.phase == api::ScalePhase::kRequested ||
                       scale.status.phase == api::ScalePhase::kProvisioning;
    if (waits && pool != nullptr && scale.status.requested_at &&
        replica.now() > *scale.status.requested_at + pool->spec.provision_timeout + kTold)
      Violate("waits-for-ever", name + " is " + api::ToString(scale.status.phase) + " since " +
                                    FormatDuration(replica.now() - *scale.status.requested_at) +
                                    ": " + scale.status.message);
  }
}

// One that has waited for longer, and finds no room there now, may have the server kept for it.
bool Checks::KeptForAnother(const TaskRequest& task, const api::RegisteredServer& server,
                            const api::Node& node) const {
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& other = std::get<TaskRequest>(*object);
    const TaskRecord* record = witness_.Task(other.meta.uid);
    // One of a group that has had its place, and lost it, waits alone, as any other does.
    const bool in_group = other.spec.group && record == nullptr;
    if (other.meta.uid == task.meta.uid || api::Finished(other.status.phase) ||
        other.spec.suspend || other.meta.deleted || in_group)
      continue;
    // So does one whose pod nobody can end any more.
    const bool waits =
        record == nullptr ||
        std::all_of(record->pods.begin(), record->pods.end(), [&](const PodRecord& pod) {
          return pod.over || witness_.Lost(pod.node, pod.asked);
        });
    if (waits && WouldFit(other, server, node, api_, Room::kOfEmpty) &&
        !WouldFit(other, server, node, api_))
      return true;
  }
  return false;
}

bool Checks::TriedOfLate(const std::string& task) const {
  const auto* object = api_.Get<TaskRequest>(task);
  if (object == nullptr) return true;
  const std::string& uid = object->meta.uid;
  // Its status has to come first, and was refused.
  const core::Write status{core::Verb::kPatchStatus,
                           Kind::kTask,
                           object->meta.ns,
                           object->meta.name,
                           uid,
                           0,
                           nullptr,
                           std::nullopt};
  if (object->spec.retry.loss_limit == 0 &&
      std::any_of(api_.rules.begin(), api_.rules.end(),
                  [&](const Rule& rule) { return rule.Holds(status, api_.now - seconds(65)); }))
    return true;
  if (object->spec.retry.loss_limit == 0 && IsRecordOverdue(object->meta.ns)) return true;
  return !witness_.Rested(uid, seconds(65)) ||
         std::any_of(intents_.begin(), intents_.end(),
                     [&](const auto& intent) { return intent.second.task_uid == uid; });
}

int Checks::Wanting(const api::RegisteredServer& server, const api::Node& node) const {
  int tasks = 0;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    const TaskRecord* record = witness_.Task(task.meta.uid);
    const bool runs = record != nullptr && std::any_of(record->pods.begin(), record->pods.end(),
                                                       [](const auto& pod) { return !pod.over; });
    if (!api::Finished(task.status.phase) && !task.spec.suspend && !task.meta.deleted && !runs &&
        WouldFit(task, server, node, api_, Room::kPerhaps))
      ++tasks;
  }
  return tasks;
}

bool Checks::Promised(const api::Node& node, std::optional<Duration> within) const {
  return std::any_of(intents_.begin(), intents_.end(), [&](const auto& intent) {
    return intent.second.node == node.meta.name &&
           (!within || api_.now < intent.second.asked + *within) &&
           api_.Get<Pod>(intent.first.first) == nullptr;
  });
}

// Someone else's pod has the name of the task's next one, or what it does is refused.
bool Checks::Barred(const TaskRequest& task) const {
  core::Write write;
  write.kind = Kind::kPod;
  write.ns = task.meta.ns;
  if (api_.RuleFor(write) != nullptr || witness_.RefusedIn(task.meta.ns, kPassedOver)) return true;
  write.kind = Kind::kTask;
  write.verb = core::Verb::kPatchStatus;
  if (api_.RuleFor(write) != nullptr) return true;
  const auto& pods = api_.All(Kind::kPod);
  const std::string prefix = task.meta.key() + "-";
  for (auto at = pods.lower_bound(prefix); at != pods.end() && at->first.starts_with(prefix);
       ++at) {
    const std::string* owner = witness_.OwnerOf(std::get<Pod>(*at->second));
    if (owner == nullptr || *owner != task.meta.uid) return true;
  }
  return false;
}

// One that is on its way back takes nothing, nor one that its engine takes away or calls failed,
// also where the status that would say so is refused; nor does what is still registered for a
// machine that was replaced.
bool Checks::IsInUse(const api::RegisteredServer& server) const {
  const auto* scale = api_.Get<api::ScaleRequest>(server.spec.scale_request);
  if (scale == nullptr || scale->status.phase != api::ScalePhase::kReady) return false;
  const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale->meta.uid));
  if (claim == nullptr) return true;
  return claim->node_name == server.spec.node_name && !claim->deleting && claim->ending.empty() &&
         claim->error == api::CloudError::kNone;
}

// Its Lease is that of a node that had the name before, and old for a process that has begun since:
// it waits for the first one of its own, which comes within one heartbeat.
bool Checks::AwaitsHeartbeat(const Replica& replica, const api::Node& node) const {
  const auto* lease = api_.Get<api::NodeLease>("kube-node-lease/" + node.meta.name);
  return lease != nullptr && lease->renewed && *lease->renewed < node.meta.created &&
         *lease->renewed < replica.born();
}

// Another leader has recorded an attempt of a task that must not run twice, and may have ended
// before it asked for the pod, which may appear yet; then the attempt is lost.
bool Checks::AwaitsAnother(const Replica& replica, const TaskRequest& task) const {
  const api::TaskStatus& status = task.status;
  if (task.spec.retry.loss_limit != 0 || !status.assignment) return false;
  const bool ended =
      !status.attempts.empty() && status.attempts.back().attempt >= status.assignment->attempt;
  const Record record = RecordOf(task);
  if (ended || recorded_.contains({replica.id(), record})) return false;
  const auto told = replica.ToldOf(record);
  return told && api_.now < *told + kTold;
}

// Whether it waits for a server, and for nothing else.
bool Checks::WaitsForServer(const Replica& replica, const TaskRequest& task) const {
  const api::TaskStatus& status = task.status;
  // Where one of a group has room, the others may have none.
  if (api::Finished(status.phase) || task.spec.suspend || task.spec.cancel || task.spec.group ||
      task.meta.deleted || (status.retry_at && *status.retry_at > replica.now()) ||
      !PriorityOf(task) || Barred(task) || witness_.Unrecorded(task) ||
      AwaitsAnother(replica, task))
    return false;
  // It has ended, such as for want of money, and its status was refused: a text that was called
  // invalid is sent again after up to five minutes.
  return !concluded_.contains({replica.id(), task.meta.uid});
}

Checks::Waits Checks::Idle(const Replica& replica) const {
  Waits out;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (!WaitsForServer(replica, task)) continue;
    for (const auto& [name, entry] : api_.All(Kind::kServer)) {
      const auto& server = std::get<api::RegisteredServer>(*entry);
      const auto* node = api_.Get<api::Node>(server.spec.node_name);
      if (node == nullptr || (server.spec.price_micros > 0 && Bounded(task.meta.ns)) ||
          witness_.Down(node->meta.name, seconds(0)) || PassedOver(task, *node) ||
          Promised(*node, kPromised) || AwaitsHeartbeat(replica, *node))
        continue;
      if (server.spec.cloud && !IsInUse(server)) continue;
      if (WouldFit(task, server, *node, api_) && !KeptForAnother(task, server, *node))
        out.emplace(key, name);
    }
  }
  return out;
}

// Whether it says that the pool can be asked, and not that it waits for a purchase all the same:
// the last server that was bought for it did not take it, or that purchase lasts.
bool Checks::SaysAvailable(const TaskRequest& task, const std::string& pool) {
  const std::string& summary = task.status.explanation->summary;
  const auto has = [&](const std::string& words) {
    return summary.find(words) != std::string::npos;
  };
  return has(pool + " available") && !has("; no other server is bought for it before ") &&
         !has("; nothing else is bought for it while ScaleRequest ");
}

// By what the operator itself says of the pools, which depends on much that it has seen.
Checks::Waits Checks::Unbought(const Replica& replica) const {
  Waits out;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    const api::Placement& placement = *task.spec.placement;
    if (placement.policy == api::Policy::kLocalOnly || placement.burst_auto ||
        task.status.phase != api::TaskPhase::kPending || task.status.explanation == nullptr ||
        replica.now() < task.meta.created + placement.burst_after + kTold ||
        !WaitsForServer(replica, task))
      continue;
    for (const auto& [name, entry] : api_.All(Kind::kPool)) {
      const auto& pool = std::get<api::ServerPool>(*entry);
      if (SaysAvailable(task, name) && (pool.spec.price_micros == 0 || !Bounded(task.meta.ns)))
        out.emplace(key, name);
    }
  }
  return out;
}

std::set<std::string> Checks::Unregistered() const {
  std::set<std::string> out;
  core::Write write;
  write.kind = Kind::kServer;
  if (api_.RuleFor(write) != nullptr) return out;
  write.verb = core::Verb::kDelete;  // of the one that was there for the machine before
  if (api_.RuleFor(write) != nullptr) return out;
  // It may be given back since, and nobody be told.
  write.kind = Kind::kScale;
  write.verb = core::Verb::kPatchStatus;
  if (api_.RuleFor(write) != nullptr) return out;
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*object);
    const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
    if (scale.status.phase != api::ScalePhase::kReady || claim == nullptr || !claim->ready ||
        !claim->ending.empty() || claim->deleting || witness_.Down(claim->node_name, seconds(0)))
      continue;
    const auto& servers = api_.All(Kind::kServer);
    // Its name is not free while somebody's finalizer keeps that of the machine before.
    if (std::none_of(servers.begin(), servers.end(), [&](const auto& entry) {
          const auto& server = std::get<api::RegisteredServer>(*entry.second);
          return server.spec.node_name == claim->node_name ||
                 (server.spec.scale_request == scale.meta.name && api_.IsKept(server.meta.uid));
        }))
      out.insert(name + " has node " + claim->node_name);
  }
  return out;
}

// A text that was called invalid is sent again after up to five minutes.
bool Checks::RefusedOfLate(core::Verb verb, Kind kind, const std::string& ns) const {
  core::Write write;
  write.verb = verb;
  write.kind = kind;
  write.ns = ns;
  return std::any_of(api_.rules.begin(), api_.rules.end(),
                     [&](const Rule& rule) { return rule.Holds(write, api_.now - seconds(400)); });
}

// Where two leaders have written over each other so often, what is to be written again waits for
// more than a minute.
bool Checks::IsWrittenLate(const TaskRequest& task) const {
  constexpr int kSoonAgain = 4;  // each was written over twice at most: 40 s
  const auto at = writers_.find(task.meta.uid);
  return at != writers_.end() && at->second.changes > kSoonAgain;
}

std::set<std::string> Checks::Misleading() const {
  std::set<std::string> out;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (api::Finished(task.status.phase) ||
        RefusedOfLate(core::Verb::kPatchStatus, Kind::kTask, task.meta.ns) || IsWrittenLate(task))
      continue;
    const auto* says = api::FindCondition(*task.status.conditions, "Reconciling");
    if (says != nullptr && PriorityOf(task) && !task.spec.priority_class.empty() &&
        says->message.str().starts_with("PriorityClass " + task.spec.priority_class))
      out.insert(key + " says that its class does not exist, which does");
    const auto& pods = api_.All(Kind::kPod);
    const bool runs = std::any_of(pods.begin(), pods.end(), [&](const auto& entry) {
      const Pod& pod = std::get<Pod>(*entry.second);
      const std::string* owner = witness_.OwnerOf(pod);
      return !pod.terminal() && owner != nullptr && *owner == task.meta.uid;
    });
    const bool told = task.status.phase == api::TaskPhase::kRunning ||
                      task.status.phase == api::TaskPhase::kAssigned;
    if (task.meta.deleted && told && !runs)
      out.insert(key + ", which is being deleted, says that it runs, and does not");
  }
  return out;
}

std::optional<Violation> Checks::Quiet(const Replica& replica) const {
  if (const auto differs = ViewDiffers(replica)) return Violation{"view-equals", *differs};
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    const bool held = task.spec.suspend && !task.spec.cancel;
    if (!api::Finished(task.status.phase) && !held)
      return Violation{"unfinished", key + " is " + api::ToString(task.status.phase) + ": " +
                                         EncodeStatus(task.status).dump()};
  }
  for (const auto& [name, object] : api_.All(Kind::kCloudServer))
    return Violation{"left-behind", core::EngineOf(*object) + " has " + name +
                                        ", which is paid for and nobody needs"};
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const api::ScalePhase phase = std::get<api::ScaleRequest>(*object).status.phase;
    if (phase != api::ScalePhase::kFailed && phase != api::ScalePhase::kReleased)
      return Violation{"left-behind", "ScaleRequest " + name + " is " + api::ToString(phase)};
  }
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& pod = std::get<Pod>(*object);
    if (witness_.OwnerOf(pod) != nullptr && !pod.terminal())
      return Violation{"left-behind", "pod " + key + " still runs"};
  }
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    api::Resources used;
    for (const auto& [key, entry] : api_.All(Kind::kPod)) {
      const Pod& pod = std::get<Pod>(*entry);
      if (pod.node_name == name && !pod.terminal()) used += pod.requests;
    }
    if (!(replica.core().world().servers.ledger.On(name).used == used))
      return Violation{"ledger", "what is booked on node " + name + " is not what runs there"};
  }
  return std::nullopt;
}

}  // namespace spillway::simulation
