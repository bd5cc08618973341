#include "tests/simulation/checks.h"

#include <algorithm>

#include "operator/cloud/karpenter.h"
#include "operator/core/admission.h"
#include "operator/core/pod_body.h"
#include "operator/core/refusals.h"
#include "operator/core/world.h"

namespace spillway::simulation {
namespace {

using api::Pod;
using api::TaskRequest;
using std::chrono::seconds;

// Longer than the operator's own patience with a silent node, by which it may start a second pod.
constexpr Duration kSilence = seconds(300);

// Less than that of every pool, by what clocks may differ.
constexpr Duration kProvisionTimeout = seconds(250);

const std::string* OwnerOf(const Pod& pod) {
  for (const auto& owner : pod.meta.owners) {
    if (owner.kind == "TaskRequest") return &owner.uid;
  }
  return nullptr;
}

std::string Need(const std::string& scale) { return scale.substr(0, scale.rfind('-')); }

}  // namespace

void Checks::Violate(std::string invariant, std::string message) {
  if (!violation_) violation_ = Violation{std::move(invariant), std::move(message)};
}

void Checks::Decided(const Replica& replica, const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  if (write != nullptr && write->kind == Kind::kPod && write->verb == core::Verb::kCreate)
    PodDecided(replica, *write);
}

bool Checks::Knows(const Replica& replica, const Pod& pod) const {
  const auto origin = origins_.find(pod.meta.uid);
  const int64_t version =
      origin == origins_.end() ? pod.meta.resource_version : origin->second.version;
  if (replica.HasSeen(Kind::kPod, version)) return true;
  if (origin == origins_.end() || origin->second.replica != replica.id()) return false;
  if (Contested(pod.meta.key(), 1)) return false;
  // Its own work, unless it belongs to a task that is gone: such a pod is collected at once.
  return TaskExists(*OwnerOf(pod));
}

bool Checks::HasSeenTask(const Replica& replica, const std::string& uid) const {
  const auto& tasks = api_.All(Kind::kTask);
  return std::any_of(tasks.begin(), tasks.end(), [&](const auto& task) {
    return UidOf(*task.second) == uid &&
           replica.HasSeen(Kind::kTask, core::VersionOf(*task.second));
  });
}

bool Checks::TaskExists(const std::string& uid) const {
  const auto& tasks = api_.All(Kind::kTask);
  return std::any_of(tasks.begin(), tasks.end(),
                     [&](const auto& task) { return UidOf(*task.second) == uid; });
}

bool Checks::GivenUp(const Replica& replica, Time decided) {
  return replica.now() + seconds(1) >= decided + core::kSlowAnswer;  // clocks may differ
}

bool Checks::Counts(const Replica& replica, const Pod& pod) const {
  if (!Knows(replica, pod)) return false;
  const auto origin = origins_.find(pod.meta.uid);
  return origin == origins_.end() || replica.HasSeen(Kind::kPod, origin->second.version) ||
         !GivenUp(replica, origin->second.decided);
}

void Checks::PodDecided(const Replica& replica, const core::Write& write) {
  const Pod pod = *api::DecodePod(core::Body(write));
  const std::string uid = write.uid;
  CheckServer(replica, pod);
  CheckRoom(replica, pod);
  CheckLoad(replica, pod);
  CheckOnlyPod(replica, pod, uid);
  CheckTurn(replica, uid);
  CheckMoney(replica, uid);
  CheckGroup(replica, uid);
  if (api_.Get<Pod>(write.key()) != nullptr) return;  // another leader was faster
  intents_[write.key()] = {replica.id(),
                           pod.node_name,
                           uid,
                           pod.requests,
                           pod.meta.labels.contains(api::kExclusiveLabel),
                           replica.now()};
}

void Checks::CheckRoom(const Replica& replica, const Pod& pod) {
  const auto* node = api_.Get<api::Node>(pod.node_name);
  if (node == nullptr) return;  // gone meanwhile
  api::Resources used = pod.requests;
  int others = 0, exclusive = 0;
  std::string beside;
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    if (other.node_name != pod.node_name || other.terminal() || !Counts(replica, other)) continue;
    used += other.requests;
    beside += " " + key;
    // Where the process has not seen the task, it cannot know whether the pod tells the truth.
    const bool ours = OwnerOf(other) != nullptr && HasSeenTask(replica, *OwnerOf(other));
    others += ours ? 1 : 0;
    exclusive += ours && other.meta.labels.contains(api::kExclusiveLabel) ? 1 : 0;
  }
  for (const auto& [key, intent] : intents_) {
    if (intent.replica != replica.id() || intent.node != pod.node_name ||
        GivenUp(replica, intent.decided))
      continue;
    // Of a name there can be only one: another leader's, or that of a task that was deleted.
    if (key == pod.meta.key() || api_.Get<Pod>(key) != nullptr || Contested(key, 0)) continue;
    used += intent.requests;
    beside += " (" + key + ")";
    ++others;
    exclusive += intent.exclusive ? 1 : 0;
  }
  if (used.cpu_milli > node->allocatable.cpu_milli || used.memory > node->allocatable.memory) {
    Violate("overcommit",
            pod.meta.key() + " on node " + pod.node_name + ": " + std::to_string(used.cpu_milli) +
                "m of " + std::to_string(node->allocatable.cpu_milli) + "m cpu, beside" + beside);
  }
  const bool alone = pod.meta.labels.contains(api::kExclusiveLabel);
  if (exclusive > 0 || (alone && others > 0))
    Violate("exclusive", pod.meta.key() + " shares node " + pod.node_name);
}

