#include "operator/runtime/secure_metrics.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "operator/runtime/certificate_rotation.h"
#include "operator/runtime/log.h"

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

  Result<Unit> Serve(const SecureMetricsOptions& options) {
    const std::string& directory = options.certificate_directory;
    const auto certificate =
        directory.empty() ? SelfSignedCertificate() : ReadCertificate(directory);
    if (!certificate) return certificate.error();
    auto server = ServeHttp(
        options.address, [this](const HttpRequest& request) { return Answer(request); },
        &*certificate);
    if (!server)
      return Invalid("--metrics-bind-address " + options.address + ": " + server.error().message);
    server_ = std::move(server).value();
    if (!directory.empty()) Follow(directory, *certificate, options.reread_every);
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

  void Follow(const std::string& directory, const Certificate& current,
              std::chrono::milliseconds every) {
    follower_ = std::jthread([=, this](std::stop_token stop) {
      CertificateRotation rotation(directory, current, [this](const Certificate& certificate) {
        return server_->Renew(certificate);
      });
      std::mutex mutex;
      std::condition_variable_any changed;
      std::unique_lock lock(mutex);
      while (!changed.wait_for(lock, stop, every, [&] { return stop.stop_requested(); }))
        Tell(directory, rotation.Look());
    });
  }
  static void Tell(const std::string& directory, const CertificateRotation::News& news) {
    if (news.renewed) Info("metrics certificate renewed", {{"path", directory}});
    if (!news.refusal.empty())
      Fail("metrics certificate not renewed, the last one stays",
           {{"path", directory}, {"error", news.refusal}});
  }

  ScrapeAccess& access_;
  const std::function<std::string()> text_;
  std::stop_source stop_;
  std::unique_ptr<HttpServer> server_;
  std::jthread follower_;
};

}  // namespace

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

Result<std::unique_ptr<SecureMetrics>> ServeSecureMetrics(const SecureMetricsOptions& options,
                                                          ScrapeAccess& access,
                                                          std::function<std::string()> text) {
  auto listener = std::make_unique<Listener>(access, std::move(text));
  if (const auto served = listener->Serve(options); !served) return served.error();
  return std::unique_ptr<SecureMetrics>(std::move(listener));
}

}  // namespace spillway::runtime
