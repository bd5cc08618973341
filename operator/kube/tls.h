// TLS settings of a connection, on OpenSSL itself.
#pragma once

#include <openssl/ssl.h>

#include "operator/base/result.h"
#include "operator/kube/config.h"

namespace spillway::kube {

// Reads the system's authorities, or those that SSL_CERT_FILE and SSL_CERT_DIR name, for all
// connections to come. cpprestsdk reads them for each connection, needed or not, which takes more
// than the rest of its making: from here on it finds none. Changes the environment, so call it
// before there are other threads; without it all works as well.
void ReadAuthoritiesOnce();

// Puts the authorities and the client certificate into the context. Only the given authorities are
// trusted, not the system's; if none are given, the system's.
Result<Unit> ConfigureTls(SSL_CTX* context, const Config& config);

}  // namespace spillway::kube
