// /healthz and /readyz, as the kubelet asks for them.
#pragma once

#include "operator/runtime/http_server.h"

namespace spillway::runtime {

// The functions are called from the server's thread. address as for ServeHttp; "0" means not at
// all, and gives null.
Result<std::unique_ptr<HttpServer>> ServeProbes(const std::string& address,
                                                std::function<bool()> healthy,
                                                std::function<bool()> ready);

}  // namespace spillway::runtime
