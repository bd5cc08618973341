#include "operator/kube/config.h"

#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace spillway::kube {
namespace {

constexpr char kServiceAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount/";

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) return Invalid("cannot read " + path);
  return text.str();
}

Result<std::string> DecodeBase64(std::string text) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  std::vector<unsigned char> out(text.size() / 4 * 3 + 3);
  const int size = EVP_DecodeBlock(out.data(), reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return Invalid("is not base64");
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  return std::string(out.begin(), out.begin() + size - static_cast<std::ptrdiff_t>(padding));
}

std::string Text(const YAML::Node& node, const char* key) {
  return node.IsMap() && node[key] && node[key].IsScalar() ? node[key].as<std::string>()
                                                           : std::string();
}

// name: also the key of the entry's content ("cluster", "user", "context").
YAML::Node FindNamed(const YAML::Node& root, const char* list, const char* content,
                     const std::string& name) {
  if (!root[list] || !root[list].IsSequence()) return YAML::Node(YAML::NodeType::Undefined);
  for (const YAML::Node& entry : root[list]) {
    if (Text(entry, "name") == name && entry[content]) return entry[content];
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

// "<key>-data" in base64, or the file that "<key>" names, relative to the kubeconfig.
Result<std::string> Pem(const YAML::Node& node, const std::string& key,
                        const std::string& kubeconfig) {
  if (const std::string data = Text(node, (key + "-data").c_str()); !data.empty()) {
    auto pem = DecodeBase64(data);
    if (!pem) return Invalid(kubeconfig + ": " + key + "-data " + pem.error().message);
    return pem;
  }
  const std::string file = Text(node, key.c_str());
  if (file.empty()) return std::string();
  const auto base = std::filesystem::path(kubeconfig).parent_path();
  auto pem = ReadFile(
      (std::filesystem::path(file).is_absolute() ? std::filesystem::path(file) : base / file)
          .string());
  if (!pem) return Invalid(kubeconfig + ": " + key + ": " + pem.error().message);
  return pem;
}

Result<Unit> ReadCluster(const YAML::Node& cluster, const std::string& path, Config& config) {
  config.server = Text(cluster, "server");
  if (!config.server.starts_with("https://")) {
    return Invalid(path + ": the cluster's server is \"" + config.server +
                   "\"; it must begin with https://");
  }
  if (Text(cluster, "insecure-skip-tls-verify") == "true") {
    return Invalid(path +
                   ": insecure-skip-tls-verify is not supported; give the cluster's "
                   "certificate-authority instead");
  }
  auto ca = Pem(cluster, "certificate-authority", path);
  if (!ca) return ca.error();
  config.ca = std::move(*ca);
  return Unit{};
}

Result<Unit> ReadUser(const YAML::Node& user, const std::string& path, Config& config) {
  for (const char* key : {"exec", "auth-provider", "username"}) {
    if (user.IsMap() && user[key]) {
      return Invalid(path + ": credentials by " + key +
                     " are not supported; use a client certificate, a token or a tokenFile");
    }
  }
  auto certificate = Pem(user, "client-certificate", path);
  if (!certificate) return certificate.error();
  auto key = Pem(user, "client-key", path);
  if (!key) return key.error();
  if (certificate->empty() != key->empty()) {
    return Invalid(path + ": client-certificate and client-key must be given together");
  }
  config.client_certificate = std::move(*certificate);
  config.client_key = std::move(*key);
  config.token = Text(user, "token");
  config.token_file = Text(user, "tokenFile");
  return Unit{};
}

}  // namespace

Result<Config> ParseKubeconfig(const std::string& yaml, const std::string& path) {
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (!root.IsMap()) return Invalid(path + ": is not a kubeconfig");
    const std::string context_name = Text(root, "current-context");
    if (context_name.empty())
      return Invalid(path + ": current-context is not set; run kubectl config use-context");
    const YAML::Node context = FindNamed(root, "contexts", "context", context_name);
    if (!context.IsDefined()) return Invalid(path + ": there is no context named " + context_name);
    const YAML::Node cluster = FindNamed(root, "clusters", "cluster", Text(context, "cluster"));
    if (!cluster.IsDefined())
      return Invalid(path + ": there is no cluster named \"" + Text(context, "cluster") + "\"");
    const YAML::Node user = FindNamed(root, "users", "user", Text(context, "user"));
    if (!user.IsDefined())
      return Invalid(path + ": there is no user named \"" + Text(context, "user") + "\"");
    Config config;
    if (auto read = ReadCluster(cluster, path, config); !read) return read.error();
    if (auto read = ReadUser(user, path, config); !read) return read.error();
    return config;
  } catch (const YAML::Exception& error) {
    return Invalid(path + ": is not valid YAML: " + error.what());
  }
}

Result<Config> LoadKubeconfig(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text) return Invalid("kubeconfig: " + text.error().message);
  return ParseKubeconfig(*text, path);
}

Result<Config> LoadInCluster() {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr)
    return Invalid("not in a pod: KUBERNETES_SERVICE_HOST is not set");
  const auto ca = ReadFile(std::string(kServiceAccount) + "ca.crt");
  if (!ca) return Invalid("service account: " + ca.error().message);
  Config config;
  const std::string name = host;
  config.server =
      "https://" + (name.find(':') == std::string::npos ? name : "[" + name + "]") + ":" + port;
  config.ca = *ca;
  config.token_file = std::string(kServiceAccount) + "token";
  return config;
}

Result<Config> LoadConfig(const std::string& kubeconfig_flag) {
  if (!kubeconfig_flag.empty()) return LoadKubeconfig(kubeconfig_flag);
  if (const char* path = std::getenv("KUBECONFIG"); path != nullptr && *path != '\0')
    return LoadKubeconfig(path);
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) return LoadInCluster();
  const char* home = std::getenv("HOME");
  const std::string path = std::string(home == nullptr ? "" : home) + "/.kube/config";
  if (std::filesystem::exists(path)) return LoadKubeconfig(path);
  return Invalid("no kubeconfig: give --kubeconfig, set KUBECONFIG, or run in a pod");
}

}  // namespace spillway::kube
