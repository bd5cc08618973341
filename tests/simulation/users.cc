#include "tests/simulation/users.h"

namespace spillway::simulation {
namespace {

using api::Json;
using api::TaskRequest;

// A rule that only kube-scheduler knows.
const Json& Spread() {
  static const Json kSpread = {{{"maxSkew", 1},
                                {"topologyKey", "topology.kubernetes.io/zone"},
                                {"whenUnsatisfiable", "DoNotSchedule"}}};
  return kSpread;
}

Json Template(size_t cpu, size_t memory, bool tolerant) {
  Json out{
      {"spec",
       {{"containers",
         {{{"name", "c"},
           {"image", "x"},
           {"resources",
            {{"requests",
              {{"cpu", std::to_string(cpu)}, {"memory", std::to_string(memory) + "Gi"}}}}}}}}}}};
  if (tolerant) out["spec"]["tolerations"] = {{{"key", "maintenance"}, {"operator", "Exists"}}};
  return out;
}

}  // namespace

template <typename T>
void Users::Change(T object) {
  ++object.meta.generation;
  api_.Put(std::move(object));
}

void Users::AddPool(const std::string& name, const std::string& cpu, int64_t priority,
                    int64_t price_micros, const std::string& engine) {
  api::ServerPool pool;
  pool.meta.name = name;
  pool.spec.resources = *api::DecodeResources({{"cpu", cpu}, {"memory", "16Gi"}});
  sizes_[name] = pool.spec.resources;
  pool.spec.priority = priority;
  pool.spec.price_micros = price_micros;
  pool.spec.max_servers = 3;
  pool.spec.idle_before_release = std::chrono::seconds(60);
  pool.spec.provision_timeout = std::chrono::seconds(300);
  pool.spec.engine = engine;
  api_.Put(pool);
}

void Users::AddClass(const std::string& name, int64_t value) {
  api::PriorityClass object;
  object.meta.name = name;
  object.value = value;
  api_.Put(object);
}

void Users::Apply(const std::string& ns, const std::string& name, Random& random,
                  const Json& group) {
  static constexpr const char* kPolicies[] = {"PreferLocal", "PreferLocal", "PreferLocal",
                                              "LocalOnly", "CloudOnly"};
  Json spec{{"template", Template(1 + random.Pick(3), 1 + random.Pick(3), random.OneIn(6))},
            {"exclusive", random.OneIn(8)},
            {"placement",
             {{"policy", kPolicies[random.Pick(5)]}, {"burstAfterSeconds", random.Pick(2) * 30}}},
            {"retry", {{"limit", random.Pick(3)}, {"backoffSeconds", 1 + random.Pick(20)}}}};
  if (spreads_ && random.OneIn(2)) spec["template"]["spec"]["topologySpreadConstraints"] = Spread();
  if (random.OneIn(5)) spec["retry"]["lossLimit"] = 0;
  if (random.OneIn(5)) spec["placement"]["burstAfterSeconds"] = "auto";
  if (random.OneIn(3)) {
    spec["priorityClassName"] = random.OneIn(2) ? "high" : "low";
  } else {
    spec["priority"] = random.Pick(3);
  }
  if (random.OneIn(4)) spec["preemption"] = random.OneIn(4) ? "Never" : "Allowed";
  if (random.OneIn(8)) spec["activeDeadlineSeconds"] = 60;
  if (random.OneIn(12)) spec["startDeadlineSeconds"] = 120;
  if (random.OneIn(4)) spec["ttlSecondsAfterFinished"] = 30;
  if (random.OneIn(6))
    spec["requirements"] = {{{"key", "disk"}, {"operator", "In"}, {"values", {"ssd"}}}};
  if (spec.contains("requirements")) spec["placement"]["policy"] = "LocalOnly";
  if (!group.is_null()) {
    spec["group"] = group;
    // There would not be servers enough.
    if (spec["placement"]["policy"] == "LocalOnly") spec["exclusive"] = false;
  }
  TaskRequest task = *api::DecodeTaskRequest({{"spec", spec}});
  task.meta.ns = ns;
  task.meta.name = name;
  api_.Put(std::move(task));
}

void Users::Submit(Random& random) {
  if (api_.Count<TaskRequest>() >= most_ && !Tidy()) return;
  const std::string name = "t" + std::to_string(++submitted_);
  const auto* like = random.OneIn(2) ? random.Any(api_.All(Kind::kTask)) : nullptr;
  if (like != nullptr && !std::get<TaskRequest>(*like->second).spec.group) {
    // Most users ask for the same again and again.
    const auto& other = std::get<TaskRequest>(*like->second);
    TaskRequest task;
    task.spec = other.spec;
    task.spec.suspend = task.spec.cancel = false;
    task.meta.ns = other.meta.ns;
    task.meta.name = name;
    api_.Put(std::move(task));
  } else {
    Apply(random.OneIn(3) ? "team" : "ns", name, random);
  }
}

bool Users::SubmitGroup(Random& random) {
  if (api_.Count<TaskRequest>() + 3 > most_ && !Tidy()) return false;
  const size_t size = 2 + random.Pick(2);
  const Json group{{"name", "g" + std::to_string(++groups_)},
                   {"size", size},
                   {"deadlineSeconds", 20 + random.Pick(100)}};
  for (size_t left = random.OneIn(8) ? size - 1 : size; left > 0; --left)
    Apply("ns", "t" + std::to_string(++submitted_), random, group);
  return true;
}

bool Users::Edit(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kTask));
  if (entry == nullptr) return false;
  TaskRequest task = std::get<TaskRequest>(*entry->second);
  switch (random.Pick(4)) {
    case 0:
    case 1:
      task.spec.suspend = !task.spec.suspend;
      break;
    case 2:
      task.spec.priority = static_cast<int64_t>(random.Pick(5));
      task.spec.priority_class.clear();
      break;
    default:
      task.spec.cancel = true;
  }
  checks_.Edited(task.meta.uid);
  Change(std::move(task));
  return true;
}

