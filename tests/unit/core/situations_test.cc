// Why a task waits, in every situation that there is: the explanation names the cause, and what it
// names is the cause, since the task starts once that is changed and nothing else.
#include <gtest/gtest.h>

#include <functional>

#include "operator/core/explain/explain.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using std::chrono::seconds;

// A task of the given requests, with other parts of the pod's spec.
Json Template(const Json& requests, const Json& pod_spec = Json::object()) {
  Json spec = pod_spec;
  spec["containers"] = {{{"name", "c"}, {"resources", {{"requests", requests}}}}};
  return {{"spec", spec}};
}

Json Task(const Json& requests, const Json& pod_spec = Json::object()) {
  return {{"template", Template(requests, pod_spec)}};
}

Json With(Json spec, const char* key, const Json& value) {
  spec[key] = value;
  return spec;
}

struct Situation {
  std::string name;
  std::function<void(ApiModel&)> set_up;
  Json task;            // its spec
  std::string says;     // in the summary, the verdicts or the task's condition
  std::string nearest;  // nearestFit; empty: there is none
  // What the explanation tells to change: of the cluster, or the spec of another task that is
  // applied instead.
  std::function<void(ApiModel&)> mend = {};
  Json instead = {};
};

void PrintTo(const Situation& situation, std::ostream* out) { *out << situation.name; }

void Node(ApiModel& api, const std::string& name, const Json& allocatable) {
  api.AddServer(name);
  api.nodes[name].allocatable = *api::DecodeResources(allocatable);
  api.Change(api.nodes[name]);
}

std::function<void(ApiModel&)> EndOther() {
  return [](ApiModel& api) { api.SetPod("other-1", api::PodPhase::kSucceeded); };
}

template <typename Edit>
std::function<void(ApiModel&)> EditServer(Edit edit) {
  return [edit](ApiModel& api) {
    edit(api.servers.at("a"));
    api.Change(api.servers.at("a"));
  };
}

template <typename Edit>
std::function<void(ApiModel&)> EditNode(Edit edit) {
  return [edit](ApiModel& api) {
    edit(api.nodes.at("a"));
    api.Change(api.nodes.at("a"));
  };
}

template <typename Edit>
std::function<void(ApiModel&)> EditPool(Edit edit) {
  return [edit](ApiModel& api) {
    edit(api.pools.at("p"));
    api.Change(api.pools.at("p"));
  };
}

// A server named a of 4 cpu and 64Gi, edited.
template <typename Edit>
std::function<void(ApiModel&)> AServer(Edit edit) {
  return [edit](ApiModel& api) {
    api.AddServer("a");
    edit(api.servers.at("a"));
    api.Change(api.servers.at("a"));
  };
}

template <typename Edit>
std::function<void(ApiModel&)> ANode(Edit edit) {
  return [edit](ApiModel& api) {
    api.AddServer("a");
    edit(api.nodes.at("a"));
    api.Change(api.nodes.at("a"));
  };
}

// A pool named p of 8 cpu and 64Gi for 0.40, edited.
template <typename Edit>
std::function<void(ApiModel&)> APool(Edit edit) {
  return [edit](ApiModel& api) {
    api.AddPool("p");
    edit(api.pools.at("p"));
    api.Change(api.pools.at("p"));
  };
}

Json Placement(const Json& placement, const Json& requests = {{"cpu", "1"}}) {
  return With(Task(requests), "placement", placement);
}

Json Affinity(const char* op, const Json& values) {
  Json expression{{"key", "zone"}, {"operator", op}};
  if (!values.is_null()) expression["values"] = values;
  return {{"affinity",
           {{"nodeAffinity",
             {{"requiredDuringSchedulingIgnoredDuringExecution",
               {{"nodeSelectorTerms", {{{"matchExpressions", {expression}}}}}}}}}}}};
}

Json Requirement(const char* key, const char* op, const Json& values) {
  Json requirement{{"key", key}, {"operator", op}};
  if (!values.is_null()) requirement["values"] = values;
  return With(Task({{"cpu", "1"}}), "requirements", Json::array({requirement}));
}

void Limit(api::RegisteredServer& server) { server.spec.max_cpu_percent = 50; }

