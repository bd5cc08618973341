#include "operator/runtime/counting_transport.h"

#include <chrono>

#include "operator/base/time.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

constexpr int kRequestVerbosity = 6;

}  // namespace

CountingTransport::CountingTransport(kube::Transport& transport, Metrics& metrics, std::string host)
    : transport_(transport), metrics_(metrics), host_(std::move(host)) {}

void CountingTransport::Count(const kube::Request& request, const Result<kube::Response>& answer) {
  if (!answer && answer.error().kind == ErrorKind::kCancelled) return;
  const std::string code = answer ? std::to_string(answer->status) : "<error>";
  metrics_.CountRequest(request.method, host_, code);
  if (LogsAt(kRequestVerbosity))
    InfoAt(kRequestVerbosity, "response",
           {{"method", request.method}, {"path", request.path}, {"status", code}});
}

Result<kube::Response> CountingTransport::Send(const kube::Request& request, std::stop_token stop) {
  const auto begin = std::chrono::steady_clock::now();
  auto answer = transport_.Send(request, std::move(stop));
  Count(request, answer);
  metrics_.ObserveRequest(
      request.method, host_,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return answer;
}

Result<kube::Response> CountingTransport::Stream(
    const kube::Request& request, std::stop_token stop,
    const std::function<void(std::string_view)>& piece) {
  auto answer = transport_.Stream(request, std::move(stop), piece);
  Count(request, answer);
  return answer;
}

}  // namespace spillway::runtime
