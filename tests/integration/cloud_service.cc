#include "tests/integration/cloud_service.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

extern char** environ;

namespace spillway::test {
namespace {

namespace fs = std::filesystem;

constexpr char kSecrets[] = "/api/v1/namespaces/spillway-system/secrets";

fs::path MakeDir() {
  char path[] = "/tmp/spillway-cloud-XXXXXX";
  return mkdtemp(path);
}

void RunShell(const std::string& command) {
  if (std::system(command.c_str()) != 0) ADD_FAILURE() << "failed: " << command;
}

}  // namespace

CloudService::CloudService(Cluster& cluster) : cluster_(cluster), dir_(MakeDir()) {
  client_ref_ =
      At(cluster.Get("/api/v1/namespaces/kube-system"), "metadata.uid") + ".spillway-system";
  MakeCertificate();
  WriteConfig();
  ReplaceToken("token-of-the-integration-tests");
  PutSecret(token_);
  Start();
}

CloudService::~CloudService() {
  Stop();
  cluster_.Delete(std::string(kSecrets) + "/cloud-service");
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

void CloudService::MakeCertificate() {
  RunShell("cd " + dir_.string() +
           " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
           "-subj /CN=cloud -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt "
           "2>/dev/null");
}

void CloudService::WriteConfig() {
  const std::string source = SPILLWAY_SOURCE_DIR;
  const std::string node = source + "/hack/cloud-service/examples/kwok-node";
  std::ofstream(dir_ / "bare-node")
      << "#!/bin/sh\nSPILLWAY_LABELS= SPILLWAY_TAINTS= exec " << node << " \"$@\"\n";
  fs::permissions(dir_ / "bare-node", fs::perms::owner_all);
  const Json resources{{"cpu", "4"}, {"memory", "16Gi"}};
  Json machines = Json::array();
  for (const char* name : {"rest-a", "rest-b", "rest-c"})
    machines.push_back({{"name", name}, {"offer", "small"}, {"resources", resources}});
  const std::string bare = (dir_ / "bare-node").string();
  machines.push_back({{"name", "rest-bare"},
                      {"offer", "bare"},
                      {"resources", resources},
                      {"start", {bare, "start"}},
                      {"stop", {bare, "stop"}},
                      {"status", {bare, "status"}}});
  const Json config{
      {"listen", "127.0.0.1:0"},
      {"stateDir", (dir_ / "state").string()},
      {"tls", {{"certificate", (dir_ / "tls.crt").string()}, {"key", (dir_ / "tls.key").string()}}},
      {"auth", {{"tokenFile", (dir_ / "tokens").string()}}},
      {"driver", "static"},
      {"static",
       {{"start", {node, "start"}},
        {"stop", {node, "stop"}},
        {"status", {node, "status"}},
        {"startSeconds", 30},
        {"machines", machines}}}};
  std::ofstream(dir_ / "config.yaml") << config.dump(1);  // JSON is YAML
}

void CloudService::Start() {
  fs::remove(dir_ / "port");
  const std::string kubectl = Env("SPILLWAY_TEST_KUBECTL");
  Json config = Json::parse(ReadAll((dir_ / "config.yaml").string()));
  if (port_ != 0) config["listen"] = "127.0.0.1:" + std::to_string(port_);
  std::ofstream(dir_ / "config.yaml") << config.dump(1);
  std::vector<std::string> words{
      "env",
      "KUBECONFIG=" + Env("SPILLWAY_TEST_DIR") + "/kubeconfig",
      "PATH=" + fs::path(kubectl).parent_path().string() + ":" + std::getenv("PATH"),
      "python3",
      std::string(SPILLWAY_SOURCE_DIR) + "/hack/cloud-service/serve",
      "--test-faults",
      "--port-file",
      (dir_ / "port").string(),
      (dir_ / "config.yaml").string()};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = (dir_ / "log").string();
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  if (posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  ASSERT_TRUE(Eventually([&] { return fs::exists(dir_ / "port"); })) << this->log();
  port_ = std::stoi(ReadAll((dir_ / "port").string()));
  kube::Config to;
  to.server = "https://127.0.0.1:" + std::to_string(port_);
  to.ca = ReadAll((dir_ / "tls.crt").string());
  to.token = token_;
  auto made = kube::MakeTransport(to);
  ASSERT_TRUE(made.ok()) << made.error().message;
  transport_ = std::move(*made);
}

void CloudService::Stop() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

Json CloudService::Backend(const std::string& offer) const {
  return {{"endpoint", "https://127.0.0.1:" + std::to_string(port_)},
          {"credentialsSecretRef", {{"name", "cloud-service"}}},
          {"offerId", offer}};
}

void CloudService::SetFaults(const Json& rules) {
  const auto set = transport_->Send({"PUT", "/test/faults", "application/json", rules.dump()}, {});
  ASSERT_TRUE(set.ok() && set->status == 200) << (set.ok() ? set->body : set.error().message);
}

void CloudService::TakeAway(const std::string& lease, const Json& in_seconds,
                            const std::string& why) {
  SetFaults({{{"path", "^/v1/leases/" + lease},
              {"times", 1},
              {"lease", {{"leavesIn", in_seconds}, {"message", why}}}}});
  (void)transport_->Send({"GET", "/v1/leases/" + lease, "", ""}, {});
}

Json CloudService::Leases() {
  const auto said = transport_->Send({"GET", "/v1/leases?clientRef=" + client_ref_, "", ""}, {});
  if (!said.ok() || said->status != 200) return Json::array({"no answer"});
  return Json::parse(said->body)["items"];
}

void CloudService::ReplaceToken(const std::string& token) {
  token_ = token;
  std::ofstream(dir_ / "tokens") << token << "\n";
}

void CloudService::PutSecret(const std::string& token) {
  cluster_.Delete(std::string(kSecrets) + "/cloud-service");
  cluster_.Create(
      {{"apiVersion", "v1"},
       {"kind", "Secret"},
       {"metadata", {{"name", "cloud-service"}, {"namespace", "spillway-system"}}},
       {"stringData", {{"token", token}, {"ca.crt", ReadAll((dir_ / "tls.crt").string())}}}});
}

}  // namespace spillway::test
