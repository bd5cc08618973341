// Servers from a cloud service of the user's own: one lease per ScaleRequest, asked for over the
// API that hack/cloud-service/openapi.yaml describes. Each pool names its service; each service is
// asked again and again, in a thread of its own, what it has, so that one that is slow or silent
// holds up no other.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "operator/cloud/lease_service.h"

namespace spillway::cloud {

inline constexpr char kRest[] = "rest";

class Rest : public Engine {
 public:
  explicit Rest(Installation installation) : installation_(std::move(installation)) {}

  api::EngineTraits traits() const override;
  Source source() override;
  void Heed(const Known& known) override;
  Result<Ensured> Ensure(const std::string& request_name, const std::string& request_uid,
                         const api::ServerPool& pool, std::stop_token stop) override;
  Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) override;
  Refusal Diagnose(const api::CloudServer& server, std::stop_token stop) override;

 private:
  using ServicePtr = std::shared_ptr<LeaseService>;
  struct Followed {
    ServicePtr service;
    std::chrono::steady_clock::time_point named{};  // or asked, last
  };

  // Waits until it was told what there is.
  Result<std::vector<api::CloudServer>> List(std::stop_token stop);
  std::string Trouble() const;
  // Follows the services that something names, and lets go of the others.
  void FollowNamed(const Known& known);
  ServicePtr At(const ServiceAddress& address);
  // Where the lease is: by its ScaleRequest, or else whoever has it. Null if nobody knows.
  ServicePtr Of(const std::string& request_uid) const;

  const Installation installation_;
  mutable std::mutex mutex_;
  std::condition_variable_any told_;
  // Guarded by mutex_.
  std::shared_ptr<const Known> known_;
  std::map<ServiceAddress, Followed> services_;
};

// What a service that says nothing had for the request when it was last heard, by its status;
// nothing if that names nothing.
std::optional<api::CloudServer> LastKnown(const api::ScaleRequest& request);

}  // namespace spillway::cloud
