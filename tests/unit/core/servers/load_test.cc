#include "operator/core/servers/load.h"

#include <gtest/gtest.h>

#include "operator/core/servers/registrar.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::seconds;

class LoadTest : public testing::Test {
 protected:
  // A server with 4 cpus, of which 80% may be used.
  void Limit(bool require = false) {
    api::RegisteredServer& server = api.AddServer("n", "4");
    server.spec.max_cpu_percent = 80;
    server.spec.requires_metrics = require;
    api.Change(server);
  }
  void AddTasks(int count, const std::string& cpu) {
    for (int i = 0; i < count; ++i) api.AddTask("t" + std::to_string(i), api::Json::object(), cpu);
    api.Settle();
  }
  std::string Phase() { return api.servers["n"].status.phase; }
  std::string Reason() {
    return api::FindCondition(api.servers["n"].status.conditions, "Ready")->reason.str();
  }
  ApiModel api;
};

TEST_F(LoadTest, WhatIsMeasuredAndWhatIsBoundSinceStayWithinTheLimit) {
  Limit();
  api.MeasureNode("n", 1200);
  AddTasks(10, "500m");
  EXPECT_EQ(api.pods_made, 4) << "1200m measured + 4 x 500m = 3200m = 80%";
}

TEST_F(LoadTest, ABurstUnderAnOldMeasurementDoesNotOverload) {
  Limit();
  api.Advance(seconds(60));
  api.MeasureNode("n", 0, 0, seconds(59));
  AddTasks(1000, "100m");
  EXPECT_EQ(api.pods_made, 32);
}

TEST_F(LoadTest, APodIsCoveredByAMeasurementOnceItRanForTheWholeWindow) {
  Limit();
  api.MeasureNode("n", 0);
  AddTasks(5, "1");
  EXPECT_EQ(api.pods_made, 3);
  for (const char* pod : {"t0-1", "t1-1", "t2-1"}) api.SetPod(pod, PodPhase::kRunning);
  api.Advance(seconds(10));
  api.MeasureNode("n", 100);  // over a time in which they began
  api.Settle();
  EXPECT_EQ(api.pods_made, 3);
  api.Advance(seconds(20));
  api.MeasureNode("n", 150);  // they use almost nothing; but all requests must fit as well
  api.Settle();
  EXPECT_EQ(api.pods_made, 4);
}

TEST_F(LoadTest, AStartThatIsHeardOfAfterItWasMeasuredMakesRoomAtOnce) {
  Limit();
  api.MeasureNode("n", 0);
  AddTasks(5, "1");
  const Time began = api.now;
  api.Advance(seconds(40));
  api.MeasureNode("n", 150);
  api.Settle();
  ASSERT_EQ(api.pods_made, 3) << "they may not have begun";
  for (const char* name : {"ns/t0-1", "ns/t1-1", "ns/t2-1"}) {
    api::Pod& pod = api.pods.at(name);
    pod.phase = PodPhase::kRunning;
    pod.started = began;
    api.Change(pod);
  }
  api.Settle();
  EXPECT_EQ(api.pods_made, 4);
}

TEST_F(LoadTest, WhatEndsMakesRoomBeforeTheNextMeasurement) {
  Limit();
  api.MeasureNode("n", 0);
  AddTasks(4, "1");
  EXPECT_EQ(api.pods_made, 3);
  api.SetPod("t0-1", PodPhase::kSucceeded);
  api.Settle();
  EXPECT_EQ(api.pods_made, 4);
}

