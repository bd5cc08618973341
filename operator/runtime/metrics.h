// Prometheus metrics. Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "operator/base/result.h"
#include "operator/core/world.h"
#include "operator/runtime/http_server.h"

namespace spillway::runtime {

class Metrics {
 public:
  Metrics();

  // Serves /metrics; address as for ServeHttp, "0" means not at all.
  Result<Unit> Serve(const std::string& address);
  // What /metrics says, in Prometheus' text format. Thread-safe.
  std::string Text() const;
  void CountWrite(const std::string& verb, const std::string& resource, bool ok);
  void CountWatchFailure(const std::string& resource);
  void ObserveStep(double seconds, size_t events);
  // From the thread that owns the core.
  void Describe(const core::World& world);

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>& writes_;
  prometheus::Family<prometheus::Counter>& watch_failures_;
  prometheus::Family<prometheus::Gauge>& tasks_;
  prometheus::Family<prometheus::Gauge>& servers_;
  prometheus::Histogram& step_seconds_;
  prometheus::Counter& events_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace spillway::runtime
