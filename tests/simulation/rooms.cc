// Where pods may go, and what room is theirs.
#include <algorithm>

#include "operator/core/scheduling/admission.h"
#include "operator/core/servers/load.h"
#include "operator/core/world.h"
#include "tests/simulation/checks.h"

namespace spillway::simulation {
using api::Pod;
using api::TaskRequest;
using std::chrono::seconds;

bool Checks::Knows(const Replica& replica, const Pod& pod) const {
  const auto origin = origins_.find(pod.meta.uid);
  const int64_t version =
      origin == origins_.end() ? pod.meta.resource_version : origin->second.version;
  if (replica.HasSeen(Kind::kPod, version)) return true;
  if (origin == origins_.end() || origin->second.replica != replica.id()) return false;
  if (Contested(pod.meta.key(), 1)) return false;
  // Its own work, unless it belongs to a task that is gone: such a pod is collected at once.
  for (const auto& [key, task] : api_.All(Kind::kTask)) {
    if (UidOf(*task) == *witness_.OwnerOf(pod)) return true;
  }
  return false;
}

bool Checks::GivenUp(const Replica& replica, Time decided) {
  return replica.now() + seconds(1) >= decided + core::kSlowAnswer;  // clocks may differ
}

bool Checks::Counts(const Replica& replica, const Pod& pod) const {
  if (!Knows(replica, pod)) return false;
  const PodRecord* record = witness_.RecordOf(pod);
  const bool moved = record != nullptr && record->bound > record->version;
  if (moved && !replica.HasSeen(Kind::kPod, record->bound)) return false;
  // Of one without a node and without a task, anybody may say where it is to go.
  const TaskRequest* task = record == nullptr ? nullptr : TaskOf(*witness_.OwnerOf(pod));
  if (pod.intended &&
      (task == nullptr || !replica.HasSeen(Kind::kTask, task->meta.resource_version)))
    return false;
  const auto origin = origins_.find(pod.meta.uid);
  if (origin == origins_.end() || replica.HasSeen(Kind::kPod, origin->second.version)) return true;
  // Of two leaders the other may have ended it before this one was told that it is there.
  return !overlap_ && !GivenUp(replica, origin->second.decided) &&
         !failed_.contains(pod.meta.key());
}

// As the process knows them: what admission has added is seen with the pod.
const api::Resources& Checks::RequestsOf(const Replica& replica, const Pod& pod) const {
  const auto origin = origins_.find(pod.meta.uid);
  const bool sent = origin != origins_.end() && origin->second.replica == replica.id() &&
                    !replica.HasSeen(Kind::kPod, origin->second.version);
  return sent ? origin->second.requests : pod.requests;
}

void Checks::CheckRoom(const Replica& replica, const Pod& pod) {
  const auto* node = api_.Get<api::Node>(pod.node_name);
  // Gone meanwhile, or changed, such as with less to offer.
  if (node == nullptr || !replica.HasSeen(Kind::kNode, node->meta.resource_version)) return;
  api::Resources used = pod.requests;
  int others = 0, exclusive = 0;
  std::string beside;
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    if (other.node_name != pod.node_name || other.terminal() || !Counts(replica, other)) continue;
    used += RequestsOf(replica, other);
    beside += " " + key;
    const PodRecord* record = witness_.RecordOf(other);
    // One of a task that is gone is collected, and nobody's until then.
    const TaskRequest* task = record == nullptr ? nullptr : TaskOf(*witness_.OwnerOf(other));
    // Nor can a process that has not seen its task know whether the pod tells the truth.
    if (task == nullptr || !replica.HasSeen(Kind::kTask, task->meta.resource_version)) continue;
    ++others;
    exclusive += record->exclusive ? 1 : 0;
  }
  for (const auto& [of, intent] : intents_) {
    const std::string& key = of.first;
    if (intent.replica != replica.id() || intent.node != pod.node_name ||
        GivenUp(replica, intent.decided))
      continue;
    // Of a name there can be only one: another leader's, or that of a task that was deleted.
    if (key == pod.meta.key() || api_.Get<Pod>(key) != nullptr || Contested(key, 0)) continue;
    used += intent.requests;
    beside += " (" + key + ")";
    ++others;
    exclusive += intent.exclusive ? 1 : 0;
  }
  if (used.cpu_milli > node->allocatable.cpu_milli || used.memory > node->allocatable.memory) {
    Violate("overcommit",
            pod.meta.key() + " on node " + pod.node_name + ": " + std::to_string(used.cpu_milli) +
                "m of " + std::to_string(node->allocatable.cpu_milli) + "m cpu, beside" + beside);
  }
  const bool alone = pod.meta.labels.contains(api::kExclusiveLabel);
  if (exclusive > 0 || (alone && others > 0))
    Violate("exclusive", pod.meta.key() + " shares node " + pod.node_name);
}

