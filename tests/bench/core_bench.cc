// The decision path on one core: how many tasks a second are given to servers, how that depends on
// the number of servers, shapes and waiting tasks, and what memory each takes.
#include <benchmark/benchmark.h>

#include <chrono>
#include <random>

#include "operator/core/core.h"
#include "operator/core/scheduling/admission.h"
#include "operator/core/scheduling/assume.h"
#include "operator/core/scheduling/placer.h"
#include "operator/core/scheduling/waiting.h"
#include "operator/core/tasks/carry_out.h"
#include "operator/core/world.h"
#include "tests/heap.h"

namespace {

using namespace spillway;
using namespace spillway::core;

constexpr Time kNow = Time{} + std::chrono::seconds(1'800'000'000);

// A core with servers of 8 CPUs and tasks of many shapes, fed as the shell feeds it.
class Fleet {
 public:
  Fleet(int64_t servers, int64_t shapes, int64_t tasks) : shapes_(shapes) {
    const size_t empty = HeapBytes();
    std::vector<Event> events;
    for (int64_t i = 0; i < servers; ++i) AddServer(events, i);
    for (size_t kind = 0; kind < kKinds; ++kind) {
      if (static_cast<Kind>(kind) != Kind::kTask)
        events.push_back(Listed{static_cast<Kind>(kind), 0, {}});
    }
    Step(events);
    const size_t with_servers = HeapBytes();
    std::vector<Event>().swap(events);
    for (int64_t i = 0; i < tasks; ++i) events.push_back(Seen{Task(i)});
    events.push_back(Listed{Kind::kTask, 0, {}});
    events.push_back(Measured{});
    Step(events);  // the first decision
    BindRest();
    std::vector<Event>().swap(events);
    server_bytes = servers > 0 ? (with_servers - empty) / static_cast<size_t>(servers) : 0;
    task_bytes = tasks > 0 ? (HeapBytes() - with_servers) / static_cast<size_t>(tasks) : 0;
  }

  StepResult Step(const std::vector<Event>& events) {
    StepResult result = core_.Step(events, now_);
    for (const Effect& effect : result.effects) {
      const auto* write = std::get_if<Write>(&effect);
      if (write != nullptr && write->kind == Kind::kPod && write->verb == Verb::kCreate)
        bound.push_back(*write);
    }
    return result;
  }
  // As the first pod of each kind is created, the others are bound.
  void BindRest() {
    for (size_t answered = 0; answered < bound.size();) {
      for (; answered < bound.size(); ++answered) Answer(bound[answered]);
      Step({});
    }
  }
  // The pod can be created; nobody has seen it yet.
  void Answer(const Write& write) {
    TaskState* task = world().tasks.ByUid(write.uid);
    const Outcome outcome = Created(write);
    const auto* pod = outcome.object ? std::get_if<api::Pod>(&*outcome.object) : nullptr;
    CreationAnswered(world(), *task->owner, task, outcome, pod);
  }
  // The pod of a bound task as the API server shows it, in the given phase.
  api::Pod Pod(const Write& write, api::PodPhase phase) {
    api::Pod pod;
    pod.meta.ns = write.ns;
    pod.meta.name = write.name;
    pod.meta.uid = "pod-" + write.uid;
    pod.meta.resource_version = ++version_;
    pod.meta.labels = {{api::kTaskLabel, "true"}, {api::kAttemptLabel, "1"}};
    pod.meta.owners = {{"TaskRequest", write.pod->task, write.uid, true, true}};
    pod.node_name = write.pod->assignment->node_name;
    pod.requests = Requests(std::strtoll(write.pod->task.c_str() + 1, nullptr, 10));
    pod.phase = phase;
    pod.started = kNow;
    if (pod.terminal()) pod.termination = api::Termination{0, "Completed", "", kNow, kNow};
    return pod;
  }
  Outcome Created(const Write& write) {
    return {Verb::kCreate, Kind::kPod, write.key(), write.uid, std::nullopt, std::nullopt};
  }
  api::TaskRequest Task(int64_t i) {
    api::TaskRequest task = prototype_;
    task.meta.ns = "ns";
    task.meta.name = "t" + std::to_string(i);
    task.meta.uid = "0b1e6f3c-5c1f-4a7e-9a55-" + std::to_string(100'000'000'000 + i);
    task.meta.resource_version = ++version_;
    task.meta.generation = 1;
    task.meta.created = kNow;
    api::Json pod = *prototype_.spec.pod_template;
    const api::Resources requests = Requests(i);
    pod["spec"]["containers"][0]["resources"]["requests"] = {
        {"cpu", std::to_string(requests.cpu_milli) + "m"},
        {"memory", std::to_string(requests.memory)}};
    task.spec.pod_template = std::make_shared<const api::Json>(std::move(pod));
    return task;
  }
  World& world() { return const_cast<World&>(core_.world()); }
  void Pass(Duration time) { now_ += time; }

  std::vector<Write> bound;
  size_t server_bytes = 0, task_bytes = 0;

 private:
  api::Resources Requests(int64_t task) const {
    return {1000, (int64_t{1} << 30) + (task % shapes_ << 20), 0, {}};
  }
  void AddServer(std::vector<Event>& events, int64_t i) {
    const std::string name = "server-" + std::to_string(i);
    api::Node node;
    node.meta.name = name;
    node.meta.uid = "node-" + name;
    node.meta.resource_version = ++version_;
    node.meta.labels = {{"kubernetes.io/hostname", name}, {"kubernetes.io/os", "linux"}};
    node.allocatable = {8'000, int64_t{64} << 30, 0, {}};
    node.max_pods = 110;
    node.ready = api::NodeReady::kTrue;
    events.push_back(Seen{node});
    api::RegisteredServer server;
    server.meta.name = name;
    server.meta.uid = "server-" + name;
    server.meta.resource_version = ++version_;
    server.spec.node_name = name;
    server.status.phase = "Ready";
    events.push_back(Seen{server});
  }

  const api::TaskRequest prototype_ = *api::DecodeTaskRequest(api::Json::parse(R"({"spec":{
    "template":{"spec":{"containers":[{"name":"task","image":"render:7","args":["--frame","42"],
      "resources":{"requests":{}}}]}},"placement":{"policy":"LocalOnly"}}})"));
  Core core_;
  Time now_ = kNow;
  int64_t shapes_, version_ = 0;
};

void Report(benchmark::State& state, const Fleet& fleet, int64_t decisions) {
  state.SetItemsProcessed(decisions);
  state.counters["bytes_per_server"] = static_cast<double>(fleet.server_bytes);
  state.counters["bytes_per_task"] = static_cast<double>(fleet.task_bytes);
}

// Makes it the task that is seen next: a thousand come in each second. What was just seen lies in
// the processor's caches.
void Renew(TaskState& task, int64_t joined) {
  task.object.meta.created = kNow + std::chrono::seconds(1 + joined / 1'000);
  benchmark::DoNotOptimize(task.key->front());
}

// A new task has run nowhere.
void Forget(TaskState& task) {
  task.binding.reset();
  task.creating.reset();
  task.object.status = {};
}

// Every server is full and tasks wait. One pod ends somewhere, its room is given to the task whose
// turn it is, and a task joins the queue: queue, match, room, ledger, index, binding and the
// effect that creates the pod. Args: servers, shapes, waiting tasks.
void BM_Decide(benchmark::State& state) {
  const int64_t full = state.range(0) * 8;
  Fleet fleet(state.range(0), state.range(1), full + state.range(2));
  std::mt19937 random(1);
  World& world = fleet.world();
  CarryOut carry_out(world, [](const auto&) { return api::StringMap{}; });
  world.effects.clear();
  std::vector<TaskState*> running;
  for (const Write& write : fleet.bound) running.push_back(world.tasks.ByUid(write.uid));
  int64_t decisions = 0, joined = 0;
  const auto decide = [&] {
    TaskState*& task = running[random() % running.size()];
    TaskState& ended = *task;
    Owner& owner = *ended.owner;
    Renew(ended, ++joined);
    const auto begin = std::chrono::steady_clock::now();
    ForgetAssumed(world, owner);
    JoinQueue(world, ended);
    PlaceWaiting(world, carry_out);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    Forget(ended);  // there are others whose turn is first
    if (world.effects.size() == 1) {
      const Write& write = std::get<Write>(world.effects.front());
      task = world.tasks.ByUid(write.uid);
      fleet.Answer(write);
      ++decisions;
    }
    world.effects.clear();
    return took.count();
  };
  // Each shape is matched with each server once, and its first pod created.
  for (int i = 0; i < 2'000; ++i) decide();
  decisions = 0;
  // What the bench itself looks up is not counted.
  for (auto _ : state) state.SetIterationTime(decide());
  if (decisions < static_cast<int64_t>(state.iterations()))
    state.SkipWithError("a task was not placed");
  Report(state, fleet, decisions);
}
BENCHMARK(BM_Decide)
    ->ArgNames({"servers", "shapes", "waiting"})
    ->ArgsProduct({{100, 1'000, 10'000}, {20, 500}, {1'000, 10'000, 100'000}})
    ->UseManualTime();

// The first decision about everything: an operator that has just started finds room for each task
// on empty servers. Args: servers, shapes, tasks.
void BM_PlaceAll(benchmark::State& state) {
  int64_t decisions = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto fleet = std::make_unique<Fleet>(state.range(0), state.range(1), 0);
    std::vector<Event> events;
    for (int64_t i = 0; i < state.range(2); ++i) events.push_back(Seen{fleet->Task(i)});
    state.ResumeTiming();
    fleet->Step(events);
    fleet->BindRest();
    decisions += static_cast<int64_t>(fleet->bound.size());
    state.PauseTiming();
    fleet.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(decisions);
}
BENCHMARK(BM_PlaceAll)
    ->ArgNames({"servers", "shapes", "tasks"})
    ->Args({1'000, 20, 8'000})
    ->Args({10'000, 20, 80'000})
    ->Unit(benchmark::kMillisecond);

// The whole way of a task through the core: created, bound, pod created, running, succeeded, with
// both statuses. Args: servers, waiting tasks.
void BM_WholeTask(benchmark::State& state) {
  Fleet fleet(state.range(0), 20, state.range(0) * 8 + state.range(1));
  std::vector<Write> running = std::exchange(fleet.bound, {});
  size_t next = 0;
  for (auto _ : state) {
    const Write write = running[next % running.size()];
    // A step is so short that no creation counts as overdue before it is its turn.
    if (next % 10 == 0) fleet.Pass(std::chrono::milliseconds(1));
    fleet.Step({fleet.Created(write), Seen{fleet.Pod(write, api::PodPhase::kRunning)}});
    fleet.Step({Seen{fleet.Pod(write, api::PodPhase::kSucceeded)}});
    for (Write& bound : fleet.bound) running[next % running.size()] = std::move(bound);
    fleet.bound.clear();
    ++next;
  }
  Report(state, fleet, static_cast<int64_t>(state.iterations()));
}
BENCHMARK(BM_WholeTask)
    ->ArgNames({"servers", "waiting"})
    ->Args({1'000, 100'000})
    ->Iterations(20'000);

}  // namespace

BENCHMARK_MAIN();
