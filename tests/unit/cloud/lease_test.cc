#include "operator/cloud/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/base/foreign_text.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;
using std::chrono::seconds;
using testing::HasSubstr;

api::ServerPool LeasePool(Json backend = Json::object()) {
  backend["endpoint"] = "https://cloud";
  backend["credentialsSecretRef"] = {{"name", "s"}};
  return *api::DecodeServerPool(
      {{"metadata", {{"name", "spot"}}},
       {"spec",
        {{"provisionTimeoutSeconds", 60},
         {"template",
          {{"resources", {{"cpu", "2"}, {"memory", "4Gi"}}},
           {"labels",
            {{"disk", "ssd"},
             {"node-role.kubernetes.io/batch", ""},
             {"topology.kubernetes.io/zone", "b"}}},
           {"taints", {{{"key", "k"}, {"value", "v"}, {"effect", "NoExecute"}}}}}},
         {"backend", {{"rest", backend}}}}}});
}

Json Active() {
  return {{"id", "u"},
          {"clientRef", "c"},
          {"state", "Active"},
          {"nodes", {{{"nodeName", "n"}, {"providerID", "x://n"}, {"state", "Running"}}}}};
}

TEST(LeaseBodyTest, SaysWhatTheNodeMustHaveWhenItRegisters) {
  const Json body = LeaseBody("c", LeasePool({{"offerId", "small"}, {"leaseSeconds", 3600}}));
  EXPECT_EQ(body["clientRef"], "c");
  EXPECT_EQ(body["pool"], "spot");
  EXPECT_EQ(body["resources"]["cpu"], "2");
  EXPECT_EQ(body["offerId"], "small");
  EXPECT_EQ(body["leaseSeconds"], 3600);
  EXPECT_EQ(body["provisionTimeoutSeconds"], 60);
  EXPECT_FALSE(body.contains("bootstrapRef"));
  EXPECT_FALSE(body.contains("requirements"));
  ASSERT_EQ(body["taints"].size(), 2u);
  EXPECT_EQ(body["taints"][1]["key"], "spillway.dev/pool");
  EXPECT_EQ(body["taints"][1]["value"], "spot");
}

TEST(LeaseBodyTest, LeavesOutLabelsThatAKubeletMayNotGiveItself) {
  const Json labels = LeaseBody("c", LeasePool())["labels"];
  EXPECT_EQ(
      labels,
      (Json{{"disk", "ssd"}, {"spillway.dev/pool", "spot"}, {"topology.kubernetes.io/zone", "b"}}));
}

TEST(LeaseBodyTest, AsksForWhatThePoolAndItsBuyerRequire) {
  api::ServerPool pool = LeasePool({{"requirements", {{{"key", "gpu"}, {"operator", "Exists"}}}}});
  pool.spec.requirements.push_back({"zone", "In", {"b"}});
  const Json requirements = LeaseBody("c", pool)["requirements"];
  EXPECT_EQ(requirements[0], (Json{{"key", "gpu"}, {"operator", "Exists"}}));
  EXPECT_EQ(requirements[1]["values"], Json({"b"}));
}

TEST(AddressTest, IsHttpsAndNamesASecret) {
  EXPECT_EQ(DecodeAddress(LeasePool().spec.backend)->secret, "s");
  EXPECT_EQ(DecodeAddress({{"endpoint", "https://c/v/"}, {"credentialsSecretRef", {{"name", "s"}}}})
                ->endpoint,
            "https://c/v");
  EXPECT_FALSE(
      DecodeAddress({{"endpoint", "http://c"}, {"credentialsSecretRef", {{"name", "s"}}}}).ok());
  EXPECT_FALSE(DecodeAddress({{"endpoint", "https://c"}}).ok());
}

struct StateCase {
  const char* state;
  bool launched, ready, deleting, released;
};
class LeaseStateTest : public testing::TestWithParam<StateCase> {};

