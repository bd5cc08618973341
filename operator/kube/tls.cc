#include "operator/kube/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <memory>
#include <string>

namespace spillway::kube {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// The system's authorities, once they were read; null before that.
X509_STORE*& SystemStore() {
  static X509_STORE* store = nullptr;
  return store;
}

Owned<BIO> Reader(const std::string& pem) {
  return Owned<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Owned<X509> NextCertificate(BIO* bio) {
  return Owned<X509>(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
}

Result<Unit> TrustOnly(SSL_CTX* context, const std::string& pem) {
  X509_STORE* store = X509_STORE_new();
  SSL_CTX_set_cert_store(context, store);  // owns it, and forgets the system's authorities
  const auto bio = Reader(pem);
  int count = 0;
  while (const auto certificate = NextCertificate(bio.get())) {
    count += X509_STORE_add_cert(store, certificate.get());
  }
  ERR_clear_error();  // the end of the file is reported as an error
  if (count == 0) return Invalid("certificate-authority holds no certificate in PEM format");
  return Unit{};
}

Result<Unit> Present(SSL_CTX* context, const Config& config) {
  const auto bio = Reader(config.client_certificate);
  const auto leaf = NextCertificate(bio.get());
  if (leaf == nullptr || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return Invalid("client-certificate holds no certificate in PEM format");
  }
  while (auto chained = NextCertificate(bio.get())) {
    SSL_CTX_add_extra_chain_cert(context, chained.release());  // owns it
  }
  ERR_clear_error();
  const auto key_bio = Reader(config.client_key);
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return Invalid("client-key holds no private key in PEM format");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return Invalid("client-key does not belong to client-certificate");
  }
  return Unit{};
}

}  // namespace

void ReadAuthoritiesOnce() {
  X509_STORE*& store = SystemStore();
  if (store != nullptr) return;
  store = X509_STORE_new();
  X509_STORE_set_default_paths(store);
  ERR_clear_error();  // there may be none
  setenv(X509_get_default_cert_file_env(), "/dev/null", 1);
  setenv(X509_get_default_cert_dir_env(), "/dev/null", 1);
}

Result<Unit> ConfigureTls(SSL_CTX* context, const Config& config) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (!config.ca.empty()) {
    if (auto trusted = TrustOnly(context, config.ca); !trusted) return trusted;
  } else if (SystemStore() != nullptr) {
    SSL_CTX_set1_cert_store(context, SystemStore());
  }
  if (config.client_certificate.empty()) return Unit{};
  return Present(context, config);
}

}  // namespace spillway::kube
