#include "operator/runtime/counting_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

class OneAnswer : public kube::Transport {
 public:
  Result<kube::Response> Send(const kube::Request&, std::stop_token) override { return answer; }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return answer;
  }
  Result<kube::Response> answer = kube::Response{200, "{}", std::nullopt};
};

class CountingTransportTest : public testing::Test {
 protected:
  OneAnswer api;
  Metrics metrics;
  CountingTransport transport{api, metrics, "10.0.0.1:443"};
};

TEST_F(CountingTransportTest, CountsAnAnswerByCodeAndMethodAndObservesItsTime) {
  (void)transport.Send({"POST", "/api", "", ""}, {});
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("rest_client_requests_total{code=\"200\",host=\"10.0.0.1:443\","
                              "method=\"POST\"} 1"));
  EXPECT_THAT(text, HasSubstr("rest_client_request_duration_seconds_count{host=\"10.0.0.1:443\","
                              "verb=\"POST\"} 1"));
}

TEST_F(CountingTransportTest, CountsWhatHadNoAnswerAsClientGoDoes) {
  api.answer = Error{ErrorKind::kUnavailable, "connection refused"};
  (void)transport.Send({"GET", "/api", "", ""}, {});
  EXPECT_THAT(metrics.Text(), HasSubstr("code=\"<error>\""));
}

TEST_F(CountingTransportTest, DoesNotCountWhatWeGaveUp) {
  api.answer = Error{ErrorKind::kCancelled, "stopped"};
  (void)transport.Stream({"GET", "/api", "", ""}, {}, [](std::string_view) {});
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("rest_client_requests_total{")));
}

}  // namespace
}  // namespace spillway::runtime
