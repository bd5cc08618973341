#include "operator/runtime/probes.h"

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>

#include "operator/runtime/guard.h"
#include "operator/runtime/metrics.h"

namespace spillway::runtime {
namespace {

using web::http::experimental::listener::http_listener;

class ListenerProbes : public Probes {
 public:
  ListenerProbes(const std::string& address, std::function<bool()> healthy,
                 std::function<bool()> ready)
      : healthy_(std::move(healthy)),
        ready_(std::move(ready)),
        listener_("http://" + BindAddress(address)) {
    listener_.support(web::http::methods::GET, [this](const web::http::http_request& request) {
      (void)Guarded([&] { Answer(request); });  // the client has gone, mostly
    });
    listener_.open().get();
  }
  ~ListenerProbes() override {
    try {
      listener_.close().get();
    } catch (const std::exception&) {
    }
  }

 private:
  void Answer(const web::http::http_request& request) const {
    const std::string path = request.relative_uri().path();
    const bool known = path == "/healthz" || path == "/readyz";
    const bool good = path == "/healthz" ? healthy_() : ready_();
    const int status = !known ? 404 : good ? 200 : 503;
    // An answer that nobody takes any more is no error; one that nobody looks at ends the process.
    request
        .reply(static_cast<web::http::status_code>(status), !known ? "not found"
                                                            : good ? "ok"
                                                                   : "not ready")
        .then([](const pplx::task<void>& replied) { (void)Guarded([&] { replied.get(); }); });
  }

  const std::function<bool()> healthy_, ready_;
  http_listener listener_;
};

}  // namespace

Result<std::unique_ptr<Probes>> ServeProbes(const std::string& address,
                                            std::function<bool()> healthy,
                                            std::function<bool()> ready) {
  if (address == "0") return std::unique_ptr<Probes>();
  try {
    return std::unique_ptr<Probes>(
        std::make_unique<ListenerProbes>(address, std::move(healthy), std::move(ready)));
  } catch (const std::exception& error) {
    return Invalid("--health-probe-bind-address " + address + ": " + error.what());
  }
}

}  // namespace spillway::runtime
