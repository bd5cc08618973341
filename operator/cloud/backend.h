// What Spillway needs of an engine that provides servers. Level-triggered and idempotent: asking
// twice for the same request is one server, releasing what is gone is success.
#pragma once

#include <stop_token>
#include <string>

#include "operator/api/scale_request.h"
#include "operator/api/server_pool.h"

namespace spillway::cloud {

struct Diagnosis {
  api::CloudError error = api::CloudError::kNone;
  std::string message;
};

// Thread-safe; the calls block.
class Backend {
 public:
  virtual ~Backend() = default;
  // The engine's object for the request (a ScaleRequest's name and uid), made if it is not there.
  virtual Result<api::CloudServer> Ensure(const std::string& request_name,
                                          const std::string& request_uid,
                                          const api::ServerPool& pool, std::stop_token stop) = 0;
  virtual Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) = 0;
  // Why the engine took back a server before it was ready.
  virtual Diagnosis Diagnose(const api::CloudServer& server, std::stop_token stop) = 0;
};

}  // namespace spillway::cloud