// By the last measurement that the process was told, and everything that it had not covered.
void Checks::CheckLoad(const Replica& replica, const Pod& pod) {
  const auto* node = api_.Get<api::Node>(pod.node_name);
  const Load* told = replica.LoadOf(pod.node_name);
  if (node == nullptr || !replica.HasSeen(Kind::kNode, node->meta.resource_version)) return;
  const Time made = told == nullptr ? Time{} : told->MadeAt(node->meta.created);
  const bool of_this_node = told != nullptr && made >= node->meta.created;
  const bool fresh = of_this_node && replica.now() < made + core::kLoadKept;
  const api::NodeMetrics* load = told == nullptr ? nullptr : &told->said;
  int64_t cpu = pod.requests.cpu_milli, memory = pod.requests.memory;
  const auto add = [&](const api::Resources& requests) {
    cpu += requests.cpu_milli;
    memory += requests.memory;
  };
  for (const auto& [key, object] : api_.All(Kind::kPod)) {
    const Pod& other = std::get<Pod>(*object);
    const bool covered = fresh && other.started &&
                         *other.started + std::chrono::seconds(1) <= load->observed - load->window;
    if (other.node_name == pod.node_name && !other.terminal() && !covered && Counts(replica, other))
      add(RequestsOf(replica, other));
  }
  for (const auto& [of, intent] : intents_) {
    const std::string& key = of.first;
    if (intent.replica == replica.id() && intent.node == pod.node_name && key != pod.meta.key() &&
        api_.Get<Pod>(key) == nullptr && !Contested(key, 0) && !GivenUp(replica, intent.decided))
      add(intent.requests);
  }
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const api::RegisteredServerSpec& spec = std::get<api::RegisteredServer>(*object).spec;
    if (spec.node_name != pod.node_name ||
        !replica.HasSeen(Kind::kServer, core::VersionOf(*object)))
      continue;
    if (spec.requires_metrics && !fresh)
      Violate("unmeasured", pod.meta.key() + " on server " + name);
    // Of a node that was away for so long the last but one is forgotten, by which it is dated.
    const bool first = told != nullptr && told->arrived >= told->before + core::kLoadKept;
    if (!fresh || (first && witness_.clocks_wrong)) continue;
    if ((spec.max_cpu_percent &&
         (cpu + load->cpu_milli) * 100 > *spec.max_cpu_percent * node->allocatable.cpu_milli) ||
        (spec.max_memory_percent &&
         memory + load->memory > *spec.max_memory_percent * (node->allocatable.memory / 100) + 100))
      Violate("overload", pod.meta.key() + " on server " + name + ": measured " +
                              std::to_string(load->cpu_milli) + "m, not measured " +
                              std::to_string(cpu) + "m of " +
                              std::to_string(node->allocatable.cpu_milli) + "m");
  }
}

void Checks::CheckServer(const Replica& replica, const Pod& pod, const std::string& uid) {
  const TaskRequest* task = TaskOf(uid);
  if (task == nullptr) return;  // deleted meanwhile
  if (const auto* node = api_.Get<api::Node>(pod.node_name);
      node != nullptr && replica.HasSeen(Kind::kNode, node->meta.resource_version)) {
    for (const api::Taint& taint : node->taints) {
      if (taint.effect != "PreferNoSchedule" && taint.key != api::kPoolTaint &&
          !Tolerates(*task, taint))
        Violate("wrong-server",
                pod.meta.key() + " on node " + pod.node_name + " with taint " + taint.key);
    }
    if (node->unschedulable)
      Violate("wrong-server", pod.meta.key() + " on node " + pod.node_name + ", which is cordoned");
    if (!IsOffered(*node))
      Violate("wrong-server",
              pod.meta.key() + " on node " + pod.node_name + ", whose label is gone");
    // While two lead at once, one may have registered what the other gives back.
    // Of a purchase that was deleted before the process knew all, it is not sure yet that it is
    // gone.
    const Time orphaned = OrphanedAt(*node);
    const bool to_go = orphaned == kNever ? IsTakenAway(*node) : replica.listed() < orphaned;
    if (!overlap_ && KnowsAll(replica) && to_go)
      Violate("wrong-server", pod.meta.key() + " on node " + pod.node_name + ", which is to go");
  }
  const bool seen = replica.HasSeen(Kind::kTask, task->meta.resource_version);
  if (seen && (api::Finished(task->status.phase) || task->spec.cancel || task->spec.suspend ||
               task->meta.deleted))
    Violate("unwanted",
            pod.meta.key() + " although its task is finished, cancelled, suspended or deleted");
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const auto& server = std::get<api::RegisteredServer>(*object);
    if (server.spec.node_name != pod.node_name ||
        !replica.HasSeen(Kind::kServer, server.meta.resource_version))
      continue;
    const api::Policy policy = task->spec.placement->policy;
    if (server.spec.cordoned || server.meta.deleted ||
        (policy == api::Policy::kLocalOnly && server.spec.cloud) ||
        (policy == api::Policy::kCloudOnly && !server.spec.cloud)) {
      Violate("wrong-server", pod.meta.key() + " on server " + name);
    }
    for (const auto& want : task->spec.requirements) {
      const auto has = server.spec.capabilities.find(want.key);
      if (has == server.spec.capabilities.end() || has->second != want.values.at(0))
        Violate("wrong-server", pod.meta.key() + " on server " + name + " without " + want.key);
    }
  }
}

