// Carries effects out with a pool of threads, retries what may be retried, and reports each
// outcome.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "operator/cloud/backend.h"
#include "operator/kube/request.h"
#include "operator/runtime/effect_queue.h"
#include "operator/runtime/metrics.h"

namespace spillway::runtime {

class Executor {
 public:
  // report is called from the pool's threads. All references must outlive this.
  Executor(kube::Transport& transport, cloud::Backend& backend, Metrics& metrics,
           std::string identity, std::function<void(core::Event)> report);
  // Ends the threads; what was not carried out is dropped.
  ~Executor();

  void Start(int threads);
  // Thread-safe.
  void Push(std::vector<core::Effect> effects);

 private:
  struct Job {
    core::Effect effect;
    int attempts = 0;
  };
  using Clock = std::chrono::steady_clock;

  void Work(std::stop_token stop);
  std::optional<Job> Next(std::stop_token stop);
  // False if the job must be tried again; after is when.
  bool Carry(const Job& job, std::chrono::milliseconds* after, std::stop_token stop);
  void ReportBroken(const core::Effect& effect, const std::string& what);
  std::optional<Error> CarryOne(const core::Write& write, const Job& job, std::stop_token stop);
  std::optional<Error> CarryOne(const core::AskCloud& ask, const Job& job, std::stop_token stop);
  std::optional<Error> CarryOne(const core::Note& note, const Job& job, std::stop_token stop);
  std::optional<Error> CarryOne(const core::AskWhy& ask, const Job& job, std::stop_token stop);

  kube::Transport& transport_;
  cloud::Backend& backend_;
  Metrics& metrics_;
  const std::string identity_;
  const std::function<void(core::Event)> report_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  EffectQueue queue_;                            // guarded by mutex_
  std::multimap<Clock::time_point, Job> later_;  // guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace spillway::runtime