const std::vector<Situation>& Amounts() {
  static const std::vector<Situation> kSituations{
      {"cpu",
       [](ApiModel& api) {
         Node(api, "a", {{"cpu", "3500m"}, {"memory", "8Gi"}});
       },
       Task({{"cpu", "4"}}),
       "requests 4 cpu, 3500m free",
       "would fit server a with cpu 3500m instead of 4",
       {},
       Task({{"cpu", "3500m"}})},
      {"memory",
       [](ApiModel& api) {
         Node(api, "a", {{"cpu", "4"}, {"memory", "8Gi"}});
       },
       Task({{"memory", "9Gi"}}),
       "requests 9Gi memory, 8Gi free",
       "would fit server a with memory 8Gi instead of 9Gi",
       {},
       Task({{"memory", "8Gi"}})},
      {"ephemeral storage",
       [](ApiModel& api) {
         Node(api, "a", {{"cpu", "4"}, {"memory", "8Gi"}, {"ephemeral-storage", "10Gi"}});
       },
       Task({{"ephemeral-storage", "20Gi"}}),
       "requests 20Gi ephemeral-storage, 10Gi free",
       "would fit server a with ephemeral-storage 10Gi instead of 20Gi",
       {},
       Task({{"ephemeral-storage", "10Gi"}})},
      {"gpus",
       [](ApiModel& api) {
         Node(api, "a", {{"cpu", "4"}, {"memory", "8Gi"}, {"nvidia.com/gpu", "1"}});
       },
       Task({{"nvidia.com/gpu", "2"}}),
       "requests 2 nvidia.com/gpu, 1 free",
       "would fit server a with nvidia.com/gpu 1 instead of 2",
       {},
       Task({{"nvidia.com/gpu", "1"}})},
      {"no gpu at all", [](ApiModel& api) { api.AddServer("a"); }, Task({{"nvidia.com/gpu", "1"}}),
       "requests 1 nvidia.com/gpu, 0 free", "",
       EditNode([](api::Node& node) { node.allocatable.extended["nvidia.com/gpu"] = 1; })},
      {"cpu and memory",
       [](ApiModel& api) {
         Node(api, "a", {{"cpu", "2"}, {"memory", "4Gi"}});
       },
       Task({{"cpu", "3"}, {"memory", "5Gi"}}),
       "requests 3 cpu, 2 free",
       "would fit server a with cpu 2 instead of 3 and memory 4Gi instead of 5Gi",
       {},
       Task({{"cpu", "2"}, {"memory", "4Gi"}})},
      {"the nearest of several servers",
       [](ApiModel& api) {
         Node(api, "a", {{"cpu", "2"}, {"memory", "8Gi"}});
         Node(api, "b", {{"cpu", "3"}, {"memory", "8Gi"}});
       },
       Task({{"cpu", "4"}}),
       "0 of 2 servers fit: 2 insufficient cpu",
       "would fit server b with cpu 3 instead of 4",
       {},
       Task({{"cpu", "3"}})},
      {"taken by others",
       [](ApiModel& api) {
         api.AddServer("a");
         api.Occupy(Task({{"cpu", "3"}}));
       },
       Task({{"cpu", "2"}}), "requests 2 cpu, 1 free", "would fit server a with cpu 1 instead of 2",
       EndOther()},
      {"taken as a whole",
       [](ApiModel& api) {
         api.AddServer("a");
         api.Occupy(Task({{"cpu", "4"}}));
       },
       Task({{"cpu", "2"}}), "requests 2 cpu, 0 free", "", EndOther()},
      {"too large for every server of the pool",
       [](ApiModel& api) { api.AddPool("p"); },
       Task({{"cpu", "16"}}),
       "requests 16 cpu, 8 on a server of the pool",
       "would fit a server of pool p with cpu 8 instead of 16",
       {},
       Task({{"cpu", "8"}})},
      {"an init container is larger",
       [](ApiModel& api) { api.AddServer("a"); },
       Task({{"cpu", "1"}},
            {{"initContainers", {{{"name", "i"}, {"resources", {{"requests", {{"cpu", "5"}}}}}}}}}),
       "requests 5 cpu, 4 free",
       "would fit server a with cpu 4 instead of 5",
       {},
       Task({{"cpu", "1"}}, {{"initContainers",
                              {{{"name", "i"}, {"resources", {{"requests", {{"cpu", "4"}}}}}}}}})},
  };
  return kSituations;
}

