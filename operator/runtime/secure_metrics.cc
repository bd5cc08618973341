#include "operator/runtime/secure_metrics.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <sstream>

namespace spillway::runtime {
namespace {

constexpr long kValidSeconds = 365L * 24 * 3600;

template <typename Write>
std::string Pem(Write write) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  if (!bio || write(bio.get()) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

// The API server may take seconds to decide about a token: the server's one thread answers in turn.
class Listener : public SecureMetrics {
 public:
  Listener(ScrapeAccess& access, std::function<std::string()> text)
      : access_(access), text_(std::move(text)) {}
  ~Listener() override { stop_.request_stop(); }

  Result<Unit> Serve(const std::string& address, const Certificate& certificate) {
    auto server = ServeHttp(
        address, [this](const HttpRequest& request) { return Answer(request); }, &certificate);
    if (!server) return server.error();
    server_ = std::move(server).value();
    return Unit{};
  }

 private:
  HttpAnswer Answer(const HttpRequest& request) {
    if (request.path != "/metrics") return {404, "text/plain", "not found\n"};
    const Access access =
        access_.Check(request.authorization, std::chrono::steady_clock::now(), stop_.get_token());
    return {static_cast<int>(access), "text/plain; version=0.0.4; charset=utf-8",
            access == Access::kAllowed ? text_() : ""};
  }

  ScrapeAccess& access_;
  const std::function<std::string()> text_;
  std::stop_source stop_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace

Result<Certificate> ReadCertificate(const std::string& directory) {
  Certificate certificate;
  for (const auto& [file, out] :
       {std::pair("/tls.crt", &certificate.chain), std::pair("/tls.key", &certificate.key)}) {
    std::ifstream in(directory + file);
    std::stringstream text;
    text << in.rdbuf();
    *out = text.str();
    if (!in || out->empty()) return Invalid("cannot read " + directory + file);
  }
  return certificate;
}

Result<Certificate> SelfSignedCertificate() {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> x509(X509_new(), X509_free);
  uint64_t serial = 0;
  if (!key || !x509 || RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) != 1)
    return Invalid("no key could be made");
  X509_set_version(x509.get(), 2);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), -300);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), kValidSeconds);
  X509_set_pubkey(x509.get(), key.get());
  X509_NAME* name = X509_get_subject_name(x509.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("spillway-metrics"), -1, -1, 0);
  X509_set_issuer_name(x509.get(), name);
  if (X509_sign(x509.get(), key.get(), EVP_sha256()) == 0)
    return Invalid("no certificate could be made");
  return Certificate{
      Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, x509.get()); }), Pem([&](BIO* bio) {
        return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
      })};
}

Result<std::unique_ptr<SecureMetrics>> ServeSecureMetrics(const std::string& address,
                                                          const Certificate& certificate,
                                                          ScrapeAccess& access,
                                                          std::function<std::string()> text) {
  auto listener = std::make_unique<Listener>(access, std::move(text));
  if (const auto served = listener->Serve(address, certificate); !served)
    return Invalid("--metrics-bind-address " + address + ": " + served.error().message);
  return std::unique_ptr<SecureMetrics>(std::move(listener));
}

}  // namespace spillway::runtime
