#include "operator/runtime/secure_metrics.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>

#include <condition_variable>
#include <deque>
#include <fstream>
#include <sstream>
#include <thread>

#include "operator/runtime/metrics.h"

namespace spillway::runtime {
namespace {

using web::http::experimental::listener::http_listener;
using web::http::experimental::listener::http_listener_config;

// More scrapes than this at once are told to come again.
constexpr size_t kMostWaiting = 16;
constexpr long kValidSeconds = 365L * 24 * 3600;

template <typename Write>
std::string Pem(Write write) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  if (!bio || write(bio.get()) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

// The API server may take seconds to decide about a token, and cpprestsdk's threads, which also
// carry our own requests, must not wait for it: one thread answers, in turn.
class Listener : public SecureMetrics {
 public:
  Listener(const std::string& address, const Certificate& certificate, ScrapeAccess& access,
           std::function<std::string()> text)
      : access_(access),
        text_(std::move(text)),
        listener_("https://" + BindAddress(address), Config(certificate)) {
    listener_.support(web::http::methods::GET,
                      [this](const web::http::http_request& request) { Take(request); });
    listener_.open().get();
    worker_ = std::jthread([this](std::stop_token stop) { Work(stop); });
  }
  ~Listener() override {
    worker_ = {};  // stops and joins
    try {
      listener_.close().get();
    } catch (const std::exception&) {
    }
  }

 private:
  static http_listener_config Config(const Certificate& certificate) {
    http_listener_config config;
    config.set_timeout(std::chrono::seconds(30));
    config.set_ssl_context_callback([certificate](boost::asio::ssl::context& context) {
      using boost::asio::ssl::context_base;
      context.set_options(context_base::default_workarounds | context_base::no_sslv2 |
                          context_base::no_sslv3 | context_base::no_tlsv1 |
                          context_base::no_tlsv1_1);
      context.use_certificate_chain(boost::asio::buffer(certificate.chain));
      context.use_private_key(boost::asio::buffer(certificate.key), context_base::pem);
    });
    return config;
  }

  void Take(const web::http::http_request& request) {
    if (request.relative_uri().path() != "/metrics") {
      request.reply(web::http::status_codes::NotFound, "not found");
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.size() < kMostWaiting) {
        waiting_.push_back(request);
        taken_.notify_one();
        return;
      }
    }
    request.reply(web::http::status_codes::ServiceUnavailable, "too many scrapes at once");
  }

  void Work(std::stop_token stop) {
    while (!stop.stop_requested()) {
      std::unique_lock lock(mutex_);
      if (!taken_.wait(lock, stop, [this] { return !waiting_.empty(); })) return;
      const web::http::http_request request = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      Answer(request, stop);
    }
  }

  void Answer(const web::http::http_request& request, std::stop_token stop) {
    std::string authorization;
    const auto header = request.headers().find("Authorization");
    if (header != request.headers().end()) authorization = header->second;
    const Access access = access_.Check(authorization, std::chrono::steady_clock::now(), stop);
    const auto status = static_cast<web::http::status_code>(access);
    try {
      request.reply(status, access == Access::kAllowed ? text_() : "", "text/plain; version=0.0.4")
          .wait();
    } catch (const std::exception&) {  // whoever asked has gone
    }
  }

  ScrapeAccess& access_;
  const std::function<std::string()> text_;
  std::mutex mutex_;
  std::condition_variable_any taken_;
  std::deque<web::http::http_request> waiting_;
  http_listener listener_;
  std::jthread worker_;
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
  try {
    return std::unique_ptr<SecureMetrics>(
        std::make_unique<Listener>(address, certificate, access, std::move(text)));
  } catch (const std::exception& error) {
    return Invalid("--metrics-bind-address " + address + ": " + error.what());
  }
}

}  // namespace spillway::runtime
