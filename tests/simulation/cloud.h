// A model of an engine that sells servers, as Karpenter behaves: a claim per request, whose node
// appears later or never; failure is the claim's deletion.
#pragma once

#include <map>
#include <string>

#include "operator/cloud/karpenter.h"
#include "tests/simulation/api_server.h"
#include "tests/simulation/random.h"

namespace spillway::simulation {

class Cloud : public cloud::Engine {
 public:
  // What the engine does with claims of a pool at the moment.
  enum class Mood { kGood, kNoCapacity, kStuck, kRefuses, kUnauthenticated };

  explicit Cloud(ApiServer& api) : api_(api) {}

  api::EngineTraits traits() const override { return {cloud::kKarpenter}; }
  // Nobody asks: a replica's watch delivers what is in the API server.
  cloud::Source source() override { return cloud::Watch{cloud::kNodeClaims}; }
  Result<cloud::Ensured> Ensure(const std::string& request_name, const std::string& request_uid,
                                const api::ServerPool& pool, std::stop_token stop) override;
  Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) override;
  cloud::Refusal Diagnose(const api::CloudServer& server, std::stop_token stop) override;

  // Its servers come with a taint that is taken away later, and with less room than promised.
  void ComeSlowly() { slow_ = true; }
  void SetMood(const std::string& pool, Mood mood) { moods_[pool] = mood; }
  // Moves one claim on: a node, readiness, refusal, the end of a release. False if none can move.
  bool Move(Random& random);
  // One that is in use will be taken away, soon or at a time that it says.
  bool Announce(Random& random);
  // Someone deletes a claim behind everyone's back.
  bool DeleteAny(Random& random);
  // Everything is in a good mood again.
  void Calm() { moods_.clear(); }
  // Whether the request ever led to a claim, or to a refusal.
  bool Answered(const std::string& request_uid) const;

 private:
  void Delete(const api::CloudServer& server);
  void Provide(const api::CloudServer& claim);
  bool Arrive(const api::CloudServer& claim);
  void TakeAway(const api::CloudServer& claim);

  ApiServer& api_;
  std::map<std::string, Mood> moods_;
  std::map<std::string, std::string> pool_of_;  // by the name of the claim, made or refused
  size_t nodes_ = 0;
  bool slow_ = false;
};

}  // namespace spillway::simulation
