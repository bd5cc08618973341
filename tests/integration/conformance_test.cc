// Our verdict on pod and node, beside that of the real kube-scheduler: node selectors, required
// node affinity, taints and tolerations, resources, host ports, the number of pods.
//
// Each pod is pinned to its node by one more node selector, so that the scheduler's answer is about
// this pair alone. Left out on purpose: cordoned nodes, which take no task whatever it tolerates.
#include <map>
#include <random>
#include <thread>

#include "operator/core/scheduling/fit.h"
#include "operator/core/servers/registrar.h"
#include "operator/core/tasks/pod_usage.h"
#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

constexpr int kNodes = 100, kRounds = 21;
constexpr char kPin[] = "conformance-node";

// Draws what is near the edges: few keys and values, so that about half of the pairs fit.
class Generator {
 public:
  template <typename T>
  T Any(std::initializer_list<T> of) {
    return *(of.begin() + static_cast<std::ptrdiff_t>(random_() % of.size()));
  }
  bool OneIn(unsigned n) { return random_() % n == 0; }

  Json Node(const std::string& name) {
    Json labels{{kPin, name}};
    for (const char* key : {"zone", "disk", "generation"}) {
      const std::string value = Any<std::string>({"a", "b", "1", "2", "10", "03", "", "none"});
      if (value != "none") labels[key] = value;
    }
    Json allocatable{{"cpu", Any<const char*>({"1", "2500m", "4"})},
                     {"memory", Any<const char*>({"1Gi", "2G", "4Gi"})},
                     {"ephemeral-storage", "1Gi"},
                     {"pods", Any<const char*>({"1", "2", "110", "110"})}};
    if (OneIn(2)) allocatable["nvidia.com/gpu"] = Any<const char*>({"0", "1", "2"});
    Json taints = Json::array();
    for (const char* key : {"dedicated", "gpu"}) {
      if (!OneIn(4)) continue;
      taints.push_back(
          {{"key", key},
           {"value", Any<const char*>({"", "a", "b"})},
           {"effect", Any<const char*>({"NoSchedule", "PreferNoSchedule", "NoExecute"})}});
    }
    return {
        {"apiVersion", "v1"},
        {"kind", "Node"},
        {"metadata",
         {{"name", name}, {"annotations", {{"kwok.x-k8s.io/node", "fake"}}}, {"labels", labels}}},
        {"spec", {{"taints", taints}}},
        {"status", {{"allocatable", allocatable}, {"capacity", allocatable}}}};
  }

  // Takes up some of the node, whatever its taints.
  Json Neighbour(const std::string& node) {
    Json spec = Containers();
    spec["nodeName"] = node;
    spec["tolerations"] = {{{"operator", "Exists"}}};
    return spec;
  }

  Json Pod(const std::string& node) {
    Json spec = Containers();
    spec["nodeSelector"] = {{kPin, node}};
    if (OneIn(6)) spec["nodeSelector"][Any<const char*>({"zone", "disk"})] = Value();
    if (OneIn(3)) spec["affinity"] = {{"nodeAffinity", Affinity(node)}};
    for (unsigned i = random_() % 3; i > 0; --i) spec["tolerations"].push_back(Toleration());
    return spec;
  }

 private:
  std::string Value() { return Any<std::string>({"a", "b", "1", "2", "10", ""}); }

