#include "tests/simulation/nodes.h"

namespace spillway::simulation {
namespace {

using api::Node;
using api::NodeReady;
using api::Pod;
using api::PodPhase;
using std::chrono::seconds;

bool Fits(const api::Resources& used, const api::Resources& total) {
  return used.cpu_milli <= total.cpu_milli && used.memory <= total.memory;
}

}  // namespace

void Nodes::Add(const std::string& name, const std::string& cpu, const std::string& memory) {
  locals_[name] = {cpu, memory};
  Node node;
  node.meta.name = name;
  node.allocatable = *api::DecodeResources({{"cpu", cpu}, {"memory", memory}});
  node.max_pods = 110;
  node.ready = NodeReady::kTrue;
  node.meta.labels = {{"kubernetes.io/hostname", name}, {"spillway.dev/register", "true"}};
  api_.Put(node);
  silent_.erase(name);
}

bool Nodes::Admits(const Pod& pod) const {
  const auto* node = api_.Get<Node>(pod.node_name);
  api::Resources used = pod.requests;
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    if (other.node_name == pod.node_name && other.phase == PodPhase::kRunning)
      used += other.requests;
  }
  return Fits(used, node->allocatable);
}

bool Nodes::MovePod(Random& random, bool faults) {
  const auto* entry = random.Any(api_.All(Kind::kPod));
  if (entry == nullptr) return false;
  Pod pod = std::get<Pod>(*entry->second);
  const auto* node = api_.Get<Node>(pod.node_name);
  if (node == nullptr || silent_.contains(pod.node_name)) return false;
  if (pod.meta.deleted) {
    if (pod.terminal() || random.OneIn(2)) {
      api_.Remove(Kind::kPod, pod.meta.key());
      return true;
    }
    return EndPod(random, std::move(pod), faults);
  }
  if (pod.terminal()) return false;
  if (pod.phase == PodPhase::kRunning) return EndPod(random, std::move(pod), faults);
  if (!Admits(pod)) {
    pod.phase = PodPhase::kFailed;
    pod.reason = "OutOfcpu";
    pod.message = "Node didn't have enough resource: cpu";
  } else if (faults && pod.waiting_reason.empty() && random.OneIn(20)) {
    pod.waiting_reason = "ErrImagePull";
  } else {
    pod.waiting_reason.clear();
    pod.phase = PodPhase::kRunning;
    pod.started = std::chrono::floor<seconds>(api_.now);
  }
  api_.Put(pod);
  return true;
}

bool Nodes::EndPod(Random& random, Pod pod, bool faults) {
  const size_t luck = faults ? random.Pick(20) : 0;
  const bool fails = luck >= 13;
  pod.phase = fails ? PodPhase::kFailed : PodPhase::kSucceeded;
  if (luck == 19) {
    pod.reason = "Evicted";
    pod.disrupted = true;
  }
  const int64_t code = fails ? (luck % 2 == 0 ? 75 : 1) : 0;
  pod.termination = api::Termination{code, fails ? "Error" : "Completed",
                                     fails ? "" : "output of " + pod.meta.name, pod.started,
                                     std::chrono::floor<seconds>(api_.now)};
  api_.Put(pod);
  return true;
}

bool Nodes::AddForeignPod(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kNode));
  if (entry == nullptr || api_.Count<Pod>() > 60) return false;
  Pod pod;
  pod.meta.ns = "other";
  pod.meta.name = "foreign-" + std::to_string(++foreign_);
  pod.node_name = entry->first;
  pod.requests.cpu_milli = static_cast<int64_t>(500 * (1 + random.Pick(3)));
  pod.requests.memory = int64_t{1} << 29;
  api_.Put(pod);
  return true;
}

