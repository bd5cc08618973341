#include "operator/runtime/probes.h"

namespace spillway::runtime {

Result<std::unique_ptr<HttpServer>> ServeProbes(const std::string& address,
                                                std::function<bool()> healthy,
                                                std::function<bool()> ready) {
  if (address == "0") return std::unique_ptr<HttpServer>();
  auto server = ServeHttp(address, [healthy, ready](const HttpRequest& request) -> HttpAnswer {
    const std::string& path = request.path;
    const bool known = path == "/healthz" || path == "/readyz";
    if (!known) return {404, "text/plain", "not found\n"};
    const bool good = path == "/healthz" ? healthy() : ready();
    return {good ? 200 : 503, "text/plain", good ? "ok\n" : "not ready\n"};
  });
  if (!server)
    return Invalid("--health-probe-bind-address " + address + ": " + server.error().message);
  return server;
}

}  // namespace spillway::runtime
