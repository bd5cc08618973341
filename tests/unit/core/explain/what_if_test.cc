#include "operator/core/explain/what_if.h"

#include <gtest/gtest.h>

#include "operator/core/provisioning/patience.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using Place = Prediction::Place;

class WhatIfTest : public testing::Test {
 protected:
  // As a task of that name would be answered that is not applied.
  Prediction Ask(const std::string& cpu, api::Json spec = api::Json::object()) {
    api.Settle();
    spec["template"] = {
        {"spec",
         {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", cpu}}}}}}}}}}};
    const auto task = api::DecodeTaskRequest({{"metadata", {{"name", "x"}}}, {"spec", spec}});
    return *WhatIf(api.world(), "ns", task->spec);
  }
  ApiModel api;
};

TEST_F(WhatIfTest, NamesTheServerThatTheTaskIsThenBoundTo) {
  for (const char* name : {"a", "b", "c"}) api.AddServer(name, "4");
  for (int i = 0; i < 5; ++i) {
    const std::string name = "t" + std::to_string(i);
    const Prediction forecast = Ask("2");
    EXPECT_EQ(forecast.place, Place::kServer);
    api.AddTask(name, api::Json::object(), "2");
    api.Advance(std::chrono::seconds(5));
    EXPECT_EQ(api.ServerOf(name), forecast.name);
  }
}

TEST_F(WhatIfTest, ChangesNothing) {
  api.AddServer("a", "4");
  api.AddPool("spot");
  (void)Ask("2");
  (void)Ask("8");
  api.Advance(std::chrono::seconds(5));
  EXPECT_EQ(api.pods_made, 0);
  EXPECT_EQ(api.claims_made, 0);
  EXPECT_TRUE(api.world().scheduling.shapes.all().empty());
}

TEST_F(WhatIfTest, NamesThePoolThatWouldBeAskedAndWhen) {
  api.AddServer("a", "4");
  api.AddPool("spot", "8", 1);
  api.AddPool("on-demand", "8", 0);
  const Prediction forecast = Ask("6", {{"placement", {{"burstAfterSeconds", 60}}}});
  EXPECT_EQ(forecast.place, Place::kPool);
  EXPECT_EQ(forecast.name, "spot");
  EXPECT_EQ(forecast.price_micros, 400'000);
  EXPECT_EQ(forecast.not_before, std::chrono::seconds(60));
  EXPECT_EQ(forecast.explanation.nearest_fit, "would fit server a with cpu 4 instead of 6");
}

TEST_F(WhatIfTest, NamesThePurchaseThatHasRoomLeft) {
  api.AddPool("spot", "8");
  api.AddTask("t", api::Json::object(), "2");
  const Prediction forecast = Ask("2");
  EXPECT_EQ(forecast.place, Place::kOnTheWay);
  EXPECT_EQ(forecast.name,
            api.Status("t").phase == api::TaskPhase::kScaling ? api.scales.begin()->first : "");
  EXPECT_EQ(Ask("7").place, Place::kPool) << "2 of 8 cpus are promised";
}

TEST_F(WhatIfTest, SaysWhyATaskWouldWaitAndHowManyAreBeforeIt) {
  api.AddServer("a", "1");
  for (const char* name : {"t", "u", "v"}) api.AddTask(name);
  const api::Json local{{"placement", {{"policy", "LocalOnly"}}}};
  const Prediction forecast = Ask("1", local);
  EXPECT_EQ(forecast.place, Place::kQueue);
  EXPECT_EQ(forecast.ahead, 2u);
  EXPECT_EQ(forecast.explanation.summary, "0 of 1 servers fit: 1 insufficient cpu");
  api::Json urgent = local;
  urgent["priority"] = 1;
  EXPECT_EQ(Ask("1", urgent).ahead, 0u);
}

TEST_F(WhatIfTest, SaysWhenRoomIsExpectedAndByWhat) {
  api.AddServer("a", "1");
  const api::Json local{{"placement", {{"policy", "LocalOnly"}}}, {"activeDeadlineSeconds", 600}};
  api.AddTask("t", local);
  api.Settle();
  api.SetPod("t-1", api::PodPhase::kRunning);
  const Prediction forecast = Ask("1", local);
  ASSERT_TRUE(forecast.start);
  EXPECT_GE(*forecast.start, api.now + std::chrono::seconds(600));
  EXPECT_LE(*forecast.start, api.now + std::chrono::seconds(660));
  EXPECT_EQ(forecast.basis, "activeDeadlineSeconds");
}

TEST_F(WhatIfTest, SaysWhenAServerThatIsBoughtIsExpected) {
  api.AddPool("spot");
  const Prediction forecast = Ask("1", {{"placement", {{"burstAfterSeconds", 60}}}});
  EXPECT_EQ(forecast.start, api.now + std::chrono::seconds(60) + kBootGuess);
  EXPECT_EQ(forecast.basis, "a guess");
}

TEST_F(WhatIfTest, SaysThatTheBudgetDoesNotCoverIt) {
  api.AddPool("spot");
  api.AddBudget("b", "0.10");
  const Prediction forecast = Ask("1", {{"activeDeadlineSeconds", 3600}});
  EXPECT_EQ(forecast.place, Place::kQueue);
  EXPECT_EQ(forecast.explanation.pools.at(0).reason, "BudgetExceeded");
  EXPECT_EQ(Ask("1", {{"activeDeadlineSeconds", 900}}).place, Place::kPool);
}

TEST_F(WhatIfTest, AnAmountThatCannotBeReadIsAnError) {
  api::TaskSpec spec;
  spec.pod_template = std::make_shared<const api::Json>(api::Json{
      {"spec",
       {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", "x"}}}}}}}}}}});
  EXPECT_FALSE(WhatIf(api.world(), "ns", spec));
}

}  // namespace
}  // namespace spillway::core