  Json Expression() {
    const std::string op =
        Any<std::string>({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "In", "NotIn"});
    Json out{{"key", Any<const char*>({"zone", "disk", "generation", "absent"})}, {"operator", op}};
    if (op == "Gt" || op == "Lt") {
      out["values"] = {Any<const char*>({"1", "2", "9", "5", "0"})};
    } else if (op == "In" || op == "NotIn") {
      out["values"] = {Value()};
      if (OneIn(2)) out["values"].push_back(Value());
    }
    return out;
  }
  Json Affinity(const std::string& node) {
    Json terms = Json::array();
    for (unsigned i = 1 + random_() % 2; i > 0; --i) {
      Json term = Json::object();
      for (unsigned j = random_() % 3; j > 0; --j) term["matchExpressions"].push_back(Expression());
      if (OneIn(5)) {
        term["matchFields"] = {{{"key", "metadata.name"},
                                {"operator", Any<const char*>({"In", "NotIn"})},
                                {"values", {OneIn(2) ? node : std::string("other")}}}};
      }
      terms.push_back(term);
    }
    return {{"requiredDuringSchedulingIgnoredDuringExecution", {{"nodeSelectorTerms", terms}}}};
  }
  Json Toleration() {
    if (OneIn(8)) return {{"operator", "Exists"}};
    Json out{{"key", Any<const char*>({"dedicated", "gpu"})}};
    if (OneIn(3)) {
      out["operator"] = "Exists";
    } else {
      if (OneIn(2)) out["operator"] = "Equal";
      out["value"] = Any<const char*>({"", "a", "b"});
    }
    if (OneIn(2)) out["effect"] = Any<const char*>({"NoSchedule", "NoExecute"});
    return out;
  }
  Json Requests() {
    Json out = Json::object();
    if (!OneIn(3)) out["cpu"] = Any<const char*>({"100m", "250m", "0.5", "1", "1250m"});
    if (OneIn(2)) out["memory"] = Any<const char*>({"100M", "256Mi", "512Mi", "1Gi"});
    if (OneIn(4)) out["ephemeral-storage"] = Any<const char*>({"512Mi", "1Gi", "2Gi"});
    if (OneIn(5)) out["nvidia.com/gpu"] = "1";
    return out;
  }
  Json Container(const std::string& name) {
    Json requests = Requests();
    Json container{{"name", name}, {"image", "x"}, {"resources", {{"requests", requests}}}};
    if (requests.contains("nvidia.com/gpu"))  // not overcommitted: a limit is a must
      container["resources"]["limits"] = {{"nvidia.com/gpu", requests["nvidia.com/gpu"]}};
    return container;
  }
  Json Containers() {
    Json spec{{"restartPolicy", "Never"}, {"terminationGracePeriodSeconds", 0}};
    spec["containers"] = {Container("a")};
    if (OneIn(3)) spec["containers"].push_back(Container("b"));
    if (OneIn(4)) {
      const int port = Any<int>({8080, 8081});
      spec["containers"][0]["ports"] = {{{"containerPort", port},
                                         {"hostPort", port},
                                         {"protocol", Any<const char*>({"TCP", "UDP"})}}};
    }
    for (unsigned i = OneIn(3) ? random_() % 3 : 0; i > 0; --i) {
      Json init = Container("init-" + std::to_string(i));
      if (OneIn(2)) init["restartPolicy"] = "Always";
      spec["initContainers"].push_back(init);
    }
    return spec;
  }
  std::mt19937 random_{36};
};

class ConformanceTest : public ClusterTest {
 protected:
  std::string PodsPath() const { return "/api/v1/namespaces/" + ns + "/pods"; }
  void TearDown() override {
    cluster.Delete(PodsPath() + "?gracePeriodSeconds=0");
    for (int i = 0; i < kNodes; ++i) cluster.Delete("/api/v1/nodes/" + Name(i));
    ClusterTest::TearDown();
  }
  std::string Name(int i) const { return ServerName("c" + std::to_string(i)); }
  void CreatePod(const std::string& name, const Json& spec, const std::string& role) {
    cluster.Create(
        Json{{"apiVersion", "v1"},
             {"kind", "Pod"},
             {"metadata", {{"name", name}, {"namespace", ns}, {"labels", {{"role", role}}}}},
             {"spec", spec}});
  }
  static bool Scheduled(const Json& pod) { return At(pod, "spec.nodeName") != ""; }
  static bool Decided(const Json& pod) {
    return Scheduled(pod) ||
           At(pod, "status.conditions").find("Unschedulable") != std::string::npos;
  }
  Json Candidates() { return cluster.List(PodsPath() + "?labelSelector=role%3Dcandidate"); }
  // What kube-scheduler says of each pod of a round.
  std::map<std::string, Json> Verdicts(size_t count) {
    std::map<std::string, Json> out;
    EXPECT_TRUE(Eventually(
        [&] {
          out.clear();
          for (const Json& pod : Candidates()) {
            if (Decided(pod)) out[At(pod, "metadata.name")] = pod;
          }
          return out.size() == count;
        },
        60));
    return out;
  }
  // What we say: the node as the API server has it, and the pods on it.
  static std::string WhyNot(const Json& node, const std::vector<Json>& neighbours,
                            const Json& pod_spec) {
    core::World world;
    const std::string name = At(node, "metadata.name");
    core::NodeState& state = world.servers.nodes[name];
    state.object = *api::DecodeNode(node);
    for (const Json& neighbour : neighbours) {
      core::PodState& pod = world.servers.pods[At(neighbour, "metadata.name")];
      pod.object = *api::DecodePod(neighbour);
      core::CountPod(world, pod);
    }
    core::ServerState server;
    server.object.spec.node_name = name;
    server.phase = "Ready";
    server.schedulable = true;
    server.offered = state.object->allocatable;
    server.max_pods = state.object->max_pods;
    server.node = &state;
    server.usage = &world.servers.ledger.Keep(name);
    api::TaskSpec spec;
    spec.pod_template = std::make_shared<const Json>(Json{{"spec", pod_spec}});
    core::Shape* shape = *world.scheduling.shapes.Intern(spec);
    core::FitError why;
    const bool fits = core::PropertiesFit(world, *shape, server, &why) &&
                      core::RoomFits(world, *shape, server, &why);
    return fits ? "" : why.message;
  }
};

