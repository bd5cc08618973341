#include "tests/unit/core/api_model.h"

#include <stdexcept>

#include "operator/runtime/answers.h"
#include "operator/runtime/ask_engine.h"
#include "operator/runtime/pod_body.h"
#include "tests/status_schema.h"

namespace spillway::core {

void ApiModel::Restart(const std::string& late) {
  std::vector<api::EngineTraits> traits = engines.traits();
  traits.push_back({cloud::kKarpenter, false, {{"karpenter.example/keep", "true"}}});
  traits.back().drains = true;
  core_ = std::make_unique<Core>(std::move(traits));
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
    if (listed.kind == Kind::kCloudServer) listed.engine = cloud::kKarpenter;
    events.push_back(std::move(listed));
  }
  events.push_back(Measured{});
  pending_ = std::move(events);
}

void ApiModel::AddNode(const std::string& name, const std::string& cpu, const std::string& memory) {
  api::Node node;
  node.meta = Meta("", name);
  node.allocatable = *api::DecodeResources({{"cpu", cpu}, {"memory", memory}});
  node.max_pods = 110;
  node.ready = api::NodeReady::kTrue;
  nodes[name] = node;
  See(node);
}

api::RegisteredServer& ApiModel::AddServer(const std::string& name, const std::string& cpu) {
  AddNode(name, cpu);
  api::RegisteredServer server;
  server.meta = Meta("", name);
  server.spec.node_name = name;
  servers[name] = server;
  See(server);
  return servers[name];
}

void ApiModel::AddPool(const std::string& name, const std::string& cpu, int64_t priority,
                       const std::string& engine) {
  api::ServerPool pool;
  pool.meta = Meta("", name);
  pool.spec.resources = *api::DecodeResources({{"cpu", cpu}, {"memory", "64Gi"}});
  pool.spec.priority = priority;
  pool.spec.price_micros = 400000;
  pool.spec.engine = engine;
  pools[name] = pool;
  See(pool);
}