bool Users::Delete(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kTask));
  if (entry == nullptr || std::get<TaskRequest>(*entry->second).meta.deleted) return false;
  if (random.OneIn(4)) {  // --cascade=foreground
    api_.Hold(UidOf(*entry->second));
    api_.foreground.insert(UidOf(*entry->second));
  }
  api_.Remove(Kind::kTask, std::string(entry->first));
  return true;
}

bool Users::Finalize(Random& random) {
  static constexpr Kind kKinds[] = {Kind::kTask, Kind::kPod, Kind::kServer, Kind::kScale};
  const auto* entry = random.Any(api_.All(kKinds[random.Pick(4)]));
  if (entry == nullptr) return false;
  const std::string uid = UidOf(*entry->second);
  if (api_.foreground.contains(uid)) return false;
  if (api_.IsHeld(uid)) {
    api_.LetGo(uid);
  } else {
    api_.Hold(uid);
  }
  return true;
}

bool Users::Reapply(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kTask));
  if (entry == nullptr) return false;
  const api::ObjectMeta meta = std::get<TaskRequest>(*entry->second).meta;
  if (api_.IsHeld(meta.uid)) return false;
  api_.Remove(Kind::kTask, std::string(entry->first));
  Apply(meta.ns, meta.name, random);
  return true;
}

bool Users::DeletePod(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kPod));
  if (entry == nullptr) return false;
  api::Pod pod = std::get<api::Pod>(*entry->second);
  if (pod.terminal() || random.OneIn(3)) {
    api_.Remove(Kind::kPod, pod.meta.key());  // --force
  } else if (!pod.meta.deleted) {
    pod.meta.deleted = api_.now;
    api_.Put(std::move(pod));
  }
  return true;
}

bool Users::DeleteServer(Random& random) {
  const Kind kind = random.OneIn(2) ? Kind::kServer : Kind::kScale;
  const auto* entry = random.Any(api_.All(kind));
  if (entry == nullptr || api_.IsKept(UidOf(*entry->second))) return false;
  api_.Remove(kind, std::string(entry->first));
  return true;
}

bool Users::Annotate(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kTask));
  if (entry == nullptr) return false;
  api_.Put(core::Object(*entry->second));
  return true;
}

bool Users::Cordon(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kServer));
  if (entry == nullptr) return false;
  auto server = std::get<api::RegisteredServer>(*entry->second);
  if (random.OneIn(4)) {
    server.spec.capabilities["disk"] = random.OneIn(2) ? "ssd" : "hdd";
  } else if (random.OneIn(4)) {
    server.spec.max_tasks = static_cast<int64_t>(1 + random.Pick(4));
  } else if (random.OneIn(2)) {
    server.spec.max_cpu_percent = static_cast<int64_t>(40 + random.Pick(50));
    server.spec.max_memory_percent = static_cast<int64_t>(40 + random.Pick(50));
    server.spec.requires_metrics = random.OneIn(3);
  } else {
    server.spec.cordoned = !server.spec.cordoned;
  }
  Change(std::move(server));
  return true;
}