// By the last measurement that the process was told, and everything that it had not covered.
void Checks::CheckLoad(const Replica& replica, const Pod& pod) {
  const auto* node = api_.Get<api::Node>(pod.node_name);
  const api::NodeMetrics* load = replica.LoadOf(pod.node_name);
  if (node == nullptr) return;
  // That the node is a new one of that name is not known before it was seen.
  const bool of_this_node =
      load != nullptr && (load->observed >= node->meta.created ||
                          !replica.HasSeen(Kind::kNode, core::VersionOf(*node)));
  const bool fresh = of_this_node && replica.now() < load->observed + std::chrono::seconds(60);
  int64_t cpu = pod.requests.cpu_milli, memory = pod.requests.memory;
  const auto add = [&](const api::Resources& requests) {
    cpu += requests.cpu_milli;
    memory += requests.memory;
  };
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    const bool covered = fresh && other.started &&
                         *other.started + std::chrono::seconds(1) <= load->observed - load->window;
    if (other.node_name == pod.node_name && !other.terminal() && !covered && Counts(replica, other))
      add(other.requests);
  }
  for (const auto& [key, intent] : intents_) {
    if (intent.replica == replica.id() && intent.node == pod.node_name && key != pod.meta.key() &&
        api_.Get<Pod>(key) == nullptr && !Contested(key, 0) && !GivenUp(replica, intent.decided))
      add(intent.requests);
  }
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const api::RegisteredServerSpec& spec = std::get<api::RegisteredServer>(*object).spec;
    if (spec.node_name != pod.node_name ||
        !replica.HasSeen(Kind::kServer, core::VersionOf(*object)))
      continue;
    if (spec.requires_metrics && !fresh)
      Violate("unmeasured", pod.meta.key() + " on server " + name);
    if (!fresh) continue;
    if ((spec.max_cpu_percent &&
         (cpu + load->cpu_milli) * 100 > *spec.max_cpu_percent * node->allocatable.cpu_milli) ||
        (spec.max_memory_percent &&
         memory + load->memory > *spec.max_memory_percent * (node->allocatable.memory / 100) + 100))
      Violate("overload", pod.meta.key() + " on server " + name + ": measured " +
                              std::to_string(load->cpu_milli) + "m, not measured " +
                              std::to_string(cpu) + "m of " +
                              std::to_string(node->allocatable.cpu_milli) + "m");
  }
}

void Checks::CheckOnlyPod(const Replica& replica, const Pod& pod, const std::string& task_uid) {
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    const std::string* owner = OwnerOf(other);
    if (owner == nullptr || *owner != task_uid || other.terminal() || !Knows(replica, other) ||
        other.meta.name == pod.meta.name)
      continue;
    const Time down = nodes_.LastDown(other.node_name);
    if (down == Time{} || api_.now - down > kSilence)
      Violate("two-pods",
              pod.meta.key() + " beside " + key + ", whose node " + other.node_name + " is well");
  }
  for (const auto& [key, intent] : intents_) {
    if (intent.replica == replica.id() && intent.task_uid == task_uid && key != pod.meta.key() &&
        api_.Get<Pod>(key) == nullptr)
      Violate("two-pods", pod.meta.key() + " beside " + key + ", which is not created yet");
  }
}

std::optional<int64_t> Checks::PriorityOf(const TaskRequest& task) const {
  if (task.spec.priority_class.empty()) return task.spec.priority;
  const auto* named = api_.Get<api::PriorityClass>(task.spec.priority_class);
  return named == nullptr ? std::nullopt : std::optional(named->value);
}

