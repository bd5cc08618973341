// Moves bytes to and from one API server. Requests are values made elsewhere; framing, retries and
// relists live above.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "operator/base/result.h"
#include "operator/kube/config.h"

namespace spillway::kube {

struct Request {
  std::string method = "GET";
  std::string path;  // with its query, percent-encoded
  std::string content_type;
  std::string body;
};

struct Response {
  int status = 0;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;
};

// A stream that brings nothing for so long is given up, with kUnavailable. A watch is silent for as
// long as nothing changes, but bookmarks come once a minute.
inline constexpr std::chrono::seconds kStreamSilence{130};

// Thread-safe. Both calls block; a stop request makes them return soon, with kCancelled.
class Transport {
 public:
  virtual ~Transport() = default;
  // An Error means that no answer came; it does not say whether the server got the request.
  virtual Result<Response> Send(const Request& request, std::stop_token stop) = 0;
  // Hands over the body piece by piece as it arrives. Returns the response (with the body only
  // where its status is not 200) once the server ends the stream.
  virtual Result<Response> Stream(const Request& request, std::stop_token stop,
                                  const std::function<void(std::string_view)>& piece) = 0;
};

// The transport on cpprestsdk. Fails where the configuration cannot be used (unreadable key, …).
// How often the files that the configuration names are read again: certificates and tokens are
// rotated.
Result<std::unique_ptr<Transport>> MakeTransport(
    const Config& config, std::chrono::seconds reread_every = std::chrono::seconds(10));

}  // namespace spillway::kube
