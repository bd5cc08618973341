#include "operator/runtime/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "operator/runtime/decode.h"
#include "operator/runtime/gauges.h"
#include "operator/runtime/process_metrics.h"
#include "operator/runtime/world_gauges.h"

namespace spillway::runtime {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;
using Step = core::TaskMilestone::Step;

// From a decision in an idle cluster to a day.
const Buckets kTaskSeconds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5,   1,      2.5,   5,
                           10,   30,    60,   300, 900,  3'600, 14'400, 86'400};
const Buckets kBootSeconds{5, 15, 30, 60, 90, 120, 180, 300, 600, 900, 1'800};
const Buckets kQueueSeconds{0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60};
const Buckets kRequestSeconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60};
const Buckets kStepSeconds{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1};

// Ours, those of kubelets, and those that Kubernetes gives to evicted pods.
constexpr std::string_view kReasons[] = {"Completed",
                                         "Error",
                                         "OOMKilled",
                                         "ContainerCannotRun",
                                         "StartError",
                                         "DeadlineExceeded",
                                         "Evicted",
                                         "ServerLost",
                                         "ServerEnding",
                                         "PodDeleted",
                                         "PodRefused",
                                         "Preempted",
                                         "Preempting",
                                         "Cancelled",
                                         "Suspended",
                                         "StartDeadlineExceeded",
                                         "GroupDeadlineExceeded",
                                         "BackoffLimitExceeded",
                                         "LossLimitExceeded",
                                         "BudgetExceeded",
                                         "InvalidTemplate",
                                         "DoesNotFit",
                                         "Unschedulable",
                                         "Superseded",
                                         "NodeLost",
                                         "NodeShutdown",
                                         "Shutdown",
                                         "Terminated",
                                         "ContainerStatusUnknown",
                                         "UnexpectedAdmissionError",
                                         "NodeAffinity",
                                         "NodeName",
                                         "NodePorts",
                                         "OutOfcpu",
                                         "OutOfmemory",
                                         "OutOfpods",
                                         "OutOfephemeral-storage",
                                         "TopologyAffinityError",
                                         "PodOSNotSupported"};

const char* Origin(const core::TaskMilestone& milestone) {
  return milestone.server.empty() ? "None" : milestone.cloud ? "Cloud" : "Local";
}

int64_t Monotonic() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

double Seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

std::string BoundedReason(const std::string& reason) {
  return std::find(std::begin(kReasons), std::end(kReasons), reason) != std::end(kReasons)
             ? reason
             : "Other";
}

Metrics::Metrics(const std::string& version)
    : registry_(std::make_shared<prometheus::Registry>()),
      writes_(BuildCounter()
                  .Name("spillway_api_writes_total")
                  .Help("Writes to the API server and to engines by verb, resource and outcome.")
                  .Register(*registry_)),
      watch_failures_(BuildCounter()
                          .Name("spillway_watch_failures_total")
                          .Help("Lists and watches that failed and were begun again.")
                          .Register(*registry_)),
      requests_(BuildCounter()
                    .Name("rest_client_requests_total")
                    .Help("Requests to the API server by code, method and host.")
                    .Register(*registry_)),
      request_seconds_(BuildHistogram()
                           .Name("rest_client_request_duration_seconds")
                           .Help("Time until a request was answered, by method and host.")
                           .Register(*registry_)),
      leading_(BuildGauge()
                   .Name("leader_election_master_status")
                   .Help("1 if this replica leads, by the name of the Lease.")
                   .Register(*registry_)),
      bind_seconds_(BuildHistogram()
                        .Name("spillway_task_bind_duration_seconds")
                        .Help("Time from when a task could start until its pod was created.")
                        .Register(*registry_)),
      wait_seconds_(BuildHistogram()
                        .Name("spillway_task_wait_duration_seconds")
                        .Help("Time from a task's creation until it first ran.")
                        .Register(*registry_)),
      run_seconds_(BuildHistogram()
                       .Name("spillway_task_run_duration_seconds")
                       .Help("Time that a task's last attempt ran.")
                       .Register(*registry_)),
      finished_(BuildCounter()
                    .Name("spillway_tasks_finished_total")
                    .Help("Tasks that have ended for good.")
                    .Register(*registry_)),
      attempts_(BuildCounter()
                    .Name("spillway_attempts_ended_total")
                    .Help("Attempts that have ended, by reason.")
                    .Register(*registry_)),
      cost_(BuildCounter()
                .Name("spillway_cost_total")
                .Help("What attempts that have ended have cost, in units of the currency.")
                .Register(*registry_)),
      purchases_(BuildCounter()
                     .Name("spillway_purchases_total")
                     .Help("Purchases of servers that have been decided.")
                     .Register(*registry_)),
      released_(BuildCounter()
                    .Name("spillway_cloud_servers_released_total")
                    .Help("Bought servers that were given back.")
                    .Register(*registry_)),
      purchase_seconds_(BuildHistogram()
                            .Name("spillway_purchase_duration_seconds")
                            .Help("Time from a purchase until its server was ready, or was not.")
                            .Register(*registry_)),
      step_seconds_(BuildHistogram()
                        .Name("spillway_step_duration_seconds")
                        .Help("Time to take a batch of events and decide.")
                        .Register(*registry_)
                        .Add({}, kStepSeconds)),
      events_(BuildCounter()
                  .Name("spillway_events_total")
                  .Help("Events that the core has taken.")
                  .Register(*registry_)
                  .Add({})),
      queue_depth_(BuildGauge()
                       .Name("workqueue_depth")
                       .Help("Effects that wait for a worker.")
                       .Register(*registry_)
                       .Add({{"name", "effects"}})),
      queue_adds_(BuildCounter()
                      .Name("workqueue_adds_total")
                      .Help("Effects that were put into the queue.")
                      .Register(*registry_)
                      .Add({{"name", "effects"}})),
      queue_retries_(BuildCounter()
                         .Name("workqueue_retries_total")
                         .Help("Effects that were put back to be tried again.")
                         .Register(*registry_)
                         .Add({{"name", "effects"}})),
      queue_seconds_(BuildHistogram()
                         .Name("workqueue_queue_duration_seconds")
                         .Help("Time that an effect waited for its first try.")
                         .Register(*registry_)
                         .Add({{"name", "effects"}}, kQueueSeconds)),
      work_seconds_(BuildHistogram()
                        .Name("workqueue_work_duration_seconds")
                        .Help("Time of one try of an effect.")
                        .Register(*registry_)
                        .Add({{"name", "effects"}}, kQueueSeconds)) {
  BuildGauge()
      .Name("spillway_build_info")
      .Help("1, with the version and what compiled it.")
      .Register(*registry_)
      .Add({{"version", version}, {"compiler", __VERSION__}})
      .Set(1);
}

Result<Unit> Metrics::Serve(const std::string& address) {
  if (address == "0") return Unit{};
  auto server = ServeHttp(address, [this](const HttpRequest& request) -> HttpAnswer {
    if (request.path != "/metrics") return {404, "text/plain", "not found\n"};
    return {200, "text/plain; version=0.0.4; charset=utf-8", Text()};
  });
  if (!server) return Invalid("--metrics-bind-address " + address + ": " + server.error().message);
  server_ = std::move(server).value();
  return Unit{};
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> all = registry_->Collect();
  std::erase_if(all, [](const auto& family) { return family.metric.empty(); });
  Gauges now;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [resource, heard] : heard_)
      now.Add("spillway_watch_age_seconds", "Time since the watch has told anything, by resource.",
              {{"resource", resource}}, static_cast<double>(Monotonic() - heard) / 1'000);
  }
  AddProcessMetrics(now);
  std::vector<prometheus::MetricFamily> more = std::move(now).Families();
  std::move(more.begin(), more.end(), std::back_inserter(all));
  {
    const std::lock_guard lock(mutex_);
    all.insert(all.end(), described_.begin(), described_.end());
  }
  return prometheus::TextSerializer().Serialize(all);
}

