// The transport against a TLS server on this machine.
#include "operator/kube/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

namespace spillway::kube {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;

struct Pair {
  std::string certificate, key;
};

std::string ToText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

// Signed by itself. names: as in a subjectAltName, such as "IP:::1,DNS:api".
Pair MakeCertificate(const std::string& names) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  static int serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  const std::string common = "test " + std::to_string(serial);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  for (const auto& [nid, value] : {std::pair(NID_basic_constraints, std::string("CA:TRUE")),
                                   std::pair(NID_subject_alt_name, names)}) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(certificate, key, EVP_sha256());
  BIO *certificate_text = BIO_new(BIO_s_mem()), *key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_text, certificate);
  PEM_write_bio_PrivateKey(key_text, key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {ToText(certificate_text), ToText(key_text)};
}

// Takes one connection after the other, and answers each with an empty object.
class TlsServer {
 public:
  TlsServer(const std::string& host, const Pair& pair)
      : ssl_(asio::ssl::context::tls_server), acceptor_(context_) {
    ssl_.use_certificate_chain(asio::buffer(pair.certificate));
    ssl_.use_private_key(asio::buffer(pair.key), asio::ssl::context::pem);
    const tcp::endpoint endpoint(asio::ip::make_address(host), 0);
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(8, error);
    listens = !error;
    if (listens) thread_ = std::thread([this] { Serve(); });
  }
  ~TlsServer() {
    if (!listens) return;
    ended_ = true;
    boost::system::error_code error;
    tcp::socket wake(context_);
    wake.connect(acceptor_.local_endpoint(), error);
    thread_.join();
  }
  std::string port() const { return std::to_string(acceptor_.local_endpoint().port()); }

  bool listens = false;
  // Set it before the first request.
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
  bool holds = false;  // the connection, until the other side ends it
  std::string head;    // of the last request; read it once that was answered

 private:
  void Serve() {
    while (!ended_) {
      boost::system::error_code error;
      asio::ssl::stream<tcp::socket> stream(context_, ssl_);
      acceptor_.accept(stream.next_layer(), error);
      if (ended_) return;
      stream.handshake(asio::ssl::stream_base::server, error);
      if (error) continue;
      std::string request;
      asio::read_until(stream, asio::dynamic_buffer(request), "\r\n\r\n", error);
      head = request;
      asio::write(stream, asio::buffer(answer), error);
      char more = 0;
      if (holds) asio::read(stream, asio::buffer(&more, 1), error);
      stream.shutdown(error);
    }
  }

  asio::io_context context_;
  asio::ssl::context ssl_;
  tcp::acceptor acceptor_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

Result<Response> Ask(Transport& transport) {
  return transport.Send({"GET", "/version", "", ""}, std::stop_token());
}
Result<Response> Ask(const Config& config) {
  const auto transport = MakeTransport(config);
  if (!transport) return transport.error();
  return Ask(**transport);
}

Config ConfigOf(const std::string& server, const Pair& pair) {
  Config config;
  config.server = server;
  config.ca = pair.certificate;
  return config;
}

TEST(TransportTest, AServerByItsIpv6AddressIsReachedAndItsCertificateChecked) {
  const Pair good = MakeCertificate("IP:::1"), other = MakeCertificate("IP:::2,DNS:localhost");
  TlsServer server("::1", good), wrong("::1", other);
  if (!server.listens || !wrong.listens) GTEST_SKIP() << "this machine has no IPv6";
  const auto answer = Ask(ConfigOf("https://[::1]:" + server.port(), good));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_FALSE(Ask(ConfigOf("https://[::1]:" + wrong.port(), other)).ok());
}

TEST(TransportTest, TheServersCertificateMayHaveTheNameThatTheKubeconfigGives) {
  const Pair pair = MakeCertificate("DNS:api.internal");
  TlsServer server("127.0.0.1", pair);
  Config config = ConfigOf("https://127.0.0.1:" + server.port(), pair);
  EXPECT_FALSE(Ask(config).ok());
  config.tls_server_name = "api.internal";
  const auto answer = Ask(config);
  EXPECT_TRUE(answer.ok()) << answer.error().message;
  config.tls_server_name = "other.internal";
  EXPECT_FALSE(Ask(config).ok());
}

TEST(TransportTest, CredentialsAndWhomTheyActAsAreInTheHeaders) {
  const Pair pair = MakeCertificate("IP:127.0.0.1");
  TlsServer server("127.0.0.1", pair);
  Config config = ConfigOf("https://127.0.0.1:" + server.port(), pair);
  config.token = "secret";
  config.impersonate = {"jane", "7", {"devs", "a, b"}, {{"example.com/team", {"x", "y"}}}};
  ASSERT_TRUE(Ask(config).ok());
  EXPECT_THAT(server.head, HasSubstr("\r\nAuthorization:Bearer secret\r\n"));
  EXPECT_THAT(server.head, HasSubstr("\r\nImpersonate-User:jane\r\n"));
  EXPECT_THAT(server.head, HasSubstr("\r\nImpersonate-Uid:7\r\n"));
  EXPECT_THAT(server.head, HasSubstr("\r\nImpersonate-Group:devs\r\nImpersonate-Group: a, b\r\n"));
  EXPECT_THAT(server.head, HasSubstr("\r\nImpersonate-Extra-example.com%2Fteam:x\r\n"));
}

TEST(TransportTest, AnAnswerOfAServiceIsBoundedInSize) {
  const Pair pair = MakeCertificate("IP:127.0.0.1");
  TlsServer server("127.0.0.1", pair);
  Config config = ConfigOf("https://127.0.0.1:" + server.port(), pair);
  config.most_bytes = 2;
  const auto whole = Ask(config);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_EQ(whole->body, "{}");
  config.most_bytes = 1;
  const auto cut = Ask(config);
  ASSERT_FALSE(cut.ok());
  EXPECT_THAT(cut.error().message, HasSubstr("the answer is larger than 1 bytes"));
  EXPECT_TRUE(cut.error().retryable() && cut.error().ambiguous);
}

TEST(TransportTest, AStreamCanBeEndedByWhoeverTakesItsPieces) {
  const Pair pair = MakeCertificate("IP:127.0.0.1");
  TlsServer server("127.0.0.1", pair);
  server.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nnonsense\n\r\n";
  server.holds = true;
  const auto transport = MakeTransport(ConfigOf("https://127.0.0.1:" + server.port(), pair));
  ASSERT_TRUE(transport.ok());
  std::string taken;
  std::stop_source stop;
  const auto answer =
      (*transport)->Stream({"GET", "/", "", ""}, stop.get_token(), [&](std::string_view piece) {
        taken += piece;
        stop.request_stop();
      });
  EXPECT_EQ(taken, "nonsense\n");
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, ErrorKind::kCancelled);
}

