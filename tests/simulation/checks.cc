#include "tests/simulation/checks.h"

#include <algorithm>
#include <tuple>

#include "operator/cloud/karpenter.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/world.h"
#include "operator/runtime/event_body.h"
#include "operator/runtime/pod_body.h"

namespace spillway::simulation {
namespace {

using api::Pod;
using api::TaskRequest;
using std::chrono::seconds;

// Less than that of every pool, by what clocks may differ.
constexpr Duration kProvisionTimeout = seconds(250);

std::string Need(const std::string& scale) { return scale.substr(0, scale.rfind('-')); }

// Longer than the operator's own waits after losses and refusals, and after most failures.
constexpr Duration kRested = seconds(200);

// A long output is cut.
bool Tells(const PodRecord& pod, const api::TaskResult& result) {
  constexpr size_t kHead = 30;
  return pod.end && result.exit_code == pod.end->exit_code &&
         result.output.substr(0, kHead) == pod.end->message.substr(0, kHead);
}

bool AsksForTheSame(const TaskRequest& a, const TaskRequest& b) {
  const auto placement = [](const TaskRequest& task) {
    const api::Placement& p = *task.spec.placement;
    return std::tuple(p.policy, p.burst_after, p.burst_auto, p.pools, p.max_price_micros);
  };
  return a.spec.exclusive == b.spec.exclusive && a.spec.active_deadline == b.spec.active_deadline &&
         a.spec.requirements == b.spec.requirements && placement(a) == placement(b) &&
         *a.spec.pod_template == *b.spec.pod_template;
}

}  // namespace

std::string Says(const TaskRequest& task) {
  const auto& why = task.status.explanation;
  return task.meta.key() + " says: " + (why ? why->summary : "nothing");
}

void Checks::Violate(std::string invariant, std::string message) {
  if (!only_.empty() && invariant != only_) return;
  if (!violation_) violation_ = Violation{std::move(invariant), std::move(message)};
}

void Checks::Decided(const Replica& replica, const core::Effect& effect) {
  if (const auto* ask = std::get_if<core::AskCloud>(&effect);
      ask != nullptr && ask->op == core::AskCloud::Op::kEnsure)
    engine_asked_.try_emplace({replica.id(), ask->request_uid}, api_.now);
  const auto* write = std::get_if<core::Write>(&effect);
  if (write == nullptr) return;
  if (write->kind == Kind::kPod && write->verb == core::Verb::kCreate) PodDecided(replica, *write);
  if (write->kind == Kind::kPod && write->verb == core::Verb::kDelete) {
    stopped_.insert(write->uid);
    Stops(replica, *write);
  }
  if (write->kind == Kind::kTask && write->verb == core::Verb::kPatchStatus) {
    CheckAssignment(replica, *write);
    const auto phase = api::GetString(write->body, "phase");
    if (phase == "Succeeded" || phase == "Failed" || phase == "Cancelled")
      concluded_.emplace(replica.id(), write->uid);
  }
  if (write->kind == Kind::kScale && write->verb == core::Verb::kCreate) {
    CheckSecondPurchase(replica, *write);
    CheckPool(replica, *write);
    if (api_.Get<api::ScaleRequest>(write->name) == nullptr)
      purchases_[write->name] = {replica.id(),
                                 api::GetString(api::GetObject(write->body, "spec"), "poolName")};
  }
}

std::string Checks::WhatOf(const core::Effect& effect) const {
  const std::string key = runtime::EffectKey(effect);
  if (const auto* ask = std::get_if<core::AskCloud>(&effect))
    return "ask " + std::to_string(static_cast<int>(ask->op)) + " " + key;
  const auto* write = std::get_if<core::Write>(&effect);
  if (write == nullptr) return key;
  static constexpr const char* kVerbs[] = {"create ", "patch ", "delete "};
  const bool pod = write->kind == Kind::kPod && write->verb == core::Verb::kCreate;
  return kVerbs[static_cast<int>(write->verb)] + (pod ? "pod of " + write->uid : key);
}

std::string Checks::StateOf(const core::Effect& effect) const {
  const auto version = [&](Kind kind, const std::string& key) {
    const auto at = api_.All(kind).find(key);
    return at == api_.All(kind).end() ? "-" : std::to_string(core::VersionOf(*at->second));
  };
  if (const auto* ask = std::get_if<core::AskCloud>(&effect))
    return version(Kind::kScale, ask->request_name) +
           version(Kind::kCloudServer, cloud::NodeClaimName(ask->request_uid));
  if (const auto* note = std::get_if<core::Note>(&effect))
    return version(note->kind, note->ns.empty() ? note->name : note->ns + "/" + note->name);
  const auto* asked = std::get_if<core::Write>(&effect);
  if (asked == nullptr) return "";
  const core::Write& write = *asked;
  if (write.kind != Kind::kPod || write.verb != core::Verb::kCreate)
    return version(write.kind, write.key());
  // Its task's own statuses tell nothing new.
  const TaskRecord* record = witness_.Task(write.uid);
  const TaskRequest* task = TaskOf(write.uid);
  return std::to_string(record == nullptr ? 0 : record->pods.size()) + " " +
         std::to_string(task == nullptr ? 0 : task->meta.generation) + " " +
         version(Kind::kPod, write.key());
}

void Checks::Tried(const Replica& replica, const core::Effect& effect) {
  if (hostile_) CheckBody(effect);
  const std::string what = WhatOf(effect);
  const auto times =
      rates_.Tried(std::to_string(replica.id()) + " " + what, StateOf(effect), api_.now);
  if (times)
    Violate("attempt-rate",
            what + ": " + std::to_string(*times) + " times, and nothing had changed");
}

// What is sent must be JSON that an API server takes, whatever went into it.
void Checks::CheckBody(const core::Effect& effect) {
  constexpr size_t kMost = size_t{64} << 10;
  const auto* write = std::get_if<core::Write>(&effect);
  const auto* note = std::get_if<core::Note>(&effect);
  if ((write == nullptr || write->verb == core::Verb::kDelete) && note == nullptr) return;
  const std::string what = runtime::EffectKey(effect);
  try {
    const api::Json body = write != nullptr ? runtime::Body(*write)
                                            : runtime::EventBody(*note, "simulation", api_.now, 1);
    const std::string text = body.dump();
    if (api::Json::parse(text) != body) Violate("encodes", what + " reads back as something else");
    if (write != nullptr && write->verb == core::Verb::kPatchStatus && text.size() > kMost)
      Violate("status-size", what + " has " + std::to_string(text.size()) + " bytes");
  } catch (const std::exception& error) {
    Violate("encodes", what + ": " + error.what());
  }
}

void Checks::Turned(const Replica& replica) {
  slowest_ = std::min(slowest_, replica.now() - api_.now);
  fastest_ = std::max(fastest_, replica.now() - api_.now);
  for (const std::string& uid : decided_) CheckGroup(replica, uid);
  decided_.clear();
}

bool Checks::KnowsAll(const Replica& replica) const {
  for (size_t kind = 0; kind < core::kKinds; ++kind) {
    const auto of = static_cast<Kind>(kind);
    if (!replica.HasSeen(of, api_.changed(of))) return false;
  }
  return true;
}

const TaskRequest* Checks::TaskOf(const std::string& uid) const {
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    if (UidOf(*object) == uid) return &std::get<TaskRequest>(*object);
  }
  return nullptr;
}

