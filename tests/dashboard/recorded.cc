#include "tests/dashboard/recorded.h"

#include <chrono>

namespace spillway::dashboard {

using core::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

Recorded::Recorded(runtime::Metrics& metrics) : metrics_(metrics) {
  api_.AddNode("local", "4");
  api_.AddServer("local");
  api_.MeasureNode("local", 1'500, int64_t{4} << 30);
  api_.AddPool("spot");
  api_.AddBudget("month", "100");
  metrics_.SetLeading("spillway.dev", true);
}

void Recorded::Run(const std::string& task, int64_t exit_code) {
  api_.SetPod(task + "-1", api::PodPhase::kRunning);
  api_.Advance(seconds(20));
  api_.SetPod(task + "-1", exit_code == 0 ? api::PodPhase::kSucceeded : api::PodPhase::kFailed,
              exit_code);
  api_.Settle();
}

void Recorded::Round() {
  const std::string n = std::to_string(++round_);
  api_.AddTask("good-" + n);
  api_.AddTask("bad-" + n);
  api_.AddTask("bought-" + n, {{"placement", {{"policy", "CloudOnly"}}}});
  api_.AddTask("never-" + n, {{"placement", {{"policy", "LocalOnly"}}}}, "64", "other");
  api_.Advance(seconds(1));
  Run("good-" + n, 0);
  Run("bad-" + n, 3);
  if (api_.pods.contains("ns/bought-" + n + "-1")) {
    Run("bought-" + n, 0);
  } else {
    api_.ProvideServer("cloud-" + n);
    api_.Settle();
    Run("bought-" + n, 0);
  }
  api_.Advance(seconds(400));  // the bought server is given back
  api_.Advance(seconds(1));
  TellCore();
  TellShell();
}

void Recorded::TellCore() {
  for (; told_ < api_.milestones.size(); ++told_) metrics_.Count(api_.milestones[told_]);
  metrics_.ObserveStep(0.002, 12);
  metrics_.Describe(api_.world());
}

void Recorded::TellShell() {
  const std::string host = "10.96.0.1:443";
  for (const char* resource :
       {"taskrequests", "registeredservers", "serverpools", "scalerequests", "pods", "nodes",
        "nodeclaims", "leases", "priorityclasses", "namespaces", "budgets"})
    metrics_.Heard(resource);
  for (const char* code : {"200", "201", "409", "<error>"})
    metrics_.CountRequest("POST", host, code);
  metrics_.ObserveRequest("POST", host, 0.012);
  metrics_.CountWrite("create", "pods", true);
  metrics_.CountWrite("patch", "taskrequests", false);
  metrics_.CountWatchFailure("nodes");
  metrics_.QueueGrew(3, 3);
  metrics_.QueueStarted(0.001, 2);
  metrics_.QueueEnded(0.01, true, 3);
}

}  // namespace spillway::dashboard
