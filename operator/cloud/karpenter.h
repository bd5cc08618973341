// Servers from Karpenter: one standalone NodeClaim (karpenter.sh/v1) per ScaleRequest, without a
// NodePool, so that Karpenter's disruption controller leaves it alone. Contract: a claim is usable
// when its condition Ready is True; failure is its deletion, and the reason is in its Events.
#pragma once

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
  kube::Transport& transport_;
};

}  // namespace spillway::cloud