bool Checks::Knows(const Replica& replica, const Pod& pod) const {
  const auto origin = origins_.find(pod.meta.uid);
  const int64_t version =
      origin == origins_.end() ? pod.meta.resource_version : origin->second.version;
  if (replica.HasSeen(Kind::kPod, version)) return true;
  if (origin == origins_.end() || origin->second.replica != replica.id()) return false;
  if (Contested(pod.meta.key(), 1)) return false;
  // Its own work, unless it belongs to a task that is gone: such a pod is collected at once.
  for (const auto& [key, task] : api_.All(Kind::kTask)) {
    if (UidOf(*task) == *witness_.OwnerOf(pod)) return true;
  }
  return false;
}

bool Checks::GivenUp(const Replica& replica, Time decided) {
  return replica.now() + seconds(1) >= decided + core::kSlowAnswer;  // clocks may differ
}

bool Checks::Counts(const Replica& replica, const Pod& pod) const {
  if (!Knows(replica, pod)) return false;
  const auto origin = origins_.find(pod.meta.uid);
  if (origin == origins_.end() || replica.HasSeen(Kind::kPod, origin->second.version)) return true;
  // Of two leaders the other may have ended it before this one was told that it is there.
  return !overlap_ && !GivenUp(replica, origin->second.decided) &&
         !failed_.contains(pod.meta.key());
}

void Checks::PodDecided(const Replica& replica, const core::Write& write) {
  const Pod pod = *api::DecodePod(runtime::Body(write));
  const std::string uid = write.uid;
  CheckServer(replica, pod, uid);
  CheckRoom(replica, pod);
  CheckLoad(replica, pod);
  CheckOnlyPod(replica, pod, uid);
  CheckTurn(replica, uid);
  CheckMoney(replica, write);
  CheckRefusals(replica, write);
  if (ever_decided_.insert(uid).second) decided_.insert(uid);
  const Pod* there = api_.Get<Pod>(write.key());
  const std::string* owner = there == nullptr ? nullptr : witness_.OwnerOf(*there);
  if (owner != nullptr && *owner == uid) return;  // another leader was faster
  witness_.Asked(write.key(), pod.node_name);
  if (const TaskRequest* task = TaskOf(uid)) began_with_[write.key()] = PriorityOf(*task);
  failed_.erase(write.key());
  intents_[write.key()] = {replica.id(),
                           pod.node_name,
                           uid,
                           pod.requests,
                           pod.meta.labels.contains(api::kExclusiveLabel),
                           replica.now(),
                           api_.now,
                           write.pod->assignment->estimated_micros,
                           write.pod->assignment};
}

