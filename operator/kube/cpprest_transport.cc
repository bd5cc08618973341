// MakeTransport: the only file that includes cpprestsdk's client.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <fstream>
#include <mutex>

#include "operator/kube/tls.h"
#include "operator/kube/transport.h"

namespace spillway::kube {
namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::client::http_client;
using web::http::client::http_client_config;

constexpr std::chrono::seconds kWriteTimeout{30};
// The API server itself gives a request up after 60 s. A list that is given up begins anew, and a
// server that is slow because it has much to do would only get more.
constexpr std::chrono::seconds kReadTimeout{65};
// A watch is silent for as long as nothing changes; bookmarks come once a minute.
constexpr std::chrono::seconds kWatchTimeout{600};
constexpr std::chrono::seconds kTokenLife{60};
constexpr int kIoThreads = 4;

// A bearer token that may be rotated in its file. Thread-safe.
class Token {
 public:
  explicit Token(const Config& config) : fixed_(config.token), file_(config.token_file) {}

  std::string Get() {
    if (file_.empty()) return fixed_;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (cached_.empty() || now - read_at_ > kTokenLife) {
      std::ifstream file(file_);
      std::string text((std::istreambuf_iterator<char>(file)), {});
      // A line break in a header would not be refused by the library.
      std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
      if (!text.empty()) cached_ = text;
      read_at_ = now;
    }
    return cached_;
  }

 private:
  const std::string fixed_, file_;
  std::mutex mutex_;
  std::string cached_;
  std::chrono::steady_clock::time_point read_at_{};
};

Error Explain(const std::string& server, const std::exception& error) {
  std::string what = error.what();
  if (what.find("handshake") != std::string::npos ||
      what.find("certificate") != std::string::npos) {
    what +=
        "; the server's certificate must be signed by the kubeconfig's certificate-authority and "
        "name the host of its server";
  }
  return {ErrorKind::kUnavailable, "cannot reach " + server + ": " + what, std::nullopt};
}

std::optional<std::chrono::seconds> RetryAfter(const http_response& response) {
  const auto header = response.headers().find("Retry-After");
  if (header == response.headers().end()) return std::nullopt;
  return std::chrono::seconds(std::clamp(std::atoi(header->second.c_str()), 0, 300));
}

class CpprestTransport : public Transport {
 public:
  CpprestTransport(const Config& config)
      : server_(config.server),
        token_(config),
        writes_(config.server, ClientConfig(config, kWriteTimeout)),
        reads_(config.server, ClientConfig(config, kReadTimeout)),
        watches_(config.server, ClientConfig(config, kWatchTimeout)) {}

  Result<Response> Send(const Request& request, std::stop_token stop) override {
    return Guarded(stop, [&](const pplx::cancellation_token& cancel) -> Result<Response> {
      http_client& client = request.method == "GET" ? reads_ : writes_;
      http_response response = client.request(Encode(request), cancel).get();
      return Response{response.status_code(), response.extract_utf8string(true).get(),
                      RetryAfter(response)};
    });
  }

  Result<Response> Stream(const Request& request, std::stop_token stop,
                          const std::function<void(std::string_view)>& piece) override {
    return Guarded(stop, [&](const pplx::cancellation_token& cancel) -> Result<Response> {
      http_response response = watches_.request(Encode(request), cancel).get();
      if (response.status_code() != web::http::status_codes::OK) {
        return Response{response.status_code(), response.extract_utf8string(true).get(),
                        RetryAfter(response)};
      }
      Pump(response.body(), piece);
      return Response{response.status_code(), "", std::nullopt};
    });
  }

 private:
  static http_client_config ClientConfig(const Config& config, std::chrono::seconds timeout) {
    http_client_config out;
    out.set_timeout(timeout);
    out.set_ssl_context_callback([config](boost::asio::ssl::context& context) {
      // Cannot fail here: MakeTransport has tried the same settings.
      (void)ConfigureTls(context.native_handle(), config);
    });
    return out;
  }

  http_request Encode(const Request& request) {
    http_request out(request.method);
    out.set_request_uri(web::uri(request.path));
    out.headers().add("Accept", "application/json");
    out.headers().add("User-Agent", "spillway/v1alpha1");
    if (const std::string token = token_.Get(); !token.empty()) {
      out.headers().add("Authorization", "Bearer " + token);
    }
    if (!request.body.empty()) out.set_body(request.body, request.content_type);
    return out;
  }

  // Whatever the buffer holds at once: asking for more would wait until it is full.
  static void Pump(const concurrency::streams::istream& body,
                   const std::function<void(std::string_view)>& piece) {
    auto buffer = body.streambuf();
    std::string chunk;
    while (buffer.getc().get() != concurrency::streams::char_traits<uint8_t>::eof()) {
      const size_t size = std::max<size_t>(1, buffer.in_avail());
      chunk.resize(size);
      const size_t got = buffer.getn(reinterpret_cast<uint8_t*>(chunk.data()), size).get();
      if (got == 0) return;
      piece(std::string_view(chunk.data(), got));
    }
  }

  // Turns a stop into a cancellation and every exception into an Error.
  template <typename Call>
  Result<Response> Guarded(const std::stop_token& stop, Call call) {
    pplx::cancellation_token_source source;
    const std::stop_callback on_stop(stop, [&] { source.cancel(); });
    try {
      return call(source.get_token());
    } catch (const pplx::task_canceled&) {
      return Error{ErrorKind::kCancelled, "stopped", std::nullopt};
    } catch (const std::exception& error) {
      if (stop.stop_requested()) return Error{ErrorKind::kCancelled, "stopped", std::nullopt};
      return Explain(server_, error);
    }
  }

  const std::string server_;
  Token token_;
  http_client writes_, reads_, watches_;
};

}  // namespace

Result<std::unique_ptr<Transport>> MakeTransport(const Config& config) {
  SSL_CTX* trial = SSL_CTX_new(TLS_client_method());
  const auto usable = ConfigureTls(trial, config);
  SSL_CTX_free(trial);
  if (!usable) return usable.error();
  static std::once_flag once;
  std::call_once(once, [] { crossplat::threadpool::initialize_with_threads(kIoThreads); });
  try {
    return std::unique_ptr<Transport>(std::make_unique<CpprestTransport>(config));
  } catch (const std::exception& error) {
    return Invalid("server " + config.server + ": " + error.what());
  }
}

}  // namespace spillway::kube
