// Who may read /metrics over TLS: the API server must know the token (TokenReview) and allow its
// user the path /metrics (SubjectAccessReview), as in controller-runtime's filter. Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "operator/kube/request.h"

namespace spillway::runtime {

// The HTTP status that says it.
enum class Access { kAllowed = 200, kUnknown = 401, kForbidden = 403, kNotDecided = 503 };

class ScrapeAccess {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // transport must outlive this.
  explicit ScrapeAccess(kube::Transport& transport) : transport_(transport) {}

  // authorization: the header's value. Asks the API server at most once a minute for a token that
  // it has decided about; a request that failed is not remembered.
  Access Check(const std::string& authorization, Time now, std::stop_token stop);

 private:
  struct Decision {
    Access access;
    Time until;
  };

  Access Ask(const std::string& token, std::stop_token stop);

  kube::Transport& transport_;
  std::mutex mutex_;
  std::map<std::string, Decision> decided_;  // by the token's SHA-256; bounded
};

}  // namespace spillway::runtime