TEST_F(LoadTest, AServerOverItsLimitIsOverloadedUntilItIsWellBelow) {
  Limit();
  api.MeasureNode("n", 3300);
  api.Settle();
  EXPECT_EQ(Phase(), "Overloaded");
  AddTasks(1, "100m");
  EXPECT_EQ(api.pods_made, 0);
  api.Advance(seconds(20));
  api.MeasureNode("n", 3000);  // 75%: not yet
  api.Settle();
  EXPECT_EQ(Phase(), "Overloaded");
  EXPECT_EQ(api.pods_made, 0);
  api.Advance(seconds(20));
  api.MeasureNode("n", 2800);
  api.Settle();
  EXPECT_EQ(Phase(), "Ready");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(LoadTest, MemoryIsGuardedAsCpuIs) {
  api::RegisteredServer& server = api.AddServer("n", "4");
  server.spec.max_memory_percent = 50;
  api.Change(server);
  api.MeasureNode("n", 0, int64_t{40} << 30);
  api.Settle();
  EXPECT_EQ(Phase(), "Overloaded");
}

TEST_F(LoadTest, RequireTakesNoTaskWithoutAFreshMeasurement) {
  Limit(true);
  AddTasks(1, "1");
  EXPECT_EQ(Reason(), "NoMeasurement");
  api.MeasureNode("n", 0);
  api.Settle();
  EXPECT_EQ(api.pods_made, 1);
  api.Advance(kLoadKept - seconds(1));
  EXPECT_EQ(Phase(), "Ready");
  api.Advance(seconds(1));
  EXPECT_EQ(Reason(), "StaleMeasurement");
  api.AddTask("u");
  api.Settle();
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(LoadTest, IfPresentIgnoresAnOldMeasurement) {
  Limit();
  api.MeasureNode("n", 3900);
  api.Settle();
  EXPECT_EQ(Phase(), "Overloaded");
  api.Advance(kLoadKept);
  AddTasks(1, "1");
  EXPECT_EQ(Phase(), "Ready");
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(LoadTest, AnOlderMeasurementThanTheLastIsIgnored) {
  Limit();
  api.MeasureNode("n", 3900);
  api.MeasureNode("n", 0, 0, seconds(5));
  api.Settle();
  EXPECT_EQ(Phase(), "Overloaded");
}

TEST_F(LoadTest, TheFirstMeasurementIsAsOldAsItSays) {
  Limit(true);
  api.Advance(seconds(90));
  api.MeasureNode("n", 0, 0, seconds(60));
  AddTasks(1, "1");
  EXPECT_EQ(Reason(), "StaleMeasurement");
  EXPECT_EQ(api.pods_made, 0);
}

TEST_F(LoadTest, ANodeWhoseClockIsSlowIsGuarded) {
  Limit();
  api.MeasureNode("n", 1200, 0, seconds(600));
  api.Advance(seconds(15));
  api.MeasureNode("n", 1200, 0, seconds(600));
  AddTasks(10, "500m");
  EXPECT_EQ(api.pods_made, 4);
}

TEST_F(LoadTest, TheMeasurementOfANodeWhoseClockIsFastBecomesOldToo) {
  Limit(true);
  api.MeasureNode("n", 0, 0, seconds(-600));
  api.Settle();
  EXPECT_EQ(Phase(), "Ready");
  api.Advance(kLoadKept);
  EXPECT_EQ(Reason(), "StaleMeasurement");
}

TEST_F(LoadTest, ANodeWhoseClockWasSetBackIsBelievedOnceNothingNewerCameForAMinute) {
  Limit(true);
  api.MeasureNode("n", 3900);
  api.Advance(seconds(30));
  api.MeasureNode("n", 0, 0, seconds(600));
  api.Settle();
  EXPECT_EQ(Phase(), "Overloaded");
  api.Advance(kLoadKept);
  EXPECT_EQ(Reason(), "StaleMeasurement");
  api.MeasureNode("n", 0, 0, seconds(600));
  api.Settle();
  EXPECT_EQ(Phase(), "Ready");
}

TEST_F(LoadTest, AMeasurementOfANodeThatHadTheNameBeforeSaysNothing) {
  Limit(true);
  api.MeasureNode("n", 0);
  api.Settle();
  api.Advance(seconds(10));
  api.Remove(api.nodes, "n");
  api.Settle();
  api.Advance(seconds(10));
  api.AddNode("n", "4");
  api.MeasureNode("n", 0, 0, seconds(11));
  api.Settle();
  EXPECT_EQ(Reason(), "NoMeasurement");
}

TEST_F(LoadTest, AHotLocalFleetSendsTheTaskToTheCloud) {
  Limit();
  api.AddPool("spot");
  api.MeasureNode("n", 3900);
  AddTasks(1, "1");
  EXPECT_EQ(api.claims_made, 1);
  EXPECT_EQ(api.Phase("t0"), "Scaling");
}

TEST_F(LoadTest, TheRefusalNamesTheNumbers) {
  Limit();
  api.MeasureNode("n", 2000);
  AddTasks(1, "1");
  api.AddTask("u", api::Json::object(), "1");
  api.Advance(seconds(1));
  const auto& explanation = *api.Status("u").explanation;
  EXPECT_NE(explanation.summary.find("1 overloaded"), std::string::npos) << explanation.summary;
  EXPECT_EQ(explanation.nearest_fit, "would fit server n with cpu 200m instead of 1");
}

TEST_F(LoadTest, TheStatusTellsTheLoad) {
  Limit();
  api.MeasureNode("n", 1000, int64_t{16} << 30);
  api.Advance(kServerStatusEvery);
  ASSERT_TRUE(api.servers["n"].status.load);
  EXPECT_EQ(api.servers["n"].status.load->cpu_percent, 25);
  EXPECT_EQ(api.servers["n"].status.load->memory_percent, 25);
}

}  // namespace
}  // namespace spillway::core
