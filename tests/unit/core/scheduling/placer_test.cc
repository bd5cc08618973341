#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;

TEST(PlacerTest, BindsAtCreationUnderADeterministicName) {
  ApiModel api;
  api.AddServer("s1");
  api.AddTask("t");
  api.Settle();
  const api::Pod& pod = api.pods.at("ns/t-1");
  EXPECT_EQ(pod.node_name, "s1");
  EXPECT_EQ(pod.meta.owners.at(0).uid, api.tasks.at("ns/t").meta.uid);
  EXPECT_EQ(pod.meta.labels.at(api::kAttemptLabel), "1");
}

TEST(PlacerTest, NeverOvercommitsAServer) {
  ApiModel api;
  api.AddServer("s1", "4");
  for (int i = 0; i < 10; ++i) api.AddTask("t" + std::to_string(i));
  api.Settle();
  EXPECT_EQ(api.pods.size(), 4u);
  EXPECT_EQ(api.world().servers.ledger.On("s1").used.cpu_milli, 4000);
}

TEST(PlacerTest, LeavesRoomForPodsOfOthers) {
  ApiModel api;
  api.AddServer("s1", "4");
  api::Pod foreign;
  foreign.meta.ns = "kube-system", foreign.meta.name = "daemon", foreign.meta.uid = "x",
  foreign.meta.resource_version = 1;
  foreign.node_name = "s1";
  foreign.requests.cpu_milli = 3500;
  api.pods["kube-system/daemon"] = foreign;
  api.Restart();
  api.AddTask("t");
  api.Settle();
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
}

TEST(PlacerTest, ChoosesTheFullestServerThatFits) {
  ApiModel api;
  api.AddServer("big", "16");
  api.AddServer("small", "2");
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "small");
}

TEST(PlacerTest, PrefersLocalToCloudAndCheapToDear) {
  ApiModel api;
  for (const char* name : {"a-dear-cloud", "b-cheap-cloud", "c-local"}) api.AddServer(name, "1");
  api.servers["a-dear-cloud"].spec.cloud = api.servers["b-cheap-cloud"].spec.cloud = true;
  api.servers["a-dear-cloud"].spec.price_micros = 900;
  api.servers["b-cheap-cloud"].spec.price_micros = 100;
  api.Change(api.servers["a-dear-cloud"]);
  api.Change(api.servers["b-cheap-cloud"]);
  for (const char* name : {"t1", "t2", "t3"}) {
    api.AddTask(name);
    api.Advance(std::chrono::seconds(1));
  }
  EXPECT_EQ(api.pods.at("ns/t1-1").node_name, "c-local");
  EXPECT_EQ(api.pods.at("ns/t2-1").node_name, "b-cheap-cloud");
  EXPECT_EQ(api.pods.at("ns/t3-1").node_name, "a-dear-cloud");
}

TEST(PlacerTest, ServesHigherPriorityFirstAndThenTheOlder) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("running");
  api.Settle();
  api.AddTask("b-old");
  api.Advance(std::chrono::seconds(1));
  api.AddTask("a-new");
  api.AddTask("urgent", {{"priority", 10}});
  api.Settle();
  std::vector<std::string> order;
  std::string last = "running-1";
  for (int i = 0; i < 3; ++i) {
    api.SetPod(last, api::PodPhase::kSucceeded);
    api.Settle();
    for (const auto& [key, pod] : api.pods) {
      if (!pod.terminal()) last = pod.meta.name;
    }
    order.push_back(last);
  }
  EXPECT_EQ(order, (std::vector<std::string>{"urgent-1", "b-old-1", "a-new-1"}));
}

TEST(PlacerTest, AChangedPriorityMovesATaskInTheQueue) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("running");
  api.Settle();
  api.AddTask("a");
  api.AddTask("b");
  api.Settle();
  api.tasks["ns/b"].spec.priority = 5;
  api.Change(api.tasks["ns/b"]);
  api.SetPod("running-1", api::PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/b-1"));
  EXPECT_FALSE(api.pods.contains("ns/a-1"));
}

