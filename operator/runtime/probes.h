// /healthz and /readyz, as the kubelet asks for them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/base/result.h"

namespace spillway::runtime {

// Serves until destroyed.
class Probes {
 public:
  virtual ~Probes() = default;
};

// The functions are called from the server's threads. address as for Metrics::Serve.
Result<std::unique_ptr<Probes>> ServeProbes(const std::string& address,
                                            std::function<bool()> healthy,
                                            std::function<bool()> ready);

}  // namespace spillway::runtime
