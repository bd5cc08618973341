// 1,000 TaskRequests from created to bound on a real API server, with the raw rate of status
// patches on the same API server before and after, so that the figures can be compared. See
// hack/bench.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "operator/kube/watcher.h"

namespace {

using namespace spillway;
using Clock = std::chrono::steady_clock;
using kube::Json;

constexpr int kClients = 32;
const kube::Resource kTasks{"spillway.dev", "v1alpha1", "taskrequests"};
constexpr char kNamespace[] = "bench";

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// call(i) for each i, by 32 clients side by side; the rate per second.
double Rate(int count, const std::function<bool(int)>& call) {
  std::atomic<int> next{0}, failed{0};
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> clients;
    for (int c = 0; c < kClients; ++c) {
      clients.emplace_back([&] {
        for (int i; (i = next++) < count;) failed += call(i) ? 0 : 1;
      });
    }
  }
  if (failed > 0) std::fprintf(stderr, "%d of %d calls failed\n", failed.load(), count);
  return count / Seconds(Clock::now() - begin);
}

Json Task(const std::string& name, bool suspend) {
  return {{"apiVersion", "spillway.dev/v1alpha1"},
          {"kind", "TaskRequest"},
          {"metadata", {{"name", name}, {"namespace", kNamespace}}},
          {"spec",
           {{"suspend", suspend},
            {"template",
             {{"metadata", {{"annotations", {{"spillway.dev/run-for", "600s"}}}}},
              {"spec",
               {{"containers",
                 {{{"name", "c"},
                   {"image", "x"},
                   {"resources", {{"requests", {{"cpu", "1"}, {"memory", "1Gi"}}}}}}}}}}}}}}};
}

// When each object was first seen to fulfil a condition.
class Observer {
 public:
  Observer(kube::Transport& transport, const kube::Resource& resource,
           std::function<std::string(const Json&)> name_if)
      : thread_([this, &transport, resource, name_if](std::stop_token stop) {
          kube::WatchSink sink;
          sink.event = [&](kube::WatchEvent what, const Json& object) {
            if (what != kube::WatchEvent::kUpsert) return;
            const std::string name = name_if(object);
            if (name.empty()) return;
            const std::lock_guard lock(mutex_);
            seen_.emplace(name, Clock::now());
          };
          sink.listed = [&](int64_t, std::set<std::string>) { ready_ = true; };
          sink.trouble = [](const std::optional<Error>&) {};
          kube::Watch(transport, {resource, kNamespace, false, 500}, sink, stop);
        }) {
    while (!ready_) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::map<std::string, Clock::time_point> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> seen_;
  std::atomic<bool> ready_{false};
  std::jthread thread_;
};

void Report(const char* what, const std::map<std::string, Clock::time_point>& from,
            const std::map<std::string, Clock::time_point>& to, Clock::time_point begin) {
  std::vector<double> waits;
  Clock::time_point last = begin;
  for (const auto& [name, created] : from) {
    const auto at = to.find(name);
    if (at == to.end()) continue;
    waits.push_back(Seconds(at->second - created) * 1000);
    last = std::max(last, at->second);
  }
  std::sort(waits.begin(), waits.end());
  if (waits.empty()) return;
  std::printf("%-34s %5zu of %zu  %7.0f/s  p50 %6.0f ms  p99 %6.0f ms\n", what, waits.size(),
              from.size(), static_cast<double>(waits.size()) / Seconds(last - begin),
              waits[waits.size() / 2], waits[waits.size() * 99 / 100]);
}

double PatchRate(kube::Transport& transport, const std::vector<std::string>& names) {
  return Rate(static_cast<int>(names.size()), [&](int i) {
    const kube::Request patch{
        "PATCH", kTasks.Path(kNamespace, names[static_cast<size_t>(i)], "status"),
        "application/merge-patch+json", Json{{"status", {{"retries", i + 1}}}}.dump()};
    return kube::Call(transport, patch, {}).ok();
  });
}

}  // namespace

// usage: cluster_bench KUBECONFIG TASKS RATE; RATE tasks a second, 0 for as fast as possible.
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int count = std::atoi(argv[2]), rate = std::atoi(argv[3]);
  auto config = kube::LoadKubeconfig(argv[1]);
  if (!config) return std::fprintf(stderr, "%s\n", config.error().message.c_str()), 1;
  auto transport = kube::MakeTransport(*config);
  if (!transport) return 1;
  kube::Transport& server = **transport;
  (void)kube::Call(
      server,
      kube::CreateRequest({"", "v1", "namespaces"}, "", {{"metadata", {{"name", kNamespace}}}}),
      {});
  for (int i = 0;
       i < 100 &&
       !kube::Call(server, kube::GetRequest({"", "v1", "serviceaccounts"}, kNamespace, "default"),
                   {})
            .ok();
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }

  const auto bound_name = [](const Json& pod) {
    const Json labels = pod["metadata"].value("labels", Json::object());
    return pod["spec"].value("nodeName", "").empty() ? std::string()
                                                     : labels.value("spillway.dev/task-name", "");
  };
  const auto assigned_name = [](const Json& task) {
    return task.contains("status") && task["status"].contains("assignment")
               ? task["metadata"].value("name", "")
               : std::string();
  };
  Observer pods(server, kube::kPods, bound_name), statuses(server, kTasks, assigned_name);
  std::map<std::string, Clock::time_point> created;
  std::mutex mutex;
  const auto begin = Clock::now();
  const double create_rate = Rate(count, [&](int i) {
    if (rate > 0)
      std::this_thread::sleep_until(begin + std::chrono::microseconds(1'000'000LL * i / rate));
    const std::string name = "t-" + std::to_string(i);
    const bool ok =
        kube::Call(server, kube::CreateRequest(kTasks, kNamespace, Task(name, false)), {}).ok();
    const std::lock_guard lock(mutex);
    created[name] = Clock::now();
    return ok;
  });
  for (int i = 0; i < 600 && statuses.seen().size() < created.size(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::printf("created                            %5d          %7.0f/s\n", count, create_rate);
  Report("created -> bound (pod)", created, pods.seen(), begin);
  Report("created -> assignment in status", created, statuses.seen(), begin);

  // The ceiling: objects that the operator leaves alone, patched once each.
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("held-" + std::to_string(i));
  const double raw_create = Rate(count, [&](int i) {
    return kube::Call(
               server,
               kube::CreateRequest(kTasks, kNamespace, Task(names[static_cast<size_t>(i)], true)),
               {})
        .ok();
  });
  std::this_thread::sleep_for(std::chrono::seconds(5));
  std::printf("raw create (operator running)      %5d          %7.0f/s\n", count, raw_create);
  std::printf("raw status patch                   %5d          %7.0f/s\n", count,
              PatchRate(server, names));
  return 0;
}
