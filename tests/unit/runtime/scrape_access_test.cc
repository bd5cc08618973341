#include "operator/runtime/scrape_access.h"

#include <gmock/gmock.h>

#include <vector>

namespace spillway::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Knows the token "good" as user scraper; allows what is set.
class ReviewingTransport : public kube::Transport {
 public:
  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    asked.push_back(request.path);
    last_body = request.body;
    if (status != 201) return kube::Response{status, "{}", std::nullopt};
    const bool token = request.path.find("tokenreviews") != std::string::npos;
    const bool good = request.body.find("\"good\"") != std::string::npos;
    const std::string user =
        R"({"authenticated":true,"user":{"username":"scraper","groups":["g"]}})";
    const std::string answer = token
                                   ? (good ? user : R"({"authenticated":false})")
                                   : std::string(R"({"allowed":)") + (allowed ? "true}" : "false}");
    return kube::Response{201, R"({"status":)" + answer + "}", std::nullopt};
  }
  Result<kube::Response> Stream(const kube::Request& request, std::stop_token stop,
                                const std::function<void(std::string_view)>&) override {
    return Send(request, stop);
  }

  std::vector<std::string> asked;
  std::string last_body;
  int status = 201;
  bool allowed = true;
};

class ScrapeAccessTest : public ::testing::Test {
 protected:
  Access Check(const std::string& header) { return access.Check(header, now, {}); }

  ReviewingTransport transport;
  ScrapeAccess access{transport};
  ScrapeAccess::Time now{};
};

TEST_F(ScrapeAccessTest, LetsInWhoIsKnownAndAllowedAndAsksForThePath) {
  EXPECT_EQ(Check("Bearer good"), Access::kAllowed);
  EXPECT_THAT(transport.asked, ElementsAre("/apis/authentication.k8s.io/v1/tokenreviews",
                                           "/apis/authorization.k8s.io/v1/subjectaccessreviews"));
  EXPECT_THAT(transport.last_body, HasSubstr(R"("user":"scraper")"));
  EXPECT_THAT(transport.last_body, HasSubstr(R"("path":"/metrics")"));
}

TEST_F(ScrapeAccessTest, AsksNobodyWithoutABearerToken) {
  for (const char* header : {"", "Basic abc", "Bearer ", "bearer good"})
    EXPECT_EQ(Check(header), Access::kUnknown) << header;
  EXPECT_EQ(Check("Bearer " + std::string(20'000, 'x')), Access::kUnknown);
  EXPECT_TRUE(transport.asked.empty());
}

TEST_F(ScrapeAccessTest, RefusesAnUnknownTokenAndOneThatIsNotAllowed) {
  EXPECT_EQ(Check("Bearer bad"), Access::kUnknown);
  transport.allowed = false;
  EXPECT_EQ(Check("Bearer good"), Access::kForbidden);
}

TEST_F(ScrapeAccessTest, RemembersADecisionForAMinute) {
  EXPECT_EQ(Check("Bearer good"), Access::kAllowed);
  transport.allowed = false;
  now += std::chrono::seconds(59);
  EXPECT_EQ(Check("Bearer good"), Access::kAllowed);
  EXPECT_EQ(transport.asked.size(), 2u);
  now += std::chrono::seconds(1);
  EXPECT_EQ(Check("Bearer good"), Access::kForbidden);
}

TEST_F(ScrapeAccessTest, LetsNobodyInWhileTheApiServerCannotBeAskedAndForgetsThat) {
  transport.status = 503;
  EXPECT_EQ(Check("Bearer good"), Access::kNotDecided);
  transport.status = 201;
  EXPECT_EQ(Check("Bearer good"), Access::kAllowed);
}

}  // namespace
}  // namespace spillway::runtime
