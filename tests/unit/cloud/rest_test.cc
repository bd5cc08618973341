// The engine against a service that is played here.
#include "operator/cloud/rest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "operator/kube/watcher.h"

namespace spillway::cloud {
namespace {

using api::CloudError;
using api::Json;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

std::string Base64(const std::string& text) {
  static const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < text.size() ? static_cast<unsigned char>(text[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j)
      out += i + j > text.size() ? '=' : kDigits[bits >> (18 - 6 * j) & 63U];
  }
  return out;
}

kube::Response Answered(int status, const Json& body) { return {status, body.dump(), {}}; }
kube::Response ErrorOf(int status, const std::string& kind, const std::string& code = "Code",
                       const std::string& message = "in its words") {
  return Answered(status, {{"error", {{"class", kind}, {"code", code}, {"message", message}}}});
}

// What both sides of the engine talk to: the API server with one Secret, and the service.
struct World {
  std::mutex mutex;
  // The API server.
  Json secret{{"token", Base64("first")}};
  std::optional<int> secret_status;
  int secret_reads = 0;
  // The service.
  std::map<std::string, Json> leases;
  std::set<std::string> unlisted;  // lists do not have them yet
  std::set<std::string> hang;      // calls by their last word, until the caller gives up
  bool deaf = false;               // not even then, for a second
  std::atomic<int> hanging{0};
  std::atomic<int> throws{0};  // so many calls
  std::chrono::milliseconds slow{0};
  bool pages_without_end = false;
  std::vector<std::string> calls;  // "PUT u"
  std::vector<std::string> bodies;
  std::string good_token;  // empty: any
  // Instead of an answer to the next call of a method; before: nothing is done.
  std::map<std::string, std::vector<Result<kube::Response>>> before, after;
  std::vector<kube::Config> connections;
};

class FakeApi : public kube::Transport {
 public:
  explicit FakeApi(World& world) : world_(world) {}
  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    const std::lock_guard lock(world_.mutex);
    if (request.path == "/api/v1/namespaces/kube-system")
      return Answered(200, {{"metadata", {{"uid", "cluster"}}}});
    if (request.path != "/api/v1/namespaces/spillway/secrets/s") return Answered(404, {});
    ++world_.secret_reads;
    if (world_.secret_status) return Answered(*world_.secret_status, {{"message", "no"}});
    return Answered(200, {{"data", world_.secret}});
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return Invalid("");
  }

 private:
  World& world_;
};

class FakeService : public kube::Transport {
 public:
  FakeService(World& world, kube::Config config) : world_(world), config_(std::move(config)) {}

