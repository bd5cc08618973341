// Waits for the end of one TaskRequest: what `helm test` runs in the operator's own image.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "operator/kube/transport.h"

namespace spillway::runtime {

struct AwaitOptions {
  std::string ns, name;
  std::chrono::seconds timeout{120};
  std::chrono::milliseconds interval{1000};  // between two looks
};

// One line for whoever waits, with the task's UID and its attempt (0: none yet).
using TellAwaited =
    std::function<void(const std::string& line, const std::string& uid, int64_t attempt)>;

// True if the task succeeded, false if it failed or was cancelled. An error if it could not be read
// or had not ended in time. tell gets one line whenever the phase or its reason has changed.
Result<bool> AwaitTask(kube::Transport& transport, const AwaitOptions& options,
                       const TellAwaited& tell, std::stop_token stop);

}  // namespace spillway::runtime
