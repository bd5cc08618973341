// Carries out what scheduling decides about tasks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/scheduling/decisions.h"
#include "operator/core/world.h"

namespace spillway::core {

// The attempt of the task on the server.
std::shared_ptr<const Binding> BindingTo(const TaskState& task, const ServerState& server,
                                         std::string pod_name, int64_t attempt, Time at);

// Must not outlive the world.
class CarryOut : public Decisions {
 public:
  // annotations: what the engine of a server wants on pods there.
  using Annotations = std::function<api::StringMap(const api::RegisteredServerSpec& server)>;
  CarryOut(World& world, Annotations annotations)
      : world_(world), annotations_(std::move(annotations)) {}

  bool MayStart(const TaskState& task) const override;
  void AwaitStart(TaskState& task) override;
  // The task's pod is to be created.
  void Bind(TaskState& task, const ServerState& server,
            std::vector<std::string> other_nodes) override;
  void Fail(TaskState& task, const std::string& reason, const std::string& message) override;
  void Requeue(TaskState& task, Duration pause, const std::string& reason,
               const std::string& why) override;

 private:
  World& world_;
  Annotations annotations_;
};

}  // namespace spillway::core