const std::vector<Situation>& Properties() {
  static const std::vector<Situation> kSituations{
      {"an untolerated taint",
       ANode([](api::Node& node) {
         node.taints = {{"dedicated", "db", "NoSchedule"}};
       }),
       Task({{"cpu", "1"}}),
       "has the taint dedicated=db:NoSchedule",
       "would fit server a with a toleration of the taint dedicated=db:NoSchedule",
       {},
       Task(
           {{"cpu", "1"}},
           {{"tolerations", {{{"key", "dedicated"}, {"value", "db"}, {"effect", "NoSchedule"}}}}})},
      {"a taint without a value", ANode([](api::Node& node) {
         node.taints = {{"old", "", "NoExecute"}};
       }),
       Task({{"cpu", "1"}}), "has the taint old:NoExecute",
       "would fit server a with a toleration of the taint old:NoExecute",
       EditNode([](api::Node& node) { node.taints.clear(); })},
      {"two taints",
       ANode([](api::Node& node) {
         node.taints = {{"x", "1", "NoSchedule"}, {"y", "2", "NoSchedule"}};
       }),
       Task({{"cpu", "1"}}),
       "has the taint x=1:NoSchedule",
       "would fit server a with a toleration of the taint x=1:NoSchedule and a toleration of the "
       "taint y=2:NoSchedule",
       {},
       Task({{"cpu", "1"}},
            {{"tolerations",
              {{{"key", "x"}, {"operator", "Exists"}}, {{"key", "y"}, {"operator", "Exists"}}}}})},
      {"a node selector of another value",
       ANode([](api::Node& node) { node.meta.labels["disk"] = "hdd"; }),
       Task({{"cpu", "1"}}, {{"nodeSelector", {{"disk", "ssd"}}}}),
       "label disk is hdd, the node selector wants ssd",
       "would fit server a with nodeSelector disk hdd instead of ssd",
       {},
       Task({{"cpu", "1"}}, {{"nodeSelector", {{"disk", "hdd"}}}})},
      {"a node selector of a missing label", [](ApiModel& api) { api.AddServer("a"); },
       Task({{"cpu", "1"}}, {{"nodeSelector", {{"disk", "ssd"}}}}),
       "label disk is missing, the node selector wants ssd",
       "would fit server a with no nodeSelector disk",
       EditNode([](api::Node& node) { node.meta.labels["disk"] = "ssd"; })},
      {"node affinity: In",
       ANode([](api::Node& node) { node.meta.labels["zone"] = "east"; }),
       Task({{"cpu", "1"}}, Affinity("In", {"west"})),
       "no term of the required node affinity matches its labels",
       "would fit server a with no required node affinity",
       {},
       Task({{"cpu", "1"}}, Affinity("In", {"east"}))},
      {"node affinity: Exists", [](ApiModel& api) { api.AddServer("a"); },
       Task({{"cpu", "1"}}, Affinity("Exists", nullptr)), "required node affinity",
       "would fit server a with no required node affinity",
       EditNode([](api::Node& node) { node.meta.labels["zone"] = "east"; })},
      {"a missing capability", [](ApiModel& api) { api.AddServer("a"); },
       Requirement("gpu-model", "In", {"a100", "h100"}),
       "has gpu-model not set, the task requires gpu-model In a100, h100",
       "would fit server a with no requirement on gpu-model",
       EditServer(
           [](api::RegisteredServer& server) { server.spec.capabilities["gpu-model"] = "h100"; })},
      {"a version below the range",
       AServer(
           [](api::RegisteredServer& server) { server.spec.capabilities["driver"] = "535.1.0"; }),
       Requirement("driver", "Version", {">=550.0.0"}),
       "has driver 535.1.0, the task requires driver Version >=550.0.0",
       "would fit server a with no requirement on driver",
       {},
       Requirement("driver", "Version", {">=535.0.0"})},
      {"a number that is too small",
       AServer([](api::RegisteredServer& server) { server.spec.capabilities["lanes"] = "8"; }),
       Requirement("lanes", "Gt", {"15"}),
       "has lanes 8, the task requires lanes Gt 15",
       "would fit server a with no requirement on lanes",
       {},
       Requirement("lanes", "Gt", {"7"})},
      {"a capability that must not be there",
       AServer([](api::RegisteredServer& server) { server.spec.capabilities["shared"] = "yes"; }),
       Requirement("shared", "DoesNotExist", nullptr),
       "has shared yes, the task requires shared DoesNotExist",
       "would fit server a with no requirement on shared",
       EditServer([](api::RegisteredServer& server) { server.spec.capabilities.clear(); })},
      {"a host port that is taken",
       [](ApiModel& api) {
         api.AddServer("a");
         Json spec = Task({{"cpu", "1"}});
         spec["template"]["spec"]["containers"][0]["ports"] = {
             {{"containerPort", 80}, {"hostPort", 80}}};
         api.Occupy(spec);
       },
       [] {
         Json spec = Task({{"cpu", "1"}});
         spec["template"]["spec"]["containers"][0]["ports"] = {
             {{"containerPort", 80}, {"hostPort", 80}}};
         return spec;
       }(),
       "host port TCP/80 is taken",
       "would fit server a with no host ports",
       {},
       Task({{"cpu", "1"}})},
      {"an exclusive task finds company",
       [](ApiModel& api) {
         api.AddServer("a");
         api.Occupy(Task({{"cpu", "1"}}));
       },
       With(Task({{"cpu", "1"}}), "exclusive", true),
       "runs 1 tasks, the task wants it for itself",
       "would fit server a with exclusive false",
       {},
       Task({{"cpu", "1"}})},
      {"an exclusive task is there",
       [](ApiModel& api) {
         api.AddServer("a");
         api.Occupy(With(Task({{"cpu", "1"}}), "exclusive", true));
       },
       Task({{"cpu", "1"}}), "runs an exclusive task", "", EndOther()},
  };
  return kSituations;
}

