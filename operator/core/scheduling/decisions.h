// What scheduling decides about a task. Whoever has the tasks carries it out at once: the next
// decision counts on it.
//
// Scheduling itself takes the room, leaves the queue and commits the money; what becomes of the
// task, of its status and of its pods is not its own.
#pragma once

#include <string>
#include <vector>

#include "operator/base/time.h"

namespace spillway::core {

struct ServerState;
struct TaskState;

class Decisions {
 public:
  virtual ~Decisions() = default;

  // Whether the task's next attempt may begin: no pod of an earlier one may still run.
  virtual bool MayStart(const TaskState& task) const = 0;
  // It may not, and has left its queue until it may.
  virtual void AwaitStart(TaskState& task) = 0;
  // Its next attempt goes to the server, or, where kube-scheduler binds its pod, to one of these
  // other nodes.
  virtual void Bind(TaskState& task, const ServerState& server,
                    std::vector<std::string> other_nodes) = 0;
  // It is not to run any more.
  virtual void Fail(TaskState& task, const std::string& reason, const std::string& message) = 0;
  // Its attempt is stopped, and the next one does not begin before the pause is over.
  virtual void Requeue(TaskState& task, Duration pause, const std::string& reason,
                       const std::string& why) = 0;
};

}  // namespace spillway::core
