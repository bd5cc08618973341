// A load client for benchmarks on a real API server: many requests side by side, and when watches
// saw what came of them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/watcher.h"

namespace spillway::bench {

using Clock = std::chrono::steady_clock;
using kube::Json;
using Times = std::map<std::string, Clock::time_point>;

inline const kube::Resource kTasks{"spillway.dev", "v1alpha1", "taskrequests"};
inline const kube::Resource kServers{"spillway.dev", "v1alpha1", "registeredservers"};
inline const kube::Resource kPools{"spillway.dev", "v1alpha1", "serverpools"};
inline const kube::Resource kClaims{"karpenter.sh", "v1", "nodeclaims"};
inline const kube::Resource kNamespaces{"", "v1", "namespaces"};

double Seconds(Clock::duration time);

// Sends make(0) … make(count-1) by many clients side by side, at most rate a second (0: as fast as
// possible). Returns when each was answered, by its number; failures are counted on stderr.
std::vector<Clock::time_point> SendAll(kube::Transport& server, int count, double rate,
                                       const std::function<kube::Request(int)>& make);

// When each object was first seen to be something: name_if gives its name then, else "".
class Observer {
 public:
  Observer(kube::Transport& server, const kube::Resource& resource, const std::string& ns,
           std::function<std::string(const Json&)> name_if);
  // Until so many were seen, or nothing new for some time.
  void WaitFor(size_t count, std::chrono::seconds patience);
  Times seen();

 private:
  std::mutex mutex_;
  Times seen_;  // guarded by mutex_
  std::atomic<bool> ready_{false};
  std::jthread thread_;
};

// {"what", "count", "per_second", "p50_ms", "p99_ms"}: from each time in from to the one of the
// same name in to; the rate is from begin to the last.
Json Measure(const std::string& what, const Times& from, const Times& to, Clock::time_point begin);
// Of requests alone: {"what", "count", "per_second"}.
Json MeasureRate(const std::string& what, const std::vector<Clock::time_point>& answered,
                 Clock::time_point begin);

void MakeNamespace(kube::Transport& server, const std::string& name);
// A task of one container that asks for so much cpu.
Json Task(const std::string& name, const std::string& cpu, const std::string& run_for);

}  // namespace spillway::bench
