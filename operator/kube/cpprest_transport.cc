// MakeTransport: the only file that includes cpprestsdk's client.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "operator/base/foreign_text.h"
#include "operator/kube/tls.h"
#include "operator/kube/transport.h"

namespace spillway::kube {
namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::client::http_client;
using web::http::client::http_client_config;

constexpr int kIoThreads = 4;

// There was no answer. A request that failed before it was sent was not carried out.
Error Explain(const std::string& server, const std::string& authority,
              const std::exception& error) {
  std::string what = OneLine(error.what(), kMostMessage);
  bool ambiguous = true;
  for (const char* before : {"resolv", "connect to", "handshake", "proxy"})
    ambiguous = ambiguous && what.find(before) == std::string::npos;
  if (what.find("handshake") != std::string::npos ||
      what.find("certificate") != std::string::npos) {
    what += "; the server's certificate must be signed by " + authority +
            " and name the host of its server";
  }
  return {ErrorKind::kUnavailable, "cannot reach " + server + ": " + what, std::nullopt, ambiguous};
}

// Whoever asks for longer is asked again nevertheless, once in a while: all are told that what is
// refused is tried again at least once a minute.
constexpr int kMostRetryAfter = 30;

std::optional<std::chrono::seconds> RetryAfter(const http_response& response) {
  const auto header = response.headers().find("Retry-After");
  if (header == response.headers().end()) return std::nullopt;
  return std::chrono::seconds(std::clamp(std::atoi(header->second.c_str()), 0, kMostRetryAfter));
}

// An IPv6 address is in brackets in a URL. The library would look it up with them, and compare the
// server's certificate with them.
web::uri BaseUri(const std::string& server) {
  web::uri uri(server);
  const std::string& host = uri.host();
  if (!host.starts_with('[') || !host.ends_with(']')) return uri;
  return web::uri_builder(uri).set_host(host.substr(1, host.size() - 2)).to_uri();
}

std::optional<web::web_proxy> ProxyOf(const Config& config) {
  if (config.proxy_url.empty()) return std::nullopt;
  const web::uri uri(config.proxy_url);
  web::web_proxy proxy(web::uri_builder(uri).set_user_info("").to_uri());
  const std::string user = web::uri::decode(uri.user_info());
  if (const size_t colon = user.find(':'); colon != std::string::npos)
    proxy.set_credentials(web::credentials(user.substr(0, colon), user.substr(colon + 1)));
  return proxy;
}

http_client_config ClientConfig(const Config& config, std::chrono::seconds timeout) {
  http_client_config out;
  out.set_timeout(timeout);
  out.set_max_redirects(0);  // our credentials are for nobody else
  if (const auto proxy = ProxyOf(config)) out.set_proxy(*proxy);
  out.set_ssl_context_callback([config](boost::asio::ssl::context& context) {
    // Cannot fail here: the same settings were tried before.
    (void)ConfigureTls(context.native_handle(), config);
  });
  return out;
}

// The connections with one set of credentials.
struct Clients {
  explicit Clients(const Config& config)
      : requests(BaseUri(config.server), ClientConfig(config, config.timeout)),
        watches(BaseUri(config.server), ClientConfig(config, kStreamSilence)) {}

  http_client requests, watches;
};

Result<Unit> TryTls(const Config& config) {
  SSL_CTX* trial = SSL_CTX_new(TLS_client_method());
  auto usable = ConfigureTls(trial, config);
  SSL_CTX_free(trial);
  return usable;
}

// The library keeps one value for each header and does not look into it.
void AddAll(web::http::http_headers& headers, const std::string& name,
            const std::vector<std::string>& values) {
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : "\r\n" + name + ": ") + value;
  if (!all.empty()) headers.add(name, all);
}

void AddHeaders(const Config& config, web::http::http_headers& headers) {
  headers.add("Accept", "application/json");
  headers.add("User-Agent", "spillway/v1alpha1");
  // The name of Host is the one that is sent to the server and looked for in its certificate.
  if (!config.tls_server_name.empty()) headers.add("Host", config.tls_server_name);
  if (!config.token.empty()) headers.add("Authorization", "Bearer " + config.token);
  const Impersonation& as = config.impersonate;
  if (!as.user.empty()) headers.add("Impersonate-User", as.user);
  if (!as.uid.empty()) headers.add("Impersonate-Uid", as.uid);
  AddAll(headers, "Impersonate-Group", as.groups);
  for (const auto& [key, values] : as.extra)
    AddAll(headers, "Impersonate-Extra-" + web::uri::encode_data_string(key), values);
}