// As the process knows them: what admission has added is seen with the pod.
const api::Resources& Checks::RequestsOf(const Replica& replica, const Pod& pod) const {
  const auto origin = origins_.find(pod.meta.uid);
  const bool sent = origin != origins_.end() && origin->second.replica == replica.id() &&
                    !replica.HasSeen(Kind::kPod, origin->second.version);
  return sent ? origin->second.requests : pod.requests;
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
    used += RequestsOf(replica, other);
    beside += " " + key;
    const PodRecord* record = witness_.RecordOf(other);
    // One of a task that is gone is collected, and nobody's until then.
    const TaskRequest* task = record == nullptr ? nullptr : TaskOf(*witness_.OwnerOf(other));
    // Nor can a process that has not seen its task know whether the pod tells the truth.
    if (task == nullptr || !replica.HasSeen(Kind::kTask, task->meta.resource_version)) continue;
    ++others;
    exclusive += record->exclusive ? 1 : 0;
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
      add(RequestsOf(replica, other));
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
    const std::string* owner = witness_.OwnerOf(other);
    if (owner == nullptr || *owner != task_uid || other.terminal() || !Knows(replica, other) ||
        other.meta.name == pod.meta.name)
      continue;
    // Its node may be well again: then it is counted as lost if it was, while the pod was there.
    const PodRecord* record = witness_.RecordOf(other);
    if (!witness_.Lost(other.node_name, record->asked))
      Violate("two-pods", pod.meta.key() + " beside " + key + ", whose node " + other.node_name +
                              " was never lost");
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

int64_t Checks::BegunFor(const Replica& replica, const TaskRequest& task) const {
  // Its end was decided on in the step that was told so, also if its pod is yet to be created.
  if (task.spec.suspend || task.spec.cancel) return 0;
  const TaskRecord* record = witness_.Task(task.meta.uid);
  int64_t begun = 0;
  for (const auto& [key, intent] : intents_) {
    if (intent.replica == replica.id() && intent.task_uid == task.meta.uid &&
        api_.Get<Pod>(key) == nullptr && !GivenUp(replica, intent.decided))
      begun = intent.estimate;
  }
  if (record == nullptr || record->pods.empty()) return begun;
  const PodRecord& last = record->pods.back();
  const auto origin = origins_.find(last.uid);
  const bool own = origin != origins_.end() && origin->second.replica == replica.id();
  const auto& ended = task.status.attempts;
  const bool recorded = !ended.empty() && ended.back().attempt >= last.attempt;
  // One that was not seen, and whose creation had no answer for too long, may never be.
  const bool waits = !own || replica.HasSeen(Kind::kPod, last.version) ||
                     (!GivenUp(replica, origin->second.decided) && !failed_.contains(last.key));
  const bool runs = waits && !last.over && !last.asked_to_end && !stopped_.contains(last.uid) &&
                    !recorded && !witness_.Down(last.node, Duration{0});
  // What appeared after it had been given up was estimated again, by what was known then.
  return own && runs && begun == 0 && !TakenUp(replica, last) ? last.estimate : begun;
}

int64_t Checks::UsedOf(const Replica& replica, const api::Budget& budget,
                       const std::string& uid) const {
  const api::Period period = api::PeriodOf(budget.spec.period, replica.now());
  int64_t used = 0;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (task.meta.ns != budget.meta.ns || !replica.HasSeen(Kind::kTask, core::VersionOf(*object)))
      continue;
    if (!api::Finished(task.status.phase) && task.meta.uid != uid) used += BegunFor(replica, task);
    for (const api::Attempt& attempt : task.status.attempts) {
      if (attempt.finished_at && *attempt.finished_at >= period.start &&
          *attempt.finished_at < period.end)
        used += attempt.cost_micros;
    }
  }
  return used;
}

