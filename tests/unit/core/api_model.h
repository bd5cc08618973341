// A small API server for tests of the core: applies its writes at once and gives them back as
// events.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/karpenter.h"
#include "operator/core/core.h"
#include "operator/core/pod_body.h"
#include "operator/core/world.h"

namespace spillway::core {

inline Time At(int64_t seconds) { return Time{} + std::chrono::seconds(1'800'000'000 + seconds); }

class ApiModel {
 public:
  ApiModel() { Restart(); }

  // A new process with the same API server: everything is listed again.
  // late: a Node that came after the Nodes were listed, and before the rest was.
  void Restart(const std::string& late = "") {
    core_ = std::make_unique<Core>();
    std::vector<Event> events;
    const auto add = [&](const auto& map) {
      for (const auto& [key, object] : map) {
        if (late.empty() || key != late || KindOf(object) != Kind::kNode)
          events.push_back(Seen{object, true});
      }
    };
    add(tasks), add(servers), add(pools), add(scales), add(pods), add(nodes), add(claims),
        add(classes), add(budgets);
    for (size_t i = 0; i < kKinds; ++i) {
      Listed listed{static_cast<Kind>(i), version_, Keys(static_cast<Kind>(i))};
      if (listed.kind == Kind::kNode && listed.keys.erase(late) > 0)
        listed.resource_version = nodes.at(late).meta.resource_version - 1;
      events.push_back(std::move(listed));
    }
    events.push_back(Measured{});
    pending_ = std::move(events);
  }

  void AddNode(const std::string& name, const std::string& cpu,
               const std::string& memory = "64Gi") {
    api::Node node;
    node.meta = Meta("", name);
    node.allocatable = *api::DecodeResources({{"cpu", cpu}, {"memory", memory}});
    node.max_pods = 110;
    node.ready = api::NodeReady::kTrue;
    nodes[name] = node;
    See(node);
  }
  api::RegisteredServer& AddServer(const std::string& name, const std::string& cpu = "4") {
    AddNode(name, cpu);
    api::RegisteredServer server;
    server.meta = Meta("", name);
    server.spec.node_name = name;
    servers[name] = server;
    See(server);
    return servers[name];
  }
  void AddPool(const std::string& name, const std::string& cpu = "8", int64_t priority = 0) {
    api::ServerPool pool;
    pool.meta = Meta("", name);
    pool.spec.resources = *api::DecodeResources({{"cpu", cpu}, {"memory", "64Gi"}});
    pool.spec.priority = priority;
    pool.spec.price_micros = 400000;
    pool.spec.backend = {{"karpenter", api::Json::object()}};
    pools[name] = pool;
    See(pool);
  }
  // spec: whatever differs from a task of one cpu.
  void AddTask(const std::string& name, api::Json spec = api::Json::object(),
               const std::string& cpu = "1", const std::string& ns = "ns") {
    if (!spec.contains("template")) {
      spec["template"] = {
          {"spec",
           {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", cpu}}}}}}}}}}};
    }
    const api::ObjectMeta meta = Meta(ns, name);
    tasks[meta.key()] = *api::DecodeTaskRequest({{"spec", spec}});
    tasks[meta.key()].meta = meta;
    See(tasks[meta.key()]);
  }
  void AddPriorityClass(const std::string& name, int64_t value, bool global_default = false) {
    classes[name] = {Meta("", name), value, global_default};
    See(classes[name]);
  }
  void Weigh(const std::string& ns, int64_t weight_milli) {
    See(api::Namespace{Meta("", ns), weight_milli});
  }
  // By the month, for tasks of namespace ns.
  api::Budget& AddBudget(const std::string& name, const std::string& amount,
                         api::BudgetAction action = api::BudgetAction::kHold) {
    api::Budget budget;
    budget.meta = Meta("ns", name);
    budget.spec.amount_micros = *api::ParsePrice(amount);
    budget.spec.action = action;
    See(budget);
    return budgets[budget.meta.key()] = budget;
  }
  // The watch of pods begins to list anew: this one is delivered so far, and the other's creation
  // is answered. Neither was seen before.
  void ListOneOfTwo(const std::string& listed, const std::string& created) {
    api::Pod &first = pods.at("ns/" + listed), &other = pods.at("ns/" + created);
    other.meta.resource_version = ++version_;
    first.meta.resource_version = ++version_;
    const std::string& task = other.meta.owners.front().uid;
    pending_ = {Seen{first, true},
                Outcome{Verb::kCreate, Kind::kPod, "ns/" + created, task, std::nullopt, other}};
  }
  template <typename T>
  void Change(T& object) {
    object.meta.resource_version = ++version_;
    ++object.meta.generation;
    See(object);
  }
  void SetPod(const std::string& name, api::PodPhase phase, int64_t exit_code = 0,
              const std::string& output = "") {
    api::Pod& pod = pods.at("ns/" + name);
    pod.phase = phase;
    if (phase == api::PodPhase::kRunning) pod.started = now;
    if (pod.terminal())
      pod.termination = api::Termination{exit_code, exit_code == 0 ? "Completed" : "Error", output,
                                         pod.started, now};
    pod.meta.resource_version = ++version_;
    See(pod);
  }
  template <typename Map>
  void Remove(Map& map, std::string key) {
    using T = typename Map::mapped_type;
    const Object object = map.at(key);
    const std::string uid = [&] {
      if constexpr (std::is_same_v<T, api::CloudServer>)
        return map.at(key).uid;
      else
        return map.at(key).meta.uid;
    }();
    map.erase(key);
    pending_.push_back(Gone{KindOf(object), key, uid, ++version_});
  }

  // Steps until the core wants nothing more at this moment.
  void Settle() {
    for (int i = 0; i < 100; ++i) {
      const auto events = std::exchange(pending_, {});
      StepResult result = core_->Step(events, now);
      wake = result.wake;
      most_tested = std::max(most_tested, core_->world().tested);
      for (Effect& effect : result.effects) std::visit([&](auto& value) { Carry(value); }, effect);
      if (pending_.empty() && result.effects.empty() && i > 0) return;
    }
  }
  // Lets time pass; the core is called whenever it wished to be.
  void Advance(std::chrono::milliseconds time) {
    const Time end = now + time;
    Settle();
    while (now < end) {
      // A real API server is never silent for longer: nodes renew their leases.
      now = std::min({end, std::max(wake, now + std::chrono::milliseconds(1)),
                      now + std::chrono::seconds(10)});
      if (!silent) {
        pending_.push_back(Bookmark{Kind::kLease, version_});
        pending_.push_back(Bookmark{Kind::kNode, version_});
      }
      Settle();
    }
  }
  void RenewLease(const std::string& node) {
    api::NodeLease lease;
    lease.meta = Meta("kube-node-lease", node);
    lease.renewed = now;
    See(lease);
  }
  // As metrics.k8s.io would say now, over 15 seconds.
  void MeasureNode(const std::string& name, int64_t cpu_milli, int64_t memory = 0,
                   std::chrono::seconds age = std::chrono::seconds(0)) {
    pending_.push_back(
        Measured{{api::NodeMetrics{name, now - age, std::chrono::seconds(15), cpu_milli, memory}}});
  }
  // The watch of the kind breaks; or it goes on from where it was.
  void Break(Kind kind) { pending_.push_back(Behind{kind}); }
  void Resume(Kind kind) { pending_.push_back(Bookmark{kind, 0}); }
  void Conclude(Outcome outcome) { pending_.push_back(std::move(outcome)); }
  // The claim of the only open request becomes a ready node with a server's room.
  void ProvideServer(const std::string& node, const std::string& cpu = "8") {
    AddNode(node, cpu);
    for (auto& [name, claim] : claims) {
      if (!claim.node_name.empty()) continue;
      claim.launched = claim.ready = true;
      claim.node_name = node;
      claim.resource_version = ++version_;
      See(claim);
      return;
    }
  }

  const api::TaskStatus& Status(const std::string& name) const {
    return tasks.at("ns/" + name).status;
  }
  std::string Phase(const std::string& name) const { return api::ToString(Status(name).phase); }
  std::string ServerOf(const std::string& name) const {
    return Status(name).assignment ? Status(name).assignment->server : "";
  }
  const World& world() const { return core_->world(); }

  Time now = At(0);
  Time wake = kNever;
  std::map<std::string, api::TaskRequest> tasks;
  std::map<std::string, api::RegisteredServer> servers;
  std::map<std::string, api::ServerPool> pools;
  std::map<std::string, api::ScaleRequest> scales;
  std::map<std::string, api::Pod> pods;
  std::map<std::string, api::Node> nodes;
  std::map<std::string, api::CloudServer> claims;
  std::map<std::string, api::PriorityClass> classes;
  std::map<std::string, api::Budget> budgets;
  std::vector<Note> notes;
  int task_writes = 0, claims_made = 0, pods_made = 0;
  size_t most_tested = 0;  // servers, in one step, to explain
  // The next creation of a pod fails with this.
  std::optional<Error> pod_error;
  // Nothing is heard of the API server, as in an outage.
  bool silent = false;
  // Pods are made, but neither answered nor seen.
  bool unheard = false;
  // Status patches are lost, as if the process ended before them.
  bool drop_statuses = false;

 private:
  api::ObjectMeta Meta(const std::string& ns, const std::string& name) {
    api::ObjectMeta meta;
    meta.ns = ns;
    meta.name = name;
    meta.uid = "uid-" + std::to_string(++version_);
    meta.resource_version = version_;
    meta.generation = 1;
    meta.created = std::chrono::floor<std::chrono::seconds>(now);
    return meta;
  }
  template <typename T>
  void See(const T& object) {
    pending_.push_back(Seen{object});
  }
  std::set<std::string> Keys(Kind kind) const {
    std::set<std::string> out;
    const auto add = [&](Kind of, const auto& map) {
      for (const auto& [key, object] : map) {
        if (of == kind) out.insert(key);
      }
    };
    add(Kind::kTask, tasks), add(Kind::kServer, servers), add(Kind::kPool, pools),
        add(Kind::kScale, scales);
    add(Kind::kPod, pods), add(Kind::kNode, nodes), add(Kind::kCloudServer, claims);
    add(Kind::kPriorityClass, classes), add(Kind::kBudget, budgets);
    return out;
  }
  void Answer(const Write& write, std::optional<Error> error, std::optional<Object> object = {}) {
    pending_.push_back(Outcome{write.verb, write.kind, write.key(), write.uid, std::move(error),
                               std::move(object)});
  }
  void Carry(const Write& write) {
    if (write.verb == Verb::kPatchStatus) return Patch(write);
    if (write.verb == Verb::kDelete) return Delete(write);
    const api::Json body = Body(write);
    if (write.kind == Kind::kPod) {
      if (pod_error) return Answer(write, std::exchange(pod_error, std::nullopt));
      if (pods.contains(write.key()))
        return Answer(write, Error{ErrorKind::kAlreadyExists, "exists", {}}, pods.at(write.key()));
      api::Pod pod = *api::DecodePod(body);
      const api::ObjectMeta meta = Meta(write.ns, write.name);
      pod.meta.uid = meta.uid, pod.meta.resource_version = meta.resource_version,
      pod.meta.created = meta.created;
      pods[write.key()] = pod;
      ++pods_made;
      if (unheard) return;
      See(pod);
      return Answer(write, std::nullopt, pod);
    }
    if (write.kind == Kind::kServer) {
      api::RegisteredServer server = *api::DecodeRegisteredServer(body);
      const api::ObjectMeta meta = Meta("", write.name);
      server.meta.uid = meta.uid, server.meta.resource_version = meta.resource_version,
      server.meta.created = meta.created;
      servers[write.name] = server;
      See(server);
      return Answer(write, std::nullopt, server);
    }
    if (scales.contains(write.name))
      return Answer(write, Error{ErrorKind::kAlreadyExists, "exists", {}});
    api::ScaleRequest scale = *api::DecodeScaleRequest(body);
    const api::ObjectMeta meta = Meta("", write.name);
    scale.meta.uid = meta.uid, scale.meta.resource_version = meta.resource_version,
    scale.meta.created = meta.created, scale.meta.generation = 1;
    scales[write.name] = scale;
    See(scale);
    Answer(write, std::nullopt, scale);
  }
  template <typename T>
  void Apply(const Write& write, std::map<std::string, T>& map, T (*decode)(const api::Json&)) {
    const auto at = map.find(write.key());
    if (at == map.end()) return Answer(write, Error{ErrorKind::kNotFound, "gone", {}});
    if (at->second.meta.resource_version != write.resource_version ||
        at->second.meta.uid != write.uid) {
      return Answer(write, Error{ErrorKind::kConflict, "changed", {}});
    }
    at->second.status =
        decode({{"metadata", {{"name", write.name}}},
                {"spec", {{"nodeName", "x"}, {"amount", "0"}, {"template", api::Json::object()}}},
                {"status", write.body}})
            .status;
    at->second.meta.resource_version = ++version_;
    See(at->second);
    Answer(write, std::nullopt, at->second);
  }
  void Patch(const Write& write) {
    if (write.kind == Kind::kTask) {
      if (drop_statuses) return;
      ++task_writes;
      return Apply<api::TaskRequest>(write, tasks, [](const api::Json& json) {
        auto task = *api::DecodeTaskRequest(json);
        if (json["status"].contains("explanation")) {
          const api::Json& from = json["status"]["explanation"];
          task.status.explanation = std::make_shared<const api::Explanation>(api::Explanation{
              api::GetString(from, "summary"), {}, {}, api::GetString(from, "nearestFit")});
        }
        return task;
      });
    }
    if (write.kind == Kind::kServer)
      return Apply<api::RegisteredServer>(
          write, servers, [](const api::Json& json) { return *api::DecodeRegisteredServer(json); });
    if (write.kind == Kind::kPool)
      return Apply<api::ServerPool>(
          write, pools, [](const api::Json& json) { return *api::DecodeServerPool(json); });
    if (write.kind == Kind::kBudget)
      return Apply<api::Budget>(write, budgets,
                                [](const api::Json& json) { return *api::DecodeBudget(json); });
    Apply<api::ScaleRequest>(write, scales,
                             [](const api::Json& json) { return *api::DecodeScaleRequest(json); });
  }
  void Delete(const Write& write) {
    Answer(write, std::nullopt);
    if (write.kind == Kind::kPod && pods.contains(write.key())) Remove(pods, write.key());
    if (write.kind == Kind::kTask && tasks.contains(write.key())) Remove(tasks, write.key());
    if (write.kind == Kind::kServer && servers.contains(write.name)) Remove(servers, write.name);
    if (write.kind == Kind::kScale && scales.contains(write.name)) Remove(scales, write.name);
  }
  void Carry(const AskCloud& ask) {
    Outcome outcome{Verb::kCreate, Kind::kCloudServer, ask.server.name, ask.request_uid, {}, {}};
    const std::string name = cloud::NodeClaimName(ask.request_uid);
    if (ask.op == AskCloud::Op::kDiagnose) {
      pending_.push_back(
          CloudDiagnosis{ask.request_uid, api::CloudError::kInsufficientCapacity, "no capacity"});
      return;
    }
    if (ask.op == AskCloud::Op::kRelease) {
      outcome.verb = Verb::kDelete;
      if (claims.contains(ask.server.name)) {
        const std::string node = claims.at(ask.server.name).node_name;
        Remove(claims, ask.server.name);
        if (nodes.contains(node)) Remove(nodes, node);
      }
    } else if (!claims.contains(name)) {
      api::CloudServer claim;
      claim.kind = "NodeClaim", claim.name = name,
      claim.uid = "claim-" + std::to_string(++version_);
      claim.resource_version = version_, claim.request_uid = ask.request_uid;
      claims[name] = claim;
      ++claims_made;
      See(claim);
    }
    pending_.push_back(std::move(outcome));
  }
  void Carry(const Note& note) { notes.push_back(note); }

  std::unique_ptr<Core> core_;
  std::vector<Event> pending_;
  int64_t version_ = 0;
};

}  // namespace spillway::core
