#include "tests/integration/cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "operator/kube/config.h"

extern char** environ;

namespace spillway::test {
namespace {

Json Convert(const YAML::Node& node) {
  if (node.IsMap()) {
    Json out = Json::object();
    for (const auto& entry : node) out[entry.first.as<std::string>()] = Convert(entry.second);
    return out;
  }
  if (node.IsSequence()) {
    Json out = Json::array();
    for (const auto& entry : node) out.push_back(Convert(entry));
    return out;
  }
  if (!node.IsScalar()) return nullptr;
  const std::string text = node.as<std::string>();
  if (node.Tag() == "!") return text;  // quoted
  const Json value = Json::parse(text, nullptr, false);
  return value.is_number() || value.is_boolean() ? value : Json(text);
}

std::string PathOf(const Json& object) {
  static const std::map<std::string, std::string> kPlurals{
      {"Namespace", "namespaces"},
      {"Node", "nodes"},
      {"Pod", "pods"},
      {"ResourceQuota", "resourcequotas"},
      {"TaskRequest", "taskrequests"},
      {"RegisteredServer", "registeredservers"},
      {"ServerPool", "serverpools"},
      {"Budget", "budgets"},
      {"ServiceAccount", "serviceaccounts"},
      {"Secret", "secrets"},
      {"PriorityClass", "priorityclasses"},
      {"StorageClass", "storageclasses"},
      {"PersistentVolume", "persistentvolumes"},
      {"PersistentVolumeClaim", "persistentvolumeclaims"},
      {"ScaleRequest", "scalerequests"},
      {"Event", "events"},
      {"NodePool", "nodepools"},
      {"KWOKNodeClass", "kwoknodeclasses"},
      {"ValidatingWebhookConfiguration", "validatingwebhookconfigurations"}};
  const std::string version = object.at("apiVersion"), ns = At(object, "metadata.namespace");
  return (version.find('/') == std::string::npos ? "/api/" : "/apis/") + version +
         (ns.empty() ? "" : "/namespaces/" + ns) + "/" + kPlurals.at(object.at("kind"));
}

}  // namespace

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) {
    std::fprintf(stderr, "%s is not set: run these tests by hack/test\n", name);
    std::exit(2);
  }
  return value;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string At(const Json& json, const std::string& path) {
  const Json* at = &json;
  std::stringstream parts(path);
  for (std::string part; std::getline(parts, part, '.');) {
    const bool index = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    if (index && at->is_array() && std::stoul(part) < at->size()) {
      at = &(*at)[std::stoul(part)];
    } else if (at->is_object() && at->contains(part)) {
      at = &(*at)[part];
    } else {
      return "";
    }
  }
  return at->is_string() ? at->get<std::string>() : at->dump();
}

Json FromYaml(const std::string& text) { return Convert(YAML::Load(text)); }