void Metrics::CountRequest(const std::string& method, const std::string& host,
                           const std::string& code) {
  requests_.Add({{"code", code}, {"method", method}, {"host", host}}).Increment();
}

void Metrics::ObserveRequest(const std::string& method, const std::string& host, double seconds) {
  request_seconds_.Add({{"verb", method}, {"host", host}}, kRequestSeconds).Observe(seconds);
}

void Metrics::CountWrite(const std::string& verb, const std::string& resource, bool ok) {
  writes_.Add({{"verb", verb}, {"resource", resource}, {"outcome", ok ? "success" : "error"}})
      .Increment();
}

void Metrics::CountWatchFailure(const std::string& resource) {
  watch_failures_.Add({{"resource", resource}}).Increment();
}

void Metrics::Follows(const std::string& resource) {
  watch_failures_.Add({{"resource", resource}});
}

void Metrics::Heard(const std::string& resource) {
  const std::lock_guard lock(mutex_);
  heard_[resource] = Monotonic();
}

void Metrics::SetLeading(const std::string& lease, bool leading) {
  leading_.Add({{"name", lease}}).Set(leading ? 1 : 0);
}

void Metrics::QueueGrew(size_t added, size_t depth) {
  queue_adds_.Increment(static_cast<double>(added));
  queue_depth_.Set(static_cast<double>(depth));
}