class CpprestTransport : public Transport {
 public:
  CpprestTransport(const Config& config, std::chrono::seconds reread_every)
      : server_(config.server),
        authority_(config.authority),
        most_bytes_(config.most_bytes),
        reread_every_(reread_every),
        config_(config),
        clients_(std::make_shared<Clients>(config)) {}

  Result<Response> Send(const Request& request, std::stop_token stop) override {
    return Guarded(stop, [&](const pplx::cancellation_token& cancel) -> Result<Response> {
      const auto [clients, encoded] = Encode(request);
      http_response response = clients->requests.request(encoded, cancel).get();
      if (most_bytes_ == 0) {
        return Response{response.status_code(), response.extract_utf8string(true).get(),
                        RetryAfter(response)};
      }
      std::string body;
      Pump(response.body(), [&](std::string_view piece) {
        body += piece;
        if (body.size() > most_bytes_)
          throw std::runtime_error("the answer is larger than " + std::to_string(most_bytes_) +
                                   " bytes");
      });
      return Response{response.status_code(), std::move(body), RetryAfter(response)};
    });
  }

  Result<Response> Stream(const Request& request, std::stop_token stop,
                          const std::function<void(std::string_view)>& piece) override {
    return Guarded(stop, [&](const pplx::cancellation_token& cancel) -> Result<Response> {
      const auto [clients, encoded] = Encode(request);
      http_response response = clients->watches.request(encoded, cancel).get();
      if (response.status_code() != web::http::status_codes::OK) {
        return Response{response.status_code(), response.extract_utf8string(true).get(),
                        RetryAfter(response)};
      }
      Pump(response.body(), piece);
      return Response{response.status_code(), "", std::nullopt};
    });
  }

 private:
  // With the credentials that count now, and connections that were made with them.
  std::pair<std::shared_ptr<Clients>, http_request> Encode(const Request& request) {
    http_request out(request.method);
    out.set_request_uri(web::uri(request.path));
    if (!request.body.empty()) out.set_body(request.body, request.content_type);
    const std::lock_guard lock(mutex_);
    Renew();
    AddHeaders(config_, out.headers());
    return {clients_, std::move(out)};
  }

  // A certificate and its key are replaced one after the other: what does not go together yet is
  // left for the next look.
  void Renew() {
    const auto now = std::chrono::steady_clock::now();
    if (now - reread_ < reread_every_) return;
    reread_ = now;
    Config fresh = config_;
    const bool changed = Reread(fresh);
    config_.token = fresh.token;
    if (changed && TryTls(fresh)) {
      clients_ = std::make_shared<Clients>(fresh);
      config_ = std::move(fresh);
    }
  }

  // Reads what the buffer holds now; asking for more would block until it is full.
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
      source.cancel();  // the rest of an answer that is too large
      return Explain(server_, authority_, error);
    }
  }

  const std::string server_, authority_;
  const size_t most_bytes_;
  const std::chrono::seconds reread_every_;
  std::mutex mutex_;
  // Guarded by mutex_.
  Config config_;
  std::shared_ptr<Clients> clients_;
  std::chrono::steady_clock::time_point reread_ = std::chrono::steady_clock::now();
};

}  // namespace

Result<std::unique_ptr<Transport>> MakeTransport(const Config& config,
                                                 std::chrono::seconds reread_every) {
  if (const auto usable = TryTls(config); !usable) return usable.error();
  static std::once_flag once;
  std::call_once(once, [] { crossplat::threadpool::initialize_with_threads(kIoThreads); });
  try {
    return std::unique_ptr<Transport>(std::make_unique<CpprestTransport>(config, reread_every));
  } catch (const std::exception& error) {
    return Invalid("server " + config.server + ": " + error.what());
  }
}

}  // namespace spillway::kube
