#include "tests/bench/load.h"

#include <algorithm>
#include <cstdio>

namespace spillway::bench {
namespace {

constexpr int kClients = 48;

}  // namespace

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

std::vector<Clock::time_point> SendAll(kube::Transport& server, int count, double rate,
                                       const std::function<kube::Request(int)>& make) {
  std::vector<Clock::time_point> answered(static_cast<size_t>(count));
  std::atomic<int> next{0}, failed{0};
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> clients;
    for (int c = 0; c < kClients; ++c) {
      clients.emplace_back([&] {
        for (int i; (i = next++) < count;) {
          if (rate > 0)
            std::this_thread::sleep_until(
                begin + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(static_cast<double>(i) / rate)));
          failed += kube::Call(server, make(i), {}).ok() ? 0 : 1;
          answered[static_cast<size_t>(i)] = Clock::now();
        }
      });
    }
  }
  if (failed > 0) std::fprintf(stderr, "%d of %d requests failed\n", failed.load(), count);
  return answered;
}

Observer::Observer(kube::Transport& server, const kube::Resource& resource, const std::string& ns,
                   std::function<std::string(const Json&)> name_if)
    : thread_([this, &server, resource, ns, name_if](std::stop_token stop) {
        kube::WatchSink sink;
        sink.event = [&](kube::WatchEvent what, const Json& object) {
          if (what == kube::WatchEvent::kDelete || what == kube::WatchEvent::kBookmark) return;
          const std::string name = name_if(object);
          if (name.empty()) return;
          const std::lock_guard lock(mutex_);
          seen_.emplace(name, Clock::now());
        };
        sink.listed = [&](int64_t, std::set<std::string>) { ready_ = true; };
        sink.trouble = [](const std::optional<Error>&) {};
        kube::Watch(server, {resource, ns, true, 500}, sink, stop);
      }) {
  while (!ready_) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

void Observer::WaitFor(size_t count, std::chrono::seconds patience) {
  size_t last = 0;
  for (auto changed = Clock::now(); Clock::now() - changed < patience;) {
    const size_t now = seen().size();
    if (now >= count) return;
    if (now != last) changed = Clock::now();
    last = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

Times Observer::seen() {
  const std::lock_guard lock(mutex_);
  return seen_;
}

Json Measure(const std::string& what, const Times& from, const Times& to, Clock::time_point begin) {
  std::vector<double> waits;
  Clock::time_point last = begin;
  for (const auto& [name, created] : from) {
    const auto at = to.find(name);
    if (at == to.end()) continue;
    waits.push_back(Seconds(at->second - created) * 1000);
    last = std::max(last, at->second);
  }
  std::sort(waits.begin(), waits.end());
  if (waits.empty()) return {{"what", what}, {"count", 0}};
  return {{"what", what},
          {"count", waits.size()},
          {"of", from.size()},
          {"per_second", static_cast<double>(waits.size()) / Seconds(last - begin)},
          {"p50_ms", waits[waits.size() / 2]},
          {"p99_ms", waits[waits.size() * 99 / 100]}};
}

Json MeasureRate(const std::string& what, const std::vector<Clock::time_point>& answered,
                 Clock::time_point begin) {
  const auto last = *std::max_element(answered.begin(), answered.end());
  return {{"what", what},
          {"count", answered.size()},
          {"per_second", static_cast<double>(answered.size()) / Seconds(last - begin)}};
}

void MakeNamespace(kube::Transport& server, const std::string& name) {
  (void)kube::Call(server, kube::CreateRequest(kNamespaces, "", {{"metadata", {{"name", name}}}}),
                   {});
  // Not left to its controller, which may not run.
  const kube::Resource accounts{"", "v1", "serviceaccounts"};
  (void)kube::Call(
      server,
      kube::CreateRequest(
          accounts, name,
          {{"apiVersion", "v1"}, {"kind", "ServiceAccount"}, {"metadata", {{"name", "default"}}}}),
      {});
}

Json Task(const std::string& name, const std::string& cpu, const std::string& run_for) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TaskRequest"},
          {"metadata", {{"name", name}}},
          {"spec",
           {{"template",
             {{"metadata", {{"annotations", {{"spillway.dev/run-for", run_for}}}}},
              {"spec",
               {{"containers",
                 {{{"name", "c"},
                   {"image", "x"},
                   {"resources", {{"requests", {{"cpu", cpu}, {"memory", "256Mi"}}}}}}}}}}}}}}};
}

}  // namespace spillway::bench
