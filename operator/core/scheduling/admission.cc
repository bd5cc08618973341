#include "operator/core/scheduling/admission.h"

#include <algorithm>
#include <unordered_map>

#include "operator/core/scheduling/admitted_pods.h"
#include "operator/core/scheduling/assume.h"
#include "operator/core/scheduling/kinds.h"
#include "operator/core/scheduling/search.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

// So many templates in a row that are refused speak of the namespace rather than of themselves.
constexpr int kStrikes = 3;
// Then the next one is tried after a pause: nothing is known against it.
constexpr BackoffRange kNextTemplate{std::chrono::seconds(1), std::chrono::seconds(5)};
// How soon tasks are told that their pods cannot be created, or can be again.
constexpr Duration kTellSoon{1'000}, kTellSlowest{300'000};
// Between two creations of a namespace that are refused.
constexpr Duration kBetweenRefusals{200};

// Calls visit(shape) with each shape that tasks of the admission may wait in.
template <typename Visit>
void ForEachShape(const Admission& admission, Visit visit) {
  for (Shape* shape = admission.shape; shape != nullptr; shape = shape->unpaid) visit(*shape);
}

void ShowTasks(World& world, Admission& admission) {
  admission.closed = false;
  ForEachShape(admission, [&](Shape& shape) {
    if (shape.waiting.Hides(*admission.tenant)) {
      if (shape.waiting.empty()) ApplyQueueingHints(world, shape);
      shape.waiting.Show(*admission.tenant);
      shape.burst_at = Time{};  // nothing was planned for what is shown now
    }
    if (shape.waiting.empty()) return;
    if (!world.scheduling.reserved.empty()) shape.unschedulable = false;
    if (!shape.unschedulable || !shape.retry_slots.empty())
      world.scheduling.shapes.SetUntried(shape);
  });
}