const std::vector<Situation>& Servers() {
  static const std::vector<Situation> kSituations{
      {"no server at all", [](ApiModel&) {}, Task({{"cpu", "1"}}), "no server is registered", "",
       [](ApiModel& api) { api.AddServer("a"); }},
      {"cordoned", AServer([](api::RegisteredServer& server) { server.spec.cordoned = true; }),
       Task({{"cpu", "1"}}), "1 cordoned", "",
       EditServer([](api::RegisteredServer& server) { server.spec.cordoned = false; })},
      {"the node is unschedulable", ANode([](api::Node& node) { node.unschedulable = true; }),
       Task({{"cpu", "1"}}), "1 cordoned", "",
       EditNode([](api::Node& node) { node.unschedulable = false; })},
      {"the node is not ready", ANode([](api::Node& node) { node.ready = api::NodeReady::kFalse; }),
       Task({{"cpu", "1"}}), "1 not ready", "",
       EditNode([](api::Node& node) { node.ready = api::NodeReady::kTrue; })},
      {"the node does not exist",
       AServer([](api::RegisteredServer& server) { server.spec.node_name = "b"; }),
       Task({{"cpu", "1"}}), "node b does not exist", "",
       [](ApiModel& api) { api.AddNode("b", "4"); }},
      {"at its limit of tasks",
       [](ApiModel& api) {
         api.AddServer("a");
         api.servers["a"].spec.max_tasks = 1;
         api.Change(api.servers["a"]);
         api.Occupy(Task({{"cpu", "1"}}));
       },
       Task({{"cpu", "1"}}), "runs 1 of at most 1 tasks", "",
       EditServer([](api::RegisteredServer& server) { server.spec.max_tasks = 2; })},
      {"at the node's limit of pods",
       [](ApiModel& api) {
         api.AddServer("a");
         api.nodes["a"].max_pods = 1;
         api.Change(api.nodes["a"]);
         api.Occupy(Task({{"cpu", "1"}}));
       },
       Task({{"cpu", "1"}}), "has 1 of at most 1 pods", "",
       EditNode([](api::Node& node) { node.max_pods = 2; })},
      {"overloaded by measure",
       [](ApiModel& api) {
         AServer(Limit)(api);
         api.MeasureNode("a", 3000);
       },
       Task({{"cpu", "1"}}), "1 overloaded", "",
       [](ApiModel& api) { api.MeasureNode("a", 100, 0); }},
      {"it would be overloaded",
       [](ApiModel& api) {
         AServer(Limit)(api);
         api.MeasureNode("a", 1500);
       },
       Task({{"cpu", "1"}}),
       "its cpu would reach 62%, over its limit of 50%",
       "would fit server a with cpu 500m instead of 1",
       {},
       Task({{"cpu", "500m"}})},
      {"without a measurement that it requires", AServer([](api::RegisteredServer& server) {
         Limit(server);
         server.spec.requires_metrics = true;
       }),
       Task({{"cpu", "1"}}), "1 without a fresh measurement", "",
       [](ApiModel& api) { api.MeasureNode("a", 100); }},
      {"kept for another",
       [](ApiModel& api) {
         api.AddServer("a");
         api.Occupy(Task({{"cpu", "3"}}));
         api.AddTask("large", Task({{"cpu", "4"}}));
         api.Advance(seconds(40));
       },
       Task({{"cpu", "1"}}),
       "reserved for task ns/large, which has waited for long",
       "",
       {},
       With(Task({{"cpu", "1"}}), "priority", 1)},
  };
  return kSituations;
}