int64_t Checks::UsedOf(const Replica& replica, const api::Budget& budget) const {
  const api::Period period = api::PeriodOf(budget.spec.period, replica.now());
  int64_t used = 0;
  for (const auto& [key, task] : replica.core().world().tasks) {
    const api::TaskStatus& status = task.object.status;
    if (task.object.meta.ns != budget.meta.ns) continue;
    if (task.binding && status.assignment && status.assignment->attempt == task.binding->attempt)
      used += status.assignment->estimated_micros;
    for (const api::Attempt& attempt : status.attempts) {
      if (attempt.finished_at && *attempt.finished_at >= period.start &&
          *attempt.finished_at < period.end)
        used += attempt.cost_micros;
    }
  }
  return used;
}

// What costs money is begun only where the budgets cover it, and all that was begun before.
void Checks::CheckMoney(const Replica& replica, const std::string& task_uid) {
  if (!replica.HasSeen(Kind::kBudget, api_.changed(Kind::kBudget))) return;
  const core::TaskState* task = replica.core().world().TaskByUid(task_uid);
  if (task == nullptr || !task->binding || task->binding->price_micros == 0) return;
  for (const auto& [key, object] : api_.All(Kind::kBudget)) {
    const auto& budget = std::get<api::Budget>(*object);
    if (budget.meta.ns != task->object.meta.ns || budget.spec.action == api::BudgetAction::kWarn)
      continue;
    const int64_t used = UsedOf(replica, budget);
    if (used > budget.spec.amount_micros)
      Violate("beyond-budget", *task->key + ": " + api::FormatPrice(used) + " of " +
                                   api::FormatPrice(budget.spec.amount_micros) + " in " + key);
  }
}

bool Checks::Bounded(const std::string& ns) const {
  for (const auto& [key, object] : api_.All(Kind::kBudget)) {
    const auto& budget = std::get<api::Budget>(*object);
    if (budget.meta.ns == ns && budget.spec.action != api::BudgetAction::kWarn) return true;
  }
  return false;
}

// Nothing of a higher priority that asks for the same still waits.
void Checks::CheckTurn(const Replica& replica, const std::string& task_uid) {
  if (!replica.HasSeen(Kind::kPriorityClass, api_.changed(Kind::kPriorityClass))) return;
  const auto& world = replica.core().world();
  const auto owner = world.owners.find(task_uid);
  if (owner == world.owners.end() || owner->second.task == nullptr) return;
  const core::TaskState& task = *owner->second.task;
  for (const auto& [key, other] : world.tasks) {
    if (!other.queued || other.in_gang || task.gang != nullptr || other.shape != task.shape)
      continue;
    const auto *mine = api_.Get<TaskRequest>(task.object.meta.key()),
               *theirs = api_.Get<TaskRequest>(key);
    if (mine == nullptr || theirs == nullptr || mine->meta.uid != task_uid ||
        theirs->meta.uid != other.uid() ||
        !replica.HasSeen(Kind::kTask,
                         std::max(mine->meta.resource_version, theirs->meta.resource_version)))
      continue;
    if (PriorityOf(*theirs) > PriorityOf(*mine))
      Violate("passed-over", key + ", of a higher priority, by " + mine->meta.key());
  }
}

// All of a group that has never run are bound in one step.
void Checks::CheckGroup(const Replica& replica, const std::string& task_uid) {
  const auto& world = replica.core().world();
  const auto owner = world.owners.find(task_uid);
  if (owner == world.owners.end() || owner->second.task == nullptr) return;
  const auto& group = owner->second.task->object.spec.group;
  if (!group) return;
  int64_t bound = 0;
  for (const auto& [key, task] : world.tasks) {
    if (!task.object.spec.group || task.object.spec.group->name != group->name) continue;
    if (!task.object.status.attempts.empty() || api::Finished(task.object.status.phase)) return;
    bound += task.binding ? 1 : 0;
  }
  if (bound < group->size)
    Violate("half-a-group", std::to_string(bound) + " of group " + group->name + " are bound");
}

