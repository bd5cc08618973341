// Gauges (and counters) that are calculated together, for one scrape: a series that is not added
// does not exist.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace spillway::runtime {

// Not thread-safe.
class Gauges {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  void Add(const std::string& name, const std::string& help, const Labels& labels, double value,
           prometheus::MetricType type = prometheus::MetricType::Gauge) {
    prometheus::MetricFamily& family = families_[name];
    family.name = name;
    family.help = help;
    family.type = type;
    prometheus::ClientMetric metric;
    for (const auto& [key, text] : labels) metric.label.push_back({key, text});
    metric.gauge.value = metric.counter.value = value;
    family.metric.push_back(std::move(metric));
  }
  // By name.
  std::vector<prometheus::MetricFamily> Families() && {
    std::vector<prometheus::MetricFamily> out;
    for (auto& [name, family] : families_) out.push_back(std::move(family));
    return out;
  }

 private:
  std::map<std::string, prometheus::MetricFamily> families_;
};

}  // namespace spillway::runtime
