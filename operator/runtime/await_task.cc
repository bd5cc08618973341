#include "operator/runtime/await_task.h"

#include <thread>

#include "operator/api/meta.h"
#include "operator/kube/request.h"

namespace spillway::runtime {
namespace {

using api::Json;

const kube::Resource kTaskRequests{"spillway.dev", "v1alpha1", "taskrequests"};

const Json& Member(const Json& object, const char* key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

// "Running: on server local-1", from the phase and the message of the condition Ready.
std::string Describe(const Json& status, const std::string& phase) {
  for (const Json& condition : Member(status, "conditions")) {
    if (api::GetString(condition, "type") != "Ready") continue;
    return phase + ": " + api::GetString(condition, "message");
  }
  return phase;
}

}  // namespace

Awaited AwaitTask(kube::Transport& transport, const AwaitOptions& options,
                  const std::function<void(const std::string& line, const AwaitedTask&)>& tell,
                  std::stop_token stop) {
  const auto end = std::chrono::steady_clock::now() + options.timeout;
  std::string last = "not seen by the operator yet";
  AwaitedTask seen;
  while (!stop.stop_requested()) {
    const auto task =
        kube::Call(transport, kube::GetRequest(kTaskRequests, options.ns, options.name), stop);
    if (!task && !task.error().retryable()) return {task.error(), seen};
    if (task) {
      const Json& status = Member(*task, "status");
      const std::string phase = api::GetString(status, "phase");
      seen = {api::GetString(Member(*task, "metadata"), "uid"),
              api::GetInt(Member(status, "assignment"), "attempt")};
      const std::string now = phase.empty() ? last : Describe(status, phase);
      if (now != last) tell(now, seen);
      last = now;
      if (phase == "Succeeded") return {true, seen};
      if (phase == "Failed" || phase == "Cancelled") return {false, seen};
    }
    if (std::chrono::steady_clock::now() + options.interval > end) {
      return {Error{ErrorKind::kUnavailable, "the task had not ended after " +
                                                 std::to_string(options.timeout.count()) + " s; " +
                                                 (task ? last : task.error().message)},
              seen};
    }
    std::this_thread::sleep_for(options.interval);
  }
  return {Error{ErrorKind::kCancelled, "stopped"}, seen};
}

}  // namespace spillway::runtime
