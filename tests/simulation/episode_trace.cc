// The trace of an episode.
#include "operator/core/world.h"
#include "operator/runtime/pod_body.h"
#include "tests/simulation/episode.h"

namespace spillway::simulation {
namespace {

using std::chrono::seconds;

std::string Describe(const core::Object& object) {
  if (const auto* task = std::get_if<api::TaskRequest>(&object)) {
    const auto* told = api::FindCondition(*task->status.conditions, "Ready");
    return std::string(api::ToString(task->status.phase)) +
           (task->status.assignment ? " on " + task->status.assignment->server : "") +
           (task->spec.suspend ? " suspend" : "") + (task->spec.cancel ? " cancel" : "") +
           (told == nullptr ? "" : ": " + told->message.str());
  }
  if (const auto* scale = std::get_if<api::ScaleRequest>(&object))
    return std::string(api::ToString(scale->status.phase)) + " " + scale->status.message;
  if (const auto* pod = std::get_if<api::Pod>(&object)) {
    static constexpr const char* kPhases[] = {"Pending", "Running", "Succeeded", "Failed", "?"};
    return std::string(kPhases[static_cast<int>(pod->phase)]) + " on " + pod->node_name +
           (pod->meta.deleted ? " deleted" : "");
  }
  if (const auto* node = std::get_if<api::Node>(&object))
    return node->ready == api::NodeReady::kTrue ? "Ready" : "NotReady";
  if (const auto* server = std::get_if<api::RegisteredServer>(&object))
    return server->status.phase + (server->spec.cordoned ? " cordoned" : "");
  if (const auto* claim = std::get_if<api::CloudServer>(&object))
    return std::string(claim->ready ? "ready" : "not ready") + (claim->deleting ? " deleting" : "");
  return "";
}

}  // namespace

void Episode::SayDecision(const Replica& replica, const core::Effect& effect) {
  std::string line = "    operator " + std::to_string(replica.id()) + " decides: ";
  if (const auto* write = std::get_if<core::Write>(&effect)) {
    if (write->kind == Kind::kServer && write->verb == core::Verb::kPatchStatus) return;
    static constexpr const char* kVerbs[] = {"create ", "status ", "delete "};
    line += kVerbs[static_cast<int>(write->verb)];
    if (write->kind == Kind::kPod && write->verb == core::Verb::kCreate)
      line += "for " + write->uid + " on " +
              api::GetString(api::GetObject(runtime::Body(*write), "spec"), "nodeName") + " ";
  }
  const auto* note = std::get_if<core::Note>(&effect);
  Say(line + runtime::EffectKey(effect) +
      (note == nullptr ? "" : " " + note->reason + ": " + note->message));
  if (checks_.violation()) Say("VIOLATED: " + checks_.violation()->message);
}

// What the step has changed in the API server.
void Episode::Report(const std::string& what) {
  const auto now = api_.now.time_since_epoch() - seconds(1'800'000'000);
  const size_t lines = trace_->size();
  Say(FormatDuration(now) + " " + what);
  for (size_t kind = 0; kind < core::kKinds; ++kind) {
    const auto of = static_cast<Kind>(kind);
    reported_[kind] = std::max(reported_[kind], api_.first(of));
    for (; reported_[kind] < api_.end(of); ++reported_[kind]) {
      const Change& change = api_.at(of, reported_[kind]);
      if (of == Kind::kLease || (of == Kind::kServer && what == "quiet")) continue;
      Say("    " + std::string(core::ToString(of)) + " " + change.key + " v" +
          std::to_string(change.version) + " " +
          (change.object == nullptr ? "is gone" : Describe(*change.object)));
    }
  }
  if (trace_->size() == lines + 1 && what == "quiet") trace_->pop_back();
  // What goes on for hours without an end.
  constexpr std::ptrdiff_t kMost = 100'000;
  if (std::ssize(*trace_) > kMost) trace_->erase(trace_->begin(), trace_->begin() + kMost / 2);
}

}  // namespace spillway::simulation
