// /metrics over TLS, for whom ScrapeAccess lets in.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/base/result.h"
#include "operator/runtime/http_server.h"
#include "operator/runtime/scrape_access.h"

namespace spillway::runtime {

// tls.crt and tls.key of the directory, as a mounted Secret has them.
Result<Certificate> ReadCertificate(const std::string& directory);
// A new key, signed by itself and valid for a year: against eavesdroppers, not against impostors.
Result<Certificate> SelfSignedCertificate();

// Serves until destroyed.
class SecureMetrics {
 public:
  virtual ~SecureMetrics() = default;
};

// address as for ServeHttp. access must outlive it; text is called from a thread of its own.
Result<std::unique_ptr<SecureMetrics>> ServeSecureMetrics(const std::string& address,
                                                          const Certificate& certificate,
                                                          ScrapeAccess& access,
                                                          std::function<std::string()> text);

}  // namespace spillway::runtime