bool Nodes::Trouble(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kNode));
  if (entry == nullptr) {
    Recover();
    return true;
  }
  Node node = std::get<Node>(*entry->second);
  const std::string& name = node.meta.name;
  const size_t what = random.Pick(6);
  if (silent_.contains(name)) {
    last_down_[name] = api_.now;
    if (what < 2 && node.ready == NodeReady::kTrue) {
      node.ready = NodeReady::kUnknown;  // the node controller has waited long enough
      node.ready_message = "Kubelet stopped posting node status.";
      api_.Put(node);
    } else if (what < 5) {
      silent_.erase(name);
      node.ready = NodeReady::kTrue;
      api_.Put(node);
    } else {
      api_.Remove(Kind::kNode, name);
      api_.Remove(Kind::kLease, "kube-node-lease/" + name);
      silent_.erase(name);
    }
    return true;
  }
  if (what < 4) {
    silent_.insert(name);
    last_down_[name] = api_.now;
  } else if (what == 4) {
    api_.Remove(Kind::kNode, name);
    last_down_[name] = api_.now;
  } else {
    Recover();
  }
  return true;
}

void Nodes::Recover() {
  for (const Node& known : api_.List<Node>()) {
    if (known.ready == NodeReady::kTrue) continue;
    Node node = known;
    node.ready = NodeReady::kTrue;
    node.ready_message.clear();
    api_.Put(node);
  }
  for (const std::string& name : silent_) last_down_[name] = api_.now;
  silent_.clear();
  for (const auto& [name, local] : std::map(locals_)) {
    if (api_.Get<Node>(name) == nullptr) {
      last_down_[name] = api_.now;
      Add(name, local.cpu, local.memory);
    }
  }
}

bool Nodes::Collect(Random& random) {
  return random.OneIn(2) ? CollectPod() || CollectDependent() : CollectDependent() || CollectPod();
}

bool Nodes::CollectPod() {
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    if (api_.Get<Node>(std::get<Pod>(*object).node_name) != nullptr) continue;
    api_.Remove(Kind::kPod, std::string(key));
    return true;
  }
  return false;
}

bool Nodes::CollectDependent() {
  const auto orphaned = [&](const std::vector<api::OwnerReference>& owners) {
    for (const auto& owner : owners) {
      for (const Kind kind : {Kind::kTask, Kind::kScale, Kind::kNode}) {
        for (const auto& [key, object] : api_.All(kind)) {
          if (UidOf(*object) == owner.uid) return false;
        }
      }
    }
    return !owners.empty();
  };
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    Pod pod = std::get<Pod>(*object);
    if (pod.meta.deleted || !orphaned(pod.meta.owners)) continue;
    pod.meta.deleted = api_.now;
    api_.Put(pod);
    return true;
  }
  for (const auto& [key, object] : api_.All(Kind::kServer)) {
    if (!orphaned(std::get<api::RegisteredServer>(*object).meta.owners)) continue;
    api_.Remove(Kind::kServer, std::string(key));
    return true;
  }
  return false;
}

void Nodes::Beat() {
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    if (silent_.contains(name)) {
      last_down_[name] = api_.now;
      continue;
    }
    api::NodeLease lease;
    lease.meta.ns = "kube-node-lease";
    lease.meta.name = name;
    lease.renewed = api_.now;
    if (const auto* known = api_.Get<api::NodeLease>(lease.meta.key())) lease.meta = known->meta;
    api_.Put(lease);
  }
}

core::Measured Nodes::Measure(Random& random) const {
  core::Measured measured;
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    if (silent_.contains(name)) continue;
    const auto percent = static_cast<int64_t>(random.Pick(150));
    api::NodeMetrics metrics{name, std::chrono::floor<seconds>(api_.now), seconds(15), 200, 0};
    for (const auto& [key, other] : api_.All(Kind::kPod)) {
      const Pod& pod = std::get<Pod>(*other);
      if (pod.node_name != name || pod.phase != PodPhase::kRunning) continue;
      metrics.cpu_milli += pod.requests.cpu_milli * percent / 100;
      metrics.memory += pod.requests.memory * percent / 100;
    }
    measured.nodes.push_back(std::move(metrics));
  }
  return measured;
}

Time Nodes::LastDown(const std::string& node) const {
  if (api_.Get<Node>(node) == nullptr) return api_.now;
  const auto at = last_down_.find(node);
  return at == last_down_.end() ? Time{} : at->second;
}

}  // namespace spillway::simulation
