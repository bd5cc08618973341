#include "operator/core/explain/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/core/scenario.h"

namespace spillway::core {
namespace {

using api::Json;
using std::chrono::seconds;

Task Local(const char* name) { return Task(name).Local(); }
Task Auto(const char* name, Json placement = Json::object()) {
  placement["burstAfterSeconds"] = "auto";
  return Task(name).With("placement", std::move(placement));
}

const api::Forecast& ForecastOf(const ApiModel& api, const std::string& name) {
  static const api::Forecast kNone;
  const auto& forecast = api.world().tasks.by_key.at("ns/" + name).object.status.forecast;
  return forecast ? *forecast : kNone;
}

// What is told to every task that waits, a line each: its place in the queue, and if that is
// known, in how many seconds it is to start, and from what this was concluded.
std::string Forecasts(const ApiModel& api) {
  std::string out;
  for (const auto& [key, task] : api.tasks) {
    const std::string name(task.meta.name);
    const api::Forecast& told = ForecastOf(api, name);
    if (api.Phase(name) != "Pending") continue;
    out += (out.empty() ? "" : "\n") + name + " is " + std::to_string(told.position);
    if (!told.start) continue;
    const auto left = std::chrono::duration_cast<seconds>(*told.start - api.now);
    out += ", starts in " + std::to_string(left.count()) + "s by " + told.basis.str();
  }
  return out;
}

// The task, named before, runs for so long and succeeds, on a server of its own.
Scenario& RunOnce(Scenario& s, const Task& before, seconds time) {
  return s.Running(before).Pass(time).Ends("before");
}

TEST(MeanTest, TheLatestCountMost) {
  Mean mean;
  EXPECT_FALSE(mean.known());
  for (int i = 0; i < 4; ++i) mean.Add(seconds(10));
  EXPECT_EQ(mean.value(), seconds(10));
  for (int i = 0; i < 100; ++i) mean.Add(seconds(30));
  EXPECT_GT(mean.value(), seconds(29));
}

struct ForecastCase {
  std::string name;
  std::function<void(Scenario&)> begin;
  const char* forecasts;
};

class ForecastTest : public testing::TestWithParam<ForecastCase> {};

TEST_P(ForecastTest, IsToldToAllThatWait) {
  Scenario scenario;
  scenario.Server("s1");
  GetParam().begin(scenario);
  EXPECT_EQ(Forecasts(scenario.api), GetParam().forecasts);
}

std::string ForecastName(const testing::TestParamInfo<ForecastCase>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Of, ForecastTest,
    testing::Values(ForecastCase{"ThePlaceInTheQueue",
                                 [](Scenario& s) {
                                   for (const char* name : {"a", "b", "c"})
                                     s.Waiting(Local(name)).Pass(seconds(1));
                                   s.Waiting(Local("urgent").Priority(1)).Pass(seconds(20));
                                 },
                                 "b is 2\nc is 3\nurgent is 1"},
                    ForecastCase{"WhatItsLikeTookForOneAfterTheOther",
                                 [](Scenario& s) {
                                   RunOnce(s, Local("before"), seconds(100)).Running(Local("a"));
                                   s.Together({Local("b"), Local("c")}).Pass(seconds(10));
                                 },
                                 "b is 1, starts in 90s by observed run times\n"
                                 "c is 2, starts in 190s by observed run times"},
                    ForecastCase{"TheDeadlineAndTheGraceOfWhatRuns",
                                 [](Scenario& s) {
                                   s.Running(Local("a").With("activeDeadlineSeconds", 300));
                                   s.Waiting(Local("b")).Pass(seconds(2));
                                 },
                                 "b is 1, starts in 328s by activeDeadlineSeconds"},
                    ForecastCase{"NothingButThePlaceWhereNothingIsKnown",
                                 [](Scenario& s) {
                                   s.Waiting(Local("a")).Waiting(Local("b")).Pass(seconds(2));
                                 },
                                 "b is 1"},
                    ForecastCase{"RunTimesAfterARestart",
                                 [](Scenario& s) {
                                   RunOnce(s, Local("before"), seconds(100)).Running(Local("a"));
                                   s.Waiting(Local("b")).Restart().Pass(seconds(2));
                                 },
                                 "b is 1, starts in 98s by observed run times"}),
    ForecastName);

TEST(PoolForecastTest, AServerOnItsWayIsExpectedAfterWhatThePoolsServersTook) {
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

// Statuses within half a minute of a wait for a server that is late.
int WritesWhileItIsLate(const Json& spec) {
  ApiModel api;
  api.AddPool("spot");
  api.AddTask("before");
  api.Advance(seconds(1));
  api.ProvideServer("cloud-1");  // expected after a second from now on
  api.Advance(seconds(1));
  api.AddTask("t", spec, "8");
  api.Advance(seconds(4));
  EXPECT_EQ(api.Phase("t"), "Scaling");
  api.task_writes = 0;
  api.Advance(seconds(26));
  return api.task_writes;
}

TEST(PoolForecastTest, ThatAServerIsLateIsNoNewsByTheMoment) {
  EXPECT_EQ(WritesWhileItIsLate(Json::object()), 1);  // when it is expected
  EXPECT_EQ(WritesWhileItIsLate({{"group", {{"name", "g"}, {"size", 1}}}}), 1);
}

// ---- burstAfterSeconds: auto ----

// A task runs on the only server and is expected to do so for another `left`.
Scenario& OccupyFor(Scenario& s, seconds run, seconds left) {
  RunOnce(s.Server("s1"), Auto("before"), run).Running(Auto("a")).Pass(run - left);
  s.api.AddPool("spot");
  return s;
}

// The pool costs 0.40 per hour: b would save 280 s of the 400 s that a takes, and pay for 520 s.
void SaveTime(Scenario& s, const Json& placement) {
  RunOnce(s.Server("s1"), Auto("before", placement), seconds(400)).Running(Auto("a", placement));
  s.api.AddPool("spot");
  s.Waiting(Auto("b", placement)).Pass(seconds(4));
}

struct AutoBurstCase {
  std::string name;
  std::function<void(Scenario&)> begin;
  std::string dump;
  std::string task;  // whose reason for waiting has these parts
  std::vector<std::string> says;
};

class AutoBurstTest : public testing::TestWithParam<AutoBurstCase> {};

TEST_P(AutoBurstTest, BuysOrWaits) {
  Scenario scenario;
  GetParam().begin(scenario);
  EXPECT_EQ(scenario.Dump(), GetParam().dump);
  EXPECT_EQ(scenario.api.scales.empty(), GetParam().dump.find("cloud") == std::string::npos);
  for (const std::string& part : GetParam().says)
    EXPECT_THAT(scenario.api.Says(GetParam().task), testing::HasSubstr(part));
}

std::string AutoBurstName(const testing::TestParamInfo<AutoBurstCase>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Auto, AutoBurstTest,
    testing::Values(
        AutoBurstCase{
            "WaitsWhereAServerIsFreeBeforeOneWouldBeThere",
            [](Scenario& s) {
              OccupyFor(s, seconds(100), seconds(60)).Waiting(Auto("b")).Pass(seconds(10));
            },
            "a on s1\nb waits\nbefore ended",
            "b",
            {"; it pays to wait: a registered server is expected to have room at ",
             "one of pool spot takes 2m0s (a guess)"}},
        // The turns of c and d would come after b's.
        AutoBurstCase{"BuysWhereTheWaitIsLong",
                      [](Scenario& s) {
                        OccupyFor(s, seconds(1000), seconds(900))
                            .Together({Auto("b"), Auto("c"), Auto("d")})
                            .Pass(seconds(10));
                      },
                      "a on s1\nb waits for the cloud\nbefore ended\nc waits for the cloud\n"
                      "d waits for the cloud",
                      "c",
                      {"; it pays to buy: "}},
        AutoBurstCase{"BuysAtOnceWhereNothingIsKnownOfTheWait",
                      [](Scenario& s) {
                        s.api.AddPool("spot");
                        s.Waiting(Auto("b")).Pass(seconds(2));
                      },
                      "b waits for the cloud",
                      "b",
                      {}},
        AutoBurstCase{"WaitsWhereAnHourIsWorthWhatTheServerCosts",
                      [](Scenario& s) { SaveTime(s, Json::object()); },
                      "a on s1\nb waits\nbefore ended",
                      "b",
                      {}},
        AutoBurstCase{"BuysWhereAnHourIsWorthMuchMoreToTheUser",
                      [](Scenario& s) {
                        SaveTime(s, {{"maxPricePerHour", "100"}});
                      },
                      "a on s1\nb waits for the cloud\nbefore ended",
                      "b",
                      {}},
        // 870 s would be saved for an hour's price.
        AutoBurstCase{"WaitsWhereABillingStepWouldBePaidInFull",
                      [](Scenario& s) {
                        OccupyFor(s, seconds(1000), seconds(990));
                        s.api.pools["spot"].spec.billing_quantum = seconds(3600);
                        s.api.Change(s.api.pools["spot"]);
                        s.Waiting(Auto("b")).Pass(seconds(10));
                      },
                      "a on s1\nb waits\nbefore ended",
                      "b",
                      {}}),
    AutoBurstName);

}  // namespace
}  // namespace spillway::core
