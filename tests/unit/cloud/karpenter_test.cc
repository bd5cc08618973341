#include "operator/cloud/karpenter.h"

#include <gtest/gtest.h>

#include "operator/kube/watcher.h"

namespace spillway::cloud {
namespace {

using api::Json;

api::ServerPool Pool() {
  return *api::DecodeServerPool(Json::parse(R"({"metadata":{"name":"spot"},"spec":{
    "template":{"resources":{"cpu":"2","memory":"4Gi"},"labels":{"disk":"ssd"},"taints":[{"key":"k","value":"v","effect":"NoSchedule"}]},
    "backend":{"karpenter":{"nodeClassRef":{"group":"karpenter.kwok.sh","kind":"KWOKNodeClass","name":"default"},
      "requirements":[{"key":"node.kubernetes.io/instance-type","operator":"In","values":["x"]}]}}}})"));
}

TEST(NodeClaimTest, IsNamedAfterTheRequestAndNeverExpires) {
  const Json claim = NodeClaimBody("r", "uid-1", Pool());
  EXPECT_EQ(claim["metadata"]["name"], "spw-uid-1");
  EXPECT_EQ(claim["metadata"]["labels"]["karpenter.kwok.sh/kwoknodeclass"], "default");
  EXPECT_FALSE(claim["metadata"]["labels"].contains("karpenter.sh/nodepool"));
  EXPECT_EQ(claim["metadata"]["ownerReferences"][0]["uid"], "uid-1");
  EXPECT_EQ(claim["spec"]["expireAfter"], "Never");
  EXPECT_EQ(claim["spec"]["resources"]["requests"]["cpu"], "2");
  EXPECT_EQ(claim["spec"]["taints"].size(), 2u);
  EXPECT_EQ(claim["spec"]["requirements"].size(), 1u);
}

TEST(NodeClaimTest, AsksForWhatWasAddedForWhomItIsBought) {
  api::ServerPool pool = Pool();
  pool.spec.requirements.push_back({"zone", "In", {"b"}});
  const Json requirements = NodeClaimBody("r", "uid-1", pool)["spec"]["requirements"];
  ASSERT_EQ(requirements.size(), 2u);
  EXPECT_EQ(requirements[0]["key"], "node.kubernetes.io/instance-type");
  EXPECT_EQ(requirements[1], (Json{{"key", "zone"}, {"operator", "In"}, {"values", {"b"}}}));
}

TEST(NodeClaimTest, IsReadyOnlyForItsCurrentGeneration) {
  Json claim = Json::parse(
      R"({"metadata":{"name":"spw-u","uid":"c","generation":2,"ownerReferences":[{"apiVersion":"spillway.dev/v1alpha1","kind":"ScaleRequest","name":"r","uid":"u","controller":true}]},
    "status":{"nodeName":"n","providerID":"p","conditions":[{"type":"Launched","status":"True"},
      {"type":"Ready","status":"True","observedGeneration":1}]}})");
  EXPECT_FALSE(DecodeNodeClaim(claim)->ready);
  claim["status"]["conditions"][1]["observedGeneration"] = 2;
  const auto server = DecodeNodeClaim(claim);
  EXPECT_TRUE(server->ready && server->launched);
  EXPECT_EQ(server->node_name, "n");
  EXPECT_EQ(server->request_uid, "u");
}

TEST(NodeClaimTest, SaysWhyItIsNotLaunched) {
  const auto server = DecodeNodeClaim(Json::parse(
      R"({"metadata":{"name":"spw-u","ownerReferences":[{"apiVersion":"spillway.dev/v1alpha1","kind":"ScaleRequest","name":"r","uid":"u","controller":true}]},
    "status":{"conditions":[{"type":"Launched","status":"Unknown","message":"no such instance type"}]}})"));
  EXPECT_EQ(server->message, "no such instance type");
}

Json DeletedClaim() {
  Json claim = NodeClaimBody("r", "u", Pool());
  claim["metadata"]["uid"] = "c";
  claim["metadata"]["deletionTimestamp"] = "2027-01-31T12:00:00Z";
  claim["status"] = {{"nodeName", "n"}};
  return claim;
}

