#include "tests/simulation/nodes.h"

#include <algorithm>

namespace spillway::simulation {
namespace {

using api::Node;
using api::NodeReady;
using api::Pod;
using api::PodPhase;
using std::chrono::seconds;

}  // namespace

bool Fits(const api::Resources& used, const api::Resources& total) {
  return used.cpu_milli <= total.cpu_milli && used.memory <= total.memory;
}

void Nodes::Add(const std::string& name, const api::Resources& offers) {
  locals_[name] = offers;
  Node node;
  node.meta.name = name;
  node.allocatable = offers;
  node.max_pods = 110;
  node.ready = NodeReady::kTrue;
  node.meta.labels = {{"kubernetes.io/hostname", name}, {"spillway.dev/register", "true"}};
  api_.Put(node);
  Silence(name, false);
}

void Nodes::Silence(const std::string& node, bool silent) {
  if (silent) {
    silent_.insert(node);
  } else {
    silent_.erase(node);
  }
  api_.witness->Silent(node, silent);
}

// A kubelet that is back renews its Lease at once.
void Nodes::ComeBack(const std::string& node) {
  Silence(node, false);
  if (api_.Get<Node>(node) != nullptr) Renew(node);
}

namespace {

// The same for the same node and number.
uint64_t Mixed(uint64_t seed, const std::string& node, uint64_t number) {
  Digest digest;
  digest.Add(seed);
  digest.Add(node);
  digest.Add(number);
  return Random(digest.value()).Next();
}

}  // namespace

bool Nodes::Dislikes(const Pod& pod) const {
  return prejudice_ != 0 &&
         Mixed(prejudice_, pod.node_name, static_cast<uint64_t>(pod.requests.cpu_milli)) % 5 == 0;
}

Time Nodes::ClockOf(const std::string& node) const {
  if (skew_ == 0) return api_.now;
  const uint64_t luck = Mixed(skew_, node, 0);
  if (luck % 4 == 0) return Time{} + seconds(luck % 1'000) + (api_.now - Time{}) % seconds(100'000);
  return api_.now + seconds(static_cast<int64_t>(luck % 14'400) - 7'200);
}

std::string Nodes::Say(std::string text, Random& random, size_t doublings) const {
  static constexpr const char* kParts[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                           "a",        "\n",           "\x01"};
  if (!hostile_ || !random.OneIn(3)) return text;
  const size_t length = size_t{1} << random.Pick(doublings);
  text.append(random.Pick(4), 'x');  // so that cuts fall anywhere
  const std::string part = kParts[random.Pick(6)];
  while (text.size() < length) text += part;
  return text;
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
  const Pod& known = std::get<Pod>(*entry->second);
  if (known.intended) return false;  // no kubelet knows of it
  const auto* node = api_.Get<Node>(known.node_name);
  if (node == nullptr || silent_.contains(known.node_name)) return false;
  if (known.terminal() && (!known.meta.deleted || api_.IsKept(known.meta.uid))) return false;
  Pod pod = known;
  if (pod.meta.deleted) {
    const bool held = api_.IsHeld(pod.meta.uid);
    if (pod.terminal() || (!held && random.OneIn(2))) {
      api_.Remove(Kind::kPod, pod.meta.key());
      return true;
    }
    return EndPod(random, std::move(pod), faults);
  }
  if (pod.phase == PodPhase::kRunning) return EndPod(random, std::move(pod), faults);
  if (pod.init_started) {
    Run(pod);
  } else if (IsExpelled(pod, *node)) {
    api_.witness->Disrupt(pod.meta.uid, "refused");
    pod.phase = PodPhase::kFailed;
    pod.reason = "TaintToleration";
    pod.message = Say("Predicate TaintToleration failed", random);
  } else if (Dislikes(pod)) {
    static constexpr const char* kReasons[] = {"UnexpectedAdmissionError", "SysctlForbidden",
                                               "NodeAffinity", "PodOSNotSupported"};
    api_.witness->Disrupt(pod.meta.uid, "refused");
    pod.phase = PodPhase::kFailed;
    pod.reason = kReasons[prejudice_ % 4];
    pod.message = Say("Pod was rejected", random);
  } else if (!Admits(pod)) {
    pod.phase = PodPhase::kFailed;
    api_.witness->Disrupt(pod.meta.uid, "refused");
    pod.reason = "OutOfcpu";
    pod.message = "Node didn't have enough resource: cpu";
  } else if (faults && pod.waiting_reason.empty() && random.OneIn(20)) {
    pod.waiting_reason = "ErrImagePull";
    pod.waiting_message = Say("no such image", random);
  } else if (faults && random.OneIn(8)) {
    happened_(kInit);
    pod.waiting_reason = "PodInitializing";
    pod.init_started = std::chrono::floor<seconds>(ClockOf(pod.node_name));
    pod.started_any = true;
  } else {
    Run(pod);
  }
  api_.Put(pod);
  return true;
}

void Nodes::Run(Pod& pod) const {
  pod.waiting_reason.clear();
  pod.phase = PodPhase::kRunning;
  pod.started = std::chrono::floor<seconds>(ClockOf(pod.node_name));
  pod.started_any = true;
}

bool Nodes::EndPod(Random& random, Pod pod, bool faults) {
  const size_t luck = faults ? random.Pick(24) : 0;
  const bool fails = luck >= 13;
  pod.phase = fails ? PodPhase::kFailed : PodPhase::kSucceeded;
  const int64_t code = fails ? (luck % 2 == 0 ? 75 : 1) : 0;
  const std::string said = (fails ? "last words of " : "output of ") + pod.meta.name;
  const Time begin = pod.started.value_or(ClockOf(pod.node_name));
  pod.termination =
      api::Termination{code, fails ? "Error" : "Completed", Say(said, random, 12), begin,
                       std::max(begin, Time(std::chrono::floor<seconds>(ClockOf(pod.node_name))))};
  if (luck == 19) {  // to make room for others
    api_.witness->Disrupt(pod.meta.uid, "evicted");
    pod.reason = "Evicted";
    pod.disrupted = true;
  } else if (luck == 20) {  // it used more than it may
    pod.reason = "Evicted";
    pod.message = Say("Pod ephemeral local storage usage exceeds the total limit", random);
  } else if (luck == 21) {  // the node was booted anew, and does not know
    api_.witness->Disrupt(pod.meta.uid, "rebooted");
    pod.termination = api::Termination{255, "Unknown", "", begin, pod.termination->finished};
    pod.termination->lost = true;
  }
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
  if (const auto* task = random.Any(api_.All(Kind::kTask)); task != nullptr && random.OneIn(3)) {
    // It looks like one of ours, and is not.
    const auto& meta = std::get<api::TaskRequest>(*task->second).meta;
    pod.meta.owners = {{"TaskRequest", meta.name, meta.uid, true, true}};
    pod.meta.labels = {{api::kTaskLabel, "true"},
                       {api::kTaskNameLabel, meta.name},
                       {api::kAttemptLabel, std::to_string(1 + random.Pick(3))},
                       {api::kExclusiveLabel, "true"}};
    if (random.OneIn(2)) pod.meta.name = meta.name + "-" + std::to_string(1 + random.Pick(3));
    if (api_.Get<Pod>(pod.meta.key()) != nullptr) return false;
  }
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
    if (what < 2 && node.ready == NodeReady::kTrue) {
      node.ready = NodeReady::kUnknown;  // the node controller has waited long enough
      node.ready_message = Say("Kubelet stopped posting node status.", random);
      api_.Put(node);
    } else if (what < 5) {
      ComeBack(name);
      node.ready = NodeReady::kTrue;
      api_.Put(node);
    } else {
      api_.Remove(Kind::kNode, name);
      api_.Remove(Kind::kLease, "kube-node-lease/" + name);
      Silence(name, false);
    }
    return true;
  }
  if (what < 4) {
    Silence(name, true);
  } else if (what == 4) {
    api_.Remove(Kind::kNode, name);
  } else {
    Recover();
  }
  return true;
}

void Nodes::Recover() {
  for (const Node& known : api_.List<Node>()) {
    Node node = known;
    Restore(node);
    if (node.ready == known.ready && node.unschedulable == known.unschedulable &&
        node.taints == known.taints && node.allocatable == known.allocatable &&
        node.meta.labels == known.meta.labels)
      continue;
    api_.Put(node);
  }
  while (!silent_.empty()) ComeBack(std::string(*silent_.begin()));
  for (const auto& [name, offers] : std::map(locals_)) {
    if (api_.Get<Node>(name) == nullptr) Add(name, offers);
  }
}

bool Nodes::Collect(Random& random) {
  return random.OneIn(2) ? CollectPod() || CollectDependent() : CollectDependent() || CollectPod();
}

bool Nodes::CollectPod() {
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& known = std::get<Pod>(*object);
    if (known.intended ? !known.meta.deleted : api_.Get<Node>(known.node_name) != nullptr) continue;
    if (api_.IsKept(known.meta.uid)) continue;
    Pod pod = known;
    if (!pod.terminal()) {  // it says so before it deletes it
      api_.witness->Disrupt(pod.meta.uid, "collected");
      pod.phase = PodPhase::kFailed;
      pod.disrupted = true;
      if (api_.IsHeld(pod.meta.uid)) api_.Put(pod);
    }
    api_.Remove(Kind::kPod, pod.meta.key());
    return true;
  }
  return false;
}

