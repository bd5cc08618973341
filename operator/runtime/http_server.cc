#include "operator/runtime/http_server.h"

#include <boost/algorithm/string/predicate.hpp>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <deque>
#include <thread>

#include "operator/runtime/guard.h"

namespace spillway::runtime {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kMostRequest = 16 * 1024;
constexpr size_t kMostConnections = 64;
constexpr std::chrono::seconds kPatience{10};

const char* Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 405:
      return "Method Not Allowed";
    default:
      return status == 503 ? "Service Unavailable" : "Internal Server Error";
  }
}

using Handler = std::function<HttpAnswer(const HttpRequest&)>;
using TlsStream = asio::ssl::stream<tcp::socket>;

// The value of a header; names are of any case.
std::string HeaderOf(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(head.size(), line.size() + 2));
    if (line.size() <= name.size() || line[name.size()] != ':' ||
        !boost::algorithm::iequals(line.substr(0, name.size()), name))
      continue;
    const size_t begin = line.find_first_not_of(" \t", name.size() + 1);
    return begin == std::string_view::npos ? "" : std::string(line.substr(begin));
  }
  return "";
}

// What the head of a request is answered with, as bytes.
std::string Reply(const std::string& head, const Handler& handler) {
  const size_t method = head.find(' '), path = method + 1;
  const size_t end = method == std::string::npos ? method : head.find(' ', path);
  HttpAnswer answer{400, "text/plain", "bad request\n"};
  if (end != std::string::npos && end < head.find("\r\n")) {
    if (head.compare(0, method, "GET") != 0) {
      answer = {405, "text/plain", "only GET\n"};
    } else {
      const std::string target = head.substr(path, end - path);
      const HttpRequest request{target.substr(0, target.find('?')),
                                HeaderOf(head, "Authorization")};
      if (Guarded([&] { answer = handler(request); })) answer = {500, "text/plain", "failed\n"};
    }
  }
  return "HTTP/1.1 " + std::to_string(answer.status) + " " + Phrase(answer.status) +
         "\r\nContent-Type: " + answer.content_type +
         "\r\nContent-Length: " + std::to_string(answer.body.size()) +
         "\r\nConnection: close\r\n\r\n" + answer.body;
}

class Closable {
 public:
  virtual ~Closable() = default;
  virtual void End() = 0;
};

// Lives until its answer was sent, the client took too long, or it was ended to make room.
template <typename Stream>
class Connection : public Closable, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(Stream stream, const Handler& handler)
      : stream_(std::move(stream)),
        timer_(stream_.get_executor()),
        buffer_(kMostRequest),
        handler_(handler) {}

  void Begin() {
    timer_.expires_after(kPatience);
    timer_.async_wait([self = this->shared_from_this()](error_code error) {
      error_code ignored;
      if (!error) self->stream_.lowest_layer().close(ignored);
    });
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](error_code error) {
                                error ? self->End() : self->Read();
                              });
    } else {
      Read();
    }
  }
  void End() override {
    error_code ignored;
    timer_.cancel();
    stream_.lowest_layer().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.lowest_layer().close(ignored);
  }

 private:
  void Read() {
    asio::async_read_until(stream_, buffer_, "\r\n\r\n",
                           [self = this->shared_from_this()](error_code error, size_t size) {
                             error ? self->End() : self->Answer(size);
                           });
  }
  void Answer(size_t size) {
    const auto data = buffer_.data();
    const std::string head(asio::buffers_begin(data),
                           asio::buffers_begin(data) + static_cast<std::ptrdiff_t>(size));
    reply_ = Reply(head, handler_);
    asio::async_write(stream_, asio::buffer(reply_),
                      [self = this->shared_from_this()](error_code error, size_t) {
                        error ? self->End() : self->Finish();
                      });
  }
  // Over TLS an answer that just stops could have been cut off by anybody.
  void Finish() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_shutdown([self = this->shared_from_this()](error_code) { self->End(); });
    } else {
      End();
    }
  }

  Stream stream_;
  asio::steady_timer timer_;
  asio::streambuf buffer_;
  std::string reply_;
  const Handler& handler_;
};

using Tls = std::shared_ptr<asio::ssl::context>;

