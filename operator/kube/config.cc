#include "operator/kube/config.h"

#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "operator/base/read_file.h"

namespace spillway::kube {
namespace {

constexpr char kServiceAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount/";

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// A path of a kubeconfig is relative to its folder.
std::string Resolve(const std::string& file, const std::string& kubeconfig) {
  if (file.empty() || std::filesystem::path(file).is_absolute()) return file;
  return (std::filesystem::path(kubeconfig).parent_path() / file).string();
}

std::string Text(const YAML::Node& node, const char* key) {
  return node.IsMap() && node[key] && node[key].IsScalar() ? node[key].as<std::string>()
                                                           : std::string();
}

std::vector<std::string> Texts(const YAML::Node& node, const char* key) {
  std::vector<std::string> out;
  if (!node.IsMap() || !node[key] || !node[key].IsSequence()) return out;
  for (const YAML::Node& text : node[key]) {
    if (text.IsScalar()) out.push_back(text.as<std::string>());
  }
  return out;
}

// An entry, and the file that it comes from.
struct Entry {
  YAML::Node content;
  std::string path;
};

// All files as one.
struct Kubeconfig {
  std::map<std::string, Entry> clusters, users, contexts;
  std::string current_context;
  std::string path;  // for errors
};

// content: the key of an entry's content ("cluster", "user", "context").
void TakeNamed(const YAML::Node& root, const char* list, const char* content,
               const std::string& path, std::map<std::string, Entry>& out) {
  if (!root[list] || !root[list].IsSequence()) return;
  for (const YAML::Node& entry : root[list]) {
    if (entry.IsMap() && entry[content])
      out.try_emplace(Text(entry, "name"), Entry{entry[content], path});
  }
}

Result<Unit> Merge(const KubeconfigFile& file, Kubeconfig& merged) {
  try {
    const YAML::Node root = YAML::Load(file.yaml);
    if (root.IsNull()) return Unit{};
    if (!root.IsMap()) return Invalid(file.path + ": is not a kubeconfig");
    TakeNamed(root, "clusters", "cluster", file.path, merged.clusters);
    TakeNamed(root, "users", "user", file.path, merged.users);
    TakeNamed(root, "contexts", "context", file.path, merged.contexts);
    if (merged.current_context.empty()) merged.current_context = Text(root, "current-context");
    return Unit{};
  } catch (const YAML::Exception& error) {
    return Invalid(file.path + ": is not valid YAML: " + error.what());
  }
}

Result<Entry> Find(const std::map<std::string, Entry>& entries, const char* what,
                   const std::string& name, const std::string& path) {
  const auto at = entries.find(name);
  if (at == entries.end())
    return Invalid(path + ": there is no " + what + " named \"" + name + "\"");
  return at->second;
}

// "<key>-data" in base64, or the file that "<key>" names, relative to the kubeconfig.
Result<std::string> Pem(const YAML::Node& node, const std::string& key,
                        const std::string& kubeconfig, std::string& file) {
  if (const std::string data = Text(node, (key + "-data").c_str()); !data.empty()) {
    auto pem = DecodeBase64(data);
    if (!pem) return Invalid(kubeconfig + ": " + key + "-data " + pem.error().message);
    return pem;
  }
  file = Resolve(Text(node, key.c_str()), kubeconfig);
  if (file.empty()) return std::string();
  auto pem = ReadFile(file);
  if (!pem) return Invalid(kubeconfig + ": " + key + ": " + pem.error().message);
  return pem;
}

Result<Unit> CheckProxy(const Config& config, const std::string& path) {
  if (config.proxy_url.empty()) return Unit{};
  if (!config.proxy_url.starts_with("http://"))
    return Invalid(path + ": proxy-url \"" +
                   config.proxy_url.substr(0, config.proxy_url.find(':')) +
                   ":…\" is not supported; only proxies by http:// are");
  if (config.server.starts_with("https://["))
    return Invalid(path +
                   ": proxy-url together with a server by its IPv6 address is not supported; give "
                   "the server by its name");
  return Unit{};
}

Result<Unit> ReadCluster(const Entry& entry, Config& config) {
  const auto& [cluster, path] = entry;
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
  config.tls_server_name = Text(cluster, "tls-server-name");
  config.proxy_url = Text(cluster, "proxy-url");
  auto ca = Pem(cluster, "certificate-authority", path, config.ca_file);
  if (!ca) return ca.error();
  config.ca = std::move(*ca);
  return CheckProxy(config, path);
}

// Only what can stand in a header.
bool Printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c >= ' ' && c != 127; });
}

Result<Unit> ReadImpersonation(const YAML::Node& user, const std::string& path,
                               Impersonation& out) {
  out.user = Text(user, "as");
  out.uid = Text(user, "as-uid");
  bool good = Printable(out.user) && Printable(out.uid);
  for (const std::string& group : Texts(user, "as-groups")) {
    good = good && Printable(group);
    out.groups.push_back(group);
  }
  if (user["as-user-extra"] && user["as-user-extra"].IsMap()) {
    for (const auto& extra : user["as-user-extra"]) {
      const auto key = extra.first.as<std::string>();
      out.extra[key] = Texts(user["as-user-extra"], key.c_str());
      for (const std::string& value : out.extra[key]) good = good && Printable(value);
    }
  }
  if (!good)
    return Invalid(path + ": as, as-uid, as-groups and as-user-extra must be one line each");
  if (out.user.empty() && !(out.uid.empty() && out.groups.empty() && out.extra.empty()))
    return Invalid(path + ": as-uid, as-groups and as-user-extra need the user in as");
  return Unit{};
}

