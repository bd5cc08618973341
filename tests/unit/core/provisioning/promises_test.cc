#include "operator/core/provisioning/promises.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace spillway::core