bool Users::ChangePool(Random& random) {
  const auto* entry = random.Any(api_.All(Kind::kPool));
  if (entry == nullptr) return false;
  auto pool = std::get<api::ServerPool>(*entry->second);
  if (random.OneIn(3)) {
    pool.spec.resources.cpu_milli = static_cast<int64_t>(2'000 * (1 + random.Pick(4)));
  } else if (random.OneIn(2)) {
    pool.spec.max_servers = static_cast<int64_t>(random.Pick(4));
  } else {
    pool.spec.warm_spares = static_cast<int64_t>(random.Pick(2));
  }
  Change(std::move(pool));
  return true;
}

bool Users::ChangeQueue(Random& random) {
  if (random.OneIn(3)) {
    api::Namespace object;
    object.meta.name = random.OneIn(2) ? "ns" : "team";
    object.weight_milli = static_cast<int64_t>(500 * (1 + random.Pick(4)));
    api_.Put(object);
    return true;
  }
  const std::string name = random.OneIn(2) ? "high" : "low";
  if (api_.Get<api::PriorityClass>(name) != nullptr) {
    api_.Remove(Kind::kPriorityClass, name);
  } else {
    AddClass(name, static_cast<int64_t>(random.Pick(6)) - 1);
  }
  return true;
}

bool Users::ChangeBudget(Random& random) {
  static constexpr int64_t kAmounts[] = {0, 10'000, 500'000, 1'000'000, 5'000'000};
  api::Budget budget;
  budget.meta.ns = random.OneIn(2) ? "ns" : "team";
  budget.meta.name = random.OneIn(3) ? "daily" : "monthly";
  const auto* known = api_.Get<api::Budget>(budget.meta.key());
  if (known != nullptr && random.OneIn(3)) {
    api_.Remove(Kind::kBudget, budget.meta.key());
    return true;
  }
  if (known != nullptr) budget = *known;
  budget.spec.amount_micros = kAmounts[random.Pick(5)];
  budget.spec.period =
      budget.meta.name == "daily" ? api::BudgetPeriod::kDay : api::BudgetPeriod::kMonth;
  budget.spec.action = random.OneIn(4)   ? api::BudgetAction::kDeny
                       : random.OneIn(4) ? api::BudgetAction::kWarn
                                         : api::BudgetAction::kHold;
  Change(std::move(budget));
  return true;
}

// The user sees that a group will never be whole.
void Users::GiveUpGroups() {
  std::map<std::string, int64_t> alive;
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    const auto& task = std::get<TaskRequest>(*object);
    if (!task.spec.group || task.spec.suspend || task.spec.cancel || task.meta.deleted) continue;
    if (!api::Finished(task.status.phase) || task.status.started_at) ++alive[task.spec.group->name];
  }
  for (auto& task : api_.List<TaskRequest>()) {
    if (!task.spec.group || api::Finished(task.status.phase) || task.spec.cancel ||
        alive[task.spec.group->name] >= task.spec.group->size)
      continue;
    task.spec.cancel = true;
    checks_.Edited(task.meta.uid);
    Change(std::move(task));
  }
}

void Users::LetGo() {
  GiveUpGroups();
  const auto pools = api_.List<api::ServerPool>();
  if (std::none_of(pools.begin(), pools.end(),
                   [](const auto& pool) { return pool.spec.price_micros == 0; })) {
    for (const auto& budget : api_.List<api::Budget>())
      api_.Remove(Kind::kBudget, budget.meta.key());
  }
  for (const char* name : {"high", "low"}) {
    if (api_.Get<api::PriorityClass>(name) == nullptr) AddClass(name, 3);
  }
  for (auto& server : api_.List<api::RegisteredServer>()) {
    if (server.spec.cloud) continue;
    if (server.spec.cordoned || server.spec.max_tasks || server.spec.max_cpu_percent ||
        server.spec.capabilities["disk"] != "ssd") {
      server.spec.cordoned = false;
      server.spec.max_tasks.reset();
      server.spec.max_cpu_percent.reset();
      server.spec.max_memory_percent.reset();
      server.spec.requires_metrics = false;
      server.spec.capabilities["disk"] = "ssd";
      Change(server);
    }
  }
  for (auto& pool : api_.List<api::ServerPool>()) {
    const api::Resources& size = sizes_[pool.meta.name];
    if (pool.spec.max_servers == 3 && pool.spec.warm_spares == 0 && pool.spec.resources == size)
      continue;
    pool.spec.resources = size;
    pool.spec.max_servers = 3;
    pool.spec.warm_spares = 0;
    Change(pool);
  }
}

bool Users::Tidy() {
  for (const auto& [key, object] : api_.All(Kind::kTask)) {
    if (!api::Finished(std::get<TaskRequest>(*object).status.phase) || api_.IsHeld(UidOf(*object)))
      continue;
    api_.Remove(Kind::kTask, std::string(key));
    return true;
  }
  return false;
}

}  // namespace spillway::simulation
