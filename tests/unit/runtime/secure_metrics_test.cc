#include "operator/runtime/secure_metrics.h"

#include <gmock/gmock.h>

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
std::string Address() { return "127.0.0.1:" + std::to_string(20'000 + getpid() % 10'000); }

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

TEST(SecureMetrics, ServesTheTextOverTlsToWhoeverHasAToken) {
  KindTransport transport;
  ScrapeAccess access(transport);
  const auto certificate = SelfSignedCertificate();
  ASSERT_TRUE(certificate.ok());
  const auto served =
      ServeSecureMetrics(Address(), *certificate, access, [] { return std::string("up 1\n"); });
  ASSERT_TRUE(served.ok()) << served.error().message;
  const Answer good = Get("/metrics", "t");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.body, "up 1\n");
  EXPECT_EQ(Get("/metrics", "").status, 401);
  EXPECT_EQ(Get("/other", "t").status, 404);
}

TEST(SecureMetrics, NamesTheFileThatIsMissing) {
  const auto certificate = ReadCertificate("/nowhere");
  ASSERT_FALSE(certificate.ok());
  EXPECT_EQ(certificate.error().message, "cannot read /nowhere/tls.crt");
}

}  // namespace
}  // namespace spillway::runtime