const std::vector<Situation>& Clouds() {
  static const std::vector<Situation> kSituations{
      {"no pool", [](ApiModel&) {}, Placement({{"policy", "CloudOnly"}}),
       "no ServerPool exists, so no cloud server can be requested", "",
       [](ApiModel& api) { api.AddPool("p"); }},
      {"local only",
       [](ApiModel& api) { api.AddPool("p"); },
       Placement({{"policy", "LocalOnly"}}),
       "no server is registered",
       "would fit a server of pool p with placement.policy PreferLocal instead of LocalOnly",
       {},
       Placement({{"policy", "PreferLocal"}})},
      {"cloud only",
       [](ApiModel& api) { api.AddServer("a"); },
       Placement({{"policy", "CloudOnly"}}),
       "is a local server, the task is CloudOnly",
       "would fit server a with placement.policy PreferLocal instead of CloudOnly",
       {},
       Placement({{"policy", "PreferLocal"}})},
      {"too expensive",
       [](ApiModel& api) { api.AddPool("p"); },
       Placement({{"maxPricePerHour", "0.30"}}),
       "costs 0.4 per hour, over maxPricePerHour 0.3",
       "would fit a server of pool p with placement.maxPricePerHour 0.4 instead of 0.3",
       {},
       Placement({{"maxPricePerHour", "0.40"}})},
      {"another pool",
       [](ApiModel& api) { api.AddPool("p"); },
       Placement({{"pools", {"q"}}}),
       "pool p is not in spec.placement.pools",
       "would fit a server of pool p with pool p in placement.pools",
       {},
       Placement({{"pools", {"q", "p"}}})},
      {"a pool that does not exist", [](ApiModel&) {}, Placement({{"pools", {"q"}}}),
       "ServerPool q does not exist", "", [](ApiModel& api) { api.AddPool("q"); }},
      {"a full pool", APool([](api::ServerPool& pool) { pool.spec.max_servers = 0; }),
       Task({{"cpu", "1"}}), "has 0 of at most 0 servers", "",
       EditPool([](api::ServerPool& pool) { pool.spec.max_servers = 1; })},
      {"a taint of the pool",
       APool([](api::ServerPool& pool) {
         pool.spec.taints = {{"gpu", "yes", "NoSchedule"}};
       }),
       Task({{"cpu", "1"}}),
       "has the taint gpu=yes:NoSchedule",
       "would fit a server of pool p with a toleration of the taint gpu=yes:NoSchedule",
       {},
       Task({{"cpu", "1"}}, {{"tolerations", {{{"key", "gpu"}, {"operator", "Exists"}}}}})},
      {"a label of the pool",
       APool([](api::ServerPool& pool) {
         pool.spec.labels = {{"arch", "arm64"}};
       }),
       Task({{"cpu", "1"}}, {{"nodeSelector", {{"arch", "amd64"}}}}),
       "label arch is arm64, the node selector wants amd64",
       "would fit a server of pool p with nodeSelector arch arm64 instead of amd64",
       {},
       Task({{"cpu", "1"}}, {{"nodeSelector", {{"arch", "arm64"}}}})},
      {"a capability of the pool", [](ApiModel& api) { api.AddPool("p"); },
       Requirement("gpu-model", "Exists", nullptr), "has gpu-model not set",
       "would fit a server of pool p with no requirement on gpu-model",
       EditPool([](api::ServerPool& pool) { pool.spec.capabilities["gpu-model"] = "a100"; })},
      {"patience", [](ApiModel& api) { api.AddPool("p"); }, Placement({{"burstAfterSeconds", 60}}),
       "a cloud server may be bought at", "", [](ApiModel& api) { api.Advance(seconds(60)); }},
      {"a budget",
       [](ApiModel& api) {
         api.AddPool("p");
         api.AddBudget("b", "0.10");
       },
       With(Task({{"cpu", "1"}}), "activeDeadlineSeconds", 3600),
       "no server with a price is used: Budget b is 0.3 short: estimate 0.4, remaining 0.1 of 0.1 "
       "(spent 0, committed 0)",
       "",
       {},
       With(Task({{"cpu", "1"}}), "activeDeadlineSeconds", 900)},
      {"a priority class that does not exist", [](ApiModel& api) { api.AddServer("a"); },
       With(Task({{"cpu", "1"}}), "priorityClassName", "gold"),
       "PriorityClass gold does not exist; create it", "",
       [](ApiModel& api) { api.AddPriorityClass("gold", 10); }},
      {"a group that is not whole", [](ApiModel& api) { api.AddServer("a"); },
       With(Task({{"cpu", "1"}}), "group", {{"name", "g"}, {"size", 2}}),
       "group g waits for 1 more task (1 of 2)", "",
       [](ApiModel& api) {
         api.AddTask("other", With(Task({{"cpu", "1"}}), "group", {{"name", "g"}, {"size", 2}}));
       }},
      {"a group without room for all",
       [](ApiModel& api) {
         api.AddServer("a", "1");
         api.AddTask("other", With(Task({{"cpu", "1"}}), "group", {{"name", "g"}, {"size", 2}}));
       },
       With(Task({{"cpu", "1"}}), "group", {{"name", "g"}, {"size", 2}}),
       "group g of 2 tasks starts when all have room, 1 of them have none", "",
       [](ApiModel& api) { api.AddServer("b", "1"); }},
      {"a quota refuses the pod",
       [](ApiModel& api) {
         api.AddServer("a");
         api.pod_error = Error{ErrorKind::kForbidden, "exceeded quota: q, requested: cpu=1", {}};
       },
       Task({{"cpu", "1"}}), "exceeded quota: q", "",
       [](ApiModel& api) { api.Advance(seconds(10)); }},
      {"a pod of that name is in the way",
       [](ApiModel& api) {
         api.AddServer("a");
         api.pod_error = Error{ErrorKind::kAlreadyExists, "exists", {}};
       },
       Task({{"cpu", "1"}}), "a pod named ns/t-1 that is not of this task is in the way", "",
       [](ApiModel& api) { api.Advance(seconds(10)); }},
  };
  return kSituations;
}