// What costs money is begun only where the budgets cover it, and all that was begun before.
void Checks::CheckMoney(const Replica& replica, const core::Write& write) {
  if (!replica.HasSeen(Kind::kBudget, api_.changed(Kind::kBudget))) return;
  const TaskRequest* task = TaskOf(write.uid);
  const auto* server = api_.Get<api::RegisteredServer>(write.pod->assignment->server);
  if (task == nullptr || server == nullptr || server->spec.price_micros == 0) return;
  for (const auto& [key, object] : api_.All(Kind::kBudget)) {
    const auto& budget = std::get<api::Budget>(*object);
    if (budget.meta.ns != task->meta.ns || budget.spec.action == api::BudgetAction::kWarn) continue;
    const int64_t used =
        UsedOf(replica, budget, write.uid) + write.pod->assignment->estimated_micros;
    if (used > budget.spec.amount_micros)
      Violate("beyond-budget", task->meta.key() + ": " + api::FormatPrice(used) + " of " +
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

bool Checks::InQueue(const Replica& replica, const TaskRequest& task) const {
  const api::TaskStatus& status = task.status;
  if (api::Finished(status.phase) || task.spec.suspend || task.spec.cancel || task.spec.group ||
      task.meta.deleted || !replica.HasSeen(Kind::kTask, task.meta.resource_version) ||
      // It has ended, and its status is refused or on its way.
      concluded_.contains({replica.id(), task.meta.uid}) ||
      !witness_.Rested(task.meta.uid, kRested) || witness_.Unrecorded(task) || Barred(task) ||
      (status.retry_at && *status.retry_at > api_.now))
    return false;
  // It ends instead.
  if (task.spec.start_deadline && api_.now >= task.meta.created + *task.spec.start_deadline)
    return false;
  // Where pods are refused, or nobody answers, only some are tried.
  if (witness_.RefusedIn(task.meta.ns, kPassedOver)) return false;
  // That a pod was created may not have been told yet.
  for (const std::string& key : replica.Unanswered(task.meta.ns + "/")) {
    if (api_.now >= witness_.AskedAt(key) + seconds(3)) return false;
  }
  return std::none_of(intents_.begin(), intents_.end(), [&](const auto& intent) {
    return intent.second.task_uid == task.meta.uid ||
           (intent.first.starts_with(task.meta.ns + "/") &&
            api_.now >= intent.second.asked + seconds(3));
  });
}

// Whether they do not stand in one line: admission makes other pods of them, or the budgets of one
// of them may close to it what costs money. What stands in another line is not waited for while as
// many kinds of pods as may be at once are tried in its namespace for the first time.
bool Checks::StandApart(const Replica& replica, const TaskRequest& a, const TaskRequest& b) const {
  constexpr size_t kTriedAtOnce = 8;
  const auto asks = [&](const std::string& ns) {
    const auto at = api_.admission.find(ns);
    return at == api_.admission.end() ? int64_t{0} : at->second.more_cpu_milli;
  };
  if (asks(a.meta.ns) != asks(b.meta.ns)) return true;
  if (!Bounded(b.meta.ns)) return false;
  std::set<std::string> tried;
  for (const std::string& key : replica.Unanswered(a.meta.ns + "/")) tried.insert(key);
  for (const auto& [key, intent] : intents_) {
    if (intent.replica == replica.id() && key.starts_with(a.meta.ns + "/")) tried.insert(key);
  }
  return tried.size() >= kTriedAtOnce;
}

// Nothing of a higher priority that asks for the same still waits.
void Checks::CheckTurn(const Replica& replica, const std::string& task_uid) {
  if (!replica.HasSeen(Kind::kPriorityClass, api_.changed(Kind::kPriorityClass)) ||
      // What is held back for want of money is looked at anew, but not at once.
      api_.now < witness_.budget_changed + seconds(10))
    return;
  const TaskRequest* mine = TaskOf(task_uid);
  if (mine == nullptr || mine->spec.group ||
      !replica.HasSeen(Kind::kTask, mine->meta.resource_version))
    return;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& other = std::get<TaskRequest>(*object);
    // What costs money may be closed to the one and not to the other.
    if (&other == mine || !(PriorityOf(other) > PriorityOf(*mine)) || Bounded(other.meta.ns) ||
        !AsksForTheSame(other, *mine) || !InQueue(replica, other) ||
        StandApart(replica, other, *mine))
      continue;
    Violate("passed-over", key + ", of a higher priority, by " + mine->meta.key());
  }
}

// All of a group that has never run are bound in one step.
void Checks::CheckGroup(const Replica& replica, const std::string& task_uid) {
  const TaskRequest* mine = TaskOf(task_uid);
  if (mine == nullptr || !mine->spec.group ||
      !replica.HasSeen(Kind::kTask, api_.changed(Kind::kTask)))
    return;
  int64_t bound = 0;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (!task.spec.group || task.spec.group->name != mine->spec.group->name) continue;
    const TaskRecord* record = witness_.Task(task.meta.uid);
    // One that was tried before, and lost its place, waits alone.
    const bool tried = ever_decided_.contains(task.meta.uid) && !decided_.contains(task.meta.uid);
    if (record != nullptr || tried || api::Finished(task.status.phase)) return;
    for (const auto& [pod, intent] : intents_) {
      if (intent.replica == replica.id() && intent.task_uid == task.meta.uid) {
        ++bound;
        break;
      }
    }
  }
  if (bound < mine->spec.group->size)
    Violate("half-a-group",
            std::to_string(bound) + " of group " + mine->spec.group->name + " are bound");
}

// What a status says of a pod that the process knows.
void Checks::CheckAssignment(const Replica& replica, const core::Write& write) {
  const TaskRecord* task = witness_.Task(write.uid);
  if (task == nullptr) return;
  const auto known = [&](int64_t attempt) -> const PodRecord* {
    const PodRecord* pod = task->Attempt(attempt);
    return pod != nullptr && replica.HasSeen(Kind::kPod, pod->version) ? pod : nullptr;
  };
  const api::Json& assignment = api::GetObject(write.body, "assignment");
  const int64_t bound = api::GetInt(assignment, "attempt");
  const api::Json& attempts = api::GetArray(write.body, "attempts");
  const PodRecord* pod = known(bound);
  // Of an attempt that has ended, a pod may come back under its name, elsewhere.
  const bool ended = std::any_of(attempts.begin(), attempts.end(), [&](const api::Json& attempt) {
    return api::GetInt(attempt, "attempt") == bound;
  });
  if (pod != nullptr && !ended && api_.Get<Pod>(pod->key) != nullptr &&
      api::GetString(assignment, "nodeName") != pod->node)
    Violate("assignment-truth", pod->key + " is on node " + pod->node + ", its task says " +
                                    api::GetString(assignment, "nodeName"));
  for (const api::Json& attempt : attempts) {
    // One that was given up may come to be elsewhere, by another's hand, once it is recorded.
    if (!attempt.contains("exitCode")) continue;
    const int64_t number = api::GetInt(attempt, "attempt");
    const PodRecord* of = known(number);
    const std::string server = api::GetString(attempt, "server");
    // One that was deleted may have been created again under its name, elsewhere.
    if (of != nullptr && std::none_of(task->pods.begin(), task->pods.end(), [&](const auto& each) {
          return each.attempt == number && witness_.ServedBy(server, each.node);
        }))
      Violate("assignment-truth",
              of->key + " was on node " + of->node + ", its task says on server " + server);
  }
}

void Checks::CheckServer(const Replica& replica, const Pod& pod, const std::string& uid) {
  const TaskRequest* task = TaskOf(uid);
  if (task == nullptr) return;  // deleted meanwhile
  if (const auto* node = api_.Get<api::Node>(pod.node_name);
      node != nullptr && replica.HasSeen(Kind::kNode, node->meta.resource_version)) {
    for (const api::Taint& taint : node->taints) {
      if (taint.effect != "PreferNoSchedule" && taint.key != api::kPoolTaint)
        Violate("wrong-server",
                pod.meta.key() + " on node " + pod.node_name + " with taint " + taint.key);
    }
    if (node->unschedulable)
      Violate("wrong-server", pod.meta.key() + " on node " + pod.node_name + ", which is cordoned");
  }
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
  if (write.kind == Kind::kScale && write.verb == core::Verb::kCreate) {
    CheckPurchase(write);
    purchases_.erase(write.name);
  }
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    const auto intent = intents_.find(write.key());
    sent_at_ = write.pod->assignment->assigned_at;
    // Another that was decided on under its name is still to come.
    if (intent != intents_.end() && intent->second.assignment == write.pod->assignment)
      intents_.erase(intent);
  }
}

