// A real cluster for tests. hack/test sets:
//   SPILLWAY_TEST_DIR      directory of the cluster (kubeconfig, audit log)
//   SPILLWAY_TEST_OPERATOR kubeconfig of the operator's service account
//   SPILLWAY_TEST_KUBECTL  kubectl
//   SPILLWAY_TEST_BINARY   the operator
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/api/meta.h"
#include "operator/kube/request.h"

namespace spillway::test {

using api::Json;

std::string Env(const char* name);
std::string ReadAll(const std::string& path);
// A dot-separated path into JSON, "" where it leads nowhere; numbers are written out.
std::string At(const Json& json, const std::string& path);
// YAML to JSON, by yaml-cpp: scalars that look like numbers or booleans are such, unless quoted.
Json FromYaml(const std::string& text);

// An operator process. Killed when destroyed.
class Operator {
 public:
  explicit Operator(std::vector<std::string> arguments = {},
                    const std::string& kubeconfig = Env("SPILLWAY_TEST_OPERATOR"));
  ~Operator();
  Operator(const Operator&) = delete;

  void WaitUntilReady();
  void Kill(int signal);
  // The exit code, or 128 + signal; waits.
  int Wait();
  bool Running();
  std::string log() const { return ReadAll(log_path_); }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  std::string log_path_;
};

class Cluster {
 public:
  Cluster();

  Json Get(const std::string& path);  // null where it is not there
  Json List(const std::string& path);
  // Body by its apiVersion and kind, as kubectl create does; fails the test where it is refused.
  Json Create(const Json& object);
  void Create(const std::string& yaml);
  Json MergePatch(const std::string& path, const Json& patch);
  void Delete(const std::string& path);
  // Output of both streams, and the exit code.
  std::pair<int, std::string> Kubectl(const std::string& arguments, const std::string& input = "");

 private:
  Json Call(const kube::Request& request, bool must);
  std::unique_ptr<kube::Transport> transport_;
};

// Polls until the condition holds; fails the test otherwise.
[[nodiscard]] bool Eventually(const std::function<bool()>& condition, int seconds = 30);

// Each test has its own namespace, and servers and pools that only its tasks can use, so that tests
// do not disturb each other on one cluster with one operator.
class ClusterTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  // A simulated node and its RegisteredServer, both "<ns>-<name>".
  void AddServer(const std::string& name, const std::string& cpu = "4",
                 const Json& spec = Json::object());
  void AddNode(const std::string& name, const std::string& cpu,
               const Json& labels = Json::object());
  // A Karpenter pool "<ns>-<name>" of four-cpu servers, 3 of them usable.
  void AddPool(const std::string& name, const Json& spec = Json::object(),
               const std::string& node_class = "default");
  // A task of one container and one cpu that runs for so long and ends with that exit code.
  Json Task(const std::string& name, const std::string& run_for = "1s", int exit_code = 0);
  Json AddTask(const std::string& name, const std::string& run_for = "1s", int exit_code = 0,
               const Json& spec = Json::object());
  Json Get(const std::string& task);
  std::string Phase(const std::string& task) { return At(Get(task), "status.phase"); }
  bool Reaches(const std::string& task, const std::string& phase, int seconds = 30);
  Json Pods();
  Json ScaleRequests();  // of this test's pools
  Json NodeClaims();
  // The messages of its Events with that reason.
  std::vector<std::string> Events(const std::string& task, const std::string& reason);
  std::string TaskPath(const std::string& name) const {
    return "/apis/spillway.dev/v1alpha1/namespaces/" + ns + "/taskrequests/" + name;
  }
  std::string ServerName(const std::string& name) const { return ns + "-" + name; }
  std::string ServerPath(const std::string& name) const {
    return "/apis/spillway.dev/v1alpha1/registeredservers/" + ServerName(name);
  }

  static std::unique_ptr<Operator> spillway;
  Cluster cluster;
  std::string ns;

 private:
  std::vector<std::string> cleanup_;  // paths
};

}  // namespace spillway::test
