// Carries effects out with a pool of threads, and reports each outcome. What is tried when, and
// what follows from its answer, is decided by executor_machine.h.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "operator/cloud/engines.h"
#include "operator/kube/request.h"
#include "operator/runtime/executor_machine.h"
#include "operator/runtime/metrics.h"

namespace spillway::runtime {

class Executor {
 public:
  // report is called from the pool's threads. All references must outlive this.
  Executor(kube::Transport& transport, const cloud::Engines& engines, Metrics& metrics,
           std::string identity, int threads, std::function<void(core::Event)> report);
  ~Executor();

  void Start();
  // Starts nothing more, waits for what is in flight, and ends the threads; effects that have not
  // started are dropped. False if a request had no answer within the patience and was given up: it
  // may still arrive.
  bool Stop(std::chrono::milliseconds patience);
  // Thread-safe.
  void Push(std::vector<core::Effect> effects);

 private:
  void Work(std::stop_token stop);
  std::optional<Job> Next(std::stop_token stop);
  // Tries one, and does what follows.
  void Carry(Job job, std::stop_token stop);
  Tried Try(const core::Write& write, const Job& job, std::stop_token stop);
  Tried Try(const core::AskCloud& ask, const Job& job, std::stop_token stop);
  Tried Try(const core::Note& note, const Job& job, std::stop_token stop);
  Tried Try(const core::AskWhy& ask, const Job& job, std::stop_token stop);
  void TellDropped(const std::vector<core::Effect>& dropped);
  void LogFailure(const Job& job, const Error& error, bool again) const;
  void LogTry(const Job& job, const std::optional<Error>& error, Duration took) const;

  kube::Transport& transport_;
  const cloud::Engines& engines_;
  Metrics& metrics_;
  const std::string identity_;
  const std::function<void(core::Event)> report_;

  std::mutex mutex_;
  std::condition_variable_any changed_, landed_;
  // Guarded by mutex_.
  ExecutorMachine machine_;
  std::minstd_rand random_{std::random_device{}()};
  const int most_threads_;
  std::atomic<bool> drops_told_{false};
  std::stop_source give_up_;  // what is in flight
  std::vector<std::jthread> threads_;
};

}  // namespace spillway::runtime