// A task may have to give way to another, or its group is taken back; both cost it no retry. Nor
// does a pod that appears after its creation was given up, when its room is another's.
void Checks::Stops(const Replica& replica, const core::Write& write) {
  const auto* pod = api_.Get<Pod>(write.key());
  const PodRecord* record =
      pod == nullptr || pod->meta.uid != write.uid ? nullptr : witness_.RecordOf(*pod);
  if (record != nullptr && (record->ended == 0 || !replica.HasSeen(Kind::kPod, record->ended)))
    witness_.Stopped(write.uid);
  const TaskRequest* task = pod == nullptr || witness_.OwnerOf(*pod) == nullptr
                                ? nullptr
                                : TaskOf(*witness_.OwnerOf(*pod));
  if (task == nullptr || pod->meta.uid != write.uid) return;
  const auto allows = [](const TaskRequest& each) {
    return each.spec.preemption == api::Preemption::kAllowed;
  };
  const auto behind = [&](Kind kind) { return !replica.HasSeen(kind, api_.changed(kind)); };
  // What runs keeps the priority that it began with, as pods do when their class is made anew.
  auto own = PriorityOf(*task);
  if (const auto at = began_with_.find(write.key()); at != began_with_.end())
    own = std::min(own, at->second);
  // One that is behind goes by priorities as they were.
  bool gives_way =
      task->spec.group.has_value() || behind(Kind::kTask) || behind(Kind::kPriorityClass);
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& other = std::get<TaskRequest>(*object);
    gives_way = gives_way || ((allows(other) || allows(*task)) && PriorityOf(other) > own);
  }
  if (gives_way) witness_.Blame(write.uid, "gave way");
  // As the process may see it.
  const bool pending = pod->phase == api::PodPhase::kPending ||
                       !replica.HasSeen(Kind::kPod, pod->meta.resource_version);
  const auto origin = origins_.find(write.uid);
  if (pending && origin != origins_.end() && origin->second.replica == replica.id() &&
      replica.UntoldUntil(write.uid) >= origin->second.decided + core::kSlowAnswer)
    witness_.Blame(write.uid, "was given up before it was seen");
  const api::Resources asked = *api::PodRequests(api::GetObject(*task->spec.pod_template, "spec"));
  if (pending && !(pod->requests == asked))
    witness_.Blame(write.uid, "was admitted with more than it asked for");
}

