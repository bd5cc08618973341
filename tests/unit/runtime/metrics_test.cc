#include "operator/runtime/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>

#include "tests/dashboard/recorded.h"

// Given by the build; else the working directory.
#ifndef SPILLWAY_SOURCE_DIR
#define SPILLWAY_SOURCE_DIR "."
#endif

namespace spillway::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;
using Names = std::set<std::string>;

std::string ReadFile(const std::string& path) {
  std::ifstream file(std::string(SPILLWAY_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file) << path;
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

// The first group of every match.
Names Find(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  Names out;
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at)
    out.insert((*at)[1]);
  return out;
}

// The family that a series of a query belongs to.
std::string Family(const std::string& series, const Names& families) {
  for (const char* suffix : {"", "_bucket", "_sum", "_count"}) {
    const std::string end(suffix);
    if (series.ends_with(end) && families.contains(series.substr(0, series.size() - end.size())))
      return series.substr(0, series.size() - end.size());
  }
  return "";
}

class MetricsTest : public testing::Test {
 protected:
  core::TaskMilestone Milestone(core::TaskMilestone::Step step, const std::string& ns = "ns") {
    core::TaskMilestone out;
    out.step = step;
    out.ns = ns;
    out.server = "s";
    return out;
  }
  Metrics metrics{"v9"};
};

TEST_F(MetricsTest, FailuresOfWatchesAreCountedFromZero) {
  metrics.Follows("pods");
  EXPECT_THAT(metrics.Text(), HasSubstr("spillway_watch_failures_total{resource=\"pods\"} 0\n"));
  metrics.CountWatchFailure("pods");
  EXPECT_THAT(metrics.Text(), HasSubstr("spillway_watch_failures_total{resource=\"pods\"} 1\n"));
}

TEST_F(MetricsTest, AreAllInTheDocumentationAndNoOthersAre) {
  dashboard::Recorded recorded(metrics);
  recorded.Round();
  const Names known = Find(metrics.Text(), "# TYPE ([a-z_]+) ");
  EXPECT_EQ(Find(ReadFile("docs/metrics.md"), "\\| `([a-z_]+)` \\|"), known);
}

TEST_F(MetricsTest, AreThereForEveryAlertAndEveryPanel) {
  dashboard::Recorded recorded(metrics);
  recorded.Round();
  const Names known = Find(metrics.Text(), "# TYPE ([a-z_]+) ");
  for (const char* path :
       {"charts/spillway/files/alerts.yaml", "charts/spillway/files/dashboards/spillway.json"}) {
    const Names used = Find(
        ReadFile(path), "\\b((?:spillway|workqueue|rest_client|leader_election|process)_[a-z_]+)");
    EXPECT_FALSE(used.empty()) << path;
    for (const std::string& series : used)
      EXPECT_NE(Family(series, known), "") << path << " asks for " << series;
  }
}

TEST_F(MetricsTest, CountAReasonOfForeignOriginAsOther) {
  core::TaskMilestone ended = Milestone(core::TaskMilestone::Step::kAttemptEnded);
  ended.reason = "whatever a kubelet likes to say 17";
  metrics.Count(ended);
  EXPECT_THAT(metrics.Text(),
              HasSubstr(R"(spillway_attempts_ended_total{origin="Local",reason="Other"} 1)"));
}

TEST_F(MetricsTest, GiveAHundredNamespacesCountersOfTheirOwn) {
  core::TaskMilestone ended = Milestone(core::TaskMilestone::Step::kAttemptEnded);
  ended.cost_micros = 500'000;
  for (int i = 0; i < 150; ++i) {
    ended.ns = "ns-" + std::to_string(i);
    metrics.Count(ended);
  }
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr(R"(namespace="ns-99")"));
  EXPECT_THAT(text, Not(HasSubstr(R"(namespace="ns-100")")));
  EXPECT_THAT(text, HasSubstr(R"(spillway_cost_total{namespace="_other",pool=""} 25)"));
}

TEST_F(MetricsTest, TellHowLongATaskWaitedAndRanByOriginAndResult) {
  core::TaskMilestone ended = Milestone(core::TaskMilestone::Step::kEnded);
  ended.phase = api::TaskPhase::kFailed;
  ended.cloud = true;
  ended.reason = "Error";
  ended.waited = Duration{2'500};
  ended.ran = Duration{40'000};
  metrics.Count(ended);
  const std::string text = metrics.Text();
  EXPECT_THAT(
      text,
      HasSubstr(R"(spillway_task_wait_duration_seconds_sum{origin="Cloud",result="Failed"} 2.5)"));
  EXPECT_THAT(
      text,
      HasSubstr(R"(spillway_task_run_duration_seconds_sum{origin="Cloud",result="Failed"} 40)"));
  EXPECT_THAT(text, HasSubstr("spillway_tasks_finished_total{origin=\"Cloud\",reason=\"Error\","
                              "result=\"Failed\"} 1"));
}

TEST_F(MetricsTest, CountAWithdrawnPurchaseOnce) {
  core::ScaleMilestone scale;
  scale.pool = "spot";
  scale.before = api::ScalePhase::kRequested;
  scale.phase = api::ScalePhase::kReleasing;
  metrics.Count(scale);
  scale.before = api::ScalePhase::kReleasing;
  scale.phase = api::ScalePhase::kReleased;
  metrics.Count(scale);
  EXPECT_THAT(metrics.Text(),
              HasSubstr(R"(spillway_purchases_total{class="",outcome="Withdrawn",pool="spot"} 1)"));
}

TEST_F(MetricsTest, SayThatNothingIsBoughtFromAPoolWhoseEngineThereIsNot) {
  core::ApiModel api;
  api.AddPool("fine");
  api.AddPool("typo", "8", 0, "karpentr");
  api.Settle();
  metrics.Describe(api.world());
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr(R"(spillway_pool_held{pool="typo",reason="UnknownEngine"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(spillway_pool_held{pool="fine",reason=""} 0)"));
}

TEST_F(MetricsTest, SayWhyTasksWaitByNamespace) {
  core::ApiModel api;
  api.AddNode("n", "4");
  api.AddServer("n");
  api.AddTask("large", api::Json::object(), "64");
  api.AddTask("suspended", {{"suspend", true}});
  api.AddTask("grouped", {{"group", {{"name", "g"}, {"size", 2}}}}, "1", "team");
  api.Advance(std::chrono::seconds(10));
  metrics.Describe(api.world());
  const std::string text = metrics.Text();
  EXPECT_THAT(
      text, HasSubstr(R"(spillway_pending_tasks{namespace="ns",reason="InsufficientResource"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(spillway_pending_tasks{namespace="team",reason="GroupIncomplete"} 1)"));
  EXPECT_THAT(text, Not(HasSubstr("reason=\"Queued\"")));
}

TEST_F(MetricsTest, ForgetNamespacesWhereNothingWaitsAnyMore) {
  core::ApiModel api;
  api.AddTask("large", api::Json::object(), "64");
  api.Advance(std::chrono::seconds(10));
  metrics.Describe(api.world());
  EXPECT_THAT(metrics.Text(), HasSubstr("spillway_pending_tasks{"));
  api.Remove(api.tasks, "ns/large");
  api.Settle();
  metrics.Describe(api.world());
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("spillway_pending_tasks{")));
}

}  // namespace
}  // namespace spillway::runtime
