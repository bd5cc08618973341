// A small HTTP/1.1 server for what the kubelet and Prometheus ask: GET, one answer a connection.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/base/result.h"

namespace spillway::runtime {

struct HttpRequest {
  std::string path;           // without its query
  std::string authorization;  // the header's value; empty if there is none
};

struct HttpAnswer {
  int status = 200;
  std::string content_type, body;
};

// PEM.
struct Certificate {
  std::string chain, key;

  bool operator==(const Certificate&) const = default;
};

// Serves until destroyed, from a thread of its own.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  // The port that is listened on; chosen by the system if 0 was given.
  virtual int port() const = 0;
  // For connections from now on, where a certificate was given at the start. Thread-safe. One that
  // cannot be used is refused, and the last one stays.
  virtual Result<Unit> Renew(const Certificate& certificate) = 0;
};

// address: "host:port", "[host]:port", or ":port" for every address of both families. answer:
// called from the server's thread. certificate: over TLS, if given. Fails where the address cannot
// be listened on or the certificate not be used; the error says why.
Result<std::unique_ptr<HttpServer>> ServeHttp(const std::string& address,
                                              std::function<HttpAnswer(const HttpRequest&)> answer,
                                              const Certificate* certificate = nullptr);

}  // namespace spillway::runtime
