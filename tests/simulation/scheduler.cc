#include "tests/simulation/scheduler.h"

#include "operator/base/json.h"
#include "operator/core/scheduling/match.h"
#include "tests/simulation/nodes.h"
#include "tests/simulation/witness.h"

namespace spillway::simulation {
namespace {

using api::Pod;

constexpr char kBinds[] = "kube-scheduler binds a pod", kElsewhere[] = "… to another node",
               kComplains[] = "kube-scheduler has no node for a pod";

// What no simulated node says of itself, such as a zone.
constexpr char kRule[] = "didn't match pod topology spread constraints",
               kFull[] = "Insufficient cpu";

}  // namespace

std::vector<std::string> Scheduler::Names() { return {kBinds, kElsewhere, kComplains}; }

std::vector<std::string> Scheduler::Feasible(const Pod& pod) const {
  const api::Json& spec = api::GetObject(*api_.Manifest(pod.meta.uid), "spec");
  const auto affinity = core::DecodeNodeAffinity(spec);
  const auto tolerations = api::DecodeTolerations(spec);
  std::vector<std::string> out;
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    const auto& node = std::get<api::Node>(*object);
    if (node.unschedulable || !core::MatchesAny(affinity, node.meta.labels, name) ||
        core::FindUntolerated(node.taints, tolerations) != nullptr)
      continue;
    api::Resources used = pod.requests;
    for (const auto& [key, each] : api_.All(Kind::kPod)) {
      const Pod& other = std::get<Pod>(*each);
      if (other.node_name == name && !other.intended && !other.terminal()) used += other.requests;
    }
    if (Fits(used, node.allocatable)) out.push_back(name);
  }
  return out;
}

bool Scheduler::Complain(Pod pod, const std::string& why) {
  const std::string nodes = std::to_string(api_.Count<api::Node>());
  const std::string message = "0/" + nodes + " nodes are available: " + nodes + " " + why + ".";
  if (pod.unscheduled && pod.waiting_message == message) return false;
  happened_(kComplains);
  api_.witness->Blame(pod.meta.uid, "unschedulable");
  pod.unscheduled = true;
  pod.waiting_reason = "Unschedulable";
  pod.waiting_message = message;
  api_.Put(std::move(pod));
  return true;
}

bool Scheduler::Schedule(Random& random, bool faults) {
  std::vector<const Pod*> waiting;
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& pod = std::get<Pod>(*object);
    if (pod.intended && !pod.meta.deleted && !pod.terminal()) waiting.push_back(&pod);
  }
  if (waiting.empty()) return false;
  Pod pod = *waiting[random.Pick(waiting.size())];
  const std::vector<std::string> nodes = Feasible(pod);
  if (faults && random.OneIn(12)) return Complain(std::move(pod), kRule);
  if (nodes.empty()) return Complain(std::move(pod), kFull);
  const std::string& node = nodes[random.Pick(nodes.size())];
  happened_(node == pod.node_name ? kBinds : kElsewhere);
  pod.node_name = node;
  pod.intended = pod.unscheduled = false;
  pod.waiting_reason.clear();
  pod.waiting_message.clear();
  api_.Put(std::move(pod));
  return true;
}

}  // namespace spillway::simulation