// It will be paid for, or is, and its server is not there yet.
bool Checks::IsInflight(const api::ScaleRequest& scale) const {
  if (scale.status.phase != api::ScalePhase::kNone &&
      scale.status.phase != api::ScalePhase::kRequested &&
      scale.status.phase != api::ScalePhase::kProvisioning)
    return false;
  // Given up, and on its way back, by a process that has waited for so long; its status may not
  // have told of that yet.
  std::optional<Time> since = scale.status.requested_at;
  for (const auto& [asked, at] : engine_asked_) {
    if (asked.second == scale.meta.uid && (!since || at < *since)) since = at;
  }
  if (since && api_.now >= *since + kProvisionTimeout) return false;
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
    if (Need(name) == Need(write.name) && IsInflight(std::get<api::ScaleRequest>(*object)))
      Violate("bought-twice", write.name + " beside " + name);
  }
}

// A kubelet that refused a task's pods is not asked again and again while another may take it.
void Checks::CheckRefusals(const Replica& replica, const core::Write& write) {
  constexpr int kMost = 2;
  const std::string& node_name = write.pod->assignment->node_name;
  const TaskRequest* task = TaskOf(write.uid);
  if (task == nullptr || overlap_ || !KnowsAll(replica) ||
      // A process that was started anew does not know.
      witness_.Refusals(write.uid, node_name,
                        std::min<Duration>(seconds(600), api_.now - replica.born()),
                        [&](const std::string& uid) { return replica.HasMetEnded(uid); }) < kMost)
    return;
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const auto& server = std::get<api::RegisteredServer>(*object);
    const auto* node = api_.Get<api::Node>(server.spec.node_name);
    if (node == nullptr || server.spec.node_name == node_name ||
        (server.spec.price_micros > 0 && Bounded(task->meta.ns)) ||
        witness_.Down(node->meta.name, seconds(120)) ||
        witness_.RefusedBy(node->meta.name, seconds(660)) ||
        // What is decided on and not there yet has its room as well.
        Promised(*node) || !WouldFit(*task, server, *node, api_) ||
        KeptForAnother(*task, server, *node))
      continue;
    Violate("refused-again", write.key() + " on node " + node_name + ", which refused it before; " +
                                 "server " + name + " would take it");
  }
}

// By a clock that is ahead, a Lease that was there when the process began looks old until it is
// renewed.
bool Checks::LooksSilent(const Replica& replica, const api::Node& node) const {
  return replica.born() >= node.meta.created && replica.now() >= api_.now + seconds(30) &&
         api_.now < node.meta.created + seconds(25);
}

// A server that was bought for the need is there, would take its task, and never had one: another
// would be as little use.
void Checks::CheckSecondPurchase(const Replica& replica, const core::Write& write) {
  if (overlap_ || !KnowsAll(replica)) return;
  for (const auto& [name, object] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*object);
    const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
    if (Need(name) != Need(write.name) || scale.status.phase != api::ScalePhase::kReady ||
        claim == nullptr || claim->deleting || claim->node_name.empty() ||
        witness_.Hosted(claim->node_name) || witness_.Down(claim->node_name, seconds(120)))
      continue;
    const TaskRequest* task = nullptr;
    for (const auto& [key, each] : api_.All(Kind::kTask)) {
      if (Need(write.name) == "spw-" + UidOf(*each)) task = &std::get<TaskRequest>(*each);
    }
    const auto* node = api_.Get<api::Node>(claim->node_name);
    if (task == nullptr || node == nullptr || LooksSilent(replica, *node)) continue;
    for (const auto& [server_name, entry] : api_.All(Kind::kServer)) {
      const auto& server = std::get<api::RegisteredServer>(*entry);
      if (server.spec.node_name == claim->node_name && !Promised(*node) &&
          Wanting(server, *node) < 2 && WouldFit(*task, server, *node, api_))
        Violate("bought-twice", write.name + " beside " + name + ", which is idle; " + Says(*task));
    }
  }
}

