#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

using WaitingTest = ClusterTest;

TEST_F(WaitingTest, SaysWhyWithNumbersAndWhatWouldFit) {
  AddServer("a", "3500m");
  AddTask("t", "1s", 0, {{"cpu", "4"}, {"placement", {{"policy", "LocalOnly"}}}});
  ASSERT_TRUE(Reaches("t", "Pending"));
  const Json task = Get("t");
  EXPECT_NE(At(task, "status.explanation.summary").find("insufficient cpu"), std::string::npos)
      << task.dump(1);
  EXPECT_EQ(At(task, "status.explanation.nearestFit"),
            "would fit server " + ServerName("a") + " with cpu 3500m instead of 4");
  EXPECT_EQ(At(task, "status.observedGeneration"), "1");
}

TEST_F(WaitingTest, BindsWhenAServerAppears) {
  AddTask("t");
  ASSERT_TRUE(Reaches("t", "Pending"));
  AddServer("a");
  EXPECT_TRUE(Reaches("t", "Succeeded"));
  EXPECT_EQ(At(Get("t"), "status.explanation"), "") << "only while it waits";
}

TEST_F(WaitingTest, ServesHigherPriorityFirst) {
  AddServer("a", "1");
  AddTask("first", "2s");
  ASSERT_TRUE(Reaches("first", "Running"));
  AddTask("low", "1s");
  AddTask("high", "1s", 0, {{"priority", 10}});
  ASSERT_TRUE(Reaches("low", "Succeeded"));
  EXPECT_LE(At(Get("high"), "status.result.finishedAt"), At(Get("low"), "status.result.startedAt"));
}

TEST_F(WaitingTest, StartDeadlineEndsTheWait) {
  AddTask("t", "1s", 0, {{"startDeadlineSeconds", 2}});
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.reason"), "StartDeadlineExceeded");
  EXPECT_NE(At(Get("t"), "status.result.message").find("no server is registered"),
            std::string::npos)
      << "and says what it waited for";
}

TEST_F(WaitingTest, AMissingClaimIsToldAndLetsOthersRun) {
  AddServer("a", "1");
  AddTask(
      "t", "1s", 0,
      {{"pod",
        {{"volumes", {{{"name", "v"}, {"persistentVolumeClaim", {{"claimName", "nowhere"}}}}}}}}});
  const auto told = [&] { return At(Get("t"), "status.conditions").find("nowhere"); };
  EXPECT_TRUE(Eventually([&] { return told() != std::string::npos; }, 10));
  AddTask("other");
  EXPECT_TRUE(Reaches("other", "Succeeded"));
  EXPECT_NE(told(), std::string::npos);
  EXPECT_EQ(At(Get("t"), "status.retries"), "");
}

TEST_F(WaitingTest, WhatWillNeverFitIsToldFirst) {
  AddServer("a");
  AddTask("t", "1s", 0, {{"cpu", "2000"}});
  ASSERT_TRUE(Reaches("t", "Pending"));
  EXPECT_TRUE(At(Get("t"), "status.explanation.summary").starts_with("requests 2000 cpu; "));
}

TEST_F(WaitingTest, ShowsItInTheTable) {
  AddServer("a", "1");
  AddTask("t", "1s", 0, {{"cpu", "2"}});
  ASSERT_TRUE(Reaches("t", "Pending"));
  const auto [code, text] = cluster.Kubectl("-n " + ns + " get tq t");
  EXPECT_EQ(code, 0);
  EXPECT_NE(text.find("PHASE"), std::string::npos) << text;
  EXPECT_NE(text.find("insufficient cpu"), std::string::npos) << text;
}

}  // namespace
}  // namespace spillway::test