void Metrics::QueueStarted(double waited, size_t depth) {
  queue_seconds_.Observe(waited);
  queue_depth_.Set(static_cast<double>(depth));
}

void Metrics::QueueEnded(double worked, bool again, size_t depth) {
  work_seconds_.Observe(worked);
  if (again) queue_retries_.Increment();
  queue_depth_.Set(static_cast<double>(depth));
}

void Metrics::ObserveStep(double seconds, size_t events) {
  step_seconds_.Observe(seconds);
  events_.Increment(static_cast<double>(events));
}

void Metrics::Count(const core::Milestone& milestone) {
  if (const auto* task = std::get_if<core::TaskMilestone>(&milestone)) {
    CountTask(*task);
  } else {
    CountScale(std::get<core::ScaleMilestone>(milestone));
  }
}

prometheus::Histogram& Metrics::TaskTime(Family<prometheus::Histogram>& family,
                                         const Labels& labels) {
  return family.Add(labels, kTaskSeconds);
}

// Many namespaces come and go; their counters would stay.
std::string Metrics::NamespaceLabel(const std::string& ns) {
  const std::lock_guard lock(mutex_);
  if (namespaces_.contains(ns)) return ns;
  if (namespaces_.size() >= kMostNamespaces) return kOtherNamespaces;
  namespaces_.insert(ns);
  return ns;
}

void Metrics::CountTask(const core::TaskMilestone& milestone) {
  const Labels origin{{"origin", Origin(milestone)}};
  const Labels ended{{"origin", Origin(milestone)}, {"result", api::ToString(milestone.phase)}};
  switch (milestone.step) {
    case Step::kBound:
      return TaskTime(bind_seconds_, origin)
          .Observe(Seconds(milestone.waited.value_or(Duration{})));
    case Step::kRunning:
      return;
    case Step::kAttemptEnded:
      attempts_.Add({{"origin", Origin(milestone)}, {"reason", BoundedReason(milestone.reason)}})
          .Increment();
      if (milestone.cost_micros > 0)
        cost_.Add({{"namespace", NamespaceLabel(milestone.ns)}, {"pool", milestone.pool}})
            .Increment(static_cast<double>(milestone.cost_micros) / 1e6);
      return;
    case Step::kEnded:
      if (milestone.waited) TaskTime(wait_seconds_, ended).Observe(Seconds(*milestone.waited));
      if (milestone.ran) TaskTime(run_seconds_, ended).Observe(Seconds(*milestone.ran));
      finished_
          .Add({{"origin", Origin(milestone)},
                {"result", api::ToString(milestone.phase)},
                {"reason", BoundedReason(milestone.reason)}})
          .Increment();
  }
}

void Metrics::CountScale(const core::ScaleMilestone& milestone) {
  using api::ScalePhase;
  if (milestone.phase == ScalePhase::kReleased && milestone.was_ready)
    released_.Add({{"pool", milestone.pool}}).Increment();
  const char* outcome = nullptr;
  if (milestone.phase == ScalePhase::kReady) outcome = "Ready";
  if (milestone.phase == ScalePhase::kFailed) outcome = "Failed";
  const bool given_up =
      milestone.phase == ScalePhase::kReleasing || milestone.phase == ScalePhase::kReleased;
  if (given_up && !milestone.was_ready) outcome = "Withdrawn";
  // A server that was being released was counted when the release began.
  if (outcome == nullptr || milestone.before == ScalePhase::kReleasing) return;
  purchases_
      .Add({{"pool", milestone.pool},
            {"outcome", outcome},
            {"class", milestone.error == api::CloudError::kNone ? "" : ToString(milestone.error)}})
      .Increment();
  purchase_seconds_.Add({{"pool", milestone.pool}, {"outcome", outcome}}, kBootSeconds)
      .Observe(Seconds(milestone.since_request));
}

void Metrics::Describe(const core::World& world) {
  std::vector<prometheus::MetricFamily> families = DescribeWorld(world);
  const std::lock_guard lock(mutex_);
  described_ = std::move(families);
}

}  // namespace spillway::runtime