// Its claim is being deleted, by whomever, or will be.
bool Checks::IsTakenAway(const api::Node& node) const {
  const auto& claims = api_.All(Kind::kCloudServer);
  if (cloud_.IsDying(node.meta.name)) return true;
  return std::any_of(claims.begin(), claims.end(), [&](const auto& entry) {
    const auto& claim = std::get<api::CloudServer>(*entry.second);
    return claim.node_name == node.meta.name &&
           (claim.deleting || !claim.ending.empty() || claim.error != api::CloudError::kNone);
  });
}

Time Checks::OrphanedAt(const api::Node& node) const {
  for (const auto& [name, object] : api_.All(Kind::kCloudServer)) {
    const auto& claim = std::get<api::CloudServer>(*object);
    if (claim.node_name == node.meta.name) return witness_.Deleted(claim.request_uid);
  }
  return kNever;
}

// Since when its server is known of: of one that an admin has deleted, and that was registered
// anew, nothing is held against it.
Time Checks::RegisteredAt(const std::string& node) const {
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const auto& server = std::get<api::RegisteredServer>(*object);
    if (server.spec.node_name == node) return server.meta.created + seconds(1);  // cut to seconds
  }
  return Time{};
}

// Its kubelet has refused a pod, or kube-scheduler had no node for one like the task's that was to
// be there.
bool Checks::PassedOver(const TaskRequest& task, const api::Node& node) const {
  return witness_.RefusedBy(node.meta.name, kPassedOver) ||
         witness_.HasNoneFor(node.meta.name, TemplateRequests(task));
}

// By another task, of which the status is to tell before there is a pod.
bool Checks::MayBeTaken(const TaskRequest& task, const api::RegisteredServer& server,
                        const api::Node& node) const {
  const auto& tasks = api_.All(Kind::kTask);
  return std::any_of(tasks.begin(), tasks.end(), [&](const auto& entry) {
    const auto& other = std::get<TaskRequest>(*entry.second);
    return other.meta.uid != task.meta.uid && !other.meta.deleted &&
           other.spec.retry.loss_limit == 0 && !api::Finished(other.status.phase) &&
           WouldFit(other, server, node, api_, Room::kPerhaps);
  });
}

// A kubelet that refused a task's pods is not asked again and again while another may take it.
void Checks::CheckRefusals(const Replica& replica, const core::Write& write) {
  constexpr int kMost = 2;
  const std::string& node_name = write.pod->assignment->node_name;
  const TaskRequest* task = TaskOf(write.uid);
  if (task == nullptr || overlap_ || !KnowsAll(replica) ||
      // A process that was started anew does not know.
      witness_.Refusals(write.uid, node_name,
                        std::min<Duration>({seconds(600), api_.now - replica.born(),
                                            api_.now - RegisteredAt(node_name)}),
                        [&](const std::string& uid) { return replica.HasMetEnded(uid); }) < kMost)
    return;
  for (const auto& [name, object] : api_.All(Kind::kServer)) {
    const auto& server = std::get<api::RegisteredServer>(*object);
    const auto* node = api_.Get<api::Node>(server.spec.node_name);
    if (node == nullptr || server.spec.node_name == node_name ||
        (server.spec.price_micros > 0 && Bounded(task->meta.ns)) ||
        witness_.Down(node->meta.name, seconds(120)) || PassedOver(*task, *node) ||
        IsTakenAway(*node) || given_back_.contains(server.meta.uid) ||
        MayBeTaken(*task, server, *node) ||
        // What is decided on and not there yet has its room as well.
        Promised(*node) || !WouldFit(*task, server, *node, api_) ||
        KeptForAnother(*task, server, *node))
      continue;
    Violate("refused-again", write.key() + " on node " + node_name + ", which refused it before; " +
                                 "server " + name + " would take it");
  }
}

}  // namespace spillway::simulation
