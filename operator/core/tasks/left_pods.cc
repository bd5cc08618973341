#include "operator/core/tasks/left_pods.h"

#include <algorithm>

#include "operator/core/tasks/lost_pods.h"
#include "operator/core/tasks/status.h"

namespace spillway::core {
namespace {

std::string NameOf(const api::Pod& pod) {
  return "pod " + pod.meta.name + (pod.node_name.empty() ? "" : " on node " + pod.node_name);
}

// Until that time nothing is unusual: false then.
bool Passed(const World& world, Time until, Time* wake) {
  if (world.now < until) *wake = std::min(*wake, until);
  return world.now >= until;
}

// deletion: null if it was not asked for.
std::string WhyThere(const World& world, const api::Pod& pod, const Deletion* deletion,
                     Time* wake) {
  if (pod.meta.deleted) {
    const Time asked = pod.asked_to_end.value_or(*pod.meta.deleted);
    if (!Passed(world, asked + kLingersFor, wake)) return "";
    return "waiting for " + NameOf(pod) + " to end, as it was asked to at " + FormatTime(asked);
  }
  if (deletion == nullptr) return "";
  if (!deletion->error.empty())
    return NameOf(pod) + " could not be deleted: " + deletion->error + kAgain;
  if (!deletion->sent || !Passed(world, deletion->asked_at + kDeletionOverdue, wake)) return "";
  return NameOf(pod) + " is not deleted yet: the API server has not answered since " +
         FormatTime(deletion->asked_at) + "; an admission webhook may not answer";
}

}  // namespace

std::string StillThere(const World& world, const TaskState& task, Time* wake) {
  for (const auto& [attempt, pod] : task.owner->pods) {
    if (pod->terminal() || (task.binding && task.binding->attempt == attempt)) continue;
    if (NodeLost(world, pod->node_name, pod, wake)) continue;
    const Deletion* deletion = nullptr;
    if (task.pods_deleted) {
      const auto known = task.pods_deleted->find(pod->meta.uid);
      if (known != task.pods_deleted->end()) deletion = &known->second;
    }
    if (auto why = WhyThere(world, *pod, deletion, wake); !why.empty()) return why;
  }
  return "";
}

void TellStillThere(World& world, TaskState& task) {
  const api::TaskStatus& status = task.object.status;
  const auto* stalled = api::FindCondition(*status.conditions, "Stalled");
  if (stalled == nullptr || stalled->status != "True") return;
  const auto* failed = api::FindCondition(*status.conditions, "Failed");
  const bool suspended = status.phase == api::TaskPhase::kSuspended;
  if (!suspended && (failed == nullptr || failed->status != "True")) return;
  Time wake = kNever;
  std::string says = suspended ? kHeldBySuspend : failed->message.str();
  if (const auto why = StillThere(world, task, &wake); !why.empty()) says += "; " + why;
  if (wake != kNever) world.tasks.Wake(task, wake);
  std::vector<api::Condition> conditions = *status.conditions;
  api::SetProgress(conditions, api::Progress::kStalled, stalled->reason, says,
                   stalled->observed_generation, world.now);
  if (conditions == *status.conditions) return;
  ShareConditions(task, std::move(conditions));
  task.status_due = std::min(task.status_due, world.now);
}

}  // namespace spillway::core
