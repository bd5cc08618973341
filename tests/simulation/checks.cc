#include "tests/simulation/checks.h"

#include <algorithm>
#include <utility>

#include "operator/cloud/karpenter.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/tasks/status.h"
#include "operator/core/world.h"
#include "operator/runtime/event_body.h"
#include "operator/runtime/pod_body.h"
#include "tests/status_schema.h"

namespace spillway::simulation {

using api::Pod;
using api::TaskRequest;

std::string Says(const TaskRequest& task) {
  const auto& why = task.status.explanation;
  return task.meta.key() + " says: " + (why ? why->summary : "nothing");
}

void Checks::Violate(std::string invariant, std::string message) {
  if (!only_.empty() && invariant != only_) return;
  if (!violation_) violation_ = Violation{std::move(invariant), std::move(message)};
}

namespace {

// Its turn of 25 s at most, 5 s more, and a pause of a minute at most; clocks may be slow.
constexpr Duration kUnrecordedFor = std::chrono::seconds(95);

Record RecordOf(const core::Write& write) {
  const api::Json& told = api::GetObject(write.body, "assignment");
  const auto text = [&](const char* field) { return api::GetString(told, field); };
  return {write.uid, text("server"), text("podName"), text("assignedAt")};
}

}  // namespace

void Checks::Decided(const Replica& replica, const core::Effect& effect) {
  CheckGround(replica, effect);
  if (const auto* ask = std::get_if<core::AskCloud>(&effect)) {
    if (ask->op == core::AskCloud::Op::kDiagnose) CheckGone(*ask);
    if (ask->op == core::AskCloud::Op::kEnsure) {
      engine_asked_.try_emplace({replica.id(), ask->request_uid}, api_.now);
      asked_in_vain_.erase(ask->request_uid);
    }
  }
  if (const auto* note = std::get_if<core::Note>(&effect)) NotePreempted(replica, *note);
  const auto* write = std::get_if<core::Write>(&effect);
  if (write == nullptr) return;
  if (write->kind == Kind::kPod && write->verb == core::Verb::kCreate) PodDecided(replica, *write);
  if (write->kind == Kind::kPod && write->verb == core::Verb::kDelete) {
    stopped_.insert(write->uid);
    Stops(replica, *write);
  }
  if (write->kind == Kind::kServer && write->verb == core::Verb::kDelete)
    given_back_.insert(write->uid);
  if (write->kind == Kind::kTask && write->verb == core::Verb::kPatchStatus) {
    CheckAssignment(replica, *write);
    // Who decides the very same once it is recorded has not told of it.
    const auto* known = api_.Get<TaskRequest>(write->key());
    if (known == nullptr || known->meta.uid != write->uid || !known->status.assignment ||
        RecordOf(*known) != RecordOf(*write))
      recorded_.emplace(replica.id(), RecordOf(*write));
    NoteRecording(*write);
    const auto phase = api::GetString(write->body, "phase");
    CheckEnd(replica, *write);
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
  std::string key = runtime::EffectKey(effect);
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
    if (write == nullptr || write->verb != core::Verb::kPatchStatus) return;
    if (const std::string fault = StatusFault(write->kind, write->body); !fault.empty())
      Violate("status-invalid", what + ": " + fault);
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
    if (!KnowsKind(replica, static_cast<Kind>(kind))) return false;
  }
  return true;
}

const TaskRequest* Checks::TaskOf(const std::string& uid) const {
  return api_.Find<TaskRequest>(uid);
}

void Checks::PodDecided(const Replica& replica, const core::Write& write) {
  const Pod pod = *api::DecodePod(runtime::Body(write));
  const std::string uid = write.uid;
  CheckServer(replica, pod, uid);
  CheckRoom(replica, pod);
  CheckOnlyPod(replica, pod, uid);
  CheckRunsOnce(replica, write);
  CheckMoney(replica, write);
  // What is recorded first was decided on earlier.
  if (const TaskRequest* task = TaskOf(uid); task == nullptr || task->spec.retry.loss_limit > 0) {
    CheckLoad(replica, pod);
    CheckTurn(replica, uid);
    CheckRefusals(replica, write);
  }
  if (ever_decided_.insert(uid).second) decided_.insert(uid);
  const Pod* there = api_.Get<Pod>(write.key());
  const std::string* owner = there == nullptr ? nullptr : witness_.OwnerOf(*there);
  if (owner != nullptr && *owner == uid) return;  // another leader was faster
  witness_.Asked(write.key(), pod.node_name);
  if (const TaskRequest* task = TaskOf(uid)) began_with_[write.key()] = PriorityOf(*task);
  failed_.erase(write.key());
  intents_[{write.key(), replica.id()}] = {replica.id(),
                                           pod.node_name,
                                           uid,
                                           pod.requests,
                                           pod.meta.labels.contains(api::kExclusiveLabel),
                                           replica.now(),
                                           api_.now,
                                           write.pod->assignment->estimated_micros,
                                           write.pod->assignment};
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
    sent_at_ = write.pod->assignment->assigned_at;
    Forget(write);
  }
}