// What is to go only after its dependents.
bool Nodes::CollectForeground() {
  for (const std::string& uid : api_.foreground) {
    bool any = false;
    for (const auto& [key, object] : api_.All(Kind::kPod)) {
      const Pod& known = std::get<Pod>(*object);
      if (known.meta.owners.empty() || known.meta.owners.front().uid != uid) continue;
      any = true;
      if (known.meta.deleted) continue;
      Pod pod = known;
      pod.meta.deleted = api_.now;
      api_.Put(std::move(pod));
      return true;
    }
    if (!any) return api_.LetGo(std::string(uid)), true;
  }
  return false;
}

bool Nodes::CollectDependent() {
  if (CollectForeground()) return true;
  const auto orphaned = [&](const std::vector<api::OwnerReference>& owners) {
    const auto is_there = [&](const auto& owner) { return api_.Find(owner.uid) != nullptr; };
    return !owners.empty() && std::none_of(owners.begin(), owners.end(), is_there);
  };
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& known = std::get<Pod>(*object);
    if (known.meta.deleted || !orphaned(known.meta.owners)) continue;
    Pod pod = known;
    pod.meta.deleted = api_.now;
    api_.Put(pod);
    return true;
  }
  for (const auto& [key, object] : api_.All(Kind::kServer)) {
    if (!orphaned(std::get<api::RegisteredServer>(*object).meta.owners) ||
        api_.IsKept(UidOf(*object)))
      continue;
    api_.Remove(Kind::kServer, std::string(key));
    return true;
  }
  return false;
}

void Nodes::Beat() {
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    if (!silent_.contains(name)) Renew(name);
  }
}

void Nodes::Renew(const std::string& node) {
  api::NodeLease lease;
  lease.meta.ns = "kube-node-lease";
  lease.meta.name = node;
  lease.renewed = api_.now;
  if (const auto* known = api_.Get<api::NodeLease>(lease.meta.key())) lease.meta = known->meta;
  api_.Put(lease);
}

core::Measured Nodes::Measure(Random& random) const {
  core::Measured measured;
  for (const auto& [name, object] : api_.All(Kind::kNode)) {
    if (silent_.contains(name)) continue;
    const auto percent = static_cast<int64_t>(random.Pick(150));
    api::NodeMetrics metrics{name, std::chrono::floor<seconds>(ClockOf(name)), seconds(15), 200, 0};
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

}  // namespace spillway::simulation
