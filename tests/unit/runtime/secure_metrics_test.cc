#include "operator/runtime/secure_metrics.h"

#include <gmock/gmock.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>

namespace spillway::runtime {
namespace {

// Knows everybody as a user who may scrape.
class KindTransport : public kube::Transport {
 public:
  Result<kube::Response> Send(const kube::Request&, std::stop_token) override {
    return kube::Response{201, R"({"status":{"authenticated":true,"allowed":true,"user":{}}})",
                          std::nullopt};
  }
  Result<kube::Response> Stream(const kube::Request& request, std::stop_token stop,
                                const std::function<void(std::string_view)>&) override {
    return Send(request, stop);
  }
};

struct Answer {
  int status;
  std::string body;
};

// A port that is most likely free.
int Port() { return 20'000 + getpid() % 10'000; }
std::string Address() { return "127.0.0.1:" + std::to_string(Port()); }

Answer Get(const std::string& path, const std::string& token) {
  web::http::client::http_client_config config;
  config.set_validate_certificates(false);
  config.set_timeout(std::chrono::seconds(5));
  web::http::client::http_client client("https://" + Address(), config);
  web::http::http_request request(web::http::methods::GET);
  request.set_request_uri(path);
  if (!token.empty()) request.headers().add("Authorization", "Bearer " + token);
  const auto response = client.request(request).get();
  return {response.status_code(), response.extract_utf8string(true).get()};
}

// What a new connection is shown, as PEM.
std::string ShownCertificate() {
  namespace asio = boost::asio;
  asio::io_context io;
  asio::ssl::context context(asio::ssl::context::tls_client);
  asio::ssl::stream<asio::ip::tcp::socket> stream(io, context);
  stream.lowest_layer().connect(
      {asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(Port())});
  stream.handshake(asio::ssl::stream_base::client);
  X509* shown = SSL_get_peer_certificate(stream.native_handle());
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, shown);
  X509_free(shown);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(out);
  return text;
}

class SecureMetricsTest : public testing::Test {
 protected:
  SecureMetricsTest() { std::filesystem::create_directories(folder_); }
  ~SecureMetricsTest() override { std::filesystem::remove_all(folder_); }

  void Serve(const std::string& directory) {
    auto served = ServeSecureMetrics({Address(), directory, std::chrono::milliseconds(10)}, access_,
                                     [] { return std::string("up 1\n"); });
    ASSERT_TRUE(served.ok()) << served.error().message;
    served_ = std::move(served).value();
  }
  void Write(const Certificate& certificate) const {
    std::ofstream(folder_ / "tls.crt") << certificate.chain;
    std::ofstream(folder_ / "tls.key") << certificate.key;
  }
  static bool ShownWithinSeconds(const std::string& chain) {
    for (int i = 0; i < 500; ++i) {
      if (ShownCertificate() == chain) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("certificates" + std::to_string(getpid()));
  KindTransport transport_;
  ScrapeAccess access_{transport_};
  std::unique_ptr<SecureMetrics> served_;
};

TEST_F(SecureMetricsTest, ServesTheTextOverTlsToWhoeverHasAToken) {
  Serve("");
  const Answer good = Get("/metrics", "t");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.body, "up 1\n");
  EXPECT_EQ(Get("/metrics", "").status, 401);
  EXPECT_EQ(Get("/other", "t").status, 404);
}

TEST_F(SecureMetricsTest, APairThatReplacesTheLastOneIsShownWithoutARestart) {
  const Certificate first = *SelfSignedCertificate(), second = *SelfSignedCertificate();
  Write(first);
  Serve(folder_);
  EXPECT_EQ(ShownCertificate(), first.chain);
  Write(second);
  EXPECT_TRUE(ShownWithinSeconds(second.chain));
  EXPECT_EQ(Get("/metrics", "t").status, 200);
}

TEST_F(SecureMetricsTest, WhatIsNoPairIsPassedOverUntilOneCanBeUsed) {
  const Certificate first = *SelfSignedCertificate(), second = *SelfSignedCertificate();
  Write(first);
  Serve(folder_);
  Write({second.chain, first.key});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(ShownCertificate(), first.chain);
  Write(second);
  EXPECT_TRUE(ShownWithinSeconds(second.chain));
}

TEST_F(SecureMetricsTest, AStartWithoutThePairNamesTheFileThatIsMissing) {
  const auto served = ServeSecureMetrics({Address(), "/nowhere"}, access_, [] { return ""; });
  ASSERT_FALSE(served.ok());
  EXPECT_EQ(served.error().message, "cannot read /nowhere/tls.crt");
}

}  // namespace
}  // namespace spillway::runtime