TEST(NodeClaimTest, ThatIsDeletedEndsAfterItsGracePeriodAtTheLatest) {
  Json claim = DeletedClaim();
  EXPECT_EQ(DecodeNodeClaim(claim)->ends_at, ParseTime("2027-01-31T12:10:00Z"));
  claim["metadata"]["annotations"] = {
      {"karpenter.sh/nodeclaim-termination-timestamp", "2027-01-31T12:05:00Z"}};
  EXPECT_EQ(DecodeNodeClaim(claim)->ends_at, ParseTime("2027-01-31T12:05:00Z"));
  claim["metadata"].erase("annotations");
  claim["spec"].erase("terminationGracePeriod");
  EXPECT_EQ(DecodeNodeClaim(claim)->ends_at, std::nullopt) << "its drain takes as long as it takes";
  claim["metadata"].erase("deletionTimestamp");
  EXPECT_EQ(DecodeNodeClaim(claim)->ends_at, std::nullopt);
}

TEST(NodeClaimTest, OfSomeoneElseIsIgnored) {
  EXPECT_FALSE(DecodeNodeClaim(Json::parse(R"({"metadata":{"name":"other"}})")).ok());
}

TEST(NodeClaimTest, IsKnownByItsNameAndOwnerAndNotByItsLabels) {
  Json claim = NodeClaimBody("r", "u", Pool());
  claim["metadata"].erase("labels");
  const auto server = DecodeNodeClaim(claim);
  ASSERT_TRUE(server.ok()) << server.error().message;
  EXPECT_EQ(server->request_uid, "u");
  EXPECT_EQ(server->pool, "spot");

  Json foreign = NodeClaimBody("r", "u", Pool());
  foreign["metadata"].erase("ownerReferences");
  EXPECT_FALSE(DecodeNodeClaim(foreign).ok()) << "anybody may use our labels";
  Json renamed = NodeClaimBody("r", "u", Pool());
  renamed["metadata"]["name"] = "other";
  EXPECT_FALSE(DecodeNodeClaim(renamed).ok());
}

TEST(KarpenterTest, KeepsItsHandsOffANodeWithOurPods) {
  struct NoTransport : kube::Transport {
    Result<kube::Response> Send(const kube::Request&, std::stop_token) override {
      return Invalid("");
    }
    Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                  const std::function<void(std::string_view)>&) override {
      return Invalid("");
    }
  } transport;
  Karpenter karpenter(transport);
  EXPECT_EQ(karpenter.traits().name, "karpenter");
  EXPECT_FALSE(karpenter.traits().polled);
  EXPECT_EQ(karpenter.traits().pod_annotations.at("karpenter.sh/do-not-disrupt"), "true");
  EXPECT_EQ(std::get<Watch>(karpenter.source()).resource.plural, "nodeclaims");
}

// Answers each request with what was put for its method.
struct ScriptedTransport : kube::Transport {
  std::map<std::string, kube::Response> answers;
  std::vector<std::string> asked;
  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    asked.push_back(request.method);
    return answers.at(request.method);
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return Invalid("");
  }
};

TEST(KarpenterTest, TakesBackAClaimThatAPolicyHasTakenTheOwnerFrom) {
  ScriptedTransport transport;
  Json claim = NodeClaimBody("r", "u", Pool());
  claim["metadata"].erase("ownerReferences");
  transport.answers = {{"POST", {201, claim.dump(), {}}}, {"DELETE", {200, "{}", {}}}};
  const auto ensured = Karpenter(transport).Ensure("r", "u", Pool(), {});
  ASSERT_TRUE(ensured.ok());
  EXPECT_EQ(std::get<Refusal>(*ensured).error, api::CloudError::kInvalidRequest);
  EXPECT_EQ(transport.asked, (std::vector<std::string>{"POST", "DELETE"}));
}

class InterruptedClaimTest : public testing::Test {
 protected:
  InterruptedClaimTest() {
    transport.answers["GET"] = {
        200,
        R"({"items":[{"reason":"DisruptionBlocked","message":"pods"},{"reason":"SpotInterrupted","message":"Spot interruption warning was triggered"}]})",
        {}};
    transport.answers["DELETE"] = {200, "{}", {}};
  }
  api::CloudServer Seen(const Json& claim) {
    const Source source = karpenter.source();
    return *std::get<Watch>(source).decode(claim, {});
  }

  ScriptedTransport transport;
  Karpenter karpenter{transport};
};