Result<Tls> TlsContext(const Certificate& certificate) {
  using asio::ssl::context;
  Tls out;
  const auto thrown = Guarded([&] {
    out = std::make_shared<context>(context::tls_server);
    out->set_options(context::default_workarounds | context::no_tlsv1 | context::no_tlsv1_1);
    out->use_certificate_chain(asio::buffer(certificate.chain));
    out->use_private_key(asio::buffer(certificate.key), context::pem);
  });
  if (thrown) return Invalid("the certificate or its key cannot be used: " + *thrown);
  return out;
}

class AsioServer : public HttpServer {
 public:
  AsioServer(Handler handler, Tls tls)
      : handler_(std::move(handler)), tls_(std::move(tls)), acceptor_(context_) {}
  ~AsioServer() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  error_code Listen(const tcp::endpoint& endpoint) {
    error_code error;
    if (acceptor_.is_open()) acceptor_.close(error);
    if (acceptor_.open(endpoint.protocol(), error)) return error;
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (endpoint.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(false), error);
    if (error || acceptor_.bind(endpoint, error)) return error;
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
    return error;
  }
  void Start() {
    Accept();
    thread_ = std::thread([this] {
      while (Guarded([this] { context_.run(); })) continue;
    });
  }
  int port() const override { return acceptor_.local_endpoint().port(); }
  Result<Unit> Renew(const Certificate& certificate) override {
    auto tls = TlsContext(certificate);
    if (!tls) return tls.error();
    // A connection that is being made keeps what OpenSSL needs of the old one.
    asio::post(context_, [this, tls = std::move(tls).value()]() mutable { tls_ = std::move(tls); });
    return Unit{};
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (!error) Take(std::move(socket));
      // Out of descriptors, for example; retry.
      pause_.expires_after(std::chrono::milliseconds(error ? 100 : 0));
      pause_.async_wait([this](error_code) { Accept(); });
    });
  }

  void Take(tcp::socket socket) {
    MakeRoom();
    if (tls_ == nullptr) {
      Begin(std::make_shared<Connection<tcp::socket>>(std::move(socket), handler_));
    } else {
      Begin(std::make_shared<Connection<TlsStream>>(TlsStream(std::move(socket), *tls_), handler_));
    }
  }
  // The oldest gives way: whoever asks is answered at once, so that it is one that says nothing.
  void MakeRoom() {
    std::erase_if(open_, [](const auto& each) { return each.expired(); });
    if (open_.size() < kMostConnections) return;
    if (const auto oldest = open_.front().lock()) oldest->End();
    open_.pop_front();
  }
  void Begin(const auto& connection) {
    open_.push_back(connection);
    connection->Begin();
  }

  const Handler handler_;
  // Used by the server's thread alone. Null: plain HTTP.
  Tls tls_;
  std::deque<std::weak_ptr<Closable>> open_;  // the oldest first
  asio::io_context context_{1};
  asio::steady_timer pause_{context_};
  tcp::acceptor acceptor_;
  std::thread thread_;
};

// Where to try to listen, best first.
Result<std::vector<tcp::endpoint>> Endpoints(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size())
    return Invalid("is not host:port or :port");
  const std::string port = address.substr(colon + 1);
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos ||
      std::stoi(port) > 65535)
    return Invalid("the port must be a number from 0 to 65535");
  const auto number = static_cast<unsigned short>(std::stoi(port));
  // An IPv6 socket takes IPv4 as well; without IPv6 on the machine there is IPv4 alone.
  if (host.empty()) return std::vector{tcp::endpoint(tcp::v6(), number), {tcp::v4(), number}};
  asio::io_context context;
  error_code error;
  std::vector<tcp::endpoint> out;
  for (const auto& entry : tcp::resolver(context).resolve(host, port, error))
    out.push_back(entry.endpoint());
  if (error || out.empty()) return Invalid("there is no address of host " + host);
  return out;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> ServeHttp(const std::string& address, Handler answer,
                                              const Certificate* certificate) {
  const auto endpoints = Endpoints(address);
  if (!endpoints) return endpoints.error();
  Tls tls;
  if (certificate != nullptr) {
    auto made = TlsContext(*certificate);
    if (!made) return made.error();
    tls = std::move(made).value();
  }
  auto server = std::make_unique<AsioServer>(std::move(answer), std::move(tls));
  error_code error;
  for (const tcp::endpoint& endpoint : *endpoints) {
    error = server->Listen(endpoint);
    if (!error || error == asio::error::address_in_use) break;
  }
  if (error == asio::error::address_in_use)
    return Invalid("the address is in use by another process; give another one, or 0 for none");
  if (error) return Invalid("cannot be listened on: " + error.message());
  server->Start();
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace spillway::runtime