class SituationTest : public testing::TestWithParam<Situation> {};

// Bound, or promised a server that is bought for it.
bool Starts(const ApiModel& api, const std::string& task) {
  const auto& state = api.world().tasks.by_key.at("ns/" + task);
  return state.binding != nullptr || !state.nominated.empty();
}

std::string AllThatIsSaid(const ApiModel& api) {
  const api::TaskStatus& status = api.world().tasks.by_key.at("ns/t").object.status;
  std::string out;
  for (const api::Condition& condition : *status.conditions) out += condition.message.str() + "\n";
  if (!status.explanation) return out;
  out += status.explanation->summary + "\n";
  for (const auto& verdict : status.explanation->servers) out += verdict.message + "\n";
  for (const auto& verdict : status.explanation->pools) out += verdict.message + "\n";
  return out;
}

TEST_P(SituationTest, IsExplainedByWhatWouldMendIt) {
  const Situation& situation = GetParam();
  ApiModel api;
  situation.set_up(api);
  api.Settle();
  api.AddTask("t", situation.task);
  api.Advance(std::chrono::milliseconds(600));
  ASSERT_FALSE(Starts(api, "t")) << "it does not wait";
  EXPECT_NE(AllThatIsSaid(api).find(situation.says), std::string::npos) << AllThatIsSaid(api);
  const auto& explanation = api.world().tasks.by_key.at("ns/t").object.status.explanation;
  EXPECT_EQ(explanation ? explanation->nearest_fit : "", situation.nearest);
  if (situation.mend) {
    situation.mend(api);
  } else {
    api.Remove(api.tasks, "ns/t");
    api.Settle();
    api.AddTask("t", situation.instead);
  }
  api.Advance(seconds(1));
  EXPECT_TRUE(Starts(api, "t")) << AllThatIsSaid(api);
}

std::string NameOf(const testing::TestParamInfo<Situation>& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Amounts, SituationTest, testing::ValuesIn(Amounts()), NameOf);
INSTANTIATE_TEST_SUITE_P(Properties, SituationTest, testing::ValuesIn(Properties()), NameOf);
INSTANTIATE_TEST_SUITE_P(Servers, SituationTest, testing::ValuesIn(Servers()), NameOf);
INSTANTIATE_TEST_SUITE_P(Clouds, SituationTest, testing::ValuesIn(Clouds()), NameOf);

}  // namespace
}  // namespace spillway::core