Result<Unit> ReadUser(const Entry& entry, Config& config) {
  const auto& [user, path] = entry;
  if (!user.IsMap()) return Unit{};
  for (const char* key : {"exec", "auth-provider", "username", "password"}) {
    if (user[key] && !user[key].IsNull()) {
      return Invalid(path + ": credentials by " + key +
                     " are not supported, since nobody is there to renew them; use a client "
                     "certificate, a tokenFile, or a token (kubectl create token)");
    }
  }
  auto certificate = Pem(user, "client-certificate", path, config.client_certificate_file);
  if (!certificate) return certificate.error();
  auto key = Pem(user, "client-key", path, config.client_key_file);
  if (!key) return key.error();
  if (certificate->empty() != key->empty()) {
    return Invalid(path + ": client-certificate and client-key must be given together");
  }
  config.client_certificate = std::move(*certificate);
  config.client_key = std::move(*key);
  config.token = Text(user, "token");
  config.token_file = Resolve(Text(user, "tokenFile"), path);
  if (!config.token_file.empty()) {
    // It wins over a token in the same entry.
    if (auto token = ReadFile(config.token_file); token)
      config.token = OneWord(*token);
    else
      return Invalid(path + ": tokenFile: " + token.error().message);
  }
  return ReadImpersonation(user, path, config.impersonate);
}

}  // namespace

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

std::string OneWord(std::string text) {
  std::erase_if(text, [](unsigned char c) { return c <= ' ' || c == 127; });
  return text;
}

Result<Config> ParseKubeconfig(const std::vector<KubeconfigFile>& files) {
  Kubeconfig merged;
  for (const KubeconfigFile& file : files) {
    if (auto read = Merge(file, merged); !read) return read.error();
    merged.path += (merged.path.empty() ? "" : ":") + file.path;
  }
  if (merged.current_context.empty())
    return Invalid(merged.path + ": current-context is not set; run kubectl config use-context");
  try {
    const auto context = Find(merged.contexts, "context", merged.current_context, merged.path);
    if (!context) return context.error();
    const auto cluster =
        Find(merged.clusters, "cluster", Text(context->content, "cluster"), merged.path);
    if (!cluster) return cluster.error();
    const auto user = Find(merged.users, "user", Text(context->content, "user"), merged.path);
    if (!user) return user.error();
    Config config;
    if (auto read = ReadCluster(*cluster, config); !read) return read.error();
    if (auto read = ReadUser(*user, config); !read) return read.error();
    return config;
  } catch (const YAML::Exception& error) {
    return Invalid(merged.path + ": is not a kubeconfig: " + error.what());
  }
}

Result<Config> LoadKubeconfig(const std::string& path) {
  auto yaml = ReadFile(path);
  if (!yaml) return Invalid("kubeconfig: " + yaml.error().message);
  return ParseKubeconfig({{path, std::move(*yaml)}});
}

Result<Config> LoadKubeconfigs(const std::string& paths) {
  std::vector<KubeconfigFile> files;
  std::stringstream list(paths);
  for (std::string path; std::getline(list, path, ':');) {
    if (path.empty() || !Exists(path)) continue;
    auto yaml = ReadFile(path);
    if (!yaml) return Invalid("KUBECONFIG: " + yaml.error().message);
    files.push_back({path, std::move(*yaml)});
  }
  if (files.empty()) return Invalid("KUBECONFIG: " + paths + " does not exist");
  return ParseKubeconfig(files);
}

bool Reread(Config& config) {
  bool changed = false;
  for (const auto& [file, text] :
       {std::pair(&config.ca_file, &config.ca),
        std::pair(&config.client_certificate_file, &config.client_certificate),
        std::pair(&config.client_key_file, &config.client_key)}) {
    if (file->empty()) continue;
    auto now = ReadFile(*file);
    if (!now || *now == *text) continue;
    *text = std::move(*now);
    changed = true;
  }
  if (config.token_file.empty()) return changed;
  if (auto now = ReadFile(config.token_file); now && !OneWord(*now).empty())
    config.token = OneWord(*now);
  return changed;
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
  config.ca_file = std::string(kServiceAccount) + "ca.crt";
  config.token_file = std::string(kServiceAccount) + "token";
  (void)Reread(config);
  return config;
}

Result<Config> LoadConfig(const std::string& kubeconfig_flag) {
  if (!kubeconfig_flag.empty()) return LoadKubeconfig(kubeconfig_flag);
  if (const char* path = std::getenv("KUBECONFIG"); path != nullptr && *path != '\0')
    return LoadKubeconfigs(path);
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) return LoadInCluster();
  const char* home = std::getenv("HOME");
  const std::string path = std::string(home == nullptr ? "" : home) + "/.kube/config";
  if (Exists(path)) return LoadKubeconfig(path);
  return Invalid("no kubeconfig: give --kubeconfig, set KUBECONFIG, or run in a pod");
}

}  // namespace spillway::kube