void ApiModel::AddTask(const std::string& name, api::Json spec, const std::string& cpu,
                       const std::string& ns) {
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

void ApiModel::AddPriorityClass(const std::string& name, int64_t value, bool global_default) {
  classes[name] = {Meta("", name), value, global_default};
  See(classes[name]);
}

void ApiModel::Weigh(const std::string& ns, int64_t weight_milli) {
  See(api::Namespace{Meta("", ns), weight_milli});
}

api::Budget& ApiModel::AddBudget(const std::string& name, const std::string& amount,
                                 api::BudgetAction action, const std::string& ns) {
  api::Budget budget;
  budget.meta = Meta(ns, name);
  budget.spec.amount_micros = *api::ParsePrice(amount);
  budget.spec.action = action;
  See(budget);
  return budgets[budget.meta.key()] = budget;
}

void ApiModel::Occupy(api::Json spec) {
  AddTask("other", std::move(spec));
  Settle();
  SetPod("other-1", api::PodPhase::kRunning);
  Settle();
}

api::Pod ApiModel::PodByAnother(const std::string& node) const {
  api::Pod pod;
  pod.meta.ns = "ns";
  pod.meta.name = "t-1";
  pod.meta.uid = "another's";
  pod.meta.resource_version = 1'000;
  pod.meta.owners = {{"TaskRequest", "t", tasks.at("ns/t").meta.uid, true, true}};
  pod.node_name = node;
  return pod;
}

void ApiModel::ListOneOfTwo(const std::string& listed, const std::string& created) {
  api::Pod &first = pods.at("ns/" + listed), &other = pods.at("ns/" + created);
  other.meta.resource_version = ++version_;
  first.meta.resource_version = ++version_;
  const std::string& task = other.meta.owners.front().uid;
  pending_ = {Seen{first, true},
              Outcome{Verb::kCreate, Kind::kPod, "ns/" + created, task, std::nullopt, other}};
}

void ApiModel::SetPod(const std::string& name, api::PodPhase phase, int64_t exit_code,
                      const std::string& output) {
  api::Pod& pod = pods.at("ns/" + name);
  pod.phase = phase;
  if (phase == api::PodPhase::kRunning) pod.started = now;
  if (pod.terminal())
    pod.termination = api::Termination{exit_code, exit_code == 0 ? "Completed" : "Error", output,
                                       pod.started, now};
  pod.meta.resource_version = ++version_;
  See(pod);
}

void ApiModel::Settle() {
  for (int i = 0; i < 100; ++i) {
    const auto events = std::exchange(pending_, {});
    StepResult result = core_->Step(events, now);
    wake = result.wake;
    milestones.insert(milestones.end(), result.milestones.begin(), result.milestones.end());
    most_tested = std::max(most_tested, core_->world().explain.tested);
    for (Effect& effect : result.effects) std::visit([&](auto& value) { Carry(value); }, effect);
    if (pending_.empty() && now < wake) return;
  }
}

void ApiModel::Advance(std::chrono::milliseconds time) {
  const Time end = now + time;
  Settle();
  while (now < end) {
    // A real API server is never silent for longer: nodes renew their leases.
    now = std::min(
        {end, std::max(wake, now + std::chrono::milliseconds(1)), now + std::chrono::seconds(10)});
    if (!silent) {
      pending_.push_back(Bookmark{Kind::kLease, version_});
      pending_.push_back(Bookmark{Kind::kNode, version_});
    }
    Settle();
  }
}

void ApiModel::RenewLease(const std::string& node, Duration ahead) {
  api::NodeLease lease;
  lease.meta = Meta("kube-node-lease", node);
  lease.renewed = now + ahead;
  See(lease);
}

void ApiModel::MeasureNode(const std::string& name, int64_t cpu_milli, int64_t memory,
                           std::chrono::seconds age) {
  pending_.push_back(
      Measured{{api::NodeMetrics{name, now - age, std::chrono::seconds(15), cpu_milli, memory}}});
}

void ApiModel::LaunchServer() {
  api::CloudServer& claim = claims.begin()->second;
  claim.launched = true;
  claim.resource_version = ++version_;
  See(claim);
}

void ApiModel::ProvideServer(const std::string& node, const std::string& cpu) {
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

const api::TaskStatus& ApiModel::Status(const std::string& name) const {
  return tasks.at("ns/" + name).status;
}

std::string ApiModel::Says(const std::string& name, const std::string& condition) const {
  const api::Condition* found = api::FindCondition(*Status(name).conditions, condition);
  return found == nullptr ? "" : found->message.str();
}

std::string ApiModel::Summary(const std::string& name) const {
  const auto& explanation = Status(name).explanation;
  return explanation == nullptr ? "" : explanation->summary;
}

std::string ApiModel::ServerOf(const std::string& name) const {
  return Status(name).assignment ? Status(name).assignment->server : "";
}

api::ObjectMeta ApiModel::Meta(const std::string& ns, const std::string& name) {
  api::ObjectMeta meta;
  meta.ns = ns;
  meta.name = name;
  meta.uid = "uid-" + std::to_string(++version_);
  meta.resource_version = version_;
  meta.generation = 1;
  meta.created = std::chrono::floor<std::chrono::seconds>(now);
  return meta;
}

std::set<std::string> ApiModel::Keys(Kind kind) const {
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

void ApiModel::Answer(const Write& write, std::optional<Error> error,
                      std::optional<Object> object) {
  pending_.push_back(
      Outcome{write.verb, write.kind, write.key(), write.uid, std::move(error), std::move(object)});
}

void ApiModel::Unblock() {
  hangs = nullptr;
  for (const Write& write : std::exchange(hanging_, {})) Carry(write);
}

void ApiModel::UnblockFirst() {
  const Write first = hanging_.front();
  hanging_.erase(hanging_.begin());
  const auto others = std::exchange(hangs, nullptr);
  Carry(first);
  hangs = others;
}

void ApiModel::Carry(const Write& write) {
  if (hangs && hangs(write)) return hanging_.push_back(write);
  ++tries[{write.verb, write.kind}];
  if (refuse) {
    if (auto error = refuse(write)) return Answer(write, std::move(error));
  }
  if (write.verb == Verb::kPatch)
    return write.kind == Kind::kNode ? EquipNode(write) : LetGo(write);
  if (write.verb == Verb::kPatchStatus) return Patch(write);
  if (write.verb == Verb::kDelete) return Delete(write);
  api::Json body = runtime::Body(write);
  if (write.kind == Kind::kPod) {
    if (pod_error) return Answer(write, std::exchange(pod_error, std::nullopt));
    if (pods.contains(write.key()))
      return Answer(write, Error{ErrorKind::kAlreadyExists, "exists", {}}, pods.at(write.key()));
    if (mutate) mutate(body);
    api::Pod pod = *api::DecodeCreatedPod(body);
    auto& nodes = candidates[write.name] = {write.pod->assignment->node_name};
    nodes.insert(nodes.end(), write.pod->other_nodes.begin(), write.pod->other_nodes.end());
    const api::ObjectMeta meta = Meta(write.ns, write.name);
    pod.meta.uid = meta.uid, pod.meta.resource_version = meta.resource_version,
    pod.meta.created = meta.created;
    if (admit) admit(pod);
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
  if (admit_scale) admit_scale(scale);
  ++scales_made;
  scales[scale.meta.name] = scale;
  See(scale);
  Answer(write, std::nullopt, scale);
}

void ApiModel::Patch(const Write& write) {
  if (const std::string fault = StatusFault(write.kind, write.body); !fault.empty())
    throw std::logic_error("an invalid status of " + write.key() + ": " + fault);
  if (write.kind == Kind::kTask) {
    if (drop_statuses || write.ns == statuses_hang_in) return;
    ++task_writes;
    if (status_error) return Answer(write, status_error);
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

void ApiModel::EquipNode(const Write& write) {
  const auto at = nodes.find(write.name);
  if (at == nodes.end()) return Answer(write, Error{ErrorKind::kNotFound, "gone", {}});
  api::Node& node = at->second;
  if (node.meta.uid != write.uid || node.meta.resource_version != write.resource_version)
    return Answer(write, Error{ErrorKind::kConflict, "changed", {}});
  // As JSON, so that the patch is one.
  api::Json taints = api::Json::array();
  for (const api::Taint& taint : node.taints)
    taints.push_back({{"key", taint.key}, {"value", taint.value}, {"effect", taint.effect}});
  api::Json json{{"metadata", api::Json::object()}, {"spec", api::Json::object()}};
  if (!node.meta.labels.empty()) json["metadata"]["labels"] = node.meta.labels;
  if (!taints.empty()) json["spec"]["taints"] = taints;
  json = json.patch(write.body);
  node.meta.labels = api::GetStringMap(json["metadata"], "labels");
  node.taints = api::DecodeTaints(json["spec"]);
  node.meta.resource_version = ++version_;
  See(node);
  Answer(write, std::nullopt, node);
}

void ApiModel::LetGo(const Write& write) {
  const auto at = scales.find(write.name);
  if (at == scales.end()) return Answer(write, Error{ErrorKind::kNotFound, "gone", {}});
  api::ScaleRequest& scale = at->second;
  const api::Json json =
      api::Json{{"metadata", {{"finalizers", scale.finalizers}}}}.patch(write.body);
  scale.finalizers = api::GetStrings(json["metadata"], "finalizers");
  scale.meta.resource_version = ++version_;
  const api::ScaleRequest after = scale;
  if (scale.finalizers.empty() && scale.meta.deleted) {
    Remove(scales, write.name);
  } else {
    See(scale);
  }
  Answer(write, std::nullopt, after);
}

void ApiModel::DeleteScale(const std::string& name) {
  api::ScaleRequest& scale = scales.at(name);
  if (scale.finalizers.empty()) return Remove(scales, name);
  if (scale.meta.deleted) return;
  scale.meta.deleted = now;
  scale.meta.resource_version = ++version_;
  See(scale);
}

void ApiModel::Delete(const Write& write) {
  Answer(write, std::nullopt);
  if (write.kind == Kind::kPod && pods.contains(write.key())) {
    if (!slow_deletion) return Remove(pods, write.key());
    api::Pod& pod = pods.at(write.key());
    pod.meta.deleted = pod.asked_to_end = now;
    pod.meta.resource_version = ++version_;
    See(pod);
  }
  if (write.kind == Kind::kTask && tasks.contains(write.key())) Remove(tasks, write.key());
  if (write.kind == Kind::kServer && servers.contains(write.name)) Remove(servers, write.name);
  if (write.kind == Kind::kScale && scales.contains(write.name)) DeleteScale(write.name);
  if (write.kind == Kind::kNode && nodes.contains(write.name)) Remove(nodes, write.name);
}

void ApiModel::Carry(const AskCloud& ask) {
  if (ask.engine() != cloud::kKarpenter)
    return pending_.push_back(runtime::Ask(engines, ask, {}).report);
  Outcome outcome = runtime::OutcomeOf(ask);
  const std::string name = cloud::NodeClaimName(ask.request_uid);
  if (ask.op == AskCloud::Op::kDiagnose) {
    if (diagnoses_hang) return;
    pending_.push_back(
        CloudDiagnosis{ask.request_uid, api::CloudError::kInsufficientCapacity, "no capacity"});
    return;
  }
  if (ask.op == AskCloud::Op::kRelease) {
    ++releases_asked;
    if (releases_hang) return;
    if (release_error) {
      outcome.error = release_error;
    } else if (releases_lost > 0) {
      --releases_lost;
    } else if (slow_release) {
      claims.at(ask.server.name).deleting = true;
      claims.at(ask.server.name).resource_version = ++version_;
      See(claims.at(ask.server.name));
    } else if (claims.contains(ask.server.name)) {
      const std::string node = claims.at(ask.server.name).node_name;
      Remove(claims, ask.server.name);
      if (nodes.contains(node)) Remove(nodes, node);
    }
  } else if (purchases_hang) {
    return;
  } else if (++purchases_asked; ensure_error) {
    outcome.error = ensure_error;
  } else if (!claims.contains(name)) {
    api::CloudServer claim;
    claim.engine = cloud::kKarpenter, claim.kind = "NodeClaim", claim.name = name,
    claim.uid = "claim-" + std::to_string(++version_);
    claim.resource_version = version_, claim.request_uid = ask.request_uid;
    claim.pool = ask.pool.meta.name;
    asked = ask.pool.spec.requirements;
    claims[name] = claim;
    ++claims_made;
    See(claim);
  }
  pending_.push_back(std::move(outcome));
}

void ApiModel::Carry(const AskWhy& ask) {
  ++asked_why;
  const auto at = warnings.find(ask.pod);
  if (at != warnings.end())
    pending_.push_back(PodWarned{ask.task_uid, ask.pod_uid, at->second.first, at->second.second});
}

}  // namespace spillway::core