TEST_F(ConformanceTest, AgreesWithKubeSchedulerOnTwoThousandPairs) {
  Generator generator;
  std::map<std::string, std::vector<Json>> neighbours;
  for (int i = 0; i < kNodes; ++i) {
    cluster.Create(generator.Node(Name(i)));
    if (generator.OneIn(2))
      CreatePod("neighbour-" + std::to_string(i), generator.Neighbour(Name(i)), "neighbour");
  }
  ASSERT_TRUE(Eventually(
      [&] {
        int ready = 0;
        for (int i = 0; i < kNodes; ++i) {
          const Json node = cluster.Get("/api/v1/nodes/" + Name(i));
          const api::Node decoded = *api::DecodeNode(node);
          ready +=
              decoded.ready == api::NodeReady::kTrue &&
              std::none_of(decoded.taints.begin(), decoded.taints.end(), core::IsReadinessTaint);
        }
        return ready == kNodes;
      },
      60));
  int pairs = 0, fitting = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::map<std::string, Json> specs;
    for (int i = 0; i < kNodes; ++i) {
      const std::string name = "p-" + std::to_string(round) + "-" + std::to_string(i);
      specs[name] = generator.Pod(Name(i));
      CreatePod(name, specs[name], "candidate");
    }
    const auto verdicts = Verdicts(specs.size());
    neighbours.clear();
    for (const Json& pod : cluster.List(PodsPath() + "?labelSelector=role%3Dneighbour"))
      neighbours[At(pod, "spec.nodeName")].push_back(pod);
    for (const auto& [name, pod] : verdicts) {
      const std::string node_name = At(specs[name], std::string("nodeSelector.") + kPin);
      const Json node = cluster.Get("/api/v1/nodes/" + node_name);
      const std::string misfit = WhyNot(node, neighbours[node_name], specs[name]);
      ++pairs;
      fitting += Scheduled(pod) ? 1 : 0;
      EXPECT_EQ(misfit.empty(), Scheduled(pod))
          << "we say: " << (misfit.empty() ? "fits" : misfit)
          << "\nkube-scheduler says: " << At(pod, "status.conditions") << "\npod "
          << specs[name].dump() << "\nnode " << node["metadata"]["labels"].dump()
          << node["spec"].dump() << node["status"]["allocatable"].dump();
    }
    cluster.Delete(PodsPath() + "?labelSelector=role%3Dcandidate&gracePeriodSeconds=0");
    ASSERT_TRUE(Eventually([&] { return Candidates().empty(); }, 60));
  }
  std::printf("%d pairs, of which kube-scheduler found %d to fit\n", pairs, fitting);
  EXPECT_GE(pairs, 2000);
  EXPECT_GT(fitting, pairs / 6);
  EXPECT_LT(fitting, pairs * 5 / 6);
}

}  // namespace
}  // namespace spillway::test
