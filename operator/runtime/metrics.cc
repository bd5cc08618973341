#include "operator/runtime/metrics.h"

#include <prometheus/text_serializer.h>

#include <map>

namespace spillway::runtime {

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      writes_(prometheus::BuildCounter()
                  .Name("spillway_api_writes_total")
                  .Help("Writes to the API server by verb, resource and outcome.")
                  .Register(*registry_)),
      watch_failures_(prometheus::BuildCounter()
                          .Name("spillway_watch_failures_total")
                          .Help("Lists and watches that failed and were begun again.")
                          .Register(*registry_)),
      tasks_(prometheus::BuildGauge()
                 .Name("spillway_tasks")
                 .Help("TaskRequests by phase.")
                 .Register(*registry_)),
      servers_(prometheus::BuildGauge()
                   .Name("spillway_servers")
                   .Help("RegisteredServers by phase.")
                   .Register(*registry_)),
      step_seconds_(
          prometheus::BuildHistogram()
              .Name("spillway_step_duration_seconds")
              .Help("Time to take a batch of events and decide.")
              .Register(*registry_)
              .Add({}, prometheus::Histogram::BucketBoundaries{0.0001, 0.0005, 0.001, 0.005, 0.01,
                                                               0.05, 0.1, 0.5, 1})),
      events_(prometheus::BuildCounter()
                  .Name("spillway_events_total")
                  .Help("Events that the core has taken.")
                  .Register(*registry_)
                  .Add({})) {}

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
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

void Metrics::CountWrite(const std::string& verb, const std::string& resource, bool ok) {
  writes_.Add({{"verb", verb}, {"resource", resource}, {"outcome", ok ? "success" : "error"}})
      .Increment();
}

void Metrics::CountWatchFailure(const std::string& resource) {
  watch_failures_.Add({{"resource", resource}}).Increment();
}

void Metrics::ObserveStep(double seconds, size_t events) {
  step_seconds_.Observe(seconds);
  events_.Increment(static_cast<double>(events));
}

void Metrics::Describe(const core::World& world) {
  std::map<std::string, double> tasks, servers;
  for (const auto& [key, task] : world.tasks) ++tasks[api::ToString(task.object.status.phase)];
  for (const auto& [name, server] : world.servers) ++servers[server.phase];
  for (const char* phase : {"Pending", "Scaling", "Assigned", "Running", "Succeeded", "Failed",
                            "Cancelled", "Suspended"}) {
    tasks_.Add({{"phase", phase}}).Set(tasks[phase]);
  }
  for (const char* phase : {"Ready", "Overloaded", "Cordoned", "NotReady"})
    servers_.Add({{"phase", phase}}).Set(servers[phase]);
}

}  // namespace spillway::runtime