TEST(PlacerTest, FindsRoomThatGrewWhileNoTaskThatAsksForTheSameWaited) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddTask("same");  // keeps in mind that there was no room
  api.AddTask("large", {}, "3");
  api.Settle();
  api.AddTask("refused");
  api.Settle();
  api.Remove(api.tasks, "ns/refused");
  api.Settle();
  api.SetPod("large-1", api::PodPhase::kSucceeded);
  api.Settle();
  api.AddTask("t");
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/t-1"));
}

TEST(PlacerTest, LooksFurtherWhenTheFirstInLineHasNoRoom) {
  ApiModel api;
  api.AddServer("s1", "4");
  api.AddTask("a", {}, "2");
  api.AddTask("b", {}, "2");
  api.Settle();
  api.AddTask("first", {}, "4");
  api.Advance(std::chrono::seconds(1));
  api.AddTask("second", {}, "1");
  api.AddTask("other", {}, "1", "team");
  api.Settle();
  api.SetPod("a-1", api::PodPhase::kSucceeded);
  api.Settle();
  EXPECT_TRUE(api.pods.contains("ns/second-1"));
  EXPECT_TRUE(api.pods.contains("team/other-1"));
}

struct FitCase {
  const char* name;
  Json spec;                               // of the task
  std::function<void(ApiModel&)> arrange;  // beside a server s1 of 4 cpus
  bool fits;
};

class FitTest : public testing::TestWithParam<FitCase> {};

TEST_P(FitTest, DecidesWhetherTheServerTakesTheTask) {
  ApiModel api;
  api.AddServer("s1", "4");
  if (GetParam().arrange) GetParam().arrange(api);
  api.Settle();
  api.AddTask("t", GetParam().spec);
  api.Advance(std::chrono::seconds(1));
  EXPECT_EQ(api.pods.contains("ns/t-1"), GetParam().fits);
  if (!GetParam().fits) {
    ASSERT_NE(api.Status("t").explanation, nullptr);
    EXPECT_NE(api.Status("t").explanation->summary.find("0 of 1 servers fit: 1 "),
              std::string::npos)
        << api.Status("t").explanation->summary;
  }
}

