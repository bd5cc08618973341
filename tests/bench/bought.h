// What engines make of a purchase, as a benchmark sees it first.
#pragma once

#include <memory>
#include <string>

#include "operator/base/result.h"
#include "operator/kube/config.h"
#include "tests/bench/load.h"

namespace spillway::bench {

// The objects of an engine.
struct Bought {
  std::string what;  // NodeClaim, MachineSet, placeholder pod or lease
  kube::Resource
      resource;          // of the API server; of a lease: the ScaleRequest that it is named after
  kube::Config service;  // of a lease: where it is asked for; no server: it is watched
  std::string path;
};

// By the engine's name in hack/bench. url, files: of the cloud service; see main.
Result<Bought> BoughtOf(const std::string& engine, const std::string& url,
                        const std::string& files);

// When the first object for each task was seen, by the task's uid.
class Purchases {
 public:
  virtual ~Purchases() = default;
  virtual Times seen() = 0;
};
// Null if the cloud service's address or certificate cannot be used.
std::unique_ptr<Purchases> Watched(kube::Transport& server, const Bought& bought);

}  // namespace spillway::bench