  Result<kube::Response> Send(const kube::Request& request, std::stop_token stop) override {
    const std::string id = request.path.substr(request.path.rfind('/') + 1);
    if (world_.hang.contains(id)) {
      ++world_.hanging;
      world_.deaf ? kube::SleepFor(std::chrono::milliseconds(1'000), {})
                  : kube::SleepFor(seconds(10), stop);
      return Error{ErrorKind::kCancelled, "cancelled"};
    }
    if (world_.throws-- > 0) throw std::runtime_error("no thread");
    if (world_.slow.count() > 0) kube::SleepFor(world_.slow, stop);
    if (stop.stop_requested()) return Error{ErrorKind::kCancelled, "cancelled"};
    const std::lock_guard lock(world_.mutex);
    world_.calls.push_back(request.method + " " + id);
    world_.bodies.push_back(request.body);
    if (auto planned = Next(world_.before, request.method)) return *planned;
    if (!world_.good_token.empty() && config_.token != world_.good_token)
      return ErrorOf(401, "Unauthenticated");
    kube::Response answer = Do(request, id);
    if (auto planned = Next(world_.after, request.method)) return *planned;
    return answer;
  }
  Result<kube::Response> Stream(const kube::Request&, std::stop_token,
                                const std::function<void(std::string_view)>&) override {
    return Invalid("");
  }

 private:
  using Plan = std::map<std::string, std::vector<Result<kube::Response>>>;
  static std::optional<Result<kube::Response>> Next(Plan& plan, const std::string& method) {
    auto& planned = plan[method];
    if (planned.empty()) return std::nullopt;
    auto out = planned.front();
    planned.erase(planned.begin());
    return out;
  }
  kube::Response Do(const kube::Request& request, const std::string& id) {
    if (request.path.find("/v1/leases?") != std::string::npos) {
      Json items = Json::array();
      for (const auto& [key, lease] : world_.leases) {
        if (!world_.unlisted.contains(key)) items.push_back(lease);
      }
      Json page{{"items", items}};
      if (world_.pages_without_end) page["continue"] = "p" + std::to_string(100'000 + pages_++);
      return Answered(200, page);
    }
    if (request.path.ends_with("/v1/renewals")) return Answered(200, {{"renewed", 1}});
    const auto at = world_.leases.find(id);
    if (request.method == "PUT") {
      const std::string ref = Json::parse(request.body)["clientRef"];
      if (at != world_.leases.end()) {
        if (at->second["body"] != request.body)
          return ErrorOf(409, "InvalidRequest", "LeaseDiffers", "another body");
        return Answered(200, at->second);
      }
      world_.leases[id] = {{"id", id},
                           {"clientRef", ref},
                           {"state", "Pending"},
                           {"nodes", Json::array()},
                           {"body", request.body}};
      return Answered(202, world_.leases[id]);
    }
    if (at == world_.leases.end()) return ErrorOf(404, "InvalidRequest", "LeaseNotFound");
    if (request.method == "DELETE") {
      at->second["state"] = "Releasing";
      return Answered(202, at->second);
    }
    return Answered(200, at->second);
  }

  World& world_;
  const kube::Config config_;
  int pages_ = 0;
};

Error Lost() { return {ErrorKind::kUnavailable, "connection reset", std::nullopt, true}; }
Error NotSent() { return {ErrorKind::kUnavailable, "cannot connect", std::nullopt, false}; }

class RestTest : public testing::Test {
 protected:
  Result<Ensured> Ensure() { return service.Ensure("u", Pool(), {}); }
  api::CloudServer Server() {
    auto ensured = Ensure();
    const auto* server = std::get_if<api::CloudServer>(&*ensured);
    return server == nullptr ? api::CloudServer{} : *server;
  }
  Refusal Refused() {
    auto ensured = Ensure();
    const auto* refusal = std::get_if<Refusal>(&*ensured);
    return refusal == nullptr ? Refusal{} : *refusal;
  }
  static api::ServerPool Pool(const std::string& offer = "small", int lasts = 0) {
    return *api::DecodeServerPool(
        {{"metadata", {{"name", "spot"}}},
         {"spec",
          {{"template", {{"resources", {{"cpu", "2"}, {"memory", "4Gi"}}}}},
           {"backend",
            {{"rest",
              {{"endpoint", "https://cloud:8443/of/me"},
               {"credentialsSecretRef", {{"name", "s"}}},
               {"offerId", offer},
               {"leaseSeconds", lasts}}}}}}}});
  }
  std::vector<std::string> Ids() {
    std::vector<std::string> out;
    for (const auto& server : service.heard().servers) out.push_back(server.name);
    return out;
  }

  World world;
  FakeApi api{world};
  Installation installation{
      api, "spillway",
      [this](const kube::Config& config) -> Result<std::unique_ptr<kube::Transport>> {
        world.connections.push_back(config);
        if (config.ca == "bad") return Invalid("certificate-authority holds no certificate");
        return std::unique_ptr<kube::Transport>(std::make_unique<FakeService>(world, config));
      }};
  LeaseService service{{"https://cloud:8443/of/me", "s"}, installation};
};

TEST_F(RestTest, OneRequestIsOneLeaseHoweverOftenItIsAskedFor) {
  EXPECT_EQ(Server().name, "u");
  EXPECT_EQ(Server().name, "u");
  EXPECT_THAT(world.leases, SizeIs(1));
  EXPECT_EQ(Json::parse(world.bodies[0])["clientRef"], "cluster.spillway");
  EXPECT_EQ(world.connections[0].server, "https://cloud:8443");
  EXPECT_EQ(world.connections[0].token, "first");
  EXPECT_GT(world.connections[0].most_bytes, 0u);
}

TEST_F(RestTest, WhatWasAskedForFirstCountsThoughThePoolHasChanged) {
  EXPECT_EQ(Server().name, "u");
  auto again = service.Ensure("u", Pool("large"), {});
  EXPECT_TRUE(std::holds_alternative<api::CloudServer>(*again));
  EXPECT_THAT(world.calls, ElementsAre("PUT u", "PUT u", "GET u"));
}

TEST_F(RestTest, ALostAnswerIsSettledByAskingForTheSameLease) {
  world.after["PUT"] = {Lost()};
  EXPECT_EQ(Server().name, "u");
  EXPECT_THAT(world.calls, ElementsAre("PUT u", "GET u"));
}

TEST_F(RestTest, SoAreAServersErrorAndNonsense) {
  world.after["PUT"] = {ErrorOf(500, "Transient"), kube::Response{200, "<html>", {}},
                        kube::Response{200, R"({"id":"other","state":"Pending"})", {}},
                        kube::Response{502, "", {}}};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Server().name, "u") << i;
  EXPECT_THAT(world.leases, SizeIs(1));
}

TEST_F(RestTest, IfNothingWasDoneItIsTransient) {
  world.before["PUT"] = {Lost()};
  const Refusal refusal = Refused();
  EXPECT_EQ(refusal.error, CloudError::kTransient);
  EXPECT_EQ(refusal.message, "connection reset");
  EXPECT_EQ(Server().name, "u") << "the next time";
}

TEST_F(RestTest, WhatWasNeverSentNeedsNoSettling) {
  world.before["PUT"] = {NotSent()};
  EXPECT_EQ(Refused().error, CloudError::kTransient);
  EXPECT_THAT(world.calls, ElementsAre("PUT u"));
}

TEST_F(RestTest, AnAnswerThatIsNoJsonSaysSo) {
  world.before["PUT"] = {kube::Response{200, "<html>welcome</html>", {}}};
  EXPECT_THAT(Refused().message,
              HasSubstr("https://cloud:8443/of/me is not a JSON object: <html>welcome</html>"));
}

TEST_F(RestTest, ALeaseThatHasEndedIsNotWaitedFor) {
  (void)Ensure();
  world.leases["u"]["state"] = "Released";
  EXPECT_EQ(Refused().error, CloudError::kInsufficientCapacity);
}

TEST_F(RestTest, AFullServiceSaysWhenToAskAgain) {
  world.before["PUT"] = {Answered(
      429, {{"error", {{"class", "Transient"}, {"code", "Busy"}, {"retryAfterSeconds", 40}}}})};
  EXPECT_EQ(Refused().retry_after, seconds(40));
  EXPECT_THAT(world.calls, SizeIs(1)) << "nothing was stored";
}

// ---- The row of docs/behaviour.md ----

struct ClassCase {
  const char* name;
  int status;
  CloudError error;
};
class RestClassTest : public RestTest, public testing::WithParamInterface<ClassCase> {};

TEST_P(RestClassTest, ARefusedPutIsOfItsClass) {
  world.before["PUT"] = {ErrorOf(GetParam().status, GetParam().name)};
  const Refusal refusal = Refused();
  EXPECT_EQ(refusal.error, GetParam().error);
  EXPECT_EQ(refusal.message, "in its words");
}

TEST_P(RestClassTest, ALeaseThatFailsIsOfItsClass) {
  (void)Ensure();
  world.leases["u"]["state"] = "Failed";
  world.leases["u"]["error"] = {{"class", GetParam().name}, {"code", "C"}, {"message", "why"}};
  (void)service.Look({});
  const auto servers = service.heard().servers;
  ASSERT_THAT(servers, SizeIs(1));
  EXPECT_EQ(servers[0].error, GetParam().error);
  EXPECT_EQ(servers[0].message, "why");
  EXPECT_EQ(Server().error, GetParam().error) << "asked for again, as after a restart";
}

TEST_P(RestClassTest, OneThatVanishedIsDiagnosedAsItFailed) {
  (void)Ensure();
  world.leases["u"]["state"] = "Failed";
  world.leases["u"]["error"] = {{"class", GetParam().name}, {"code", "C"}, {"message", "why"}};
  EXPECT_EQ(service.Diagnose("u", {}).error, GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    Classes, RestClassTest,
    testing::Values(ClassCase{"InsufficientCapacity", 409, CloudError::kInsufficientCapacity},
                    ClassCase{"QuotaExceeded", 403, CloudError::kQuotaExceeded},
                    ClassCase{"InvalidRequest", 422, CloudError::kInvalidRequest},
                    ClassCase{"Transient", 429, CloudError::kTransient},
                    ClassCase{"Unauthenticated", 401, CloudError::kUnauthenticated}),
    [](const auto& at) { return std::string(at.param.name); });

TEST_F(RestTest, ALeaseThatIsGoneWithoutAWordLackedCapacity) {
  const Refusal why = service.Diagnose("u", {});
  EXPECT_EQ(why.error, CloudError::kInsufficientCapacity);
  EXPECT_THAT(why.message, HasSubstr("does not say why"));
}

// ---- Releases and lists ----

TEST_F(RestTest, ReleasingWhatIsGoneIsSuccess) {
  EXPECT_TRUE(service.Release("u", {}).ok());
  (void)Ensure();
  EXPECT_TRUE(service.Release("u", {}).ok());
  EXPECT_TRUE(service.Release("u", {}).ok());
  EXPECT_TRUE(service.heard().servers[0].deleting);
}

TEST_F(RestTest, AReleaseThatOnlyAProxyCallsGoneIsTriedAgain) {
  world.before["DELETE"] = {kube::Response{404, "no such page", {}}};
  const auto released = service.Release("u", {});
  ASSERT_FALSE(released.ok());
  EXPECT_TRUE(released.error().retryable());
}

TEST_F(RestTest, AListSaysWhatThereIs) {
  (void)Ensure();
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u"));
  world.leases.clear();
  (void)service.Look({});
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(RestTest, ALeaseThatAListDoesNotHaveYetIsNotGone) {
  (void)Ensure();
  world.unlisted = {"u"};
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u"));
  world.leases.clear();
  (void)service.Look({});
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(RestTest, WhileItIsNotKnownWhetherALeaseIsGoneItIsKept) {
  (void)Ensure();
  world.before["GET"] = {Answered(200, {{"items", Json::array()}}), ErrorOf(503, "Transient")};
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u"));
  EXPECT_THAT(service.heard().trouble, Not(IsEmpty()));
}

TEST_F(RestTest, ALeaseOfAnotherClientIsNeverTouched) {
  world.leases["w"] = {{"id", "w"}, {"clientRef", "else"}, {"state", "Active"}, {"nodes", {}}};
  (void)service.Look({});
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(RestTest, WhatASilentServiceHadIsKept) {
  (void)Ensure();
  (void)service.Look({});
  world.before["GET"] = {Lost(), kube::Response{200, R"({"items":7})", {}},
                         ErrorOf(503, "Transient")};
  for (int i = 0; i < 3; ++i) {
    (void)service.Look({});
    EXPECT_THAT(Ids(), ElementsAre("u"));
    EXPECT_THAT(service.heard().trouble, Not(IsEmpty()));
  }
  (void)service.Look({});
  EXPECT_EQ(service.heard().trouble, "");
}

TEST_F(RestTest, ALeaseThatCannotBeReadStaysAsItWasAndTheOthersAreUsed) {
  (void)Ensure();
  world.leases["a"] = world.leases["z"] = world.leases["u"];
  world.leases["a"]["id"] = "a";
  world.leases["z"]["id"] = "z";
  (void)service.Look({});
  world.leases["u"]["state"] = "Sleeping";
  world.leases.erase("a");
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u", "z"));
  EXPECT_THAT(service.heard().trouble, HasSubstr("lease u is in no known state: Sleeping"));
  EXPECT_TRUE(service.heard().ever);
  world.unlisted = {"u"};  // nor by its id
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u", "z"));
  EXPECT_THAT(service.heard().trouble, HasSubstr("Sleeping"));
  world.leases["u"]["state"] = "Pending";
  (void)service.Look({});
  EXPECT_EQ(service.heard().trouble, "");
}

TEST_F(RestTest, OfAnEntryWithoutAnIdNoneIsCalledGone) {
  (void)Ensure();
  world.before["GET"] = {Answered(200, {{"items", Json::array({7})}})};
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u"));
  EXPECT_THAT(service.heard().trouble, HasSubstr("no id"));
}

TEST_F(RestTest, WhoeverIsGoneIsKnownThoughAnotherCannotBeAskedFor) {
  (void)Ensure();
  world.leases["a"] = world.leases["u"];
  world.leases["a"]["id"] = "a";
  (void)service.Look({});
  world.leases.erase("a");
  world.before["GET"] = {Answered(200, {{"items", Json::array()}}),
                         ErrorOf(404, "InvalidRequest", "LeaseNotFound"),
                         ErrorOf(503, "Transient")};
  (void)service.Look({});
  EXPECT_THAT(Ids(), ElementsAre("u"));
}

TEST_F(RestTest, AnAnswerThatDoesNotEndIsGivenUp) {
  installation.patience = std::chrono::milliseconds(50);
  world.hang = {"u"};
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Refused().message, HasSubstr("no whole answer within"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
}

TEST_F(RestTest, ACallThatWaitsForOthersIsGivenUp) {
  installation.patience = std::chrono::milliseconds(100);
  world.hang = {"u"};
  world.deaf = true;
  std::vector<std::jthread> others;
  for (int i = 0; i < 3; ++i) others.emplace_back([&] { (void)Ensure(); });
  while (world.hanging < 3) std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  const auto released = service.Release("v", {});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(900));
  ASSERT_FALSE(released.ok());
  EXPECT_TRUE(released.error().retryable());
  EXPECT_THAT(released.error().message, HasSubstr("other calls wait"));
}

TEST_F(RestTest, LeasesAreRenewedAndListedThoughAllThatIsAskedForHangs) {
  world.hang = {"u"};
  service.RenewEvery(seconds(1000));
  std::stop_source stop;
  std::vector<std::jthread> others;
  for (int i = 0; i < 8; ++i)
    others.emplace_back([&] { (void)service.Ensure("u", Pool(), stop.get_token()); });
  while (world.hanging < 3) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(world.hanging, 3);
  const auto begin = std::chrono::steady_clock::now();
  (void)service.Look({});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
  stop.request_stop();
  others.clear();
  EXPECT_THAT(world.calls, testing::Contains("POST renewals"));
  EXPECT_TRUE(service.heard().ever);
}

TEST_F(RestTest, ACallThatThrowsLeavesRoomForTheNext) {
  installation.patience = std::chrono::milliseconds(500);
  world.throws = 8;
  for (int i = 0; i < 8; ++i) EXPECT_THROW((void)Ensure(), std::runtime_error) << i;
  EXPECT_EQ(Server().name, "u");
}

TEST_F(RestTest, PagesWithoutEndAreNoList) {
  (void)Ensure();
  world.pages_without_end = true;
  (void)service.Look({});
  EXPECT_THAT(service.heard().trouble, HasSubstr("more leases than can be taken up"));
  EXPECT_THAT(Ids(), ElementsAre("u"));
}

TEST_F(RestTest, ALookThatTakesTooLongIsGivenUp) {
  installation.patience = std::chrono::milliseconds(200);
  for (int i = 0; i < 20; ++i) {
    const std::string id = "x" + std::to_string(i);
    world.leases[id] = {{"id", id}, {"clientRef", "cluster.spillway"}, {"state", "Pending"}};
    world.unlisted.insert(id);
    service.Expect(id);
  }
  world.slow = std::chrono::milliseconds(100);
  (void)service.Look({});
  EXPECT_THAT(service.heard().trouble, HasSubstr("it has not said within"));
}

TEST_F(RestTest, AServiceInTroubleIsAskedLessAndLessOftenAndAsItWishes) {
  world.before["GET"] = {
      Lost(), Lost(),
      Answered(429, {{"error", {{"class", "Transient"}, {"retryAfterSeconds", 90}}}})};
  EXPECT_EQ(service.Look({}), seconds(2));
  EXPECT_EQ(service.Look({}), seconds(4));
  EXPECT_EQ(service.Look({}), seconds(90));
  EXPECT_EQ(service.Look({}), seconds(10));
}

TEST_F(RestTest, WhileALeaseIsOnItsWayItIsLookedAtMoreOften) {
  (void)Ensure();
  EXPECT_EQ(service.Look({}), seconds(3));
}

TEST_F(RestTest, LeasesAreRenewedWhenThatIsDue) {
  service.RenewEvery(seconds(1000));
  (void)service.Look({});
  (void)service.Look({});
  EXPECT_EQ(std::count(world.calls.begin(), world.calls.end(), "POST renewals"), 1);
}

// ---- Credentials ----

TEST_F(RestTest, RefusedCredentialsAreReadAgainAtOnce) {
  EXPECT_EQ(Server().name, "u");
  world.good_token = "second";
  world.secret["token"] = Base64("second\n");
  EXPECT_EQ(Server().name, "u");
  EXPECT_EQ(world.connections.back().token, "second");
}

TEST_F(RestTest, ThoseThatAreStillTheSameAreRefusedOnce) {
  world.good_token = "another";
  EXPECT_EQ(Refused().error, CloudError::kUnauthenticated);
  EXPECT_THAT(world.calls, SizeIs(1));
}

TEST_F(RestTest, ASecretThatCannotBeReadSaysWhichAndWhatToDo) {
  world.secret_status = 403;
  const Refusal refusal = Refused();
  EXPECT_EQ(refusal.error, CloudError::kUnauthenticated);
  EXPECT_THAT(refusal.message, HasSubstr("Secret spillway/s cannot be read"));
  EXPECT_THAT(refusal.message, HasSubstr("rest.secretNames"));
  world.secret_status = 503;
  EXPECT_EQ(Refused().error, CloudError::kTransient);
}

TEST_F(RestTest, AnErrorNeverTellsWhatASecretHolds) {
  for (const Json& data : {Json{{"token", "???hunter2"}}, Json{{"tls.crt", Base64("hunter2")}},
                           Json{{"ca.crt", Base64("bad")}, {"token", Base64("hunter2")}},
                           Json{{"ca.crt", Base64("hunter2")}}}) {
    world.secret = data;
    const Refusal refusal = Refused();
    EXPECT_EQ(refusal.error, CloudError::kUnauthenticated) << data;
    EXPECT_THAT(refusal.message, HasSubstr("Secret spillway/s"));
    EXPECT_THAT(refusal.message, Not(HasSubstr("hunter2")));
  }
}

TEST_F(RestTest, AClientCertificateServesAsWell) {
  world.secret = {{"tls.crt", Base64("C")}, {"tls.key", Base64("K")}, {"ca.crt", Base64("A")}};
  EXPECT_EQ(Server().name, "u");
  const kube::Config& config = world.connections[0];
  EXPECT_EQ(config.client_certificate + config.client_key + config.ca + config.token, "CKA");
}

// ---- The engine over several services ----

class RestEngineTest : public RestTest {
 protected:
  static api::ScaleRequest Request(const std::string& uid) {
    api::ScaleRequest out;
    out.meta.uid = uid;
    out.engine = kRest;
    out.backend = Pool().spec.backend;
    out.finalizers = {api::kLeaseFinalizer};
    return out;
  }
  std::vector<api::CloudServer> List() {
    const Source source = engine.source();
    auto listed = std::get<Poll>(source).list({});
    return listed ? *listed : std::vector<api::CloudServer>{};
  }
  // Until the services were asked.
  std::vector<api::CloudServer> ListOf(size_t size) {
    for (int i = 0; i < 200; ++i) {
      auto out = List();
      if (out.size() == size) return out;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return {};
  }

  Rest engine{installation};
};

TEST_F(RestEngineTest, SaysNothingBeforeItKnowsWhichServicesThereAre) {
  const Source source = engine.source();
  std::stop_source ended;
  ended.request_stop();
  EXPECT_FALSE(std::get<Poll>(source).list(ended.get_token()).ok());
  engine.Heed({});
  EXPECT_TRUE(std::get<Poll>(source).list({}).ok());
}

TEST_F(RestEngineTest, FindsWhatWasForgottenWithAServiceThatAPoolNames) {
  world.leases["w"] = {
      {"id", "w"}, {"clientRef", "cluster.spillway"}, {"state", "Pending"}, {"nodes", {}}};
  engine.Heed({{Pool()}, {}});
  const auto servers = ListOf(1);
  ASSERT_THAT(servers, SizeIs(1));
  EXPECT_EQ(servers[0].request_uid, "w");
  EXPECT_TRUE(engine.Release(servers[0], {}).ok());
  EXPECT_EQ(world.leases["w"]["state"], "Releasing");
}

TEST_F(RestEngineTest, SaysAllThatAServiceHas) {
  const std::string first = "0b8bb1a4-5d2c-4a1f-9a52-3f4f1b0f7a11", second = first + "-2";
  (void)engine.Ensure("r", first, Pool(), {});
  (void)engine.Ensure("r", second, Pool(), {});
  engine.Heed({{Pool()}, {}});
  const auto servers = List();
  ASSERT_THAT(servers, SizeIs(2));
  EXPECT_EQ(servers[0].name, first);
  EXPECT_EQ(servers[1].name, second);
}

TEST_F(RestEngineTest, AScaleRequestNamesItsServiceThoughNoPoolDoes) {
  world.leases["u"] = {
      {"id", "u"}, {"clientRef", "cluster.spillway"}, {"state", "Pending"}, {"nodes", {}}};
  engine.Heed({{}, {Request("u")}});
  EXPECT_THAT(ListOf(1), SizeIs(1));
  api::CloudServer unseen;
  unseen.request_uid = "u";
  EXPECT_TRUE(engine.Release(unseen, {}).ok());
}

TEST_F(RestEngineTest, ALeaseWhoseServiceNobodyKnowsIsNotCalledGone) {
  engine.Heed({});
  api::CloudServer unseen;
  unseen.request_uid = "u";
  EXPECT_FALSE(engine.Release(unseen, {}).ok());
  EXPECT_EQ(engine.Diagnose(unseen, {}).error, CloudError::kTransient);
}

TEST_F(RestEngineTest, AfterARestartASilentServiceStillHasWhatTheStatusSays) {
  world.before["GET"].assign(1000, Lost());
  api::ScaleRequest request = Request("u");
  request.status.phase = api::ScalePhase::kReady;
  request.status.backend_name = request.status.backend_uid = "u";
  request.status.node_name = "n";
  engine.Heed({{}, {request}});
  const auto servers = List();
  ASSERT_THAT(servers, SizeIs(1));
  EXPECT_TRUE(servers[0].ready);
  EXPECT_EQ(servers[0].node_name, "n");
  request.status.finished_at = Time{};
  engine.Heed({{}, {request}});
  EXPECT_THAT(List(), IsEmpty());
}

TEST_F(RestEngineTest, AfterARestartALeaseThatCannotBeReadIsNotGoneAndTheOthersAreKnown) {
  const auto request = [](const std::string& uid) {
    api::ScaleRequest out = Request(uid);
    out.status.phase = api::ScalePhase::kReady;
    out.status.backend_name = out.status.backend_uid = uid;
    return out;
  };
  world.leases["odd"] = {{"id", "odd"}, {"clientRef", "cluster.spillway"}, {"state", "Sleeping"}};
  engine.Heed({{}, {request("odd"), request("gone")}});
  const auto servers = ListOf(1);  // after two, as the statuses have it
  ASSERT_THAT(servers, SizeIs(1));
  EXPECT_EQ(servers[0].name, "odd");
}

TEST_F(RestEngineTest, AfterARestartALeaseThatIsNotListedYetIsNotGone) {
  world.unlisted = {"u"};
  (void)engine.Ensure("r", "u", Pool(), {});
  api::ScaleRequest request = Request("u");
  request.status.phase = api::ScalePhase::kReady;
  request.status.backend_name = request.status.backend_uid = "u";
  Rest restarted{installation};
  restarted.Heed({{}, {request}});
  const Source source = restarted.source();
  const auto asked = [&] {
    const std::lock_guard lock(world.mutex);
    return std::count(world.calls.begin(), world.calls.end(), "GET u") > 0;
  };
  for (int i = 0; i < 200 && !asked(); ++i) {
    EXPECT_THAT(*std::get<Poll>(source).list({}), SizeIs(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_TRUE(asked());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_THAT(*std::get<Poll>(source).list({}), SizeIs(1));
}

TEST_F(RestEngineTest, ALeaseThatWasJustMadeIsOnTheNextListThoughNothingNamesItYet) {
  engine.Heed({});
  (void)engine.Ensure("r", "u", Pool(), {});
  EXPECT_THAT(List(), SizeIs(1));
}

TEST_F(RestEngineTest, ABackendThatCannotBeUsedIsInvalid) {
  api::ServerPool pool = Pool();
  pool.spec.backend["endpoint"] = "http://cloud";
  auto refused = engine.Ensure("r", "u", pool, {});
  EXPECT_EQ(std::get<Refusal>(*refused).error, CloudError::kInvalidRequest);
}

}  // namespace
}  // namespace spillway::cloud
