// Servers from Karpenter: one standalone NodeClaim (karpenter.sh/v1) per ScaleRequest, without a
// NodePool, so that Karpenter's disruption controller leaves it alone. Contract: a claim is usable
// when its condition Ready is True; failure is its deletion, and the reason is in its Events.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "operator/cloud/engine.h"

namespace spillway::cloud {

inline constexpr char kKarpenter[] = "karpenter";
inline const kube::Resource kNodeClaims{"karpenter.sh", "v1", "nodeclaims"};

// "spw-<request uid>": a second creation meets AlreadyExists.
std::string NodeClaimName(const std::string& request_uid);
api::Json NodeClaimBody(const std::string& request_name, const std::string& request_uid,
                        const api::ServerPool& pool);
// Fails for a claim that is not of Spillway: ours has that name, and a ScaleRequest as controller.
// Labels are anybody's.
Result<api::CloudServer> DecodeNodeClaim(const api::Json& object);
// From the Events of a claim that vanished.
Refusal DiagnoseEvents(const api::Json& event_list);

// By which the cloud says that it takes a machine away soon, whatever is drained until when, such
// as by a spot notice; empty if it does not.
std::string InterruptionIn(const api::Json& event_list);

class Karpenter : public Engine {
 public:
  // transport must outlive this.
  explicit Karpenter(kube::Transport& transport) : transport_(transport) {}

  api::EngineTraits traits() const override;
  Source source() override;
  Result<Ensured> Ensure(const std::string& request_name, const std::string& request_uid,
                         const api::ServerPool& pool, std::stop_token stop) override;
  Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) override;
  Refusal Diagnose(const api::CloudServer& server, std::stop_token stop) override;

 private:
  // With a look at why a claim is deleted that we have not given back.
  Result<api::CloudServer> Decode(const api::Json& object, std::stop_token stop);
  bool IsReleased(const std::string& uid) const;
  // Of the claim of that name; empty if they cannot be had.
  api::Json EventsOf(const std::string& claim, std::stop_token stop);

  kube::Transport& transport_;
  mutable std::mutex mutex_;
  std::deque<std::string> released_;  // guarded by mutex_: their uids
};

}  // namespace spillway::cloud
