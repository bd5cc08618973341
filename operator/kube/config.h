// Where the API server is and who we are: from a kubeconfig, or from the service account of a pod.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "operator/base/result.h"

namespace spillway::kube {

// Whom the requests are made as (as, as-uid, as-groups, as-user-extra).
struct Impersonation {
  std::string user, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
};

struct Config {
  std::string server;  // https://host:port; an IPv6 address in brackets
  std::string authority = "the kubeconfig's certificate-authority";  // in errors
  // PEM texts. Without an authority those of the system count.
  std::string ca, client_certificate, client_key;
  // The file they were read from, if any: it is read again when it is rotated. Likewise the token.
  std::string ca_file, client_certificate_file, client_key_file;
  std::string token, token_file;
  std::string tls_server_name;  // that the server's certificate must have, if not its host's
  std::string proxy_url;        // http://[user:password@]host:port
  Impersonation impersonate;
  // How long an answer may take: longer than the 60 s after which the API server gives up a request
  // and says why. A list that is given up starts again from the beginning, and would load a slow
  // server even more.
  std::chrono::seconds timeout{65};
  size_t most_bytes = 0;  // of an answer, but for a stream; 0: any
};

// A file of a kubeconfig and what it holds.
struct KubeconfigFile {
  std::string path, yaml;
};

// The current context of the files, merged as kubectl does: the first that names a cluster, user or
// context counts, and the first that sets current-context. Errors say which file, which entry and
// what to do. Not supported, and refused rather than ignored: insecure-skip-tls-verify, exec
// plugins, auth providers, user and password, proxies that are not http.
Result<Config> ParseKubeconfig(const std::vector<KubeconfigFile>& files);
Result<Config> LoadKubeconfig(const std::string& path);
// paths: separated by colons, as in $KUBECONFIG. Those that do not exist are left out.
Result<Config> LoadKubeconfigs(const std::string& paths);
// The service account that Kubernetes mounts into every pod.
Result<Config> LoadInCluster();
// --kubeconfig if given, else $KUBECONFIG, else the service account, else ~/.kube/config.
Result<Config> LoadConfig(const std::string& kubeconfig_flag);

// Of a kubeconfig, or of a Secret. White space is passed over.
Result<std::string> DecodeBase64(std::string text);
// A token without white space and control characters: a line break would end the header that it
// stands in.
std::string OneWord(std::string text);

// Reads the files again that the config names. What cannot be read stays as it was: a file may be
// about to be replaced. True if something about TLS has changed.
bool Reread(Config& config);

}  // namespace spillway::kube
