// Servers from whatever scales the cluster by its pending pods: Cluster Autoscaler, the node groups
// of GKE, AKS and EKS, Karpenter's NodePools. A placeholder pod per ScaleRequest, as large as a
// server, waits until the autoscaler has brought the node that kube-scheduler binds it to. Then a
// keeper takes its place, which needs no room; the keeper is there before the placeholder goes, so
// that the autoscaler never finds the node empty. To give the server back the keeper is deleted;
// the autoscaler takes the node away in its own time.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/placeholder.h"

namespace spillway::cloud {

inline constexpr char kPendingPod[] = "pendingPod";

class PendingPod : public Engine {
 public:
  // ns: where the pods are made, the operator's own. transport must outlive this.
  PendingPod(kube::Transport& transport, std::string ns)
      : transport_(transport), ns_(std::move(ns)) {}

  api::EngineTraits traits() const override;
  Source source() override;
  void Heed(const Known& known) override;
  Result<Ensured> Ensure(const std::string& request_name, const std::string& request_uid,
                         const api::ServerPool& pool, std::stop_token stop) override;
  Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) override;
  Refusal Diagnose(const api::CloudServer& server, std::stop_token stop) override;

 private:
  using Clock = std::chrono::steady_clock;
  // Those for one request. former: a keeper whose successor is there.
  struct Pair {
    std::optional<OwnPod> placeholder, keeper, former;
  };

  // What there is; moves each on as far as it can be.
  Result<std::vector<api::CloudServer>> Look(std::stop_token stop);
  Result<std::map<std::string, Pair>> ListPods(std::stop_token stop);
  api::CloudServer Advance(const Pair& pair, const api::Json& events, std::stop_token stop);
  api::CloudServer Kept(const Pair& pair, std::stop_token stop);
  // The placeholder has a node, and gives way to a keeper there.
  api::CloudServer HandOver(const OwnPod& placeholder, std::stop_token stop);
  // As its Node says; empty as long as it says nothing.
  Result<std::string> ProviderOf(const std::string& node, std::stop_token stop);
  // In place of one that was evicted, which stays if there is no other.
  std::optional<OwnPod> Renew(const OwnPod& keeper, std::stop_token stop);
  // Whether nobody needs to look: nothing was there, and nothing is asked for.
  bool Idle() const;
  Result<std::optional<OwnPod>> Find(const std::string& name, std::stop_token stop);
  Result<std::optional<OwnPod>> FindKeeper(const std::string& request_uid, std::stop_token stop);
  Result<Unit> Delete(const OwnPod& pod, std::stop_token stop);
  // selector: of labels or fields, as in a query.
  Result<api::Json> List(const kube::Resource& resource, const std::string& selector,
                         std::stop_token stop);

  kube::Transport& transport_;
  const std::string ns_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool named_ = true;  // a pool or a ScaleRequest names this engine
  std::optional<Clock::time_point> found_nothing_;
  // Used by the thread of the source only.
  std::map<std::string, Clock::time_point> renewed_;  // by request
};

}  // namespace spillway::cloud
