#include "operator/runtime/http_server.h"

#include <gtest/gtest.h>

#include <boost/asio.hpp>

namespace spillway::runtime {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// The whole answer of a server on this machine; empty if there is none.
std::string Ask(const std::string& host, int port, const std::string& request) {
  asio::io_context context;
  tcp::socket socket(context);
  boost::system::error_code error;
  socket.connect({asio::ip::make_address(host), static_cast<unsigned short>(port)}, error);
  if (error) return "";
  asio::write(socket, asio::buffer(request), error);
  std::string answer;
  asio::read(socket, asio::dynamic_buffer(answer), error);
  return answer;
}

HttpAnswer Echo(const HttpRequest& request) {
  if (request.path == "/throws") throw std::runtime_error("no");
  if (!request.authorization.empty()) return {200, "text/plain", request.authorization};
  return {200, "text/plain", "path " + request.path};
}

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\n\r\n"; }

TEST(HttpServerTest, APortAloneIsServedOnBothFamilies) {
  const auto server = ServeHttp(":0", Echo);
  ASSERT_TRUE(server.ok()) << server.error().message;
  const int port = (*server)->port();
  EXPECT_TRUE(Ask("127.0.0.1", port, Get("/x?y=1")).ends_with("\r\n\r\npath /x"));
  boost::system::error_code error;
  asio::io_context context;
  tcp::socket probe(context);
  const bool has_v6 =
      !probe.open(tcp::v6(), error) && !probe.bind({asio::ip::make_address("::1"), 0}, error);
  if (has_v6) {
    EXPECT_TRUE(Ask("::1", port, Get("/x")).ends_with("path /x"));
  }
}

TEST(HttpServerTest, TheAuthorizationIsHandedOverWhateverTheCaseOfItsName) {
  const auto server = ServeHttp("127.0.0.1:0", Echo);
  ASSERT_TRUE(server.ok());
  const std::string head = "GET / HTTP/1.1\r\nHost: x\r\nauthorization:  Bearer t\r\n\r\n";
  EXPECT_TRUE(Ask("127.0.0.1", (*server)->port(), head).ends_with("\r\n\r\nBearer t"));
}

TEST(HttpServerTest, ACertificateThatIsNoneIsRefused) {
  const Certificate none{"x", "y"};
  const auto server = ServeHttp("127.0.0.1:0", Echo, &none);
  ASSERT_FALSE(server.ok());
  EXPECT_NE(server.error().message.find("certificate"), std::string::npos);
}

TEST(HttpServerTest, OneAddressIsServedAlone) {
  const auto server = ServeHttp("127.0.0.1:0", Echo);
  ASSERT_TRUE(server.ok());
  EXPECT_NE(Ask("127.0.0.1", (*server)->port(), Get("/")), "");
  EXPECT_EQ(Ask("::1", (*server)->port(), Get("/")), "");
}

TEST(HttpServerTest, AnAddressInUseIsAnErrorThatSaysSo) {
  const auto first = ServeHttp(":0", Echo);
  ASSERT_TRUE(first.ok());
  for (const char* host : {"", "127.0.0.1"}) {
    const auto second = ServeHttp(host + (":" + std::to_string((*first)->port())), Echo);
    ASSERT_FALSE(second.ok()) << host;
    EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
  }
}

TEST(HttpServerTest, WhatIsNoAddressIsRefused) {
  for (const char* address : {"8080", "", ":", ":x", ":70000", "no-such-host.invalid:80"})
    EXPECT_FALSE(ServeHttp(address, Echo).ok()) << address;
}

TEST(HttpServerTest, ConnectionsThatSayNothingGiveWayTheOldestFirst) {
  const auto server = ServeHttp("127.0.0.1:0", Echo);
  ASSERT_TRUE(server.ok());
  const int port = (*server)->port();
  asio::io_context context;
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 100; ++i) {
    idle.emplace_back(context).connect(
        {asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(port)});
  }
  EXPECT_TRUE(Ask("127.0.0.1", port, Get("/")).starts_with("HTTP/1.1 200 "));
  boost::system::error_code error;
  char byte = 0;
  asio::read(idle.front(), asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, asio::error::eof);
  asio::write(idle.back(), asio::buffer(Get("/")), error);
  std::string answer;
  asio::read(idle.back(), asio::dynamic_buffer(answer), error);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << "the newest was kept";
}

TEST(HttpServerTest, WhateverIsSentItGoesOnServing) {
  const auto server = ServeHttp("127.0.0.1:0", Echo);
  ASSERT_TRUE(server.ok());
  const int port = (*server)->port();
  EXPECT_TRUE(Ask("127.0.0.1", port, Get("/throws")).starts_with("HTTP/1.1 500 "));
  EXPECT_TRUE(Ask("127.0.0.1", port, "POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Ask("127.0.0.1", port, "\r\n\r\n").starts_with("HTTP/1.1 400 "));
  (void)Ask("127.0.0.1", port, std::string(100'000, 'x'));
  EXPECT_TRUE(Ask("127.0.0.1", port, Get("/")).starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace spillway::runtime