TEST_P(LeaseStateTest, IsReadAsTheContractHasIt) {
  Json json = Active();
  json["state"] = GetParam().state;
  const auto lease = DecodeLease(json);
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ(lease->server.launched, GetParam().launched);
  EXPECT_EQ(lease->server.ready, GetParam().ready);
  EXPECT_EQ(lease->server.deleting, GetParam().deleting);
  EXPECT_EQ(lease->released, GetParam().released);
  EXPECT_EQ(lease->server.request_uid, "u");
}
INSTANTIATE_TEST_SUITE_P(States, LeaseStateTest,
                         testing::Values(StateCase{"Pending", false, false, false, false},
                                         StateCase{"Provisioning", true, false, false, false},
                                         StateCase{"Active", true, true, false, false},
                                         StateCase{"Failed", true, false, false, false},
                                         StateCase{"Releasing", true, false, true, false},
                                         StateCase{"Released", true, false, false, true}),
                         [](const auto& at) { return std::string(at.param.state); });

TEST(LeaseTest, ActiveWithoutItsNodeIsNotReady) {
  Json json = Active();
  json["nodes"][0].erase("providerID");
  EXPECT_FALSE(DecodeLease(json)->server.ready);
  json["nodes"] = Json::array();
  EXPECT_FALSE(DecodeLease(json)->server.ready);
}

TEST(LeaseTest, AMachineThatIsTakenAwayIsToldWithItsTimeAndTheReason) {
  Json json = Active();
  json["nodes"][0]["state"] = "Leaving";
  json["nodes"][0]["leavesAt"] = "2027-01-31T12:00:00Z";
  json["error"] = {{"class", "Transient"}, {"message", "maintenance of rack 4"}};
  const auto lease = DecodeLease(json);
  EXPECT_THAT(lease->server.ending, HasSubstr("takes the machine away: maintenance of rack 4"));
  EXPECT_EQ(lease->server.ends_at, ParseTime("2027-01-31T12:00:00Z"));
  EXPECT_FALSE(lease->settled) << "it is looked at often";
  EXPECT_EQ(lease->server.error, CloudError::kInsufficientCapacity);
  EXPECT_THAT(lease->server.message, HasSubstr("at 2027-01-31T12:00:00Z"));
}

TEST(LeaseTest, WhileItIsTriedItsErrorIsOnlyAMessage) {
  const auto lease =
      DecodeLease({{"id", "u"},
                   {"state", "Provisioning"},
                   {"error", {{"class", "Transient"}, {"message", "host is slow"}}}});
  EXPECT_EQ(lease->server.error, CloudError::kNone);
  EXPECT_EQ(lease->server.message, "host is slow");
}

TEST(LeaseTest, NonsenseIsRefused) {
  for (const Json& json :
       {Json(), Json(7), Json::object(), Json{{"id", 7}}, Json{{"id", "../x"}, {"state", "Active"}},
        Json{{"id", "u"}, {"state", "Sleeping"}}, Json{{"id", std::string(65, 'u')}},
        Json{{"id", ""}, {"state", "Pending"}}})
    EXPECT_FALSE(DecodeLease(json).ok()) << json;
}

TEST(LeaseTest, ItsTextsAreBounded) {
  const auto lease = DecodeLease(
      {{"id", "u"}, {"state", "Failed"}, {"error", {{"message", std::string(1 << 20, '\xff')}}}});
  EXPECT_LE(lease->server.message.size(), kMostConditionMessage);
}

TEST(LeasesTest, ThoseOfAnotherClientAreNotOurs) {
  Json other = Active();
  other["clientRef"] = "d";
  const auto page = DecodeLeases({{"items", {Active(), other}}, {"continue", "u"}}, "c");
  EXPECT_EQ(page->leases.size(), 1u);
  EXPECT_EQ(page->next, "u");
}

