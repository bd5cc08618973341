#include "operator/core/scheduling/admitted_pods.h"

#include <algorithm>
#include <tuple>

#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/kinds.h"
#include "operator/core/scheduling/payment.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/scheduling/reservations.h"
#include "operator/core/scheduling/waiting.h"

namespace spillway::core {
namespace {

// Where answers differ from each other, tasks are not moved about with every one.
constexpr Duration kLearnEvery{10'000};

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

}  // namespace spillway::core
