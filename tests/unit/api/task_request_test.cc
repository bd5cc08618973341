#include "operator/api/task_request.h"

#include <gtest/gtest.h>

#include <limits>

#include "operator/core/tasks/pod_name.h"

namespace spillway::api {
namespace {

TEST(TaskRequestTest, StatusSurvivesTheWayToTheApiServerAndBack) {
  const Json status = Json::parse(R"({
    "observedGeneration": 3, "phase": "Running", "retries": 1,
    "conditions": [{"type":"Ready","status":"False","reason":"Running","message":"m","observedGeneration":3,
                    "lastTransitionTime":"2026-01-01T00:00:00Z"}],
    "assignment": {"server":"s","nodeName":"n","origin":"Cloud","pool":"p","scaleRequest":"r","podName":"t-2",
                   "attempt":2,"assignedAt":"2026-01-01T00:00:00Z"},
    "attempts": [{"attempt":1,"server":"s","podName":"t-1","exitCode":7,"reason":"Error","message":"x",
                  "startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:01Z"}],
    "startedAt": "2026-01-01T00:00:00Z", "retryAt": "2026-01-01T00:01:00Z",
    "result": {"exitCode":7,"reason":"Error","message":"m","output":"o","startedAt":"2026-01-01T00:00:00Z",
               "finishedAt":"2026-01-01T00:00:01Z","cost":"0.1"}})");
  const auto task = DecodeTaskRequest({{"metadata", {{"name", "t"}}},
                                       {"spec", {{"template", Json::object()}}},
                                       {"status", status}});
  ASSERT_TRUE(task.ok());
  EXPECT_EQ(EncodeStatus(task->status), status);
}

TEST(TaskRequestTest, ReadsEveryFieldOfTheSpec) {
  const auto task =
      DecodeTaskRequest(Json::parse(R"({"metadata":{"name":"t","namespace":"n"},"spec":{
    "template":{"spec":{"containers":[]}},
    "requirements":[{"key":"gpu","operator":"In","values":["a","b"]}],
    "exclusive":true,"priority":5,"startDeadlineSeconds":1,"activeDeadlineSeconds":2,"ttlSecondsAfterFinished":3,"podTTLSeconds":6,
    "placement":{"policy":"CloudOnly","burstAfterSeconds":4,"pools":["p"],"maxPricePerHour":"1.25"},
    "retry":{"limit":2,"backoffSeconds":7,"onExitCodes":[75]},"suspend":true,"cancel":true}})"));
  ASSERT_TRUE(task.ok());
  const TaskSpec& spec = task->spec;
  EXPECT_EQ(spec.requirements[0], (Requirement{"gpu", "In", {"a", "b"}}));
  EXPECT_TRUE(spec.exclusive && spec.suspend && spec.cancel);
  EXPECT_EQ(spec.priority, 5);
  EXPECT_EQ(spec.start_deadline, std::chrono::seconds(1));
  EXPECT_EQ(spec.active_deadline, std::chrono::seconds(2));
  EXPECT_EQ(spec.ttl_after_finished, std::chrono::seconds(3));
  EXPECT_EQ(spec.pod_ttl, std::chrono::seconds(6));
  EXPECT_EQ(spec.placement->policy, Policy::kCloudOnly);
  EXPECT_EQ(spec.placement->burst_after, std::chrono::seconds(4));
  EXPECT_EQ(spec.placement->max_price_micros, 1250000);
  EXPECT_EQ(spec.retry.limit, 2);
  EXPECT_EQ(spec.retry.backoff, std::chrono::seconds(7));
  EXPECT_EQ(spec.retry.on_exit_codes, std::vector<int64_t>{75});
  EXPECT_EQ(task->meta.key(), "n/t");
}