TEST(TransportTest, ARedirectIsNotFollowedSinceCredentialsAreForNobodyElse) {
  const Pair pair = MakeCertificate("IP:127.0.0.1");
  TlsServer server("127.0.0.1", pair);
  server.answer = "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:" + server.port() +
                  "/elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  const auto answer = Ask(ConfigOf("https://127.0.0.1:" + server.port(), pair));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 302);
  EXPECT_THAT(server.head, HasSubstr("GET /version"));
}

TEST(TransportTest, TheProxyIsAskedForTheServer) {
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::make_address("127.0.0.1"), 0});
  std::string head;
  std::thread proxy([&] {
    tcp::socket socket(context);
    boost::system::error_code error;
    acceptor.accept(socket, error);
    asio::read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", error);
    asio::write(socket, asio::buffer(std::string("HTTP/1.1 403 Forbidden\r\n\r\n")), error);
  });
  Config config = ConfigOf("https://api.internal:6443", MakeCertificate("DNS:api.internal"));
  config.proxy_url = "http://me:pass@127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  const auto answer = Ask(config);
  proxy.join();
  ASSERT_FALSE(answer.ok());
  EXPECT_FALSE(answer.error().ambiguous) << "the request was never sent";
  EXPECT_THAT(head, HasSubstr("CONNECT api.internal:6443 HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr("Proxy-Authorization: Basic bWU6cGFzcw==\r\n"));
}

TEST(TransportTest, AnAuthorityAndATokenThatWereReplacedInTheirFilesCount) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("rotate" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name) << text;
  };
  const Pair before = MakeCertificate("IP:127.0.0.1"), after = MakeCertificate("IP:127.0.0.1");
  TlsServer server("127.0.0.1", after);
  write("ca", before.certificate);
  write("token", "old\n");
  Config config = ConfigOf("https://127.0.0.1:" + server.port(), before);
  config.ca_file = folder / "ca";
  config.token_file = folder / "token";
  const auto transport = MakeTransport(config, std::chrono::seconds(0));
  ASSERT_TRUE(transport.ok());
  EXPECT_FALSE(Ask(**transport).ok());
  write("ca", "half of a file");
  EXPECT_FALSE(Ask(**transport).ok());
  write("ca", after.certificate);
  write("token", "new\n");
  const auto answer = Ask(**transport);
  EXPECT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_THAT(server.head, HasSubstr("Bearer new\r\n"));
  std::filesystem::remove_all(folder);
}

TEST(TransportTest, WhereNobodyListensNothingWasSent) {
  Config config = ConfigOf("https://127.0.0.1:1", MakeCertificate("IP:127.0.0.1"));
  const auto answer = Ask(config);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, ErrorKind::kUnavailable);
  EXPECT_FALSE(answer.error().ambiguous);
}

}  // namespace
}  // namespace spillway::kube