void Checks::CheckServer(const Replica& replica, const Pod& pod) {
  const TaskRequest* task = nullptr;
  for (const auto& owner : pod.meta.owners)
    task = api_.Get<TaskRequest>(pod.meta.ns + "/" + owner.name);
  if (task == nullptr || task->meta.uid != *OwnerOf(pod)) return;  // deleted meanwhile
  const bool seen = replica.HasSeen(Kind::kTask, task->meta.resource_version);
  if (seen && (api::Finished(task->status.phase) || task->spec.cancel || task->spec.suspend))
    Violate("unwanted", pod.meta.key() + " although its task is finished, cancelled or suspended");
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const auto& server = std::get<api::RegisteredServer>(*object);
    if (server.spec.node_name != pod.node_name ||
        !replica.HasSeen(Kind::kServer, server.meta.resource_version))
      continue;
    const api::Policy policy = task->spec.placement->policy;
    if (server.spec.cordoned || (policy == api::Policy::kLocalOnly && server.spec.cloud) ||
        (policy == api::Policy::kCloudOnly && !server.spec.cloud)) {
      Violate("wrong-server", pod.meta.key() + " on server " + name);
    }
    for (const auto& want : task->spec.requirements) {
      const auto has = server.spec.capabilities.find(want.key);
      if (has == server.spec.capabilities.end() || has->second != want.values.at(0))
        Violate("wrong-server", pod.meta.key() + " on server " + name + " without " + want.key);
    }
  }
}

void Checks::Before(const core::Write& write) {
  before_.reset();
  if (write.kind == Kind::kTask && write.verb == core::Verb::kPatchStatus) {
    if (const auto* task = api_.Get<TaskRequest>(write.key())) before_ = *task;
  }
  if (write.kind == Kind::kScale && write.verb == core::Verb::kCreate) CheckPurchase(write);
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    const auto intent = intents_.find(write.key());
    if (intent == intents_.end()) return;
    decided_ = intent->second.decided;
    intents_.erase(intent);
  }
}

// It will be paid for, or is, and its server is not there yet.
bool Checks::OnItsWay(const api::ScaleRequest& scale) const {
  if (scale.status.phase != api::ScalePhase::kNone &&
      scale.status.phase != api::ScalePhase::kRequested &&
      scale.status.phase != api::ScalePhase::kProvisioning)
    return false;
  // Given up, and on its way back.
  if (scale.status.requested_at && api_.now >= *scale.status.requested_at + kProvisionTimeout)
    return false;
  const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
  return claim != nullptr ? !claim->deleting && !claim->ready : !cloud_.Answered(scale.meta.uid);
}

void Checks::CheckPurchase(const core::Write& write) {
  if (overlap_ || api_.Get<api::ScaleRequest>(write.key()) != nullptr) return;  // or refused
  for (const auto& [name, object] : api_.All(Kind::kPool)) {
    // A pool's stock may want several servers at once, but never more than the pool may have.
    if (write.name.starts_with("spw-" + UidOf(*object) + "-")) return;
  }
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    if (Need(name) == Need(write.name) && OnItsWay(std::get<api::ScaleRequest>(*object)))
      Violate("bought-twice", write.name + " beside " + name);
  }
}

void Checks::After(const Replica& replica, const core::Write& write) {
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    const Pod& pod = *api_.Get<Pod>(write.key());
    origins_[pod.meta.uid] = {replica.id(), pod.meta.resource_version, decided_};
    ++created_[write.key()];
    ++costs_[write.uid].pods;
    CheckCost(write.uid, write.key());
  }
  if (before_ && before_->meta.uid == write.uid) {
    CheckResult(write);
    ++statuses_;
    ++costs_[write.uid].statuses;
    CheckCost(write.uid, write.key());
  }
}

// The outcome of a finished task is history: nobody may change it.
void Checks::CheckResult(const core::Write& write) {
  const api::TaskStatus &old = before_->status, &now = api_.Get<TaskRequest>(write.key())->status;
  if (!api::Finished(old.phase)) return;
  const auto& a = old.result;
  const auto& b = now.result;
  const bool same = old.phase == now.phase && a.has_value() == b.has_value() &&
                    (!a || (a->exit_code == b->exit_code && a->reason == b->reason &&
                            a->output == b->output && a->finished_at == b->finished_at));
  if (!same)
    Violate("changed-result", write.key() + " was " + api::ToString(old.phase) + " and is " +
                                  api::ToString(now.phase));
}

void Checks::CheckCost(const std::string& uid, const std::string& key) {
  const Cost& cost = costs_[uid];
  // Two statuses an attempt; a waiting task explains itself ever more rarely, and anew when the
  // server that it waits for changes.
  const int bound = 12 + 4 * cost.pods + 3 * cost.edits + 2 * disturbances_;
  if (cost.statuses > bound)
    Violate("too-many-writes", key + ": " + std::to_string(cost.statuses) + " statuses for " +
                                   std::to_string(cost.pods) + " pods");
}

