#include "operator/core/provisioning/promises.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using std::chrono::seconds;

void Suspend(ApiModel& api, bool suspend) {
  api.tasks.at("ns/t").spec.suspend = suspend;
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
}

void SetBudget(ApiModel& api, int64_t micros) {
  api.budgets.at("ns/b").spec.amount_micros = micros;
  api.Change(api.budgets.at("ns/b"));
  api.Settle();
}

// Another namespace waits for the server as well, so that it is not withdrawn.
TEST(PromisesTest, WhoCannotPayItAnyMoreIsNotPromisedAgainWhatWasBoughtForIt) {
  ApiModel api;
  api.AddPool("p");
  api.AddBudget("b", "1");
  api.AddTask("t");
  api.AddTask("other", Json::object(), "1", "other");
  api.Settle();
  ASSERT_EQ(api.scales_made, 1);
  const TaskState& task = api.world().tasks.by_key.at("ns/t");
  ASSERT_FALSE(task.nominated.empty());
  Suspend(api, true);
  SetBudget(api, 100'000);
  Suspend(api, false);
  EXPECT_EQ(task.nominated, "");
  EXPECT_EQ(task.committed, 0);
  SetBudget(api, 1'000'000);
  EXPECT_NE(task.nominated, "") << api.Says("t");
  EXPECT_EQ(api.scales_made, 1);
}

TEST(PromisesTest, WhatWasBoughtByTheLeaderBeforeIsPaidBeforeOthersTakeTheMoney) {
  ApiModel api;
  api.AddPool("p");
  api.AddBudget("b", "0.5");
  api.AddTask("big", Json::object(), "6");
  api.Settle();
  ASSERT_EQ(api.scales_made, 1);
  api.AddServer("s1", "2");
  api.servers.at("s1").spec.price_micros = 400'000;
  api.Change(api.servers.at("s1"));
  api.AddTask("small", Json::object(), "2");
  api.Advance(seconds(10));
  ASSERT_EQ(api.Phase("small"), "Pending");
  api.Restart();
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("big"), "Scaling") << api.Says("big");
  EXPECT_EQ(api.Phase("small"), "Pending");
  EXPECT_EQ(api.world().budgets.accounts.at("ns").committed, 400'000);
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kProvisioning);
}

// The server that was bought for ns/t is there, and pods of its kind are refused there, of which
// another is tried again and again. So it is promised one that comes for a third.
class TwicePromisedTest : public testing::Test {
 protected:
  TwicePromisedTest() {
    api.AddPool("own", "8", 10);
    api.AddPool("large", "16");
    api.refuse = [&](const Write& write) -> std::optional<Error> {
      if (write.verb == Verb::kPatchStatus && write.kind == Kind::kTask && write.name == "t")
        told.push_back(write.body.dump());
      if (write.verb != Verb::kCreate || write.kind != Kind::kPod) return std::nullopt;
      return Error{ErrorKind::kForbidden, "pods \"t-1\" is forbidden", {}};
    };
    api.AddTask("t");
    api.Settle();
    api.ProvideServer("n1");
    api.Advance(seconds(30));
    api.AddTask("large", Json::object(), "12");
    api.AddTask("tried", {{"priority", 1}});
    api.Advance(seconds(30));
    told.clear();
  }

  ApiModel api;
  std::vector<std::string> told;
};

TEST_F(TwicePromisedTest, APromiseThatHoldsIsKeptBeforeWhatWasBoughtForTheTask) {
  ASSERT_EQ(api.scales_made, 2);
  api.Advance(seconds(200));
  EXPECT_LE(told.size(), 2u) << api.Says("t");
}

TEST_F(TwicePromisedTest, WhoLosesAPromiseHasWhatWasBoughtForItAtOnce) {
  ASSERT_NE(api.Says("t").find("pool large"), std::string::npos) << api.Says("t");
  const auto large = std::find_if(api.claims.begin(), api.claims.end(),
                                  [](const auto& each) { return each.second.pool == "large"; });
  api.Remove(api.claims, large->first);
  api.Settle();
  EXPECT_NE(api.Says("t").find("pool own"), std::string::npos) << api.Says("t");
  EXPECT_EQ(told.size(), 1u);
}

}  // namespace
}  // namespace spillway::core
