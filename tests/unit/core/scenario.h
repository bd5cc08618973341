// A small cluster in one expression, and all that has come of it as one text, so that a case of a
// table is a sentence, what it begins with, and what is expected:
//
//   Scenario().Server("s1", "1").Running(Task("low").Priority(1)).Waiting(Task("high").Priority(2))
//       .Dump()  ==  "high waits\nlow on s1"
//
// Each call happens at once, and the core decides until it wants nothing more.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/core/api_model.h"

namespace spillway::core {

// Names the cases of a table after their member name.
struct CaseName {
  template <typename Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

// A task of one cpu in namespace ns.
struct Task {
  explicit Task(std::string named) : name(std::move(named)) {}

  Task&& Cpu(std::string amount) && { return cpu = std::move(amount), std::move(*this); }
  Task&& In(std::string other) && { return ns = std::move(other), std::move(*this); }
  Task&& Priority(int value) && { return Set("priority", value); }
  Task&& Class(const char* of) && { return Set("priorityClassName", of); }
  Task&& Preempts(const char* how = "Allowed") && { return Set("preemption", how); }
  Task&& Local() && { return Set("placement", {{"policy", "LocalOnly"}}); }
  Task&& Template(api::Json pod) && { return Set("template", std::move(pod)); }
  // With its cpu, which is said first.
  Task&& HostPort(int64_t port) &&;
  // Any other field of the spec.
  Task&& With(const char* field, api::Json value) && { return Set(field, std::move(value)); }

  std::string name, ns = "ns", cpu = "1";
  api::Json spec = api::Json::object();

 private:
  Task&& Set(const char* field, api::Json value) {
    spec[field] = std::move(value);
    return std::move(*this);
  }
};

class Scenario {
 public:
  Scenario& Server(const std::string& name, const std::string& cpu = "1");
  Scenario& Class(const std::string& name, int64_t value, bool global_default = false);
  Scenario& Weight(const std::string& ns, int64_t weight_milli);
  // It was applied; whether it starts is for the core to say.
  Scenario& Waiting(const Task& task);
  // The same, and once its pod is bound its container runs.
  Scenario& Running(const Task& task);
  // All of them, before the core looks at any.
  Scenario& Together(const std::vector<Task>& tasks);
  // So many of them, named "<name>0", "<name>1" and so on.
  Scenario& Many(int count, const Task& task);
  // The task's last pod succeeds.
  Scenario& Ends(const std::string& task);
  // Pods that were told to go do so.
  Scenario& DeletedGo();
  Scenario& Restart();
  Scenario& Pass(std::chrono::milliseconds time);
  // When the core wants to be called, as it says just before that time, when nothing is heard.
  Time WakeJustBefore(Time due);

  // Every task on a line of its own, by namespace (unless it is ns) and name: "on <node>" with a
  // pod there, "leaves <node>" once that was told to go, "waits", "waits for the cloud" once a
  // server of its own is on order, or "ended". Where it has several pods, all are told; a pod
  // that is not the first of its task has its attempt: "on <node>, attempt 2".
  std::string Dump() const;
  // How many live pods each namespace has: "a 4\nb 2".
  std::string Shares() const;

  ApiModel api;

 private:
  // The first of its live pods, or null.
  const api::Pod* PodOf(const api::ObjectMeta& task) const;
  std::string StateOf(const std::string& key) const;
};

}  // namespace spillway::core
