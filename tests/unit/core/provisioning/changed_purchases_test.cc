#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

// A task that waits for a server of pool "p", of which a policy makes something else.
class ChangedPurchaseTest : public testing::Test {
 protected:
  void Buy(std::function<void(api::ScaleRequest&)> policy) {
    api.admit_scale = std::move(policy);
    api.AddPool("p", "8", 10);
    api.AddTask("t");
    api.Settle();
  }
  const std::string& Says() { return api.scales.begin()->second.status.message; }
  std::string PoolSays() {
    return api::FindCondition(api.pools.at("p").status.conditions, "BackingOff")->message.str();
  }
  ApiModel api;
};

TEST_F(ChangedPurchaseTest, NothingIsBoughtOfAnotherPool) {
  Buy([](api::ScaleRequest& scale) { scale.pool = "other"; });
  EXPECT_THAT(Says(), HasSubstr("with spec.poolName other in place of p"));
  api.Advance(seconds(120));
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_EQ(api.scales_made, 1);
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kFailed);
  EXPECT_THAT(PoolSays(), HasSubstr("exempt Spillway's ScaleRequests from the policy"));
}

TEST_F(ChangedPurchaseTest, NorUnderAnotherName) {
  Buy([](api::ScaleRequest& scale) { scale.meta.name = "x-" + scale.meta.name; });
  EXPECT_THAT(Says(), HasSubstr("was admitted under the name x-spw-"));
  api.Advance(seconds(120));
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_EQ(api.scales_made, 1);
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kFailed);
}

TEST_F(ChangedPurchaseTest, NoStatusIsWrittenOfOneUnderAnotherNameBeforeItsCreationIsAnswered) {
  api.hangs = [](const Write& write) {
    return write.verb == Verb::kCreate && write.kind == Kind::kScale;
  };
  Buy(nullptr);
  api::ScaleRequest renamed;  // its watch is faster than the answer
  renamed.meta.name = "x-spw-1", renamed.meta.uid = "uid-x";
  renamed.pool = "p";
  api.Change(api.scales["x-spw-1"] = renamed);
  api.Advance(seconds(1));
  EXPECT_EQ((api.tries[{Verb::kPatchStatus, Kind::kScale}]), 0);
}

TEST_F(ChangedPurchaseTest, NorForOtherTasks) {
  Buy([](api::ScaleRequest& scale) { scale.for_tasks.clear(); });
  api.Advance(seconds(120));
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_EQ(api.scales_made, 1);
}

TEST_F(ChangedPurchaseTest, AnotherPoolIsAskedAtOnce) {
  api.AddPool("q");
  Buy([](api::ScaleRequest& scale) {
    if (scale.pool == "p") scale.pool = "other";
  });
  EXPECT_EQ(api.claims_made, 1);
}

TEST_F(ChangedPurchaseTest, ItIsTriedAgainOnceThePoolIsNotHeldAnyMore) {
  Buy([](api::ScaleRequest& scale) { scale.pool = "other"; });
  api.admit_scale = nullptr;
  api.Advance(seconds(610));
  EXPECT_EQ(api.claims_made, 1);
}

}  // namespace
}  // namespace spillway::core
