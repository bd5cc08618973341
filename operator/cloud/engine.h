// The seam for engines: what Spillway needs of whatever provides servers. Level-triggered and
// idempotent: asking twice for the same request is one server, releasing what is gone is success.
//
// An engine is one class in this folder, one member of spec.backend in crds/serverpools.yaml, the
// rights that it needs in the chart's ClusterRole, and one line in main.cc. See "Adding an engine"
// in ARCHITECTURE.md.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/engine.h"
#include "operator/api/server_pool.h"
#include "operator/kube/request.h"

namespace spillway::cloud {

// What an engine has is seen by a watch: each object of the resource that Decode takes is a server,
// whose key() is that of the object ("namespace/name").
struct Watch {
  kube::Resource resource;
  std::string ns = {};  // empty: all namespaces
  // Must fail for what was not asked for by Spillway: that is passed over. May block, to look up
  // what else belongs to the server; an error that may pass (retryable) is tried again, and what
  // comes after it waits.
  std::function<Result<api::CloudServer>(const api::Json& object, std::stop_token stop)> decode =
      {};
};

// Or it is asked what it has: everything that Spillway ever asked of it and that is not gone.
struct Poll {
  std::chrono::milliseconds every{10'000};
  std::function<Result<std::vector<api::CloudServer>>(std::stop_token stop)> list = {};
  // What is wrong with a part of it, though it said what it has; empty if nothing is. For the log.
  std::function<std::string()> trouble = {};
};

using Source = std::variant<Watch, Poll>;

// What an engine has to do with: its pools, and the ScaleRequests that are not over yet.
struct Known {
  std::vector<api::ServerPool> pools;
  std::vector<api::ScaleRequest> requests;
};

// Why there is no server, in the engine's words.
struct Refusal {
  api::CloudError error = api::CloudError::kNone;
  std::string message;
  std::optional<std::chrono::seconds> retry_after = {};  // not before that, if it said so
};
using Ensured = std::variant<api::CloudServer, Refusal>;

// Thread-safe; the calls block. Texts that it passes on are bounded.
class Engine {
 public:
  virtual ~Engine() = default;
  // Both are fixed. The functions of the source are called from one thread.
  virtual api::EngineTraits traits() const = 0;
  virtual Source source() = 0;
  // Of a polled engine: what there is of its kind in the API server as of a moment ago. First when
  // all that was listed, and again about once a second.
  virtual void Heed(const Known& known) { static_cast<void>(known); }

  // The engine's object for the request (a ScaleRequest's name and uid), made if it is not there. A
  // refusal is final for this request; an error that may pass (retryable) is tried again. The
  // server's Node must get the pool's labels and taints, the taint spillway.dev/pool, and the label
  // of that name, with the pool's name as their value.
  virtual Result<Ensured> Ensure(const std::string& request_name, const std::string& request_uid,
                                 const api::ServerPool& pool, std::stop_token stop) = 0;
  virtual Result<Unit> Release(const api::CloudServer& server, std::stop_token stop) = 0;
  // Why a server is gone that was never ready.
  virtual Refusal Diagnose(const api::CloudServer& server, std::stop_token stop) = 0;
};

}  // namespace spillway::cloud
