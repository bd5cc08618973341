// A small life of an operator, told to its metrics: every metric gets something to say. For the
// test of their names, and for the dashboard's queries.
#pragma once

#include <string>

#include "operator/runtime/metrics.h"
#include "tests/unit/core/api_model.h"

namespace spillway::dashboard {

// Not thread-safe.
class Recorded {
 public:
  // metrics must outlive this.
  explicit Recorded(runtime::Metrics& metrics);
  // Tasks come, run and end; servers are bought and fail; requests are answered.
  void Round();

 private:
  // A task's pod, which must be there, runs and ends so.
  void Run(const std::string& task, int64_t exit_code);
  void TellShell();
  void TellCore();

  runtime::Metrics& metrics_;
  core::ApiModel api_;
  int round_ = 0;
  size_t told_ = 0;  // of the model's milestones
};

}  // namespace spillway::dashboard
