#include "operator/core/explain/forecast.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

const Json kLocal{{"placement", {{"policy", "LocalOnly"}}}};
const Json kAuto{{"placement", {{"burstAfterSeconds", "auto"}}}};

Json With(Json spec, const Json& more) {
  spec.update(more);
  return spec;
}

const api::Forecast& ForecastOf(const ApiModel& api, const std::string& name) {
  static const api::Forecast kNone;
  const auto& forecast = api.world().tasks.by_key.at("ns/" + name).object.status.forecast;
  return forecast ? *forecast : kNone;
}

std::string Why(const ApiModel& api, const std::string& name) {
  const auto* ready = api::FindCondition(*api.Status(name).conditions, "Ready");
  return ready == nullptr ? "" : ready->message.str();
}

// A task of the spec runs for so long and succeeds, on a server of its own.
void RunOnce(ApiModel& api, const Json& spec, seconds time) {
  api.AddTask("before", spec);
  api.Settle();
  api.SetPod("before-1", PodPhase::kRunning);
  api.Advance(time);
  api.SetPod("before-1", PodPhase::kSucceeded);
  api.Settle();
}

TEST(MeanTest, TheLatestCountMost) {
  Mean mean;
  EXPECT_FALSE(mean.known());
  for (int i = 0; i < 4; ++i) mean.Add(seconds(10));
  EXPECT_EQ(mean.value(), seconds(10));
  for (int i = 0; i < 100; ++i) mean.Add(seconds(30));
  EXPECT_GT(mean.value(), seconds(29));
}

TEST(ForecastTest, TellsThePlaceInTheQueue) {
  ApiModel api;
  api.AddServer("s1", "1");
  for (const char* name : {"a", "b", "c"}) {
    api.AddTask(name, kLocal);
    api.Advance(seconds(1));
  }
  api.AddTask("urgent", With(kLocal, {{"priority", 1}}));
  api.Advance(seconds(20));
  EXPECT_EQ(ForecastOf(api, "urgent").position, 1);
  EXPECT_EQ(ForecastOf(api, "b").position, 2);
  EXPECT_EQ(ForecastOf(api, "c").position, 3);
}

TEST(ForecastTest, EstimatesFromWhatItsLikeTook) {
  ApiModel api;
  api.AddServer("s1", "1");
  RunOnce(api, kLocal, seconds(100));
  api.AddTask("a", kLocal);
  api.Settle();
  api.SetPod("a-1", PodPhase::kRunning);
  const Time started = api.now;
  api.AddTask("b", kLocal);
  api.AddTask("c", kLocal);
  api.Advance(seconds(10));
  EXPECT_EQ(ForecastOf(api, "b").start, started + seconds(100));
  EXPECT_EQ(ForecastOf(api, "c").start, started + seconds(200)) << "after b";
  EXPECT_EQ(ForecastOf(api, "b").basis.str(), "observed run times");
}

TEST(ForecastTest, EstimatesFromDeadlines) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("a", With(kLocal, {{"activeDeadlineSeconds", 300}}));
  api.Settle();
  api.SetPod("a-1", PodPhase::kRunning);
  const Time started = api.now;
  api.AddTask("b", kLocal);
  api.Advance(seconds(2));
  EXPECT_EQ(ForecastOf(api, "b").start, started + seconds(300) + seconds(30));
  EXPECT_EQ(ForecastOf(api, "b").basis.str(), "activeDeadlineSeconds");
}

TEST(ForecastTest, SaysNothingWhereNothingIsKnown) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.AddTask("a", kLocal);
  api.Settle();
  api.AddTask("b", kLocal);
  api.Advance(seconds(2));
  EXPECT_FALSE(ForecastOf(api, "b").start.has_value());
  EXPECT_EQ(ForecastOf(api, "b").position, 1);
}

TEST(ForecastTest, KnowsRunTimesAfterARestart) {
  ApiModel api;
  api.AddServer("s1", "1");
  RunOnce(api, kLocal, seconds(100));
  api.AddTask("a", kLocal);
  api.Settle();
  api.SetPod("a-1", PodPhase::kRunning);
  api.AddTask("b", kLocal);
  api.Settle();
  api.Restart();
  api.Advance(seconds(2));
  EXPECT_TRUE(ForecastOf(api, "b").start.has_value());
}