bool Eventually(const std::function<bool()>& condition, int seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  do {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// ---- Operator ----

Operator::Operator(std::vector<std::string> arguments, const std::string& kubeconfig) {
  char path[] = "/tmp/spillway-test-XXXXXX";
  const int log = mkstemp(path);
  log_path_ = path;
  std::vector<std::string> words{Env("SPILLWAY_TEST_BINARY"), "--kubeconfig", kubeconfig,
                                 "--health-probe-bind-address", "0"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  if (std::find(words.begin(), words.end(), "--metrics-bind-address") == words.end())
    words.insert(words.end(), {"--metrics-bind-address", "0"});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, log, 1);
  posix_spawn_file_actions_adddup2(&actions, log, 2);
  if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  close(log);
}

Operator::~Operator() {
  Kill(SIGKILL);
  unlink(log_path_.c_str());
}

void Operator::WaitUntilReady() {
  ASSERT_TRUE(
      Eventually([&] { return log().find("every resource was listed") != std::string::npos; }, 60))
      << log();
}

void Operator::Kill(int signal) {
  if (pid_ <= 0) return;
  kill(pid_, signal);
  if (signal == SIGKILL) Wait();
}

int Operator::Wait() {
  if (pid_ > 0) waitpid(pid_, &status_, 0);
  pid_ = -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

bool Operator::Running() {
  if (pid_ <= 0) return false;
  if (waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

// ---- Cluster ----

Cluster::Cluster() {
  auto config = kube::LoadKubeconfig(Env("SPILLWAY_TEST_DIR") + "/kubeconfig");
  if (!config) std::abort();
  auto transport = kube::MakeTransport(*config);
  if (!transport) std::abort();
  transport_ = std::move(*transport);
}

Json Cluster::Call(const kube::Request& request, bool must) {
  for (int i = 0;; ++i) {
    auto answer = kube::Call(*transport_, request, {});
    if (answer) return *answer;
    if (answer.error().retryable() && i < 20) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      continue;
    }
    if (must)
      ADD_FAILURE() << request.method << " " << request.path << ": " << answer.error().message;
    return nullptr;
  }
}

Json Cluster::Get(const std::string& path) { return Call({"GET", path, "", ""}, false); }
Json Cluster::List(const std::string& path) { return Call({"GET", path, "", ""}, true)["items"]; }
Json Cluster::Create(const Json& object) {
  return Call({"POST", PathOf(object), "application/json", object.dump()}, true);
}
void Cluster::Create(const std::string& yaml) { Create(FromYaml(yaml)); }
void Cluster::Delete(const std::string& path) { Call({"DELETE", path, "", ""}, false); }

Json Cluster::MergePatch(const std::string& path, const Json& patch) {
  return Call({"PATCH", path, "application/merge-patch+json", patch.dump()}, true);
}

std::pair<int, std::string> Cluster::Kubectl(const std::string& arguments,
                                             const std::string& input) {
  char path[] = "/tmp/spillway-input-XXXXXX";
  const int file = mkstemp(path);
  if (write(file, input.data(), input.size()) < 0) std::abort();
  close(file);
  const std::string command = Env("SPILLWAY_TEST_KUBECTL") + " --kubeconfig " +
                              Env("SPILLWAY_TEST_DIR") + "/kubeconfig " + arguments + " <" + path +
                              " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (size_t size = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, size);
  const int status = pclose(pipe);
  unlink(path);
  return {WEXITSTATUS(status), output};
}

// ---- ClusterTest ----

std::unique_ptr<Operator> ClusterTest::spillway;

void ClusterTest::SetUpTestSuite() {
  spillway = std::make_unique<Operator>();
  spillway->WaitUntilReady();
}

void ClusterTest::TearDownTestSuite() { spillway.reset(); }

void ClusterTest::SetUp() {
  static int counter = 0;
  ns = "it-" + std::to_string(getpid()) + "-" + std::to_string(++counter);
  cluster.Create({{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}});
  // Pods are refused before their namespace has this.
  ASSERT_TRUE(Eventually([&] {
    return !cluster.Get("/api/v1/namespaces/" + ns + "/serviceaccounts/default").is_null();
  }));
}

void ClusterTest::TearDown() {
  if (HasFailure() && spillway)
    std::fprintf(
        stderr, "--- operator log (end) ---\n%s\n",
        spillway->log().substr(std::max<size_t>(spillway->log().size(), 4000) - 4000).c_str());
  cluster.Delete("/api/v1/namespaces/" + ns);
  for (const std::string& path : cleanup_) cluster.Delete(path);
  EXPECT_TRUE(Eventually([&] { return NodeClaims().empty(); }, 60))
      << "purchases must not outlive their tasks: " << NodeClaims().dump();
}

void ClusterTest::AddNode(const std::string& name, const std::string& cpu, const Json& labels) {
  Json node{{"apiVersion", "v1"},
            {"kind", "Node"},
            {"metadata",
             {{"name", ServerName(name)},
              {"annotations", {{"kwok.x-k8s.io/node", "fake"}}},
              {"labels", labels}}},
            {"status",
             {{"allocatable", {{"cpu", cpu}, {"memory", "16Gi"}, {"pods", "110"}}},
              {"capacity", {{"cpu", cpu}, {"memory", "16Gi"}, {"pods", "110"}}}}}};
  cluster.Create(node);
  cleanup_.push_back("/api/v1/nodes/" + ServerName(name));
}

void ClusterTest::AddServer(const std::string& name, const std::string& cpu, const Json& spec) {
  AddNode(name, cpu);
  Json server{{"apiVersion", "spillway.dev/v1alpha1"},
              {"kind", "RegisteredServer"},
              {"metadata", {{"name", ServerName(name)}}},
              {"spec", {{"nodeName", ServerName(name)}, {"capabilities", {{"test", ns}}}}}};
  server["spec"].merge_patch(spec);
  cluster.Create(server);
  cleanup_.push_back(ServerPath(name));
  ASSERT_TRUE(Eventually([&] { return At(cluster.Get(ServerPath(name)), "status.phase") != ""; }));
  if (server["spec"].value("cordoned", false)) return;
  ASSERT_TRUE(Eventually([&] {
    return At(cluster.Get(ServerPath(name)), "status.phase") == "Ready";
  })) << cluster.Get(ServerPath(name)).dump(1);
}

void ClusterTest::AddPool(const std::string& name, const Json& spec,
                          const std::string& node_class) {
  Json pool = FromYaml(R"(
apiVersion: spillway.dev/v1alpha1
kind: ServerPool
metadata: {}
spec:
  template: {resources: {cpu: "3", memory: 4Gi}, capabilities: {}}
  pricePerHour: "0.40"
  idleSecondsBeforeRelease: 2
  backend:
    karpenter:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass}
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [c-4x-amd64-linux]}
      - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
)");
  pool["metadata"]["name"] = ServerName(name);
  pool["spec"]["template"]["capabilities"]["test"] = ns;
  pool["spec"]["backend"]["karpenter"]["nodeClassRef"]["name"] = node_class;
  pool["spec"].merge_patch(spec);
  cluster.Create(pool);
  cleanup_.push_back("/apis/spillway.dev/v1alpha1/serverpools/" + ServerName(name));
}

Json ClusterTest::Task(const std::string& name, const std::string& run_for, int exit_code) {
  Json task = FromYaml(R"(
apiVersion: spillway.dev/v1alpha1
kind: TaskRequest
metadata: {}
spec:
  template:
    metadata: {annotations: {}}
    spec:
      containers:
      - {name: task, image: "docker.io/local/busybox:1", resources: {requests: {cpu: "1", memory: 64Mi}}}
)");
  task["metadata"] = {{"name", name}, {"namespace", ns}};
  task["spec"]["template"]["metadata"]["annotations"] = {
      {"spillway.dev/run-for", run_for},
      {"spillway.dev/exit-code", std::to_string(exit_code)},
      {"spillway.dev/output", "output of " + name}};
  task["spec"]["requirements"] = {{{"key", "test"}, {"operator", "In"}, {"values", {ns}}}};
  return task;
}

Json ClusterTest::AddTask(const std::string& name, const std::string& run_for, int exit_code,
                          const Json& spec) {
  Json task = Task(name, run_for, exit_code);
  if (spec.contains("requirements")) {
    for (const Json& requirement : spec["requirements"])
      task["spec"]["requirements"].push_back(requirement);
  }
  for (const auto& [key, value] : spec.items()) {
    if (key == "cpu") {
      task["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = value;
    } else if (key == "pod") {
      task["spec"]["template"]["spec"].merge_patch(value);
    } else if (key != "requirements") {
      task["spec"][key] = value;
    }
  }
  return cluster.Create(task);
}

Json ClusterTest::Get(const std::string& task) { return cluster.Get(TaskPath(task)); }

bool ClusterTest::Reaches(const std::string& task, const std::string& phase, int seconds) {
  const bool reached = Eventually([&] { return Phase(task) == phase; }, seconds);
  if (!reached) ADD_FAILURE() << task << " is not " << phase << " but " << At(Get(task), "status");
  return reached;
}

Json ClusterTest::Pods() { return cluster.List("/api/v1/namespaces/" + ns + "/pods"); }

Json ClusterTest::ScaleRequests() {
  Json out = Json::array();
  for (const Json& scale : cluster.List("/apis/spillway.dev/v1alpha1/scalerequests")) {
    if (At(scale, "spec.poolName").starts_with(ns + "-")) out.push_back(scale);
  }
  return out;
}

Json ClusterTest::NodeClaims() {
  Json out = Json::array();
  for (const Json& claim : cluster.List("/apis/karpenter.sh/v1/nodeclaims")) {
    if (claim["metadata"]["labels"].value("spillway.dev/pool", "").starts_with(ns + "-"))
      out.push_back(claim);
  }
  return out;
}

std::vector<std::string> ClusterTest::Events(const std::string& task, const std::string& reason) {
  std::vector<std::string> out;
  for (const Json& event : cluster.List("/api/v1/namespaces/" + ns + "/events")) {
    if (At(event, "involvedObject.name") == task && At(event, "reason") == reason)
      out.push_back(At(event, "message"));
  }
  return out;
}

}  // namespace spillway::test