// Its tasks are told soon why they wait. Where that goes back and forth, as in a namespace at its
// quota with every pod that ends, they are told ever later: each time is a write for each of them.
void TellTasks(World& world, Admission& admission) {
  const bool calm = world.now >= admission.told_at + kTellSlowest;
  admission.told_within =
      calm ? kTellSoon : std::min<Duration>(admission.told_within * 2, kTellSlowest);
  admission.told_at = world.now;
  for (TaskState* task : admission.tasks) {
    if (!task->queued) continue;
    task->explain_after = std::min(task->explain_after, admission.told_within);
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
void EaseRefused(World& world, Tenant& tenant) {
  tenant.eased_at = world.now;
  for (Admission* admission : world.scheduling.closed) {
    if (admission->tenant == &tenant && admission->explanation != nullptr)
      admission->backoff.not_before = std::min(admission->backoff.not_before, world.now);
  }
}

void Succeeded(World& world, Admission& admission) {
  admission.known = true;
  admission.quota = false;
  admission.at_once = std::min(admission.at_once + 1, kWidestWindow);
  admission.strikes = 0;
  admission.refused_in_cloud = {};
  admission.backoff.SucceedForNow();
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

// What kept its pods from being created held until a short time ago.
bool RefusedBefore(const World& world, const Admission& admission) {
  return admission.refusal != nullptr && world.now < admission.told_at + kTellSlowest;
}

void Refused(World& world, Admission& admission, const std::string& key, TaskState* task,
             const Error& error) {
  admission.quota = Says(error, "exceeded quota");
  if (admission.quota) admission.at_once = 0;
  // An API server that cannot be reached is nobody's fault, and soon back.
  const bool outage = error.kind == ErrorKind::kUnavailable && !Says(error, "webhook");
  const BackoffRange range{kRefused.first, outage ? std::chrono::seconds(10) : kRefused.last};
  const bool news = admission.backoff.Fail(world.now, key, ReasonOf(error, task), range);
  if (!news && admission.explanation == nullptr && RefusedBefore(world, admission)) {
    // For the same reason, a moment after one of them was created: with the same numbers it is the
    // same text, and no write for those that were tried, nor for those that wait behind them.
    admission.explanation = admission.refusal;
    TellTasks(world, admission);
  } else if (news || admission.explanation == nullptr) {
    SetError(world, admission,
             "the pods of this kind cannot be created: " + error.message +
                 "; tried again with growing pauses of up to a minute");
    admission.refusal = admission.explanation;
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
  if (admission.known) return admission.in_flight < std::max<int64_t>(admission.at_once, 1);
  const Tenant& tenant = *admission.tenant;
  return admission.in_flight == 0 && world.now >= admission.backoff.not_before &&
         world.now >= tenant.probe_at && tenant.probing() < tenant.window;
}

namespace {

// What waits for a time is looked at again by then.
void NoteOpening(World& world, const Admission& admission) {
  const Time at = std::max(admission.backoff.not_before, admission.tenant->probe_at);
  if (at > world.now) world.scheduling.gates_at = std::min(world.scheduling.gates_at, at);
}

}  // namespace

void CloseGate(World& world, Admission& admission) {
  if (!std::exchange(admission.closed, true)) world.scheduling.closed.push_back(&admission);
  ForEachShape(admission, [&](Shape& shape) { shape.waiting.Hide(*admission.tenant); });
  NoteOpening(world, admission);
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
    NoteOpening(world, *admission);
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

namespace {

// It is on its way no more. Owner::creating is not null.
Admission& CreationOver(World& world, Owner& owner, const std::string& pod) {
  Admission& admission = *std::exchange(owner.creating, nullptr);
  world.scheduling.overdue.erase(&owner);
  --admission.in_flight;
  --admission.tenant->creating;
  if (std::exchange(owner.probe, false)) admission.tenant->probes.sent.erase({owner.sent_at, pod});
  if (!world.scheduling.closed.empty()) world.scheduling.gates_moved = true;
  return admission;
}

}  // namespace

void CreationDropped(World& world, Owner& owner, const std::string& pod) {
  ForgetAssumed(world, owner);
  if (owner.creating != nullptr) Drop(world, CreationOver(world, owner, pod));
}

void CreationAnswered(World& world, Owner& owner, TaskState* task, const Outcome& outcome,
                      const api::Pod* own) {
  if (owner.creating == nullptr) return;
  Admission& admission = CreationOver(world, owner, outcome.key);
  NoteAnswer(admission.tenant->probes, outcome);
  admission.tenant->answered_at = world.now;
  if (task != nullptr && task->creating)
    admission.tenant->sent = std::max(admission.tenant->sent, task->creating->assigned_at);
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

bool CreationHangs(const World& world, const TaskState& task) {
  // They are sent in their order, and a few of them side by side.
  constexpr int64_t kSideBySide = 4;
  const Tenant& tenant = *task.tenant;
  const Time bound = task.binding->assigned_at;
  return tenant.creating <= kSideBySide || tenant.sent >= bound + kSlowAnswer ||
         world.heard_at >= std::max(tenant.answered_at, bound) + kSlowAnswer;
}

void CreationOverdue(World& world, TaskState& task) {
  ForgetAssumed(world, *task.owner);
  if (task.binding->cloud) world.scheduling.overdue[task.owner] = task.binding->pool;
  task.unsure = true;
  task.may_appear_until = world.now + kLateArrival;
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

void EaseQuota(World& world, const std::string& ns) {
  const auto tenant = world.scheduling.tenants.find(ns);
  if (tenant == world.scheduling.tenants.end()) return;
  for (Admission* admission : world.scheduling.closed) {
    if (admission->tenant != &tenant->second || !admission->quota) continue;
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

bool AwaitsTurn(const World& world, const TaskState& task) {
  return task.queued && task.admission != nullptr && task.admission->explanation == nullptr &&
         !MayCreate(world, *task.admission);
}

// When the creation that is without an answer for the longest is slow; null if none is on its way.
std::optional<Time> SlowAt(const Probes& probes) {
  if (probes.sent.empty()) return std::nullopt;
  return probes.sent.begin()->first + kSlowAnswer;
}

}  // namespace

bool AnswerIsNear(World& world, const Admission& admission) {
  if (admission.explanation != nullptr) return false;
  if (admission.in_flight > 0) return true;  // once it hangs there is an explanation
  const Probes& probes = admission.tenant->probes;
  if (!probes.refused.empty()) return false;
  const auto slow = SlowAt(probes);
  if (slow && world.now >= *slow) return false;
  if (slow) world.WakeAt(*slow);
  return true;
}

std::optional<Time> TurnIsNear(const World& world, const TaskState& task) {
  if (!AwaitsTurn(world, task) || !task.admission->tenant->probes.refused.empty())
    return std::nullopt;
  const auto slow = SlowAt(task.admission->tenant->probes);
  return slow && world.now < *slow ? slow : std::nullopt;
}

std::string ExplainTurn(const World& world, const TaskState& task) {
  if (!AwaitsTurn(world, task)) return "";
  const Probes& probes = task.admission->tenant->probes;
  const auto name = [](const std::string& key) { return key.substr(key.find('/') + 1); };
  if (const auto slow = SlowAt(probes); slow && world.now >= *slow) {
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
