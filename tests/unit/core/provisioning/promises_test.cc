#include "operator/core/provisioning/promises.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;

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
  api.Advance(std::chrono::seconds(10));
  ASSERT_EQ(api.Phase("small"), "Pending");
  api.Restart();
  api.Advance(std::chrono::seconds(10));
  EXPECT_EQ(api.Phase("big"), "Scaling") << api.Says("big");
  EXPECT_EQ(api.Phase("small"), "Pending");
  EXPECT_EQ(api.world().budgets.accounts.at("ns").committed, 400'000);
  EXPECT_EQ(api.scales.begin()->second.status.phase, api::ScalePhase::kProvisioning);
}

}  // namespace
}  // namespace spillway::core
