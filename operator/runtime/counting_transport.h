// Counts the requests to the API server, as client-go does.
#pragma once

#include <string>

#include "operator/kube/transport.h"
#include "operator/runtime/metrics.h"

namespace spillway::runtime {

// Thread-safe. The references must outlive this.
class CountingTransport : public kube::Transport {
 public:
  // host: of the API server, as the metrics call it.
  CountingTransport(kube::Transport& transport, Metrics& metrics, std::string host);

  Result<kube::Response> Send(const kube::Request& request, std::stop_token stop) override;
  // Counted when it ends. Its duration is not observed: a watch lasts as long as the server likes.
  Result<kube::Response> Stream(const kube::Request& request, std::stop_token stop,
                                const std::function<void(std::string_view)>& piece) override;

 private:
  void Count(const kube::Request& request, const Result<kube::Response>& answer);

  kube::Transport& transport_;
  Metrics& metrics_;
  const std::string host_;
};

}  // namespace spillway::runtime
