// Prometheus metrics, as docs/metrics.md lists them: their names follow the peers' where those have
// one. Thread-safe. Everything that a label may say is bounded.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "operator/base/result.h"
#include "operator/core/world.h"
#include "operator/runtime/http_server.h"

namespace spillway::runtime {

// At most so many namespaces have counters of their own; the others share kOtherNamespaces.
inline constexpr size_t kMostNamespaces = 100;
inline constexpr char kOtherNamespaces[] = "_other";

// What a reason of foreign origin counts as: itself if it is known, else Other.
std::string BoundedReason(const std::string& reason);

class Metrics {
 public:
  explicit Metrics(const std::string& version = "dev");

  // Serves /metrics; address as for ServeHttp, "0" means not at all.
  Result<Unit> Serve(const std::string& address);
  // What /metrics says, in Prometheus' text format.
  std::string Text() const;

  // A request to the API server was answered with this code, or "<error>" if it had no answer.
  void CountRequest(const std::string& method, const std::string& host, const std::string& code);
  void ObserveRequest(const std::string& method, const std::string& host, double seconds);
  // A write, or a request to a cloud engine, as an effect.
  void CountWrite(const std::string& verb, const std::string& resource, bool ok);
  void CountWatchFailure(const std::string& resource);
  // Exports its watch failures from now on, from 0, so that rate() sees the first one.
  void Follows(const std::string& resource);
  // The watch of the resource has delivered an event or a bookmark.
  void Heard(const std::string& resource);
  void SetLeading(const std::string& lease, bool leading);
  // Of the queue of effects, in seconds.
  void QueueGrew(size_t added, size_t depth);
  void QueueStarted(double waited, size_t depth);
  void QueueEnded(double worked, bool again, size_t depth);

  // From the thread that owns the core.
  void ObserveStep(double seconds, size_t events);
  void Count(const core::Milestone& milestone);
  void Describe(const core::World& world);

 private:
  using Labels = prometheus::Labels;
  template <typename Metric>
  using Family = prometheus::Family<Metric>;

  void CountTask(const core::TaskMilestone& milestone);
  void CountScale(const core::ScaleMilestone& milestone);
  std::string NamespaceLabel(const std::string& ns);
  prometheus::Histogram& TaskTime(Family<prometheus::Histogram>& family, const Labels& labels);

  std::shared_ptr<prometheus::Registry> registry_;
  Family<prometheus::Counter>&writes_, &watch_failures_, &requests_;
  Family<prometheus::Histogram>& request_seconds_;
  Family<prometheus::Gauge>& leading_;
  Family<prometheus::Histogram>&bind_seconds_, &wait_seconds_, &run_seconds_;
  Family<prometheus::Counter>&finished_, &attempts_, &cost_;
  Family<prometheus::Counter>&purchases_, &released_;
  Family<prometheus::Histogram>& purchase_seconds_;
  prometheus::Histogram& step_seconds_;
  prometheus::Counter& events_;
  prometheus::Gauge& queue_depth_;
  prometheus::Counter &queue_adds_, &queue_retries_;
  prometheus::Histogram &queue_seconds_, &work_seconds_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<prometheus::MetricFamily> described_;
  std::map<std::string, int64_t> heard_;  // by resource; milliseconds, monotonic
  std::set<std::string> namespaces_;      // that have counters of their own
  std::unique_ptr<HttpServer> server_;
};

}  // namespace spillway::runtime