void Checks::Ended(const Replica& replica) {
  std::erase_if(intents_, [&](const auto& entry) { return entry.second.replica == replica.id(); });
}

bool WouldFit(const TaskRequest& task, const api::RegisteredServer& server, const api::Node& node,
              const ApiServer& api) {
  const api::Policy policy = task.spec.placement->policy;
  if (server.spec.cordoned || server.meta.deleted || node.unschedulable) return false;
  if (server.spec.max_cpu_percent || server.spec.requires_metrics) return false;  // see CheckLoad
  if (node.ready != api::NodeReady::kTrue) return false;
  if ((policy == api::Policy::kLocalOnly && server.spec.cloud) ||
      (policy == api::Policy::kCloudOnly && !server.spec.cloud))
    return false;
  for (const auto& want : task.spec.requirements) {
    const auto has = server.spec.capabilities.find(want.key);
    if (has == server.spec.capabilities.end() || has->second != want.values.at(0)) return false;
  }
  api::Resources used = *api::PodRequests(api::GetObject(*task.spec.pod_template, "spec"));
  int64_t tasks = 0;
  for (const auto& [key, object] : api.All(Kind::kPod)) {
    const Pod& pod = std::get<Pod>(*object);
    if (pod.node_name != node.meta.name || pod.terminal()) continue;
    used += pod.requests;
    if (OwnerOf(pod) == nullptr) continue;
    ++tasks;
    if (pod.meta.labels.contains(api::kExclusiveLabel)) return false;
  }
  if (task.spec.exclusive && tasks > 0) return false;
  if (server.spec.max_tasks && tasks >= *server.spec.max_tasks) return false;
  return used.cpu_milli <= node.allocatable.cpu_milli && used.memory <= node.allocatable.memory;
}

void Checks::Settled(const Replica& replica) {
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    const auto state = replica.core().world().tasks.find(key);
    if (state == replica.core().world().tasks.end())
      return Violate("lost-task", key + " is not known to the operator");
    if (api::Finished(task.status.phase) || task.spec.suspend || !state->second.queued ||
        state->second.in_gang ||  // where one has room, the others may have none
        state->second.admission->closed)
      continue;
    for (const auto& [name, entry] : api_.All(Kind::kServer)) {
      const auto& server = std::get<api::RegisteredServer>(*entry);
      const auto* node = api_.Get<api::Node>(server.spec.node_name);
      const auto& known = replica.core().world().servers.at(name);
      // What is kept for a task that waits for longer.
      if (known.reservation && known.reservation->shape != state->second.shape) continue;
      if (core::PassedOver(replica.core().world(), *state->second.shape, known) != nullptr)
        continue;
      if (server.spec.price_micros > 0 && Bounded(task.meta.ns)) continue;
      if (node != nullptr && known.usable && WouldFit(task, server, *node, api_))
        return Violate("idle-server", key + " waits while server " + name + " would take it");
    }
  }
}

std::optional<Violation> Checks::Quiet(const Replica& replica) const {
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    const bool held = task.spec.suspend && !task.spec.cancel;
    if (!api::Finished(task.status.phase) && !held)
      return Violation{"unfinished", key + " is " + api::ToString(task.status.phase) + ": " +
                                         EncodeStatus(task.status).dump()};
  }
  if (!api_.All(Kind::kCloudServer).empty())
    return Violation{"left-behind", "NodeClaim " + api_.All(Kind::kCloudServer).begin()->first +
                                        " is paid for and nobody needs it"};
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const api::ScalePhase phase = std::get<api::ScaleRequest>(*object).status.phase;
    if (phase != api::ScalePhase::kFailed && phase != api::ScalePhase::kReleased)
      return Violation{"left-behind", "ScaleRequest " + name + " is " + api::ToString(phase)};
  }
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& pod = std::get<Pod>(*object);
    if (OwnerOf(pod) != nullptr && !pod.terminal())
      return Violation{"left-behind", "pod " + key + " still runs"};
  }
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    api::Resources used;
    for (const auto& [key, entry] : api_.All(Kind::kPod)) {
      const Pod& pod = std::get<Pod>(*entry);
      if (pod.node_name == name && !pod.terminal()) used += pod.requests;
    }
    if (!(replica.core().world().ledger.On(name).used == used))
      return Violation{"ledger", "what is booked on node " + name + " is not what runs there"};
  }
  return std::nullopt;
}

}  // namespace spillway::simulation
