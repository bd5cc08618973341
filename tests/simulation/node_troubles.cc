// What is done to nodes that are well, by their admins and by controllers, and what becomes of the
// pods there.
#include <algorithm>

#include "tests/simulation/nodes.h"

namespace spillway::simulation {
namespace {

using api::Node;
using api::Pod;
using api::PodPhase;

constexpr char kMaintenance[] = "maintenance", kRepair[] = "repair";
constexpr char kEvicted[] = "a taint has evicted a pod";
constexpr char kTurnedAway[] = "a pod that ran is turned away";
constexpr char kTolerated[] = "a pod tolerates what evicts others";

const api::Taint& AnyTaint(Random& random) {
  static const api::Taint kTaints[] = {{kMaintenance, "", "NoExecute"}, {kRepair, "", "NoExecute"}};
  return kTaints[random.Pick(2)];
}

// Puts the taint on the node, or takes it off.
void Toggle(Node& node, const api::Taint& taint) {
  if (std::erase(node.taints, taint) == 0) node.taints.push_back(taint);
}

bool Expels(const api::Taint& taint) { return taint.effect == "NoExecute"; }

}  // namespace

std::vector<std::string> Nodes::Names() { return {kEvicted, kTurnedAway, kTolerated, kInit}; }

bool Tolerates(const api::TaskRequest& task, const api::Taint& taint) {
  const api::Json& spec = api::GetObject(*task.spec.pod_template, "spec");
  const api::Json& tolerations = api::GetArray(spec, "tolerations");
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const api::Json& toleration) {
    return api::GetString(toleration, "key") == taint.key;
  });
}

void Nodes::Restore(Node& node) const {
  std::erase_if(node.taints, [](const api::Taint& taint) {
    return taint.key == kMaintenance || taint.key == kRepair;
  });
  node.unschedulable = false;
  if (node.ready != api::NodeReady::kTrue) node.ready_message.clear();
  node.ready = api::NodeReady::kTrue;
  const auto local = locals_.find(node.meta.name);
  if (local == locals_.end()) return;
  node.allocatable = local->second;
  node.meta.labels[api::kRegisterLabel] = "true";
}

bool Nodes::Fence(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kNode));
  if (entry == nullptr) return false;
  Node node = std::get<Node>(*entry->second);
  if (random.OneIn(2)) {
    node.unschedulable = !node.unschedulable;
  } else {
    Toggle(node, {kMaintenance, "", "NoSchedule"});
  }
  api_.Put(node);
  return true;
}

bool Nodes::Expel(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kNode));
  if (entry == nullptr) return false;
  Node node = std::get<Node>(*entry->second);
  Toggle(node, AnyTaint(random));
  api_.Put(node);
  return true;
}

// Who else than a task's pod would tolerate it?
bool Nodes::IsExpelled(const Pod& pod, const Node& node) const {
  if (std::none_of(node.taints.begin(), node.taints.end(), Expels)) return false;
  const std::string* owner = api_.witness->OwnerOf(pod);
  const auto* task = owner == nullptr ? nullptr : api_.Find<api::TaskRequest>(*owner);
  return std::any_of(node.taints.begin(), node.taints.end(), [&](const api::Taint& taint) {
    return Expels(taint) && (task == nullptr || !Tolerates(*task, taint));
  });
}

// It says so by a condition, and then deletes the pod.
bool Nodes::EvictExpelled(Random& random) {
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& known = std::get<Pod>(*object);
    if (known.terminal() || known.meta.deleted || known.intended) continue;
    const auto* node = api_.Get<Node>(known.node_name);
    if (node == nullptr || node->taints.empty()) continue;
    if (!IsExpelled(known, *node)) {
      if (api_.witness->OwnerOf(known) != nullptr && Expels(node->taints.back()))
        happened_(kTolerated);
      continue;
    }
    Pod pod = known;
    const bool told = std::exchange(pod.disrupted, true);
    if (!told) {
      happened_(kEvicted);
      api_.witness->Disrupt(pod.meta.uid, "evicted by a taint");
      pod.asked_to_end = api_.now;
    }
    if (told || random.OneIn(2)) pod.meta.deleted = api_.now;
    api_.Put(std::move(pod));
    return true;
  }
  return false;
}

bool Nodes::Shrink(Random& random) {
  const auto* entry = random.Any(locals_);
  const auto* known = api_.Get<Node>(entry->first);
  if (known == nullptr || silent_.contains(entry->first)) return false;
  Node node = *known;
  const api::Resources& full = entry->second;
  const bool shrinks = node.allocatable == full;
  node.allocatable = full;
  if (shrinks) node.allocatable.cpu_milli /= static_cast<int64_t>(2 + random.Pick(3));
  api_.Put(node);
  if (shrinks && random.OneIn(2)) TurnAwayWhatRuns(node);
  return true;
}

// Its kubelet was started anew, and admits once more what runs there as far as there is room. What
// it turns away it says nothing more of.
void Nodes::TurnAwayWhatRuns(const Node& node) {
  api::Resources used;
  for (Pod& pod : api_.List<Pod>()) {
    if (pod.node_name != node.meta.name || pod.phase != PodPhase::kRunning || pod.meta.deleted)
      continue;
    used += pod.requests;
    if (used.cpu_milli <= node.allocatable.cpu_milli) continue;
    used -= pod.requests;
    happened_(kTurnedAway);
    api_.witness->Disrupt(pod.meta.uid, "turned away");
    pod.phase = PodPhase::kFailed;
    pod.reason = "OutOfcpu";
    pod.message = "Pod was rejected: Node didn't have enough resource: cpu";
    pod.started.reset();
    pod.init_started.reset();
    pod.started_any = false;
    pod.termination.reset();
    api_.Put(std::move(pod));
  }
}

bool Nodes::Unlabel(Random& random) {
  const auto* entry = random.Any(locals_);
  const auto* known = api_.Get<Node>(entry->first);
  if (known == nullptr) return false;
  Node node = *known;
  std::string& label = node.meta.labels[api::kRegisterLabel];
  label = label == "true" ? "false" : "true";
  if (label == "false" && random.OneIn(2)) node.meta.labels.erase(api::kRegisterLabel);
  api_.Put(node);
  return true;
}

}  // namespace spillway::simulation