// What is paid for, or asked for, of the pool.
void Checks::CheckPool(const Replica& replica, const core::Write& write) {
  if (overlap_ || !KnowsAll(replica)) return;
  const std::string pool = api::GetString(api::GetObject(write.body, "spec"), "poolName");
  const auto* object = api_.Get<api::ServerPool>(pool);
  if (object == nullptr) return;
  std::set<std::string> live{write.name};
  for (const auto& [name, purchase] : purchases_) {
    if (purchase == std::pair(replica.id(), pool)) live.insert(name);
  }
  for (const auto& [name, entry] : api_.All(Kind::kScale)) {
    const auto& scale = std::get<api::ScaleRequest>(*entry);
    if (scale.pool != pool) continue;
    const auto* claim = api_.Get<api::CloudServer>(cloud::NodeClaimName(scale.meta.uid));
    if (claim != nullptr ? !claim->deleting : IsInflight(scale)) live.insert(name);
  }
  if (static_cast<int64_t>(live.size()) > object->spec.max_servers) {
    std::string names;
    for (const std::string& name : live) names += " " + name;
    Violate("pool-overrun", std::to_string(live.size()) + " servers of pool " + pool +
                                ", which may have " + std::to_string(object->spec.max_servers) +
                                ":" + names);
  }
}

// Each pod after the first needs a reason: a failure that the user wants retried, or something that
// was done to the one before.
void Checks::CheckPods(const core::Write& write) {
  const TaskRecord* record = witness_.Task(write.uid);
  const TaskRequest* task = TaskOf(write.uid);
  if (record == nullptr || task == nullptr) return;
  const auto pods = static_cast<int64_t>(record->pods.size());
  const int64_t causes = witness_.Causes(*record);
  if (pods > 1 + task->spec.retry.limit + causes)
    Violate("pods-bound", task->meta.key() + " has had " + std::to_string(pods) + " pods with " +
                              std::to_string(task->spec.retry.limit) + " retries and " +
                              std::to_string(causes) + " disruptions");
}

void Checks::After(const Replica& replica, const core::Write& write) {
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    const Pod& pod = *api_.Get<Pod>(write.key());
    origins_[pod.meta.uid] = {replica.id(), pod.meta.resource_version, sent_at_,
                              api::DecodePod(runtime::Body(write))->requests};
    ++created_[write.key()];
    if (overlap_) witness_.Late(write.uid);
    ++costs_[write.uid].pods;
    CheckPods(write);
    CheckCost(write.uid, write.key());
  }
  if (before_ && before_->meta.uid == write.uid) {
    CheckResult(replica, write);
    ++statuses_;
    ++costs_[write.uid].statuses;
    CheckCost(write.uid, write.key());
  }
}

// The outcome of a finished task is history: nobody may change it.
void Checks::CheckResult(const Replica& replica, const core::Write& write) {
  const api::TaskStatus &old = before_->status, &now = api_.Get<TaskRequest>(write.key())->status;
  if (!api::Finished(old.phase)) {
    CheckBill(replica, write, now);
    if (api::Finished(now.phase)) CheckTruth(replica, write);
    return;
  }
  const auto& a = old.result;
  const auto& b = now.result;
  const bool same = old.phase == now.phase && a.has_value() == b.has_value() &&
                    (!a || (a->exit_code == b->exit_code && a->reason == b->reason &&
                            a->output == b->output && a->finished_at == b->finished_at));
  if (!same)
    Violate("changed-result", write.key() + " was " + api::ToString(old.phase) + " and is " +
                                  api::ToString(now.phase));
}

// A pod that was gone before the process began, and that no status told of by then, nobody knows
// of.
int64_t Checks::LastKnown(const Replica& replica, const TaskRecord& task) const {
  const api::TaskStatus& told = before_->status;
  const auto is_known = [&](const PodRecord& pod) {
    const auto origin = origins_.find(pod.uid);
    return replica.HasMet(pod.uid) ||
           (origin != origins_.end() && origin->second.replica == replica.id()) ||
           (told.assignment && told.assignment->attempt == pod.attempt) ||
           std::any_of(told.attempts.begin(), told.attempts.end(),
                       [&](const api::Attempt& each) { return each.attempt == pod.attempt; });
  };
  const auto last = std::find_if(task.pods.rbegin(), task.pods.rend(), is_known);
  return last == task.pods.rend() ? 0 : last->attempt;
}

// The result is what the main container of the last attempt did, and nothing if it never ended.
void Checks::CheckTruth(const Replica& replica, const core::Write& write) {
  const api::TaskStatus& now = api_.Get<TaskRequest>(write.key())->status;
  if (!now.result) return;
  int64_t last = now.attempts.empty() ? 0 : now.attempts.back().attempt;
  const TaskRecord* task = witness_.Task(write.uid);
  if (task != nullptr && !overlap_ && task->late == 0) {
    // What was not written of its attempts when a process ended, and whose pods are gone, nobody
    // knows: then numbers are used again, and the last pod does not have the highest.
    if (const int64_t known = LastKnown(replica, *task); known > 0) last = known;
  }
  const PodRecord* pod = task == nullptr ? nullptr : task->Attempt(last);
  const api::Termination* end = pod != nullptr && pod->end ? &*pod->end : nullptr;
  const bool nothing = !now.result->exit_code && now.result->output.empty();
  if (nothing && now.phase != api::TaskPhase::kSucceeded) return;
  // One that was deleted may have been created again under its name.
  const bool same = task != nullptr &&
                    std::any_of(task->pods.begin(), task->pods.end(), [&](const PodRecord& each) {
                      return each.attempt == last && Tells(each, *now.result);
                    });
  if (now.phase == api::TaskPhase::kSucceeded && pod != nullptr && pod->asked_to_end && !overlap_ &&
      !witness_.clocks_wrong)
    Violate("result-truth", write.key() + " has succeeded, and its pod was deleted while it ran");
  if (same) return;
  Violate("result-truth", write.key() + " is " + api::ToString(now.phase) + " with output \"" +
                              now.result->output + "\", its last attempt " + std::to_string(last) +
                              " ended with " +
                              (end == nullptr ? "nothing" : "\"" + end->message + "\""));
}