void Checks::After(const Replica& replica, const core::Write& write) {
  if (write.kind == Kind::kScale && write.verb == core::Verb::kCreate) CountPurchase(write);
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    const Pod& pod = *api_.Get<Pod>(write.key());
    origins_[pod.meta.uid] = {replica.id(), pod.meta.resource_version, sent_at_,
                              api::DecodePod(runtime::Body(write))->requests};
    ++created_[write.key()];
    if (overlap_) witness_.Late(write.uid);
    if (const PodRecord* record = witness_.RecordOf(pod);
        record != nullptr && preempted_.contains({write.uid, record->attempt}))
      witness_.Blame(pod.meta.uid, "gave way");
    ++costs_[write.uid].pods;
    NoteTried(write.uid, &Kindred::made);
    CheckPods(write);
    CheckCost(write.uid, write.key());
  }
  if (write.kind == Kind::kScale && write.verb == core::Verb::kPatchStatus) CheckGone(write);
  if (before_ && before_->meta.uid == write.uid) {
    CheckResult(replica, write);
    CheckFaults(write);
    Arrived(write, replica.id());
    if (write.kind == Kind::kTask) NoteWriter(replica, write.uid);
    ++statuses_;
    ++costs_[write.uid].statuses;
    // It comes before the pod, and is taken back if there will be none.
    if (before_->spec.retry.loss_limit == 0 && api::GetString(write.body, "phase") == "Assigned")
      ++costs_[write.uid].recorded;
    CheckCost(write.uid, write.key());
  }
}

void Checks::NoteRecording(const core::Write& write) {
  const TaskRequest* task = TaskOf(write.uid);
  if (task == nullptr || task->spec.retry.loss_limit > 0) return;
  const auto [at, first] = recording_.try_emplace(write.uid, write.ns, api_.now);
  if (!first && api_.now >= at->second.second + kUnrecordedFor) at->second.second = api_.now;
}

bool Checks::IsRecordOverdue(const std::string& ns) const {
  return std::any_of(recording_.begin(), recording_.end(), [&](const auto& entry) {
    const auto& [of, since] = entry.second;
    return of == ns && api_.now >= since + core::kSlowAnswer && api_.now < since + kUnrecordedFor;
  });
}

// Of those that have decided the very same, the one whose status was taken has told of it.
void Checks::Arrived(const core::Write& write, std::optional<int> by) {
  if (const auto at = recording_.find(write.uid);
      at != recording_.end() && api_.now < at->second.second + core::kSlowAnswer)
    recording_.erase(at);
  std::erase_if(recorded_, [&, record = RecordOf(write)](const auto& each) {
    return each.second == record && each.first != by;
  });
}

void Checks::NoteWriter(const Replica& replica, const std::string& task_uid) {
  const auto [at, first] = writers_.try_emplace(task_uid, Writer{replica.id()});
  Writer& writer = at->second;
  if (std::exchange(writer.last, replica.id()) != replica.id() && overlap_) ++writer.changes;
}

void Checks::CheckCost(const std::string& uid, const std::string& key) {
  Cost& cost = costs_[uid];
  if (!cost.disturbed) cost.disturbed = disturbances_;
  // Two statuses an attempt; a waiting task explains itself ever more rarely, up to every five
  // minutes, and anew when the server that it waits for changes. While one thing is wrong for
  // hours, that may be each time a server is bought.
  const TaskRequest* task = TaskOf(uid);
  const auto waited = task == nullptr ? Duration{0} : api_.now - task->meta.created;
  const int bound = 24 + static_cast<int>(waited / core::kExplainAtLeastEvery) +
                    6 * (cost.pods + cost.recorded) + 3 * cost.edits + 5 * bought_meanwhile_ +
                    2 * (disturbances_ - cost.disturbed.value_or(0));
  if (cost.statuses > bound)
    Violate("too-many-writes", key + ": " + std::to_string(cost.statuses) + " statuses for " +
                                   std::to_string(cost.pods) + " pods");
}

void Checks::Failed(const core::Effect& effect) {
  const auto* ask = std::get_if<core::AskCloud>(&effect);
  if (ask != nullptr && ask->op == core::AskCloud::Op::kEnsure)
    asked_in_vain_.insert(ask->request_uid);
  if (const auto* made = std::get_if<core::Write>(&effect)) Failed(*made);
}

void Checks::Failed(const core::Write& write) {
  if (write.kind == Kind::kPod && write.verb == core::Verb::kCreate) {
    failed_.insert(write.key());
    witness_.Refused(write.uid, write.ns);
    NoteTried(write.uid, &Kindred::refused);
    witness_.Late(write.uid);  // it may be there all the same
    Forget(write);
  }
}

// Another that was decided on under its name is still to come.
void Checks::Forget(const core::Write& write) {
  std::erase_if(intents_, [&](const auto& entry) {
    return entry.first.first == write.key() && entry.second.assignment == write.pod->assignment;
  });
}

void Checks::Ended(const Replica& replica) {
  ++begun_;  // another follows
  ++ended_;
  std::erase_if(intents_, [&](const auto& entry) { return entry.second.replica == replica.id(); });
  std::erase_if(purchases_, [&](const auto& entry) { return entry.second.first == replica.id(); });
  std::erase_if(engine_asked_,
                [&](const auto& entry) { return entry.first.first == replica.id(); });
}

}  // namespace spillway::simulation