TEST(ForecastTest, AServerOnItsWayIsExpectedAfterWhatThePoolsServersTook) {
  ApiModel api;
  api.AddPool("spot");
  api.AddTask("a");
  api.Settle();
  api.Advance(seconds(40));
  api.ProvideServer("cloud-1");
  api.Advance(seconds(1));
  api.AddTask("b", Json::object(), "8");
  const Time bought = api.now;
  api.Advance(seconds(10));
  ASSERT_EQ(api.Phase("b"), "Scaling");
  ASSERT_TRUE(ForecastOf(api, "b").start.has_value());
  EXPECT_NEAR(static_cast<double>((*ForecastOf(api, "b").start - bought).count()), 40'000, 2'000);
}

// ---- burstAfterSeconds: auto ----

// A task runs on the only server and is expected to do so for another `left`.
void Occupy(ApiModel& api, seconds run, seconds left) {
  api.AddServer("s1", "1");
  RunOnce(api, kAuto, run);
  api.AddTask("a", kAuto);
  api.Settle();
  api.SetPod("a-1", PodPhase::kRunning);
  api.Advance(run - left);
  api.AddPool("spot");
}

TEST(AutoBurstTest, WaitsWhereAServerIsFreeBeforeOneWouldBeThere) {
  ApiModel api;
  Occupy(api, seconds(100), seconds(60));
  api.AddTask("b", kAuto);
  api.Advance(seconds(10));
  EXPECT_TRUE(api.scales.empty());
  EXPECT_NE(
      Why(api, "b").find("; it pays to wait: a registered server is expected to have room at "),
      std::string::npos)
      << Why(api, "b");
  EXPECT_NE(Why(api, "b").find("one of pool spot takes 2m0s (a guess)"), std::string::npos)
      << Why(api, "b");
}

TEST(AutoBurstTest, BuysWhereTheWaitIsLong) {
  ApiModel api;
  Occupy(api, seconds(1000), seconds(900));
  for (const char* name : {"b", "c", "d"}) api.AddTask(name, kAuto);
  api.Advance(seconds(10));
  EXPECT_EQ(api.Phase("c"), "Scaling") << "its turn would come after b's";
  EXPECT_NE(Why(api, "c").find("; it pays to buy: "), std::string::npos) << Why(api, "c");
}

TEST(AutoBurstTest, BuysAtOnceWhereNothingIsKnownOfTheWait) {
  ApiModel api;
  api.AddPool("spot");
  api.AddTask("b", kAuto);
  api.Advance(seconds(2));
  EXPECT_EQ(api.Phase("b"), "Scaling");
}

TEST(AutoBurstTest, AnHourIsWorthWhatTheUserWouldPayForIt) {
  for (const bool dear : {false, true}) {
    ApiModel api;
    Json spec = kAuto;
    if (dear) spec["placement"]["maxPricePerHour"] = "100";
    api.AddServer("s1", "1");
    RunOnce(api, spec, seconds(400));
    api.AddTask("a", spec);
    api.Settle();
    api.SetPod("a-1", PodPhase::kRunning);
    api.Settle();
    api.AddPool("spot");  // 0.40 per hour
    api.AddTask("b", spec);
    api.Advance(seconds(4));
    // It would save 280 s of the 400 s, and pay for 520 s.
    EXPECT_EQ(api.Phase("b"), dear ? "Scaling" : "Pending") << Why(api, "b");
  }
}

TEST(AutoBurstTest, ABillingStepIsPaidInFull) {
  ApiModel api;
  Occupy(api, seconds(1000), seconds(990));
  api.pools["spot"].spec.billing_quantum = seconds(3600);
  api.Change(api.pools["spot"]);
  api.AddTask("b", kAuto);
  api.Advance(seconds(10));
  EXPECT_TRUE(api.scales.empty()) << "870 s would be saved for an hour's price";
}

}  // namespace
}  // namespace spillway::core
