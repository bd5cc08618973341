#include "operator/kube/request.h"

#include <gtest/gtest.h>

namespace spillway::kube {
namespace {

TEST(ResourceTest, PathsFollowTheApi) {
  EXPECT_EQ(kPods.Path("ns", "p"), "/api/v1/namespaces/ns/pods/p");
  EXPECT_EQ(kNodes.Path("", "n", "status"), "/api/v1/nodes/n/status");
  EXPECT_EQ(kLeases.Path("ns"), "/apis/coordination.k8s.io/v1/namespaces/ns/leases");
}

TEST(RequestTest, AStatusPatchCarriesUidAndVersion) {
  const Request request = StatusRequest(kPods, "ns", "p", "u", 7, {{"phase", "x"}});
  EXPECT_EQ(request.method, "PATCH");
  EXPECT_EQ(request.content_type, "application/json-patch+json");
  const Json patch = Json::parse(request.body);
  EXPECT_EQ(patch[0]["value"], "u");
  EXPECT_EQ(patch[1]["value"], "7");
  EXPECT_EQ(patch[2]["value"]["phase"], "x");
}

TEST(RequestTest, APatchCarriesTheUidAndTheVersionIfThereIsOne) {
  const Json operations{{{"op", "remove"}, {"path", "/x"}}};
  const Json both = Json::parse(PatchRequest(kNodes, "", "n", "u", 7, operations).body);
  ASSERT_EQ(both.size(), 3u);
  EXPECT_EQ(both[0]["value"], "u");
  EXPECT_EQ(both[1]["value"], "7");
  EXPECT_EQ(both[2]["path"], "/x");
  EXPECT_EQ(Json::parse(PatchRequest(kNodes, "", "n", "u", 0, operations).body).size(), 2u);
}

TEST(RequestTest, ADeletionCarriesItsPreconditionAndGrace) {
  const Json options = Json::parse(DeleteRequest(kPods, "ns", "p", "u", 0).body);
  EXPECT_EQ(options["preconditions"]["uid"], "u");
  EXPECT_EQ(options["gracePeriodSeconds"], 0);
  EXPECT_FALSE(Json::parse(DeleteRequest(kPods, "ns", "p", "u", std::nullopt).body)
                   .contains("gracePeriodSeconds"));
}

struct StatusCase {
  int status;
  const char* body;
  ErrorKind kind;
};
class ResponseTest : public testing::TestWithParam<StatusCase> {};

TEST_P(ResponseTest, BecomesAnErrorOfItsKind) {
  const auto result = ReadResponse({GetParam().status, GetParam().body, std::nullopt});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, GetParam().kind);
}

INSTANTIATE_TEST_SUITE_P(
    Statuses, ResponseTest,
    testing::Values(StatusCase{400, "", ErrorKind::kInvalid},
                    StatusCase{401, "{}", ErrorKind::kUnauthenticated},
                    StatusCase{403, "{}", ErrorKind::kForbidden},
                    StatusCase{404, "{}", ErrorKind::kNotFound},
                    StatusCase{409, R"({"reason":"AlreadyExists"})", ErrorKind::kAlreadyExists},
                    StatusCase{409, R"({"reason":"Conflict"})", ErrorKind::kConflict},
                    StatusCase{410, "{}", ErrorKind::kGone},
                    StatusCase{422, "{}", ErrorKind::kInvalid},
                    StatusCase{429, "{}", ErrorKind::kUnavailable},
                    StatusCase{500, "{}", ErrorKind::kUnavailable},
                    StatusCase{503, "not json", ErrorKind::kUnavailable},
                    StatusCase{200, "not json", ErrorKind::kUnavailable},
                    StatusCase{200, "[]", ErrorKind::kUnavailable}));

TEST(ResponseTest, ADenialIsARefusalWhateverItsCode) {
  for (const int status : {401, 404, 409, 410, 422, 429, 500, 503}) {
    for (
        const char* message :
        {R"(admission webhook \"x.example\" denied the request: not now)",
         R"(pods \"t\" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no)"}) {
      const auto result = ReadResponse(
          {status, std::string(R"({"reason":"AlreadyExists","message":")") + message + "\"}",
           std::chrono::seconds(86'400)});
      EXPECT_EQ(result.error().kind, ErrorKind::kForbidden) << status << message;
      EXPECT_FALSE(result.error().retry_after);
    }
  }
}

// Answers all with the same.
struct OneAnswer : Transport {
  Response answer;
  Result<Response> Send(const Request&, std::stop_token) override { return answer; }
  Result<Response> Stream(const Request&, std::stop_token,
                          const std::function<void(std::string_view)>&) override {
    return Invalid("");
  }
};

TEST(CallTest, AnObjectIsGoneOnlyIfTheAnswerNamesIt) {
  OneAnswer transport;
  const Request request = DeleteRequest(kPods, "ns", "t-1", "uid", std::nullopt);
  const auto kind = [&](const char* body) {
    transport.answer = {404, body, std::nullopt};
    return Call(transport, request, {}).error().kind;
  };
  EXPECT_EQ(kind(R"({"reason":"NotFound","details":{"name":"t-1","kind":"pods"}})"),
            ErrorKind::kNotFound);
  EXPECT_EQ(kind("404 page not found"), ErrorKind::kUnavailable);
  EXPECT_EQ(kind(R"({"reason":"NotFound","details":{}})"), ErrorKind::kUnavailable);
  EXPECT_EQ(kind(R"({"reason":"NotFound","details":{"name":"other"}})"), ErrorKind::kUnavailable);
}

TEST(ResponseTest, KeepsTheServersMessage) {
  const auto result =
      ReadResponse({422, R"({"message":"spec.x: Required value"})", std::chrono::seconds(3)});
  EXPECT_EQ(result.error().message, "spec.x: Required value");
  EXPECT_EQ(result.error().retry_after, std::chrono::seconds(3));
}

TEST(ResponseTest, ARefusalOfAnyLengthIsBoundedBetweenTwoCharacters) {
  const std::string body =
      Json{{"message", std::string(8191, 'x') + "ü" + std::string(290'000, 'y')}}.dump();
  const auto result = ReadResponse({422, body, std::nullopt});
  EXPECT_LE(result.error().message.size(), 8192u);
  EXPECT_NO_THROW((void)Json(result.error().message).dump());
}

TEST(ResponseTest, ATimeoutDoesNotSayWhetherItWasCarriedOut) {
  EXPECT_TRUE(ReadResponse({504, "{}", std::nullopt}).error().ambiguous);
  EXPECT_FALSE(ReadResponse({500, R"({"message":"failed calling webhook"})", std::nullopt})
                   .error()
                   .ambiguous);
}

TEST(ResponseTest, AnAnswerThatIsNoStatusIsQuoted) {
  const auto result = ReadResponse({502, "<html>\n bad\xFF gateway", std::nullopt});
  EXPECT_EQ(result.error().message, "HTTP 502: <html> bad\xEF\xBF\xBD gateway");
}

TEST(RequestTest, ABodyWithBytesThatAreNotUtf8IsEncodedAllTheSame) {
  EXPECT_NE(CreateRequest(kPods, "ns", {{"a", "b\xFF"}}).body.find("\xEF\xBF\xBD"),
            std::string::npos);
}

TEST(LineSplitterTest, JoinsPiecesAndSkipsEmptyLines) {
  LineSplitter splitter;
  std::vector<std::string> lines;
  const auto take = [&](std::string_view line) { lines.emplace_back(line); };
  splitter.Feed("{\"a\"", take);
  splitter.Feed(":1}\n\n{\"b\":2}\n{\"c", take);
  splitter.Feed("\":3}", take);
  EXPECT_EQ(lines, (std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"}));
  splitter.Feed("\n", take);
  EXPECT_EQ(lines.back(), "{\"c\":3}");
}

}  // namespace
}  // namespace spillway::kube
