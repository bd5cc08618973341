#include "tests/unit/core/scenario.h"

#include <map>
#include <stdexcept>

namespace spillway::core {
namespace {

std::string Joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += (out.empty() ? "" : "\n") + line;
  return out;
}

bool IsLivePodOf(const api::ObjectMeta& task, const api::Pod& pod) {
  return !pod.terminal() && pod.meta.ns == task.ns && AttemptOf(task.name, pod.meta.name) > 0;
}

}  // namespace

Task&& Task::HostPort(int64_t port) && {
  return Set("template", {{"spec",
                           {{"containers",
                             {{{"name", "c"},
                               {"resources", {{"requests", {{"cpu", cpu}}}}},
                               {"ports", {{{"containerPort", port}, {"hostPort", port}}}}}}}}}});
}

Scenario& Scenario::Server(const std::string& name, const std::string& cpu) {
  api.AddServer(name, cpu);
  api.Settle();
  return *this;
}

Scenario& Scenario::Class(const std::string& name, int64_t value, bool global_default) {
  api.AddPriorityClass(name, value, global_default);
  return *this;
}

Scenario& Scenario::Weight(const std::string& ns, int64_t weight_milli) {
  api.Weigh(ns, weight_milli);
  return *this;
}

Scenario& Scenario::Waiting(const Task& task) {
  api.AddTask(task.name, task.spec, task.cpu, task.ns);
  api.Settle();
  return *this;
}

Scenario& Scenario::Running(const Task& task) {
  Waiting(task);
  const api::Pod* pod = PodOf(api.tasks.at(task.ns + "/" + task.name).meta);
  if (pod == nullptr) throw std::logic_error(task.name + " has not started");
  api::Pod runs = *pod;
  runs.phase = api::PodPhase::kRunning;
  runs.started = api.now;
  api.Change(api.pods[runs.meta.key()] = runs);
  api.Settle();
  return *this;
}

Scenario& Scenario::Together(const std::vector<Task>& tasks) {
  for (const Task& task : tasks) api.AddTask(task.name, task.spec, task.cpu, task.ns);
  api.Settle();
  return *this;
}

Scenario& Scenario::Many(int count, const Task& task) {
  for (int i = 0; i < count; ++i)
    api.AddTask(task.name + std::to_string(i), task.spec, task.cpu, task.ns);
  api.Settle();
  return *this;
}

Scenario& Scenario::Ends(const std::string& task) {
  const api::Pod* pod = PodOf(api.tasks.at("ns/" + task).meta);
  if (pod == nullptr) throw std::logic_error(task + " does not run");
  api.SetPod(std::string(pod->meta.name), api::PodPhase::kSucceeded);
  api.Settle();
  return *this;
}

Scenario& Scenario::DeletedGo() {
  std::vector<std::string> gone;
  for (const auto& [key, pod] : api.pods) {
    if (pod.meta.deleted) gone.push_back(key);
  }
  for (const std::string& key : gone) api.Remove(api.pods, key);
  api.Settle();
  return *this;
}

Scenario& Scenario::Restart() {
  api.Restart();
  api.Settle();
  return *this;
}

Scenario& Scenario::Pass(std::chrono::milliseconds time) {
  api.Advance(time);
  return *this;
}

Time Scenario::WakeJustBefore(Time due) {
  using std::chrono::milliseconds;
  Pass(due - api.now - milliseconds(2));
  api.silent = true;
  api.now = due - milliseconds(1);
  api.Settle();
  return api.wake;
}

const api::Pod* Scenario::PodOf(const api::ObjectMeta& task) const {
  for (const auto& [key, pod] : api.pods) {
    if (IsLivePodOf(task, pod)) return &pod;
  }
  return nullptr;
}

std::string Scenario::StateOf(const std::string& key) const {
  std::string out;
  for (const auto& [at, pod] : api.pods) {
    if (!IsLivePodOf(api.tasks.at(key).meta, pod)) continue;
    const int64_t attempt = AttemptOf(api.tasks.at(key).meta.name, pod.meta.name);
    out += (out.empty() ? "" : " and ") + std::string(pod.meta.deleted ? "leaves " : "on ");
    out += pod.node_name + (attempt > 1 ? ", attempt " + std::to_string(attempt) : "");
  }
  if (!out.empty()) return out;
  switch (api.world().tasks.by_key.at(key).object.status.phase) {
    case api::TaskPhase::kSucceeded:
    case api::TaskPhase::kFailed:
    case api::TaskPhase::kCancelled:
      return "ended";
    case api::TaskPhase::kScaling:
      return "waits for the cloud";
    default:
      return "waits";
  }
}

std::string Scenario::Dump() const {
  std::vector<std::string> lines;
  for (const auto& [key, task] : api.tasks)
    lines.push_back((task.meta.ns == "ns" ? std::string(task.meta.name) : key) + " " +
                    StateOf(key));
  return Joined(lines);
}

std::string Scenario::Shares() const {
  std::map<std::string, int> counts;
  for (const auto& [key, pod] : api.pods) counts[pod.meta.ns] += pod.terminal() ? 0 : 1;
  std::vector<std::string> lines;
  for (const auto& [ns, count] : counts) {
    if (count > 0) lines.push_back(ns + " " + std::to_string(count));
  }
  return Joined(lines);
}

}  // namespace spillway::core
