// /metrics over TLS, for those whom ScrapeAccess allows it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "operator/base/result.h"
#include "operator/runtime/http_server.h"
#include "operator/runtime/scrape_access.h"

namespace spillway::runtime {

// A new self-signed key, valid for a year. It protects against eavesdroppers, not impostors.
Result<Certificate> SelfSignedCertificate();

struct SecureMetricsOptions {
  std::string address;                // as for ServeHttp
  std::string certificate_directory;  // of its tls.crt and tls.key; empty: a certificate is made
  // How often the directory is looked at for a new pair.
  std::chrono::milliseconds reread_every{10'000};
};

// Serves until destroyed.
class SecureMetrics {
 public:
  virtual ~SecureMetrics() = default;
};

// access must outlive it; text is called from a thread of its own. Fails where the address cannot
// be listened on, or the directory holds no pair that can be used; a later pair that cannot be used
// is logged, and the last one stays.
Result<std::unique_ptr<SecureMetrics>> ServeSecureMetrics(const SecureMetricsOptions& options,
                                                          ScrapeAccess& access,
                                                          std::function<std::string()> text);

}  // namespace spillway::runtime
