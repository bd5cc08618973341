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
  std::chrono::milliseconds interval{1000};  // between two reads
};

// What every line about it names.
struct AwaitedTask {
  std::string uid;      // empty: it was never read
  int64_t attempt = 0;  // 0: none yet
};

struct Awaited {
  // True if the task succeeded, false if it failed or was cancelled. An error if it could not be
  // read or had not ended in time.
  Result<bool> succeeded;
  AwaitedTask task;  // as it was last read
};

// tell gets one line whenever the phase or its reason has changed.
Awaited AwaitTask(kube::Transport& transport, const AwaitOptions& options,
                  const std::function<void(const std::string& line, const AwaitedTask&)>& tell,
                  std::stop_token stop);

}  // namespace spillway::runtime
