// Random users, clouds, nodes and restarts against the core, from a seed, with what must always
// hold checked after every step.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

class Chaos {
 public:
  explicit Chaos(unsigned seed) : random_(seed) {
    if (seed % 2 == 0) api.reorder.emplace(seed);
    for (int i = 0; i < 3; ++i) api.AddServer("s" + std::to_string(i), std::to_string(2 + i * 2));
    api.AddPool("spot", "4", 1);
    api.AddPool("on-demand", "8");
    api.pools["spot"].spec.max_servers = 2;
    api.Settle();
  }

  void Step() {
    static constexpr void (Chaos::*kActions[])() = {
        &Chaos::Submit,     &Chaos::Submit,   &Chaos::Submit,     &Chaos::MovePod,
        &Chaos::MovePod,    &Chaos::MovePod,  &Chaos::MovePod,    &Chaos::EditTask,
        &Chaos::DeleteTask, &Chaos::LoseNode, &Chaos::ReturnNode, &Chaos::Cordon,
        &Chaos::Provide,    &Chaos::Provide,  &Chaos::TakeClaim,  &Chaos::Restart,
        &Chaos::Wait,       &Chaos::Wait,     &Chaos::DeletePod};
    (this->*kActions[Pick(std::size(kActions))])();
    if (Pick(4) != 0) api.Settle();  // otherwise it happens together with the next
    Check();
  }

  // No more faults: every pod runs and ends well, every claim becomes a server.
  void Quiet() {
    for (auto& [name, server] : api.servers) {
      if (server.spec.cordoned) server.spec.cordoned = false, api.Change(server);
    }
    for (int i = 0; i < 400; ++i) {
      ReturnNode();
      Provide();
      for (auto& [key, pod] : std::map(api.pods)) {
        if (api.pods.contains(key) && !pod.terminal())
          api.SetPod(pod.meta.name,
                     pod.phase == PodPhase::kPending ? PodPhase::kRunning : PodPhase::kSucceeded);
      }
      api.Advance(seconds(20));
      Check();
    }
  }

  void Check() {
    std::map<std::string, int64_t> used;
    std::map<std::string, int> live;
    for (const auto& [key, pod] : api.pods) {
      if (pod.terminal()) continue;
      used[pod.node_name] += pod.requests.cpu_milli;
      if (api.nodes.contains(pod.node_name)) ++live[pod.meta.owners.at(0).uid];
    }
    for (const auto& [node, cpu] : used) {
      if (api.nodes.contains(node)) {
        ASSERT_LE(cpu, api.nodes.at(node).allocatable.cpu_milli) << "overcommitted " << node;
      }
    }
    for (const auto& [uid, count] : live) ASSERT_LE(count, 1) << "two pods at once for " << uid;
    std::map<std::string, int> open;
    for (const auto& [name, scale] : api.scales) {
      const auto phase = scale.status.phase;
      const bool on_its_way = phase == api::ScalePhase::kNone ||
                              phase == api::ScalePhase::kRequested ||
                              phase == api::ScalePhase::kProvisioning;
      if (on_its_way) {
        ASSERT_LE(++open[name.substr(0, name.rfind('-'))], 1) << "bought twice: " << name;
      }
    }
    for (const auto& [key, task] : api.tasks) {
      if (!api::Finished(task.status.phase)) continue;
      const auto [at, added] = results_.emplace(task.meta.uid, task.status.phase);
      ASSERT_EQ(at->second, task.status.phase) << key << " has changed its result";
    }
  }

  ApiModel api;

 private:
  size_t Pick(size_t n) { return random_() % n; }
  template <typename Map>
  typename Map::mapped_type* Any(Map& map) {
    if (map.empty()) return nullptr;
    return &std::next(map.begin(), static_cast<std::ptrdiff_t>(Pick(map.size())))->second;
  }