TEST(LeasesTest, OneThatCannotBeReadIsNamedAndTheOthersAreUsed) {
  const Json odd{{"id", "odd"}, {"clientRef", "c"}, {"state", "Sleeping"}};
  const Json anothers{{"id", "w"}, {"clientRef", "d"}, {"state", "Sleeping"}};
  const auto page = DecodeLeases({{"items", {odd, Active(), 7, anothers}}}, "c");
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->leases.size(), 1u);
  ASSERT_EQ(page->unread.size(), 2u);
  EXPECT_EQ(page->unread[0].id, "odd");
  EXPECT_EQ(page->unread[1].id, "");
}

TEST(LeasesTest, WhatIsNoPageIsRefused) {
  EXPECT_FALSE(DecodeLeases({{"items", Json::object()}}, "c").ok());
  EXPECT_FALSE(DecodeLeases(Json::object(), "c").ok());
  EXPECT_FALSE(DecodeLeases({{"items", Json::array()}, {"continue", "a&b"}}, "c").ok());
}

TEST(LeaseErrorTest, ItsClassCountsAndNotTheStatus) {
  const auto quota = ReadError(
      {403,
       R"({"error":{"class":"QuotaExceeded","code":"Quota","message":"4 of 4","retryAfterSeconds":7}})",
       std::nullopt});
  EXPECT_EQ(quota.refusal.error, CloudError::kQuotaExceeded);
  EXPECT_EQ(quota.refusal.message, "4 of 4");
  EXPECT_EQ(quota.refusal.retry_after, seconds(7));
  EXPECT_FALSE(quota.credentials);
  EXPECT_FALSE(quota.ambiguous);
  EXPECT_TRUE(
      ReadError({403, R"({"error":{"class":"Unauthenticated","code":"x"}})", {}}).credentials);
}

TEST(LeaseErrorTest, TheLongerWaitCounts) {
  const auto of = [](const char* body, int header) {
    return *ReadError({429, body, seconds(header)}).refusal.retry_after;
  };
  EXPECT_EQ(of(R"({"error":{"class":"Transient","retryAfterSeconds":9}})", 3), seconds(9));
  EXPECT_EQ(of(R"({"error":{"class":"Transient","retryAfterSeconds":1}})", 3), seconds(3));
  EXPECT_EQ(of(R"({"error":{"class":"Transient","retryAfterSeconds":99999}})", 3), seconds(3600));
}

TEST(LeaseErrorTest, GoneIsOnlyWhatSaysSo) {
  EXPECT_TRUE(ReadError({404, R"({"error":{"class":"InvalidRequest","code":"LeaseNotFound"}})", {}})
                  .gone());
  const auto proxy = ReadError({404, "<html>not here</html>", {}});
  EXPECT_FALSE(proxy.gone());
  EXPECT_EQ(proxy.refusal.error, CloudError::kTransient);
  EXPECT_THAT(proxy.refusal.message, HasSubstr("HTTP 404 without an error"));
  EXPECT_THAT(proxy.refusal.message, HasSubstr("<html>not here</html>"));
}

TEST(LeaseErrorTest, WhatMayHaveBeenDoneIsAmbiguous) {
  const auto of = [](int status, const char* body) {
    return ReadError({status, body, {}}).ambiguous;
  };
  const char* said = R"({"error":{"class":"Transient","code":"x","message":"m"}})";
  EXPECT_FALSE(of(429, said));
  EXPECT_TRUE(of(503, said));
  EXPECT_TRUE(of(302, ""));
  EXPECT_TRUE(of(400, "not json"));
}

TEST(LeaseErrorTest, CredentialsThatAreRefusedWithoutAWordAreThat) {
  EXPECT_EQ(ReadError({401, "", {}}).refusal.error, CloudError::kUnauthenticated);
  EXPECT_FALSE(ReadError({401, "", {}}).ambiguous);
}

}  // namespace
}  // namespace spillway::cloud
