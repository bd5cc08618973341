// Where the API server is and who we are: from a kubeconfig, or from the service account of a pod.
#pragma once

#include <string>

#include "operator/base/result.h"

namespace spillway::kube {

// PEM texts, not paths, but for the token file, which is read again as it is rotated.
struct Config {
  std::string server;  // https://host:port
  std::string ca;      // empty: the system's authorities
  std::string client_certificate, client_key;
  std::string token, token_file;
};

// The current context of the file. Errors say which file, which entry and what to do.
// Not supported, and refused rather than ignored: insecure-skip-tls-verify, exec plugins,
// auth providers, user and password.
Result<Config> LoadKubeconfig(const std::string& path);
Result<Config> ParseKubeconfig(const std::string& yaml, const std::string& path);
// The service account that Kubernetes mounts into every pod.
Result<Config> LoadInCluster();
// --kubeconfig if given, else $KUBECONFIG, else the service account, else ~/.kube/config.
Result<Config> LoadConfig(const std::string& kubeconfig_flag);

}  // namespace spillway::kube
