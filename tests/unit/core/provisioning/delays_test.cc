// What a task is told that waits for a server which its engine does not give yet.
#include "operator/core/provisioning/delays.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class DelaysTest : public testing::Test {
 protected:
  DelaysTest() { api.AddPool("spot"); }
  // A task waits for a server of the pool; its first status is written.
  void Wait(const char* refusal = nullptr) {
    if (refusal != nullptr) api.ensure_error = Error{ErrorKind::kUnavailable, refusal, {}};
    api.AddTask("t");
    api.Advance(std::chrono::milliseconds(900));
    api.task_writes = 0;
  }
  void Say(const std::string& message, bool launched = false) {
    api::CloudServer& claim = api.claims.begin()->second;
    claim.message = message;
    claim.launched = launched;
    api.Change(claim);
    api.Settle();
  }
  std::string Why() { return api.Says("t"); }
  ApiModel api;
};

TEST_F(DelaysTest, ARequestThatIsTriedAgainIsToldWhileItLasts) {
  Wait("quota service is down");
  api.Advance(seconds(6));
  EXPECT_THAT(Why(), HasSubstr("pool spot (ScaleRequest spw-"));
  EXPECT_THAT(Why(), HasSubstr("its engine karpenter could not be asked: quota service is down"));
  EXPECT_EQ(api.Phase("t"), "Scaling");
  api.ensure_error.reset();
  api.Advance(seconds(60));
  EXPECT_THAT(Why(), EndsWith("-1)"));
  EXPECT_EQ(api.task_writes, 2);
}

TEST_F(DelaysTest, WhenItIsAskedAgainIsWhatItsEngineWantsIfThatIsLater) {
  api.ensure_error = Error{ErrorKind::kUnavailable, "maintenance", seconds(1200)};
  Wait();
  api.Advance(seconds(6));
  EXPECT_THAT(Why(), HasSubstr("maintenance; asked again after 20m0s, as it wants"));
  EXPECT_THAT(api.scales.begin()->second.status.message, HasSubstr("asked again after 20m"));
  api.ensure_error = Error{ErrorKind::kUnavailable, "maintenance", seconds(10)};
  api.Advance(seconds(1300));
  EXPECT_THAT(Why(), HasSubstr("maintenance; tried again with growing pauses of up to a minute"));
}

TEST_F(DelaysTest, OneThatPassesWithinSecondsCostsNoWrite) {
  Wait("leader changed");
  api.Advance(seconds(1));
  api.ensure_error.reset();
  api.Advance(seconds(30));
  ASSERT_EQ(api.claims_made, 1);
  EXPECT_EQ(api.task_writes, 0);
}

TEST_F(DelaysTest, TriesCostNoWritesAndNumbersAreNoNews) {
  Wait("busy");
  for (int i = 0; i < 600; ++i) {
    api.ensure_error->message = "request " + std::to_string(i) + " was throttled";
    api.Advance(seconds(1));
  }
  EXPECT_GE(api.purchases_asked, 8);
  EXPECT_LE(api.task_writes, 2);
  EXPECT_THAT(Why(), HasSubstr("was throttled"));
}

TEST_F(DelaysTest, ReasonsThatTakeTurnsAreToldOnceAMinute) {
  Wait("busy");
  for (int i = 0; i < 600; ++i) {
    api.ensure_error->message = i % 2 == 0 ? "busy" : "overloaded";
    api.Advance(seconds(1));
  }
  EXPECT_LE(api.task_writes, 11);
}

TEST_F(DelaysTest, AnEngineThatHangsAndRefusesByTurnsIsToldOfOnce) {
  Wait("busy");
  api.Advance(seconds(6));
  ASSERT_EQ(api.task_writes, 1);
  api.purchases_hang = true;
  api.Advance(seconds(70));
  EXPECT_EQ(api.task_writes, 1);
  EXPECT_THAT(Why(), HasSubstr("busy"));
}

TEST_F(DelaysTest, WhatAnEngineSaysThatHasNotLaunchedTheServerIsToldWhileItLasts) {
  Wait();
  Say("waiting for capacity");
  api.Advance(seconds(4));
  EXPECT_EQ(api.task_writes, 0);
  api.Advance(seconds(2));
  EXPECT_THAT(Why(), EndsWith("-1); its engine karpenter says: waiting for capacity"));
  Say("");
  EXPECT_THAT(Why(), EndsWith("-1)"));
  EXPECT_EQ(api.task_writes, 2);
}

TEST_F(DelaysTest, OneThatBootsIsToldOfAfterAMinute) {
  Wait();
  Say("Node not registered with cluster", true);
  api.Advance(seconds(50));
  EXPECT_EQ(api.task_writes, 0);
  api.Advance(seconds(15));
  EXPECT_THAT(Why(), HasSubstr("says: Node not registered with cluster"));
}

TEST_F(DelaysTest, AServerThatIsThereIsNotToldOfBeforeTheTaskStarts) {
  Wait();
  Say("waiting for capacity");
  api.Advance(seconds(6));
  api.task_writes = 0;
  Say("");
  api.task_writes = 0;
  api.ProvideServer("n1");
  api.Settle();
  EXPECT_NE(api.ServerOf("t"), "x");
  EXPECT_EQ(api.task_writes, 0);
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(DelaysTest, AnEngineThatThisVersionDoesNotHaveIsToldOf) {
  Wait();
  api.scales.begin()->second.status.backend_engine = "other";
  api.scales.begin()->second.status.backend_kind = "Thing";
  api.Restart();
  api.Advance(seconds(10));
  EXPECT_THAT(Why(), HasSubstr("names the engine other, which this version"));
}

}  // namespace
}  // namespace spillway::core
