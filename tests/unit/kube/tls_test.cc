#include "operator/kube/tls.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace spillway::kube {
namespace {

// In a process of its own: it changes the environment.
TEST(TlsDeathTest, TheSystemsAuthoritiesAreReadOnceAndServeAllConnectionsWithoutOwnOnes) {
  EXPECT_EXIT(
      {
        ReadAuthoritiesOnce();
        SSL_CTX* first = SSL_CTX_new(TLS_client_method());
        SSL_CTX* second = SSL_CTX_new(TLS_client_method());
        const bool usable = ConfigureTls(first, {}) && ConfigureTls(second, {});
        const bool shared = SSL_CTX_get_cert_store(first) == SSL_CTX_get_cert_store(second);
        const bool none_for_the_library = std::string(std::getenv("SSL_CERT_FILE")) == "/dev/null";
        SSL_CTX_free(first);
        SSL_CTX_free(second);
        std::exit(usable && shared && none_for_the_library ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace spillway::kube
