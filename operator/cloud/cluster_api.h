// Servers from Cluster API (cluster.x-k8s.io/v1beta2): one MachineSet of one replica per
// ScaleRequest, in the namespace of the pool's Cluster, which must be the cluster that the operator
// serves. Contract: the server is the MachineSet, and what it can do is what the oldest of its
// Machines can that nobody deletes: one that was deleted is replaced under the same MachineSet, and
// a dying one says nothing of its successor. What has changed is asked for, and not watched, since
// the Machine's last change need not touch its MachineSet.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/engine.h"

namespace spillway::cloud {

inline constexpr char kClusterApi[] = "clusterAPI";
inline const kube::Resource kMachineSets{"cluster.x-k8s.io", "v1beta2", "machinesets"};
inline const kube::Resource kMachines{"cluster.x-k8s.io", "v1beta2", "machines"};

// "spw-<request uid>": a second creation meets AlreadyExists.
std::string MachineSetName(const std::string& request_uid);
api::Json MachineSetBody(const std::string& request_name, const std::string& request_uid,
                         const api::ServerPool& pool);
// machines: those of its namespace; others' are passed over. Fails for a MachineSet that is not of
// Spillway: ours has that name, and a ScaleRequest as controller, or none and our selector.
Result<api::CloudServer> DecodeMachineSet(const api::Json& set,
                                          const std::vector<const api::Json*>& machines);
// The class that a provider's words suggest; kNone where they suggest none, or one that passes.
api::CloudError ClassOfWords(const std::string& words);

class ClusterApi : public Engine {
 public:
  // transport must outlive this.
  explicit ClusterApi(kube::Transport& transport) : transport_(transport) {}

  api::EngineTraits traits() const override;
  Source source() override;
  void Heed(const Known& known) override;
  Result<Ensured> Ensure(const std::string& request_name, const std::string& request_uid,
                         const api::ServerPool& pool, std::stop_token stop) override;
  Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) override;
  Refusal Diagnose(const api::CloudServer& server, std::stop_token stop) override;

 private:
  using Servers = std::vector<api::CloudServer>;

  Result<Servers> List(std::stop_token stop);
  Result<Servers> ListAnew(std::stop_token stop);
  // All of them with our label, page by page.
  Result<std::vector<api::Json>> ListOurs(const kube::Resource& resource, std::stop_token stop);

  kube::Transport& transport_;
  // Something was asked for since the last list began.
  std::atomic<bool> stirred_{true};
  std::mutex mutex_;  // of the next two
  std::condition_variable_any told_;
  // Whether anything was bought that has not ended, once the core has said so.
  std::optional<bool> bought_;
  // Of the one thread that lists.
  Servers listed_;
  std::chrono::steady_clock::time_point listed_at_{};
};

}  // namespace spillway::cloud
