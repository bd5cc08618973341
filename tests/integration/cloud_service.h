// The reference cloud service of hack/cloud-service as a process, with machines that kwok
// simulates.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/integration/cluster.h"

namespace spillway::test {

// Offers: "small", three machines of four cores; "bare", one whose Node joins without the labels
// and taints that were asked for. Ends with this.
class CloudService {
 public:
  // Its certificate and token are in the Secret spillway-system/cloud-service afterwards.
  explicit CloudService(Cluster& cluster);
  ~CloudService();
  CloudService(const CloudService&) = delete;

  // backend.rest of a pool.
  Json Backend(const std::string& offer = "small") const;
  // See hack/cloud-service/cloud_service/faults.py; replaces those before.
  void SetFaults(const Json& rules);
  // The machine of the lease, which is Active, will be taken away; null: it does not say when.
  void TakeAway(const std::string& lease, const Json& in_seconds, const std::string& why);
  // Of this cluster's operator, not Released.
  Json Leases();
  void Start();
  void Stop();
  // The service accepts only the new token from here on; the Secret is for the caller to replace.
  void ReplaceToken(const std::string& token);
  void PutSecret(const std::string& token);
  std::string log() const { return ReadAll((dir_ / "log").string()); }

 private:
  void MakeCertificate();
  void WriteConfig();

  Cluster& cluster_;
  const std::filesystem::path dir_;
  std::string client_ref_, token_;
  int port_ = 0;
  pid_t pid_ = -1;
  std::unique_ptr<kube::Transport> transport_;
};

}  // namespace spillway::test
