#include "operator/core/scheduling/admission.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "operator/core/scheduling/assume.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/kinds.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/search.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

constexpr int64_t kWidestWindow = 1 << 20;
// Where answers differ from each other, tasks are not moved about with every one.
constexpr Duration kLearnEvery{10'000};
// So many templates in a row that are refused speak of the namespace rather than of themselves.
constexpr int kStrikes = 3;
// Then the next one is tried after a pause: nothing is known against it.
constexpr BackoffRange kNextTemplate{std::chrono::seconds(1), std::chrono::seconds(5)};
// Between two creations of a namespace that are refused.
constexpr Duration kBetweenRefusals{200};

// Calls visit(shape) with each shape that tasks of the admission may wait in.
template <typename Visit>
void ForEachShape(const Admission& admission, Visit visit) {
  visit(*admission.shape);
  if (admission.shape->unpaid != nullptr) visit(*admission.shape->unpaid);
}

void ShowTasks(World& world, Admission& admission) {
  admission.closed = false;
  ForEachShape(admission, [&](Shape& shape) {
    if (shape.waiting.Hides(*admission.tenant)) {
      if (shape.waiting.empty()) ApplyQueueingHints(world, shape);
      shape.waiting.Show(*admission.tenant);
    }
    if (shape.waiting.empty()) return;
    if (!world.scheduling.reserved.empty()) shape.unschedulable = false;
    if (!shape.unschedulable || !shape.retry_slots.empty())
      world.scheduling.shapes.SetUntried(shape);
  });
}

// Its tasks are told soon why they wait.
void TellTasks(World& world, const Admission& admission) {
  for (TaskState* task : admission.tasks) {
    if (!task->queued) continue;
    task->explain_after = Duration{1'000};
    world.explain.to_explain.insert(*task->key);
  }
}

// Once nobody has it.
void Drop(World& world, Admission& admission) {
  if (!admission.tasks.empty() || admission.in_flight > 0) return;
  if (admission.closed) ShowTasks(world, admission);
  if (admission.apart) --admission.tenant->apart;
  std::erase(world.scheduling.closed, &admission);
  world.scheduling.learned.erase(&admission);
  Shape &asked = *admission.asked, &shape = *admission.shape;
  world.scheduling.admissions.erase({admission.tenant, &asked});
  world.scheduling.shapes.Unhold(shape);
  world.scheduling.shapes.Unhold(asked);
}

void SetError(World& world, Admission& admission, std::string text) {
  admission.explanation =
      std::make_shared<const api::Explanation>(api::Explanation{std::move(text), {}, {}, ""});
  TellTasks(world, admission);
}

// What kept one of them from being created may be gone for all.
void EaseRefused(World& world, const Tenant& tenant) {
  for (Admission* admission : world.scheduling.closed) {
    if (admission->tenant == &tenant && admission->explanation != nullptr)
      admission->backoff.not_before = std::min(admission->backoff.not_before, world.now);
  }
}

void Succeeded(World& world, Admission& admission) {
  admission.known = true;
  admission.quota = false;
  admission.strikes = 0;
  admission.backoff.Succeed();
  admission.answered_at = world.now;
  int64_t& window = admission.tenant->window;
  window = std::min(window * 2, kWidestWindow);
  if (std::exchange(admission.explanation, nullptr) == nullptr) return;
  TellTasks(world, admission);
  EaseRefused(world, *admission.tenant);
}

bool Says(const Error& error, const char* words) {
  return error.message.find(words) != std::string::npos;
}

// Whether the refusal may be for what only this template says. A quota counts what a shape asks
// for, and who cannot be asked has refused nothing.
bool JudgesTemplate(const Error& error) {
  return error.kind != ErrorKind::kUnavailable && error.kind != ErrorKind::kConflict &&
         !Says(error, "exceeded quota") && !Says(error, "failed calling webhook");
}

// One of its templates was refused, and waits by itself.
void Struck(World& world, Admission& admission, const std::string& key, const Error& error) {
  if (++admission.strikes < kStrikes) return;
  admission.backoff.Fail(world.now, key, "", kNextTemplate);
  if (admission.explanation == nullptr)
    SetError(world, admission,
             std::to_string(admission.strikes) +
                 " templates of this kind in a row were refused, one with: " + error.message +
                 "; the others are tried one after the other");
  admission.known = false;
  admission.tenant->window = 1;
  CloseGate(world, admission);
}

// The error's words without the task's name, so that the same reason counts as the same whichever
// task's pod it was.
std::string ReasonOf(const Error& error, const TaskState* task) {
  std::string reason = error.message;
  if (task == nullptr) return reason;
  const std::string& name = task->object.meta.name;
  for (size_t at = 0; (at = reason.find(name, at)) != std::string::npos;)
    reason.erase(at, name.size());
  return reason;
}

void Refused(World& world, Admission& admission, const std::string& key, TaskState* task,
             const Error& error) {
  admission.quota = Says(error, "exceeded quota");
  // An API server that cannot be reached is nobody's fault, and soon back.
  const bool outage = error.kind == ErrorKind::kUnavailable && !Says(error, "webhook");
  const BackoffRange range{kRefused.first, outage ? std::chrono::seconds(10) : kRefused.last};
  if (admission.backoff.Fail(world.now, key, ReasonOf(error, task), range)) {
    SetError(world, admission,
             "the pods of this kind cannot be created: " + error.message +
                 "; tried again with growing pauses of up to a minute");
    if (task != nullptr)
      RecordEvent(world, *task, true, "FailedCreate",
                  "the pod could not be created: " + error.message);
  }
  admission.known = false;
  CloseGate(world, admission);
}

void Failed(World& world, Admission& from, const std::string& key, TaskState* task,
            const Error& error) {
  from.tenant->probe_at = world.now + kBetweenRefusals;
  Admission* own = nullptr;
  if (JudgesTemplate(error)) {
    if (task == nullptr || task->admission == nullptr) return Struck(world, from, key, error);
    own = task->admission == &from ? SetApart(world, from, *task) : task->admission;
  }
  if (own != nullptr && own != &from) {
    Refused(world, *own, key, task, error);
    Struck(world, from, key, error);
  } else {
    Refused(world, from, key, task, error);
    from.tenant->window = 1;
  }
}

void BindByScheduler(World& world, Admission& admission) {
  admission.by_scheduler = true;
  admission.answered_at = world.now;
  world.scheduling.learned.insert(&admission);
}

// ---- what was admitted ----

// Those that decide whether a node takes a pod; the readiness of nodes is not decided by taints.
std::vector<api::Toleration> ThatMatter(std::vector<api::Toleration> tolerations) {
  std::erase_if(tolerations, [](const api::Toleration& each) {
    return IsReadinessTaint({each.key, "", ""}) || each.key == api::kPoolTaint;
  });
  const auto less = [](const api::Toleration& a, const api::Toleration& b) {
    return std::tie(a.key, a.op, a.value, a.effect) < std::tie(b.key, b.op, b.value, b.effect);
  };
  std::sort(tolerations.begin(), tolerations.end(), less);
  tolerations.erase(std::unique(tolerations.begin(), tolerations.end()), tolerations.end());
  return tolerations;
}

Asks AsksOf(const Shape& shape) {
  return {shape.requests, shape.host_ports, shape.node_selector, shape.affinity,
          ThatMatter(shape.tolerations)};
}

Asks AsksOf(const api::Pod& pod, const Shape& asked) {
  Asks asks{pod.requests, pod.host_ports, pod.admitted->node_selector, asked.affinity,
            ThatMatter(pod.admitted->tolerations)};
  // Of a pod that kube-scheduler binds, it is also ours.
  if (!pod.admitted->for_scheduler) asks.affinity = DecodeNodeAffinity(pod.admitted->affinity);
  return asks;
}

void Reshape(World& world, Admission& admission, Shape& to) {
  Shape& from = *admission.shape;
  if (&from == &to) return;
  to.runs = from.runs;
  TakeRefusals(world, from, to);
  for (TaskState* task : admission.tasks) {
    ClearOverBudget(world, *task);
    const bool queued = task->queued.has_value();
    Dequeue(world, *task);
    if (from.tasks == 1) ReleaseReservation(world, from);
    --from.tasks;
    ++to.tasks;
    task->shape = &to;
    world.tasks.to_reconcile.insert(*task->key);
    if (queued) JoinQueue(world, *task);
  }
  ++world.generation;
  admission.shape = &to;
  ++to.holds;
  world.scheduling.shapes.Unhold(from);
}

// Whether the pod may not fit where room was kept for what was reckoned with.
bool AsksForMore(const Asks& asks, const Shape& reckoned) {
  Asks with_less = AsksOf(reckoned);
  if (!AmountsMisfit(asks.requests, with_less.requests)) with_less.requests = asks.requests;
  return asks != with_less;
}

// Whether each of the pod's containers says how much of it it requests.
bool AllRequest(const api::Json& pod_spec, const std::string& resource) {
  for (const char* list : {"initContainers", "containers"}) {
    for (const api::Json& container : api::GetArray(pod_spec, list)) {
      const api::Json& resources = api::GetObject(container, "resources");
      if (!api::GetObject(resources, "requests").contains(resource)) return false;
    }
  }
  return true;
}

// A default of the namespace, or of the RuntimeClass: then it is the same for all of the shape,
// whose key has what they are added to.
bool ByDefaults(const Asks& asks, const Shape& reckoned, const std::string& pod_template) {
  const Asks before = AsksOf(reckoned);
  Asks other = before;
  other.requests = asks.requests;
  if (asks != other) return false;
  const auto parsed = api::Json::parse(pod_template, nullptr, false);
  const api::Json& spec = api::GetObject(parsed, "spec");
  if (!api::GetString(spec, "runtimeClassName").empty()) return true;
  const api::Resources &was = before.requests, &is = asks.requests;
  return !(was.cpu_milli != is.cpu_milli && AllRequest(spec, "cpu")) &&
         !(was.memory != is.memory && AllRequest(spec, "memory"));
}

// Whose pods will be admitted as this one was. What a policy adds may depend on anything that the
// template says, so that the next template is tried by itself again.
Admission& Teaches(World& world, Admission& admission, const TaskState& task, const Asks& asks) {
  if (admission.apart || ByDefaults(asks, *admission.shape, *task.pod_template)) return admission;
  Admission* own = SetApart(world, admission, task);
  if (own == nullptr) return admission;
  admission.known = false;
  own->known = true;
  own->answered_at = world.now;
  return *own;
}

void LearnAsks(World& world, Admission& admission, const std::string& ns, const Asks& asks) {
  const bool again = admission.shape != admission.asked;
  if (asks == AsksOf(*admission.shape) || (again && world.now < admission.learned_at + kLearnEvery))
    return;
  admission.learned_at = world.now;
  if (asks == AsksOf(*admission.asked)) {
    Reshape(world, admission, *admission.asked);
  } else {
    Reshape(world, admission, world.scheduling.shapes.Admitted(*admission.asked, ns, asks));
    world.scheduling.learned.insert(&admission);
  }
}

// Later pods of the kind will be admitted as this one was. True if that is more than was reckoned
// with.
bool Learn(World& world, Admission& admission, const TaskState& task, const api::Pod& pod) {
  if (!pod.admitted) return false;
  const Asks asks = AsksOf(pod, *admission.asked);
  if (asks == AsksOf(*admission.shape)) return false;
  const bool more = AsksForMore(asks, *admission.shape);
  LearnAsks(world, Teaches(world, admission, task, asks), pod.meta.ns, asks);
  return more;
}

}  // namespace

void JoinAdmission(World& world, TaskState& task, Shape& of_template) {
  Shape& asked = OwnKind(world, task, of_template);
  const auto [at, added] = world.scheduling.admissions.try_emplace({task.tenant, &asked});
  Admission& admission = at->second;
  if (added) {
    admission.tenant = task.tenant;
    admission.asked = admission.shape = &asked;
    asked.holds += 2;
  }
  Enter(task, admission);
  task.shape = admission.shape;
  if (task.shape == &asked) return;
  ++task.shape->tasks;
  world.scheduling.shapes.Drop(&asked);
}

void LeaveAdmission(World& world, TaskState& task) { Drop(world, Leave(task)); }

void DoubtOld(const World& world, Admission& admission) {
  if (world.now >= admission.answered_at + kLearnedFor) admission.known = false;
}

bool MayCreate(const World& world, const Admission& admission) {
  if (admission.known) return true;
  const Tenant& tenant = *admission.tenant;
  return admission.in_flight == 0 && world.now >= admission.backoff.not_before &&
         world.now >= tenant.probe_at && tenant.probing() < tenant.window;
}

void CloseGate(World& world, Admission& admission) {
  if (!std::exchange(admission.closed, true)) world.scheduling.closed.push_back(&admission);
  ForEachShape(admission, [&](Shape& shape) { shape.waiting.Hide(*admission.tenant); });
  world.scheduling.gates_moved = true;
}

void OpenGates(World& world) {
  if (world.scheduling.closed.empty()) return;
  if (!world.scheduling.gates_moved && world.now < world.scheduling.gates_at) return;
  world.scheduling.gates_moved = false;
  world.scheduling.gates_at = kNever;
  bool more = false;
  std::unordered_map<const Tenant*, int64_t> shown;
  std::erase_if(world.scheduling.closed, [&](Admission* admission) {
    const Time at = std::max(admission->backoff.not_before, admission->tenant->probe_at);
    if (at > world.now) world.scheduling.gates_at = std::min(world.scheduling.gates_at, at);
    if (!MayCreate(world, *admission)) return false;
    const Tenant& tenant = *admission->tenant;
    if (!admission->known && ++shown[&tenant] > tenant.window - tenant.probing()) {
      more = true;
      return false;
    }
    ShowTasks(world, *admission);
    return true;
  });
  // Whoever has the turn may find no room and try nothing: then it is the next one's.
  if (more) {
    world.scheduling.gates_moved = true;
    world.scheduling.gates_at = world.now;
  }
}

namespace {

void NoteAnswer(Probes& probes, const Outcome& outcome) {
  if (!outcome.error) {
    probes.refused.clear();
  } else if (DenialOf(*outcome.error) == Denial::kForNow) {
    probes.refused_pod = outcome.key;
    probes.refused = outcome.error->message;
  }
}

}  // namespace

void CreationSent(World& world, TaskState& task) {
  Admission& admission = *task.admission;
  ++admission.in_flight;
  ++admission.tenant->creating;
  Owner& owner = *task.owner;
  owner.creating = &admission;
  owner.probe = !admission.known;
  if (!owner.probe) return;
  owner.sent_at = world.now;
  admission.tenant->probes.sent.emplace(world.now,
                                        task.object.meta.ns + "/" + task.binding->pod_name);
  CloseGate(world, admission);
}

void CreationAnswered(World& world, Owner& owner, TaskState* task, const Outcome& outcome,
                      const api::Pod* own) {
  if (owner.creating == nullptr) return;
  Admission& admission = *std::exchange(owner.creating, nullptr);
  --admission.in_flight;
  --admission.tenant->creating;
  if (std::exchange(owner.probe, false))
    admission.tenant->probes.sent.erase({owner.sent_at, outcome.key});
  NoteAnswer(admission.tenant->probes, outcome);
  if (task != nullptr && task->creating)
    admission.tenant->sent = std::max(admission.tenant->sent, task->creating->assigned_at);
  if (!world.scheduling.closed.empty()) world.scheduling.gates_moved = true;
  // Meanwhile its template may have been set apart.
  Admission& now = task != nullptr && task->admission != nullptr ? *task->admission : admission;
  const auto& error = outcome.error;
  if (!error || error->kind == ErrorKind::kAlreadyExists) {
    if (!error || own != nullptr) Succeeded(world, now);
    if (own != nullptr && Learn(world, now, *task, *own)) task->unsure = true;
  } else if (const Denial denial = DenialOf(*error);
             denial == Denial::kGated && !now.by_scheduler) {
    BindByScheduler(world, now);
  } else if (denial != Denial::kTemplate) {
    Failed(world, admission, outcome.request_uid, task, *error);
  }
  Drop(world, admission);
}

bool CreationHangs(const TaskState& task) {
  // They are sent in their order, and a few of them side by side.
  constexpr int64_t kSideBySide = 4;
  const Tenant& tenant = *task.tenant;
  return tenant.creating <= kSideBySide || tenant.sent >= task.binding->assigned_at + kSlowAnswer;
}

void CreationOverdue(World& world, TaskState& task) {
  ForgetAssumed(world, *task.owner);
  task.unsure = true;
  Admission& admission = *task.admission;
  admission.known = false;
  if (admission.explanation == nullptr)
    SetError(world, admission,
             "the pod could not be created yet: the API server has not "
             "answered for " +
                 FormatDuration(kSlowAnswer) + "; an admission webhook may not answer");
  CloseGate(world, admission);
}

void NoteAdopted(World& world, const TaskState& task, const api::Pod& pod) {
  Admission* admission = task.admission;
  if (admission == nullptr || admission->known || admission->explanation != nullptr) return;
  if (pod.requests != task.shape->requests || pod.host_ports != task.shape->host_ports) return;
  admission->known = true;
  admission->answered_at = world.now;
  world.scheduling.gates_moved = true;
}

void EaseQuota(World& world, const Tenant& tenant) {
  for (Admission* admission : world.scheduling.closed) {
    if (admission->tenant != &tenant || !admission->quota) continue;
    // The quota is reckoned anew within a moment.
    Time& at = admission->backoff.not_before;
    at = std::min(at, world.now + Duration{500});
    world.scheduling.gates_at = std::min(world.scheduling.gates_at, at);
  }
}

Denial DenialOf(const Error& error) {
  if (error.kind != ErrorKind::kInvalid) return Denial::kForNow;
  // Policies and webhooks may answer with any code.
  if (Says(error, "is forbidden: ") || Says(error, "admission webhook") ||
      Says(error, "AdmissionPolicy"))
    return Denial::kForNow;
  return Says(error, "schedulingGates") ? Denial::kGated : Denial::kTemplate;
}

namespace {

// Whether more is counted on the server than it has.
std::string Overfull(const ServerState& server, const api::Pod& pod) {
  const NodeUsage& usage = *server.usage;
  api::Resources others = usage.used;
  others -= pod.requests;
  api::Resources left = server.offered;
  left -= others;
  if (const auto misfit = AmountsMisfit(pod.requests, left)) return misfit->message;
  if (usage.exclusive > 0 && usage.tasks > 1) return "an exclusive task is not alone there";
  const auto& most = server.object.spec.max_tasks;
  if (most && usage.tasks > *most) return "runs more tasks than it may";
  if (usage.pods > server.max_pods) return "has more pods than it may";
  for (const std::string& port : pod.host_ports) {
    const auto at = usage.host_ports.find(port);
    if (at != usage.host_ports.end() && at->second > 1) return "host port " + port + " is taken";
  }
  return "";
}

}  // namespace

std::string Unfit(const World& world, const TaskState& task, const api::Pod& pod) {
  const ServerState* server = world.servers.On(pod.node_name);
  if (server == nullptr || pod.phase != api::PodPhase::kPending || pod.meta.deleted) return "";
  const std::string name = "server " + server->object.meta.name + " ";
  FitError why;
  if (!PropertiesFit(world, *task.shape, *server, &why)) return name + why.message;
  const std::string full = Overfull(*server, pod);
  return full.empty() ? "" : name + full;
}

void ForgetLearned(World& world) {
  for (auto at = world.scheduling.learned.begin(); at != world.scheduling.learned.end();) {
    Admission& admission = **at;
    if (admission.in_flight > 0 || world.now < admission.answered_at + kLearnedFor) {
      ++at;
      continue;
    }
    at = world.scheduling.learned.erase(at);
    admission.by_scheduler = admission.known = false;
    Reshape(world, admission, *admission.asked);
  }
}

std::string ExplainTurn(const World& world, const TaskState& task) {
  if (task.admission == nullptr || !task.queued) return "";
  const Admission& admission = *task.admission;
  if (admission.explanation != nullptr || MayCreate(world, admission)) return "";
  const Probes& probes = admission.tenant->probes;
  const auto name = [](const std::string& key) { return key.substr(key.find('/') + 1); };
  if (!probes.sent.empty() && world.now >= probes.sent.begin()->first + kSlowAnswer) {
    const auto& [since, pod] = *probes.sent.begin();
    return "waits for pod " + name(pod) + " of the same namespace, whose creation the API server " +
           "has not answered since " + FormatTime(since) + "; an admission webhook may not answer";
  }
  if (probes.refused.empty()) return "";
  return "waits for its turn: pods of this namespace are tried one at a time, since pod " +
         name(probes.refused_pod) + " could not be created: " + probes.refused;
}

std::shared_ptr<const api::Explanation> ExplainAdmission(const TaskState& task) {
  return task.admission == nullptr ? nullptr : task.admission->explanation;
}

}  // namespace spillway::core