// Another has made it, or this process had given its creation up, as it was made or heard of late,
// or was told that it had failed.
bool Checks::TakenUp(const Replica& replica, const PodRecord& pod) const {
  const auto origin = origins_.find(pod.uid);
  return origin == origins_.end() || origin->second.replica != replica.id() ||
         failed_.contains(pod.key) || pod.began >= pod.asked + core::kSlowAnswer - seconds(1) ||
         replica.UntoldUntil(pod.uid) + seconds(1) >= origin->second.decided + core::kSlowAnswer;
}

int64_t Checks::MostCost(const Replica& replica, const api::Attempt& attempt,
                         const PodRecord& pod) const {
  constexpr int64_t kMostPrice = 400'000;  // per hour, of every pool here
  // Of one that ended unseen, or on a node whose clock is wrong, nobody knows when that was.
  const bool known = pod.over && attempt.exit_code && !witness_.clocks_wrong;
  // From a time by the API server's clock to one by the process's, which may be ahead of it.
  const Duration between = !known && TakenUp(replica, pod) ? fastest_ : Duration{0};
  const auto there =
      std::chrono::ceil<seconds>((known ? *pod.over : api_.now) - pod.asked + between).count();
  // The operator's clock, once it was set, goes a tenth faster until it is right.
  return kMostPrice * (there + there / 10 + 2) / 3'600 + 1;
}

// No attempt costs more than the time since it was decided on, and no deadline passes earlier than
// that, whatever the clocks of nodes say. When its pod was made only the API server's clock tells.
void Checks::CheckBill(const Replica& replica, const core::Write& write,
                       const api::TaskStatus& now) {
  const TaskRecord* task = witness_.Task(write.uid);
  for (const api::Attempt& attempt : now.attempts) {
    if (task == nullptr || attempt.cost_micros == 0) continue;
    // Under the name of one that nobody has recorded there may have been another.
    int64_t most = -1;
    for (const PodRecord& pod : task->pods) {
      if (pod.attempt == attempt.attempt) most = std::max(most, MostCost(replica, attempt, pod));
    }
    if (most >= 0 && attempt.cost_micros > most)
      Violate("bill", attempt.pod_name + " cost " + api::FormatPrice(attempt.cost_micros) +
                          ", and could cost " + api::FormatPrice(most));
  }
  const std::string reason = now.result ? now.result->reason : "";
  if (reason != "DeadlineExceeded" || task == nullptr || task->pods.empty()) return;
  const Duration since = api_.now - task->pods.front().began;
  // Pods tell the time to the second. Deadlines pass by the clocks of processes: of one, or of one
  // that has told when the task began and one that judges.
  if (since + seconds(1) + (fastest_ - slowest_) < *before_->spec.active_deadline)
    Violate("early-deadline", write.key() + " after " + FormatDuration(since));
}

void Checks::CheckCost(const std::string& uid, const std::string& key) {
  Cost& cost = costs_[uid];
  if (!cost.disturbed) cost.disturbed = disturbances_;
  // Two statuses an attempt; a waiting task explains itself ever more rarely, and anew when the
  // server that it waits for changes.
  const int bound =
      24 + 6 * cost.pods + 3 * cost.edits + 2 * (disturbances_ - cost.disturbed.value_or(0));
  if (cost.statuses > bound)
    Violate("too-many-writes", key + ": " + std::to_string(cost.statuses) + " statuses for " +
                                   std::to_string(cost.pods) + " pods");
}

void Checks::Failed(const core::Write& write) {
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    failed_.insert(write.key());
    witness_.Refused(write.uid, write.ns);
    witness_.Late(write.uid);  // it may be there all the same
  }
  const auto intent = intents_.find(write.key());
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate && intent != intents_.end() &&
      intent->second.assignment == write.pod->assignment)
    intents_.erase(intent);
}

void Checks::Ended(const Replica& replica) {
  std::erase_if(intents_, [&](const auto& entry) { return entry.second.replica == replica.id(); });
  std::erase_if(purchases_, [&](const auto& entry) { return entry.second.first == replica.id(); });
  std::erase_if(engine_asked_,
                [&](const auto& entry) { return entry.first.first == replica.id(); });
}

}  // namespace spillway::simulation
