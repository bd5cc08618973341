// An engine that is asked for nothing, for tests that need one to be there.
#pragma once

#include <string>

#include "operator/cloud/engine.h"

namespace spillway::runtime {

class IdleEngine : public cloud::Engine {
 public:
  api::EngineTraits traits() const override { return {"fake"}; }
  cloud::Source source() override { return cloud::Poll{}; }
  Result<cloud::Ensured> Ensure(const std::string&, const std::string&, const api::ServerPool&,
                                std::stop_token) override {
    return cloud::Ensured(cloud::Refusal{});
  }
  Result<Unit> Release(const api::CloudServer&, std::stop_token) override { return Unit{}; }
  cloud::Refusal Diagnose(const api::CloudServer&, std::stop_token) override { return {}; }
};

}  // namespace spillway::runtime
