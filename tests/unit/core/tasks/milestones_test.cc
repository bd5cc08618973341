#include "operator/core/tasks/milestones.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::PodPhase;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Step = TaskMilestone::Step;

class MilestonesTest : public testing::Test {
 protected:
  MilestonesTest() {
    api.AddNode("n", "4");
    api.AddServer("n");
  }
  std::vector<TaskMilestone> OfTasks() const {
    std::vector<TaskMilestone> out;
    for (const Milestone& each : api.milestones) {
      if (const auto* task = std::get_if<TaskMilestone>(&each)) out.push_back(*task);
    }
    return out;
  }
  std::vector<Step> Steps() const {
    std::vector<Step> out;
    for (const TaskMilestone& each : OfTasks()) out.push_back(each.step);
    return out;
  }
  ApiModel api;
};

TEST_F(MilestonesTest, TellOfATaskThatRunsEachStepOnce) {
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(20));
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(5));
  EXPECT_EQ(Steps(),
            (std::vector{Step::kBound, Step::kRunning, Step::kAttemptEnded, Step::kEnded}));
  for (const TaskMilestone& each : OfTasks()) {
    EXPECT_EQ(each.uid, api.tasks.at("ns/t").meta.uid);
    EXPECT_EQ(each.attempt, 1);
    EXPECT_EQ(each.server, "n");
  }
  EXPECT_EQ(OfTasks().back().phase, api::TaskPhase::kSucceeded);
  EXPECT_EQ(OfTasks().back().ran, Duration(seconds(20)));
}

TEST_F(MilestonesTest, AreNotToldAgainAfterARestart) {
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(20));
  const size_t told = api.milestones.size();
  api.Restart();
  api.Advance(seconds(5));
  EXPECT_EQ(api.milestones.size(), told);
}

TEST_F(MilestonesTest, ARetriedAttemptHasAnEndOfItsOwn) {
  api.AddTask("t", {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  api.Settle();
  api.SetPod("t-1", PodPhase::kFailed, 3);
  api.Advance(seconds(5));
  EXPECT_EQ(Steps(), (std::vector{Step::kBound, Step::kAttemptEnded, Step::kBound}));
  EXPECT_EQ(OfTasks()[1].reason, "Error");
  EXPECT_EQ(OfTasks()[2].attempt, 2);
}

TEST_F(MilestonesTest, TheTimeToBindCountsFromWhenTheTaskWasSeenWithinTheSecond) {
  api.now += milliseconds(700);
  api.AddTask("t");
  api.Settle();
  ASSERT_FALSE(OfTasks().empty());
  EXPECT_LE(*OfTasks()[0].waited, milliseconds(100));
}

TEST_F(MilestonesTest, OfAPurchaseTellEachPhaseOnce) {
  api.AddPool("spot");
  api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}}}});
  api.Settle();
  api.ProvideServer("cloud");
  api.Advance(seconds(1));
  std::vector<api::ScalePhase> phases;
  for (const Milestone& each : api.milestones) {
    if (const auto* scale = std::get_if<ScaleMilestone>(&each)) phases.push_back(scale->phase);
  }
  EXPECT_EQ(phases, (std::vector{api::ScalePhase::kRequested, api::ScalePhase::kProvisioning,
                                 api::ScalePhase::kReady}));
}

}  // namespace
}  // namespace spillway::core
