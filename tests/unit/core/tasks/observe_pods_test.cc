#include "operator/core/tasks/observe_pods.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

// Nothing may be decided before it was listed.
class SlowEngine : public cloud::Engine {
 public:
  api::EngineTraits traits() const override { return {"slow", false, {}}; }
  cloud::Source source() override { return cloud::Watch{{"slow.example", "v1", "machines"}}; }
  Result<cloud::Ensured> Ensure(const std::string&, const std::string&, const api::ServerPool&,
                                std::stop_token) override {
    return Invalid("nothing is bought here");
  }
  Result<Unit> Release(const api::CloudServer&, std::stop_token) override { return Unit{}; }
  cloud::Refusal Diagnose(const api::CloudServer&, std::stop_token) override { return {}; }
};

// A new process knows the task and its pod, which has ended, and not everything yet.
class EarlyGoneTest : public testing::Test {
 protected:
  void BeginAnew(PodPhase phase, int64_t exit_code, api::Json spec = api::Json::object()) {
    api.AddServer("s1");
    api.AddTask("t", std::move(spec));
    api.Settle();
    api.SetPod("t-1", PodPhase::kRunning);
    api.Advance(seconds(10));
    api.SetPod("t-1", phase, exit_code, "done");
    api.engines.Add(std::make_unique<SlowEngine>());
    api.Restart();
    api.Settle();
    ASSERT_FALSE(api.world().ready());
  }
  void Go() {
    api.Remove(api.pods, "ns/t-1");
    api.Settle();
  }
  void ListTheRest() {
    api.Push(Listed{Kind::kCloudServer, 1, {}, "slow"});
    api.Settle();
    ASSERT_TRUE(api.world().ready());
  }
  void ExpectEnd(const std::string& phase, int64_t exit_code) {
    EXPECT_EQ(api.Phase("t"), phase) << api.Says("t");
    ASSERT_TRUE(api.Status("t").result);
    EXPECT_EQ(api.Status("t").result->exit_code, exit_code);
    EXPECT_EQ(api.Status("t").result->output, "done");
    EXPECT_EQ(api.pods_made, 1);
    EXPECT_TRUE(api.world().servers.pods.empty());
  }
  ApiModel api;
};

TEST_F(EarlyGoneTest, APodThatHadSucceededEndsItsTask) {
  BeginAnew(PodPhase::kSucceeded, 0);
  Go();
  ListTheRest();
  ExpectEnd("Succeeded", 0);
}

TEST_F(EarlyGoneTest, APodThatHadFailedEndsItsTask) {
  BeginAnew(PodPhase::kFailed, 3);
  Go();
  ListTheRest();
  ExpectEnd("Failed", 3);
}

TEST_F(EarlyGoneTest, SoDoesOneThatTheNextListOfPodsDoesNotTellOf) {
  BeginAnew(PodPhase::kSucceeded, 0);
  api.pods.clear();
  api.Push(Listed{Kind::kPod, 1'000, {}});
  api.Settle();
  ListTheRest();
  ExpectEnd("Succeeded", 0);
}

TEST_F(EarlyGoneTest, ACancelledTaskIsToldHowItsPodHadEndedBefore) {
  BeginAnew(PodPhase::kSucceeded, 0);
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  Go();
  ListTheRest();
  ExpectEnd("Succeeded", 0);
}

TEST_F(EarlyGoneTest, ThePodThatIsMadeUnderItsNameSinceIsFollowed) {
  BeginAnew(PodPhase::kFailed, 3);
  api::Pod next = api.pods.at("ns/t-1");
  Go();
  next.meta.uid = "another's";
  next.termination.reset();
  api.pods["ns/t-1"] = next;
  api.SetPod("t-1", PodPhase::kRunning);
  api.Settle();
  ListTheRest();
  EXPECT_EQ(api.Phase("t"), "Running") << api.Says("t");
  EXPECT_TRUE(api.world().servers.pods.contains("ns/t-1"));
}

}  // namespace
}  // namespace spillway::core
