// TLS settings of a connection, on OpenSSL itself.
#pragma once

#include <openssl/ssl.h>

#include "operator/base/result.h"
#include "operator/kube/config.h"

namespace spillway::kube {

// Puts the authorities and the client certificate into the context. Only the given authorities are
// trusted, not the system's.
Result<Unit> ConfigureTls(SSL_CTX* context, const Config& config);

}  // namespace spillway::kube