TEST_F(InterruptedClaimTest, EndsAtOnceWhateverItsDrainWaitsFor) {
  const auto server = Seen(DeletedClaim());
  EXPECT_EQ(server.ending,
            "NodeClaim spw-u is interrupted by its cloud: SpotInterrupted: Spot interruption "
            "warning was triggered");
  EXPECT_EQ(server.ends_at, std::nullopt);
}

TEST_F(InterruptedClaimTest, WithoutSuchAWordItEndsInItsOwnTime) {
  transport.answers["GET"] = {
      200, R"({"items":[{"reason":"SpotRebalanceRecommendation","message":"soon"}]})", {}};
  EXPECT_EQ(Seen(DeletedClaim()).ending, "");
  EXPECT_TRUE(Seen(DeletedClaim()).ends_at);
  transport.answers["GET"] = {403, "{}", {}};
  EXPECT_TRUE(Seen(DeletedClaim()).ends_at) << "nor where that may not be read";
}

// Answers nothing, for up to ten seconds.
struct HangingTransport : ScriptedTransport {
  Result<kube::Response> Send(const kube::Request&, std::stop_token stop) override {
    kube::SleepFor(std::chrono::seconds(10), stop);
    if (stop.stop_requested()) return Error{ErrorKind::kCancelled, "stopped", std::nullopt};
    return Error{ErrorKind::kUnavailable, "timed out", std::nullopt};
  }
};

TEST(KarpenterTest, EventsThatCannotBeReadDoNotHoldTheWatchForLong) {
  HangingTransport transport;
  Karpenter karpenter(transport);
  const Source source = karpenter.source();
  const auto begin = std::chrono::steady_clock::now();
  const auto server = std::get<Watch>(source).decode(DeletedClaim(), {});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(7));
  ASSERT_TRUE(server.ok());
  EXPECT_TRUE(server->deleting && server->ends_at);
}

TEST(KarpenterTest, AStopIsNotHeldUpByAnOpenRequest) {
  HangingTransport transport;
  Karpenter karpenter(transport);
  const Source source = karpenter.source();
  std::stop_source stopped;
  stopped.request_stop();
  const auto begin = std::chrono::steady_clock::now();
  (void)std::get<Watch>(source).decode(DeletedClaim(), stopped.get_token());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

TEST_F(InterruptedClaimTest, NobodyLooksForThatWhereWeHaveDeletedIt) {
  Json claim = DeletedClaim();
  const auto server = *DecodeNodeClaim(claim);
  ASSERT_TRUE(karpenter.Release(server, {}).ok());
  transport.asked.clear();
  EXPECT_EQ(Seen(claim).ending, "");
  claim["metadata"]["uid"] = "another", claim["status"].erase("nodeName");
  Seen(claim);
  claim["metadata"].erase("deletionTimestamp");
  Seen(claim);
  EXPECT_TRUE(transport.asked.empty());
}

TEST(KarpenterTest, AConflictEndsAReleaseOnlyIfAnotherHasTheName) {
  ScriptedTransport transport;
  api::CloudServer server;
  server.name = "spw-u", server.uid = "mine";
  transport.answers["DELETE"] = {409, R"({"reason":"Conflict"})", {}};
  transport.answers["GET"] = {200, R"({"metadata":{"name":"spw-u","uid":"mine"}})", {}};
  EXPECT_FALSE(Karpenter(transport).Release(server, {}).ok());
  transport.answers["GET"] = {200, R"({"metadata":{"name":"spw-u","uid":"another"}})", {}};
  EXPECT_TRUE(Karpenter(transport).Release(server, {}).ok());
  transport.answers["GET"] = {404, R"({"details":{"name":"spw-u"}})", {}};
  EXPECT_TRUE(Karpenter(transport).Release(server, {}).ok());
}

TEST(DiagnosisTest, ReadsTheClassFromTheEvents) {
  const auto of = [](const char* reason, const char* message) {
    return DiagnoseEvents({{"items", {{{"reason", reason}, {"message", message}}}}}).error;
  };
  EXPECT_EQ(of("InsufficientCapacityError", "none left"), api::CloudError::kInsufficientCapacity);
  EXPECT_EQ(of("Failed", "vCPU quota reached"), api::CloudError::kQuotaExceeded);
  EXPECT_EQ(of("NodeClassNotReady", "x"), api::CloudError::kInvalidRequest);
  EXPECT_EQ(DiagnoseEvents(Json::object()).error, api::CloudError::kInsufficientCapacity);
}

}  // namespace
}  // namespace spillway::cloud