Json Requires(const char* key, const char* op, std::vector<std::string> values) {
  return {{"requirements", {{{"key", key}, {"operator", op}, {"values", std::move(values)}}}}};
}
Json WithPod(Json pod_spec) {
  if (!pod_spec.contains("containers")) pod_spec["containers"] = {{{"name", "c"}}};
  return {{"template", {{"spec", std::move(pod_spec)}}}};
}
template <typename Edit>
std::function<void(ApiModel&)> Node(Edit edit) {
  return [edit](ApiModel& api) {
    edit(api.nodes["s1"]);
    api.Change(api.nodes["s1"]);
  };
}
template <typename Edit>
std::function<void(ApiModel&)> Server(Edit edit) {
  return [edit](ApiModel& api) {
    edit(api.servers["s1"]);
    api.Change(api.servers["s1"]);
  };
}
INSTANTIATE_TEST_SUITE_P(
    Rules, FitTest,
    testing::Values(
        FitCase{"plain", {}, nullptr, true},
        FitCase{"capability", Requires("gpu", "In", {"a100"}),
                Server([](auto& s) { s.spec.capabilities["gpu"] = "a100"; }), true},
        FitCase{"missing_capability", Requires("gpu", "In", {"a100"}), nullptr, false},
        FitCase{"label_counts_as_capability", Requires("zone", "In", {"a"}),
                Node([](auto& n) { n.meta.labels["zone"] = "a"; }), true},
        FitCase{"capability_wins_over_label", Requires("zone", "In", {"a"}),
                [](ApiModel& api) {
                  Node([](auto& n) { n.meta.labels["zone"] = "a"; })(api);
                  Server([](auto& s) { s.spec.capabilities["zone"] = "b"; })(api);
                },
                false},
        FitCase{"version_in_range", Requires("driver", "Version", {">=550 <600"}),
                Server([](auto& s) { s.spec.capabilities["driver"] = "550.54"; }), true},
        FitCase{"version_out_of_range", Requires("driver", "Version", {">=550 <600"}),
                Server([](auto& s) { s.spec.capabilities["driver"] = "535"; }), false},
        FitCase{"taint",
                {},
                Node([](auto& n) {
                  n.taints = {{"k", "", "NoSchedule"}};
                }),
                false},
        FitCase{"tolerated_taint",
                WithPod({{"tolerations", {{{"key", "k"}, {"operator", "Exists"}}}}}),
                Node([](auto& n) {
                  n.taints = {{"k", "", "NoSchedule"}};
                }),
                true},
        FitCase{"node_selector", WithPod({{"nodeSelector", {{"disk", "ssd"}}}}), nullptr, false},
        FitCase{"matching_node_selector", WithPod({{"nodeSelector", {{"disk", "ssd"}}}}),
                Node([](auto& n) { n.meta.labels["disk"] = "ssd"; }), true},
        FitCase{"cordoned", {}, Server([](auto& s) { s.spec.cordoned = true; }), false},
        FitCase{"unschedulable_node", {}, Node([](auto& n) { n.unschedulable = true; }), false},
        FitCase{"not_ready", {}, Node([](auto& n) { n.ready = api::NodeReady::kFalse; }), false},
        FitCase{
            "too_large",
            WithPod(Json::parse(R"({"containers":[{"resources":{"requests":{"cpu":"4001m"}}}]})")),
            nullptr, false},
        FitCase{"exactly_full",
                WithPod(Json::parse(R"({"containers":[{"resources":{"requests":{"cpu":"4"}}}]})")),
                nullptr, true},
        FitCase{"missing_gpu",
                WithPod(Json::parse(
                    R"({"containers":[{"resources":{"requests":{"nvidia.com/gpu":"1"}}}]})")),
                nullptr, false},
        FitCase{"gpu",
                WithPod(Json::parse(
                    R"({"containers":[{"resources":{"requests":{"nvidia.com/gpu":"1"}}}]})")),
                Node([](auto& n) { n.allocatable.extended["nvidia.com/gpu"] = 1; }), true},
        FitCase{"max_tasks",
                {},
                [](ApiModel& api) {
                  Server([](auto& s) { s.spec.max_tasks = 1; })(api);
                  api.Occupy();
                },
                false},
        FitCase{"max_pods",
                {},
                [](ApiModel& api) {
                  Node([](auto& n) { n.max_pods = 1; })(api);
                  api.Occupy();
                },
                false},
        FitCase{"exclusive_wants_it_empty",
                {{"exclusive", true}},
                [](ApiModel& api) { api.Occupy(); },
                false},
        FitCase{"exclusive_keeps_others_away",
                {},
                [](ApiModel& api) {
                  api.Occupy({{"exclusive", true}});
                },
                false},
        FitCase{"host_port_taken",
                WithPod(Json::parse(R"({"containers":[{"ports":[{"hostPort":80}]}]})")),
                [](ApiModel& api) {
                  api.Occupy(
                      WithPod(Json::parse(R"({"containers":[{"ports":[{"hostPort":80}]}]})")));
                },
                false},
        FitCase{"cloud_only", {{"placement", {{"policy", "CloudOnly"}}}}, nullptr, false},
        FitCase{"local_only_refuses_cloud",
                {{"placement", {{"policy", "LocalOnly"}}}},
                Server([](auto& s) { s.spec.cloud = true; }),
                false},
        FitCase{"too_expensive",
                {{"placement", {{"maxPricePerHour", "0.1"}}}},
                Server([](auto& s) { s.spec.price_micros = 200000; }),
                false}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace spillway::core