  void Submit() {
    if (api.tasks.size() > 40) return;
    api::Json spec{{"priority", Pick(3)},
                   {"exclusive", Pick(8) == 0},
                   {"retry", {{"limit", Pick(3)}, {"backoffSeconds", Pick(20)}}}};
    static constexpr const char* kPolicies[] = {"PreferLocal", "PreferLocal", "LocalOnly",
                                                "CloudOnly"};
    spec["placement"] = {{"policy", kPolicies[Pick(4)]}, {"burstAfterSeconds", Pick(2) * 30}};
    if (Pick(6) == 0) spec["activeDeadlineSeconds"] = 60;
    api.AddTask("t" + std::to_string(++submitted_), spec, std::to_string(1 + Pick(4)));
  }
  void MovePod() {
    api::Pod* pod = Any(api.pods);
    if (pod == nullptr || pod->terminal()) return;
    const bool fails = Pick(4) == 0;
    const auto next = pod->phase == PodPhase::kPending ? PodPhase::kRunning
                      : fails                          ? PodPhase::kFailed
                                                       : PodPhase::kSucceeded;
    api.SetPod(pod->meta.name, next, fails ? 1 : 0);
  }
  void EditTask() {
    api::TaskRequest* task = Any(api.tasks);
    if (task == nullptr) return;
    switch (Pick(3)) {
      case 0:
        task->spec.suspend = !task->spec.suspend;
        break;
      case 1:
        task->spec.priority = static_cast<int64_t>(Pick(5));
        break;
      default:
        task->spec.cancel = task->spec.cancel || Pick(3) == 0;
    }
    api.Change(*task);
  }
  void DeleteTask() {
    const api::TaskRequest* task = Any(api.tasks);
    if (task == nullptr || Pick(3) != 0) return;
    const std::string key = task->meta.key(), uid = task->meta.uid;
    api.Remove(api.tasks, key);
    for (const auto& [pod_key, pod] : std::map(api.pods)) {
      if (pod.meta.owners.at(0).uid == uid) api.Remove(api.pods, pod_key);  // garbage collection
    }
  }
  void DeletePod() {
    const api::Pod* pod = Any(api.pods);
    if (pod != nullptr && Pick(3) == 0) api.Remove(api.pods, pod->meta.key());
  }
  void LoseNode() {
    const api::Node* node = Any(api.nodes);
    if (node != nullptr && Pick(3) == 0) api.Remove(api.nodes, std::string(node->meta.name));
  }
  void ReturnNode() {
    for (int i = 0; i < 3; ++i) {
      const std::string name = "s" + std::to_string(i);
      if (!api.nodes.contains(name)) api.AddNode(name, std::to_string(2 + i * 2));
    }
  }
  void Cordon() {
    api::RegisteredServer* server = Any(api.servers);
    if (server == nullptr) return;
    server->spec.cordoned = !server->spec.cordoned;
    api.Change(*server);
  }
  void Provide() {
    for (auto& [name, claim] : api.claims) {
      if (!claim.node_name.empty()) continue;
      const auto scale = std::find_if(api.scales.begin(), api.scales.end(), [&](const auto& entry) {
        return entry.second.meta.uid == claim.request_uid;
      });
      const bool spot = scale != api.scales.end() && scale->second.pool == "spot";
      return api.ProvideServer("cloud-" + std::to_string(++provided_), spot ? "4" : "8");
    }
  }
  void TakeClaim() {
    const api::CloudServer* claim = Any(api.claims);
    if (claim == nullptr || Pick(2) != 0) return;
    const std::string node = claim->node_name;
    api.Remove(api.claims, std::string(claim->name));
    if (api.nodes.contains(node)) api.Remove(api.nodes, node);
  }
  void Restart() {
    if (Pick(2) == 0) {
      // It could not write any status for a while, and then it ended.
      api.drop_statuses = true;
      Submit();
      api.Settle();
      api.drop_statuses = false;
    }
    api.Restart();
  }
  void Wait() { api.Advance(seconds(Pick(90))); }

  std::mt19937 random_;
  std::map<std::string, api::TaskPhase> results_;
  int submitted_ = 0, provided_ = 0;
};

TEST(ChaosTest, WhatMustAlwaysHoldHoldsAndEverythingEnds) {
  // More, or one that failed: SPILLWAY_CHAOS_SEEDS=<first>-<last>.
  unsigned first = 1, last = 20;
  if (const char* range = std::getenv("SPILLWAY_CHAOS_SEEDS"))
    std::sscanf(range, "%u-%u", &first, &last);
  for (unsigned seed = first; seed <= last && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos chaos(seed);
    for (int i = 0; i < 200 && !testing::Test::HasFatalFailure(); ++i) chaos.Step();
    if (testing::Test::HasFatalFailure()) return;
    chaos.Quiet();
    for (const auto& [key, task] : chaos.api.tasks) {
      const bool held = task.spec.suspend && !task.spec.cancel;
      ASSERT_TRUE(api::Finished(task.status.phase) || held)
          << key << " is " << api::ToString(task.status.phase) << ": "
          << EncodeStatus(task.status).dump();
    }
    ASSERT_TRUE(chaos.api.claims.empty()) << "a purchase is left behind";
  }
}

}  // namespace
}  // namespace spillway::core
