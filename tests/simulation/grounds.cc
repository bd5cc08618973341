// On what a process decides: on nothing before it has been told of all there is, on nothing that it
// has been told is gone, and a node is lost only if it was.
#include <algorithm>

#include "operator/cloud/karpenter.h"
#include "operator/core/world.h"
#include "operator/runtime/pod_body.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
namespace {

using api::TaskRequest;

constexpr char kStale[] = "stale-decision";

}  // namespace

// The process was told of everything of the kind.
bool Checks::KnowsKind(const Replica& replica, Kind kind) const {
  return replica.HasSeen(kind, api_.changed(kind));
}

void Checks::CheckGround(const Replica& replica, const core::Effect& effect) {
  const auto* ask = std::get_if<core::AskCloud>(&effect);
  for (size_t i = 0; i < core::kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    // One engine that cannot be listed does not hold up what needs it not.
    if (kind == Kind::kCloudServer && (ask == nullptr || ask->engine() != cloud::kKarpenter))
      continue;
    if (!replica.HasListed(kind))
      Violate(kStale,
              runtime::EffectKey(effect) + " before every " + core::ToString(kind) + " was listed");
  }
  if (ask != nullptr) return CheckAsked(replica, *ask);
  const auto* write = std::get_if<core::Write>(&effect);
  if (write == nullptr) return;
  if (write->verb != core::Verb::kCreate) {
    const auto& all = api_.All(write->kind);
    const auto at = all.find(write->key());
    const bool gone = at == all.end() || UidOf(*at->second) != write->uid;
    // A deletion may be decided on while the news are taken up; its uid makes it harmless.
    if (gone && write->verb == core::Verb::kPatchStatus && KnowsKind(replica, write->kind))
      Violate(kStale, WhatOf(effect) + ", which is gone");
    // Two leaders may have bound it to different nodes.
    if (!gone && !overlap_ && write->kind == Kind::kTask &&
        write->verb == core::Verb::kPatchStatus && KnowsKind(replica, Kind::kTask))
      CheckLosses(*write, std::get<TaskRequest>(*at->second));
  } else if (write->kind == Kind::kPod) {
    CheckBinding(replica, *write);
  } else if (write->kind == Kind::kScale) {
    CheckNeed(replica, *write);
  }
}

// Nothing is asked of an engine for a request that is gone or has ended.
void Checks::CheckAsked(const Replica& replica, const core::AskCloud& ask) {
  if (ask.op != core::AskCloud::Op::kEnsure) return;
  const auto* scale = api_.Get<api::ScaleRequest>(ask.request_name);
  if (scale != nullptr && scale->meta.uid == ask.request_uid) {
    const bool ended = scale->status.phase == api::ScalePhase::kFailed ||
                       scale->status.phase == api::ScalePhase::kReleased;
    if (ended && replica.HasSeen(Kind::kScale, scale->meta.resource_version))
      Violate(kStale, "a server is asked for by " + ask.request_name + ", which has ended");
  } else if (KnowsKind(replica, Kind::kScale)) {
    Violate(kStale, "a server is asked for by " + ask.request_name + ", which is gone");
  }
}

// The task, the node and its server are there, as far as the process was told.
void Checks::CheckBinding(const Replica& replica, const core::Write& write) {
  const std::string& node = write.pod->assignment->node_name;
  const std::string what = write.key() + " on node " + node;
  if (TaskOf(write.uid) == nullptr && KnowsKind(replica, Kind::kTask))
    Violate(kStale, what + ", and its task is gone");
  if (api_.Get<api::Node>(node) == nullptr && KnowsKind(replica, Kind::kNode))
    Violate(kStale, what + ", which is gone");
  const auto& servers = api_.All(Kind::kServer);
  const bool registered = std::any_of(servers.begin(), servers.end(), [&](const auto& entry) {
    return std::get<api::RegisteredServer>(*entry.second).spec.node_name == node;
  });
  if (!registered && KnowsKind(replica, Kind::kServer))
    Violate(kStale, what + ", which is no server");
}

// What is bought for a task, it waits for.
void Checks::CheckNeed(const Replica& replica, const core::Write& write) {
  const std::string uid = write.name.substr(4, write.name.rfind('-') - 4);
  if (!KnowsKind(replica, Kind::kTask) || !KnowsKind(replica, Kind::kPool) ||
      api_.Find<api::ServerPool>(uid) != nullptr)
    return;
  const TaskRequest* task = TaskOf(uid);
  if (task == nullptr) return Violate(kStale, write.name + " is bought for what is gone");
  if (api::Finished(task->status.phase) || task->spec.suspend || task->spec.cancel ||
      task->meta.deleted)
    Violate(kStale, write.name + " is bought for " + task->meta.key() + ", which does not wait");
  const TaskRecord* record = witness_.Task(uid);
  if (record == nullptr || overlap_) return;
  for (const PodRecord& pod : record->pods) {
    if (!pod.over && !pod.asked_to_end && !stopped_.contains(pod.uid) &&
        replica.HasSeen(Kind::kPod, pod.version) && !witness_.Lost(pod.node, pod.asked))
      Violate(kStale, write.name + " is bought for " + task->meta.key() + ", whose pod " + pod.key +
                          " is there");
  }
}

// An attempt that is lost with its node: that was gone, or down for a minute on end.
void Checks::CheckLosses(const core::Write& write, const TaskRequest& task) {
  const TaskRecord* record = witness_.Task(write.uid);
  if (record == nullptr) return;
  for (const api::Json& attempt : api::GetArray(write.body, "attempts")) {
    const int64_t number = api::GetInt(attempt, "attempt");
    const auto& told = task.status.attempts;
    if (api::GetString(attempt, "reason") != "ServerLost" ||
        std::any_of(told.begin(), told.end(),
                    [&](const api::Attempt& each) { return each.attempt == number; }))
      continue;
    const auto of = [&](const PodRecord& pod) { return pod.attempt == number; };
    // Of a pod that was bound elsewhere, and is gone, only where it was to be may be known; before
    // the status tells of that, by the attempt, whose server has its node's name if it is local.
    const auto& told_of = task.status.assignment;
    const std::string meant = told_of && told_of->attempt == number
                                  ? told_of->node_name
                                  : api::GetString(attempt, "server");
    const auto lost = [&](const PodRecord& pod) {
      return of(pod) && (witness_.Lost(pod.node, pod.asked) ||
                         (pod.moved && api_.Get<api::Pod>(pod.key) == nullptr &&
                          witness_.Lost(meant, pod.asked)));
    };
    const auto& pods = record->pods;
    if (std::any_of(pods.begin(), pods.end(), of) && std::none_of(pods.begin(), pods.end(), lost))
      Violate(kStale, write.key() + ": attempt " + std::to_string(number) +
                          " is called lost, and its node never was");
  }
}

}  // namespace spillway::simulation
