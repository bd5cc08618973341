// One measurement on a real API server, as a line of JSON for each figure; hack/bench puts them
// into an order and a report.
#include <cstdio>
#include <cstdlib>

#include "tests/bench/bought.h"
#include "tests/bench/load.h"

namespace {

using namespace spillway;
using namespace spillway::bench;

void Print(const Json& line) {
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

std::string Numbered(const std::string& prefix, int i) { return prefix + "-" + std::to_string(i); }

std::string Phase(const Json& object) {
  return object.contains("status") ? object["status"].value("phase", "") : "";
}

std::string BoundTask(const Json& pod) {
  if (pod["spec"].value("nodeName", "").empty()) return "";
  return pod["metadata"].value("labels", Json::object()).value("spillway.dev/task-name", "");
}

// The ceilings: what the API server takes of the writes that a task is made of.
void Raw(kube::Transport& server, const std::string& ns, int count) {
  auto begin = Clock::now();
  Print(MeasureRate("raw create of a TaskRequest",
                    SendAll(server, count, 0,
                            [&](int i) {
                              Json task = Task(Numbered("raw", i), "1", "1s");
                              task["spec"]["suspend"] = true;
                              return kube::CreateRequest(kTasks, ns, task);
                            }),
                    begin));
  begin = Clock::now();
  Print(MeasureRate(
      "raw patch of its status",
      SendAll(server, count, 0,
              [&](int i) {
                return kube::Request{
                    "PATCH", kTasks.Path(ns, Numbered("raw", i), "status"),
                    "application/merge-patch+json",
                    Json{{"status", {{"phase", "Suspended"}, {"retries", i + 1}}}}.dump()};
              }),
      begin));
  begin = Clock::now();
  Print(MeasureRate("raw create of a pod",
                    SendAll(server, count, 0,
                            [&](int i) {
                              // Of a node that does not exist: nobody touches it.
                              return kube::CreateRequest(
                                  kube::kPods, ns,
                                  {{"metadata", {{"name", Numbered("raw", i)}}},
                                   {"spec",
                                    {{"nodeName", "nowhere"},
                                     {"containers", {{{"name", "c"}, {"image", "x"}}}}}}});
                            }),
                    begin));
}

// kube-scheduler: pods from created to bound.
void Scheduler(kube::Transport& server, const std::string& ns, int count) {
  Observer bound(server, kube::kPods, ns, [](const Json& pod) {
    return pod["spec"].value("nodeName", "").empty() ? "" : pod["metadata"].value("name", "");
  });
  const auto begin = Clock::now();
  const auto answered = SendAll(server, count, 0, [&](int i) {
    return kube::CreateRequest(
        kube::kPods, ns,
        {{"metadata", {{"name", Numbered("pod", i)}}},
         {"spec",
          {{"tolerations", {{{"operator", "Exists"}}}},
           {"nodeSelector", {{"type", "kwok"}}},
           {"containers",
            {{{"name", "c"},
              {"image", "x"},
              {"resources", {{"requests", {{"cpu", "1"}, {"memory", "256Mi"}}}}}}}}}}});
  });
  bound.WaitFor(static_cast<size_t>(count), std::chrono::seconds(60));
  Times created;
  for (int i = 0; i < count; ++i) created[Numbered("pod", i)] = answered[static_cast<size_t>(i)];
  Print(Measure("kube-scheduler: created -> bound", created, bound.seen(), begin));
}

// Spillway: tasks from created to bound, told and finished.
void Tasks(kube::Transport& server, const std::string& ns, int count, double rate) {
  Observer bound(server, kube::kPods, ns, BoundTask);
  Observer finished(server, kTasks, ns, [](const Json& task) {
    return Phase(task) == "Succeeded" ? task["metadata"].value("name", "") : "";
  });
  const auto begin = Clock::now();
  const auto answered = SendAll(server, count, rate, [&](int i) {
    return kube::CreateRequest(kTasks, ns, Task(Numbered("task", i), "1", "1s"));
  });
  bound.WaitFor(static_cast<size_t>(count), std::chrono::seconds(60));
  finished.WaitFor(static_cast<size_t>(count), std::chrono::seconds(60));
  Times created;
  for (int i = 0; i < count; ++i) created[Numbered("task", i)] = answered[static_cast<size_t>(i)];
  Print(MeasureRate("Spillway: created", answered, begin));
  Print(Measure("Spillway: created -> bound", created, bound.seen(), begin));
  Print(Measure("Spillway: created -> finished, in its status", created, finished.seen(), begin));
}

// Nodes, servers and waiting tasks by the thousand.
void Fill(kube::Transport& server, int nodes, int tasks) {
  SendAll(server, nodes, 0, [](int i) {
    const std::string name = Numbered("node", i);
    const Json amounts{{"cpu", "16"}, {"memory", "64Gi"}, {"pods", "110"}};
    return kube::CreateRequest(
        kube::kNodes, "",
        {{"metadata", {{"name", name}, {"labels", {{"kubernetes.io/hostname", name}}}}},
         {"status",
          {{"allocatable", amounts},
           {"capacity", amounts},
           {"conditions", {{{"type", "Ready"}, {"status", "True"}}}}}}});
  });
  // The API server gives a new node a taint, which a controller would take away.
  SendAll(server, nodes, 0, [](int i) {
    const std::string name = Numbered("node", i);
    return kube::ReplaceRequest(
        kube::kNodes, "", name,
        {{"apiVersion", "v1"},
         {"kind", "Node"},
         {"metadata", {{"name", name}, {"labels", {{"kubernetes.io/hostname", name}}}}}});
  });
  SendAll(server, nodes, 0, [](int i) {
    const std::string name = Numbered("node", i);
    return kube::CreateRequest(kServers, "",
                               {{"apiVersion", "spillway.dev/v1alpha1"},
                                {"kind", "RegisteredServer"},
                                {"metadata", {{"name", name}}},
                                {"spec", {{"nodeName", name}}}});
  });
  MakeNamespace(server, "scale");
  const auto begin = Clock::now();
  Print(MeasureRate("create of waiting TaskRequests",
                    SendAll(server, tasks, 0,
                            [](int i) {
                              Json task =
                                  Task(Numbered("task", i), std::to_string(100 + i % 20), "1s");
                              task["spec"]["placement"] = {{"policy", "LocalOnly"}};
                              return kube::CreateRequest(kTasks, "scale", task);
                            }),
                    begin));
}

// One small task, until it is bound.
void Probe(kube::Transport& server, const std::string& ns) {
  Observer bound(server, kube::kPods, ns, BoundTask);
  const auto begin = Clock::now();
  SendAll(server, 1, 0,
          [&](int) { return kube::CreateRequest(kTasks, ns, Task("probe", "1", "1s")); });
  bound.WaitFor(1, std::chrono::seconds(600));
  Print(Measure("a new task: created -> bound", {{"probe", begin}}, bound.seen(), begin));
}

// Names in place of the uids of tasks.
Times ByName(kube::Transport& server, const std::string& ns, const Times& by_uid) {
  Times out;
  const auto tasks = kube::Call(server, kube::ListRequest(kTasks, ns, 1000, ""), {});
  if (!tasks) return out;
  for (const Json& task : tasks->at("items")) {
    const auto at = by_uid.find(task["metadata"].value("uid", ""));
    if (at != by_uid.end()) out[task["metadata"].value("name", "")] = at->second;
  }
  return out;
}

// What the API server itself takes for two creations in a row, as a purchase needs them, while all
// the rest goes on: twice a second until stopped. On trial, so that nobody acts on them.
Json MeasureFloor(kube::Transport& server, const std::string& ns, std::stop_token stop) {
  Times from, to;
  const auto begin = Clock::now();
  for (int i = 0; !stop.stop_requested(); ++i) {
    const std::string name = Numbered("floor", i);
    from[name] = Clock::now();
    for (int write = 0; write < 2; ++write) {
      auto request = kube::CreateRequest(kTasks, ns, Task(name, "2", "60s"));
      request.path += "?dryRun=All";
      (void)kube::Call(server, request, stop);
    }
    to[name] = Clock::now();
    kube::SleepFor(std::chrono::milliseconds(500), stop);
  }
  return Measure("burst: two creations in a row on trial, beside it", from, to, begin);
}

// How often the time of two creations in a row a figure is.
Json Beside(const Json& floor, Json figure) {
  for (const char* key : {"p50", "p99"}) {
    const std::string ms = std::string(key) + "_ms";
    if (figure.contains(ms) && floor.value(ms, 0.0) > 0)
      figure[std::string(key) + "_of_two_creations"] =
          figure[ms].get<double>() / floor[ms].get<double>();
  }
  return figure;
}

// No local server has room: each task needs a server of its own, of the engine that cloud is.
void Burst(kube::Transport& server, const std::string& ns, int count, const Bought& cloud) {
  const auto bought = Watched(server, cloud);
  if (bought == nullptr) return (void)std::fprintf(stderr, "no such cloud service\n");
  Observer running(server, kTasks, ns, [](const Json& task) {
    const std::string phase = Phase(task);
    return phase == "Running" || phase == "Succeeded" ? task["metadata"].value("name", "") : "";
  });
  Json floor;
  std::jthread beside([&](std::stop_token stop) { floor = MeasureFloor(server, ns, stop); });
  const auto begin = Clock::now();
  const auto answered = SendAll(server, count, 2, [&](int i) {
    return kube::CreateRequest(kTasks, ns, Task(Numbered("task", i), "2", "60s"));
  });
  beside.request_stop();
  beside.join();
  running.WaitFor(static_cast<size_t>(count), std::chrono::seconds(60));
  Times created;
  for (int i = 0; i < count; ++i) created[Numbered("task", i)] = answered[static_cast<size_t>(i)];
  Print(floor);
  Print(Beside(floor, Measure("burst: created -> " + cloud.what + " created", created,
                              ByName(server, ns, bought->seen()), begin)));
  Print(Measure("burst: created -> running on the bought node, in its status", created,
                running.seen(), begin));
}

int Run(kube::Transport& server, const std::string& mode, char** arguments, int count) {
  const auto argument = [&](int i) { return i < count ? arguments[i] : "0"; };
  const auto number = [&](int i) { return std::atoi(argument(i)); };
  if (mode == "fill") return Fill(server, number(0), number(1)), 0;
  MakeNamespace(server, argument(0));
  if (mode == "raw") return Raw(server, argument(0), number(1)), 0;
  if (mode == "scheduler") return Scheduler(server, argument(0), number(1)), 0;
  if (mode == "tasks") return Tasks(server, argument(0), number(1), number(2)), 0;
  if (mode == "probe") return Probe(server, argument(0)), 0;
  if (mode == "burst") {
    const auto cloud = BoughtOf(argument(2), argument(3), argument(4));
    if (!cloud) return std::fprintf(stderr, "%s\n", cloud.error().message.c_str()), 2;
    return Burst(server, argument(0), number(1), *cloud), 0;
  }
  return 2;
}

}  // namespace

// usage: cluster_bench KUBECONFIG raw|scheduler NAMESPACE COUNT
//        cluster_bench KUBECONFIG tasks NAMESPACE COUNT PER_SECOND   (0: as fast as possible)
//        cluster_bench KUBECONFIG fill NODES TASKS
//        cluster_bench KUBECONFIG probe NAMESPACE
//        cluster_bench KUBECONFIG burst NAMESPACE COUNT karpenter|cluster-api|pending-pod
//        cluster_bench KUBECONFIG burst NAMESPACE COUNT rest LEASES_URL FILES
//          FILES: the folder with tls.crt and tokens of the cloud service
int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const auto config = kube::LoadKubeconfig(argv[1]);
  if (!config) return std::fprintf(stderr, "%s\n", config.error().message.c_str()), 1;
  const auto transport = kube::MakeTransport(*config);
  if (!transport) return 1;
  return Run(**transport, argv[2], argv + 3, argc - 3);
}