TEST(TaskRequestTest, CountsOnFromNoNumberThatNoTaskComesTo) {
  const Json most = std::numeric_limits<int64_t>::max();
  const Json least = std::numeric_limits<int64_t>::min();
  const auto status = [](const Json& number) {
    const Json attempt{{"attempt", number}, {"cost", "999999999"}};
    return DecodeTaskRequest({{"metadata", {{"name", "t"}}},
                              {"spec", {{"template", Json::object()}}},
                              {"status",
                               {{"assignment", {{"attempt", number}}},
                                {"attempts", Json::array_t(20'000, attempt)},
                                {"retries", number},
                                {"losses", number}}}})
        ->status;
  };
  for (const TaskStatus& read : {status(most), status(1e300)}) {
    for (const int64_t count :
         {read.assignment->attempt, read.attempts[0].attempt, read.retries, read.losses}) {
      EXPECT_EQ(core::AttemptOf("t", core::PodName("t", count + 1)), count + 1);
    }
    EXPECT_LE(read.spent_micros, kMostMicros);
    EXPECT_GT(read.spent_micros, 0);
  }
  EXPECT_EQ(status(least).assignment->attempt, 0);
  EXPECT_EQ(status(least).losses, 0);
}

TEST(TaskRequestTest, ToleratesFieldsOfTheWrongType) {
  const auto task = DecodeTaskRequest(Json::parse(
      R"({"metadata":7,"spec":{"template":[],"requirements":{},"priority":"x","placement":3,"retry":[]},"status":"?"})"));
  ASSERT_TRUE(task.ok());
  EXPECT_EQ(task->spec.priority, 0);
  EXPECT_FALSE(DecodeTaskRequest(Json::parse("[]")).ok());
}

TEST(PriceTest, IsExactToAMillionth) {
  EXPECT_EQ(ParsePrice("1.20"), 1200000);
  EXPECT_EQ(ParsePrice("0"), 0);
  EXPECT_EQ(ParsePrice("0.000001"), 1);
  for (const char* text : {"", "x", ".5", "1.0000001", "-1", "1.2.3"}) {
    EXPECT_FALSE(ParsePrice(text).has_value()) << text;
  }
  EXPECT_EQ(FormatPrice(1200000), "1.2");
  EXPECT_EQ(FormatPrice(1), "0.000001");
  EXPECT_EQ(FormatPrice(3000000), "3");
}

// Ten refusals of 290 kB each, wherever a text may stand.
TEST(TaskRequestTest, AStatusNeverOutgrowsEtcd) {
  std::string refusal = "denied: ";
  while (refusal.size() < 290'000) refusal += "ü\x01\"\\ \n";
  TaskStatus status;
  for (int64_t i = 1; i <= 10; ++i)
    status.attempts.push_back({i, "server", "pod", 1, refusal, refusal, {}, {}, 0});
  status.result = TaskResult{1, refusal, refusal, refusal, {}, {}, ""};
  std::vector<Condition> conditions;
  SetCondition(conditions, {"Assigned", "False", refusal, refusal, 1, {}}, Time{});
  SetCondition(conditions, {"Failed", "True", refusal, refusal, 1, {}}, Time{});
  SetProgress(conditions, Progress::kStalled, refusal, refusal, 1, Time{});
  status.conditions = std::move(conditions);
  Explanation explanation;
  explanation.summary = explanation.nearest_fit = refusal;
  explanation.servers.assign(10, {"s", refusal, refusal});
  explanation.pools.assign(10, {"p", refusal, refusal});
  status.explanation = std::make_shared<const Explanation>(explanation);
  const Json encoded = EncodeStatus(status);
  EXPECT_LE(encoded.dump().size(), kMostStatus);
  EXPECT_TRUE(GetString(GetObject(encoded, "result"), "message").starts_with("denied: "));
}

TEST(TaskRequestTest, TheOutputKeepsItsLines) {
  TaskStatus status;
  status.result = TaskResult{0, "Completed", "", "one\n\ttwo\n", {}, {}, ""};
  EXPECT_EQ(EncodeStatus(status)["result"]["output"], "one\n\ttwo\n");
}

TEST(TaskRequestTest, LossesAndWhatWasSpentSurviveARestart) {
  TaskStatus status;
  status.losses = 3;
  status.spent_micros = 1'500'000;
  const auto read = DecodeTaskRequest({{"spec", Json::object()}, {"status", EncodeStatus(status)}});
  EXPECT_EQ(read->status.losses, 3);
  EXPECT_EQ(read->status.spent_micros, 1'500'000);
}

TEST(TaskRequestTest, WhatListedAttemptsHaveCostIsTheLeastThatWasSpent) {
  const auto read = DecodeTaskRequest(Json::parse(
      R"({"spec":{},"status":{"attempts":[{"attempt":1,"cost":"0.5"},{"attempt":2,"cost":"0.7"}]}})"));
  EXPECT_EQ(read->status.spent_micros, 1'200'000);
}

TEST(TaskRequestTest, TheLossLimitHasADefault) {
  EXPECT_EQ(DecodeTaskRequest(Json::parse(R"({"spec":{}})"))->spec.retry.loss_limit, 64);
  EXPECT_EQ(DecodeTaskRequest(Json::parse(R"({"spec":{"retry":{"lossLimit":0}}})"))
                ->spec.retry.loss_limit,
            0);
}

}  // namespace
}  // namespace spillway::api
