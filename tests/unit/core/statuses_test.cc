// Statuses that are refused, or not answered.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

class StatusesTest : public testing::Test {
 protected:
  StatusesTest() { api.AddServer("small", "1"); }

  ApiModel api;
};

TEST_F(StatusesTest, ANamespaceWhoseWritesHangDoesNotKeepOthersFromTelling) {
  api.statuses_hang_in = "hangs";
  for (int i = 0; i < 200; ++i) api.AddTask("t" + std::to_string(i), {}, "2", "hangs");
  api.Advance(seconds(30));
  api.AddTask("t", {}, "2", "other");
  api.Advance(seconds(30));
  const api::TaskStatus& status = api.tasks.at("other/t").status;
  EXPECT_EQ(status.phase, api::TaskPhase::kPending);
  EXPECT_NE(status.explanation, nullptr);
}

TEST_F(StatusesTest, ThoseThatWaitedForTheirNamespaceAreWrittenWhenItAnswersAgain) {
  api.status_error = Error{ErrorKind::kUnavailable, "failed calling webhook"};
  for (int i = 0; i < 200; ++i) api.AddTask("t" + std::to_string(i), {}, "2");
  api.Advance(seconds(30));
  api.status_error.reset();
  api.Advance(seconds(120));
  for (int i = 0; i < 200; ++i) EXPECT_EQ(api.Phase("t" + std::to_string(i)), "Pending") << i;
}

TEST_F(StatusesTest, OneThatIsRefusedForEverIsWrittenEverMoreSeldom) {
  for (const ErrorKind kind : {ErrorKind::kForbidden, ErrorKind::kConflict, ErrorKind::kNotFound,
                               ErrorKind::kUnavailable}) {
    ApiModel model;
    model.AddServer("small", "1");
    model.status_error = Error{kind, "refused"};
    model.AddTask("t", {}, "2");
    model.Advance(seconds(600));
    EXPECT_LT(model.task_writes, 40) << static_cast<int>(kind);
    model.status_error.reset();
    model.Advance(seconds(120));
    if (kind != ErrorKind::kNotFound) {
      EXPECT_EQ(model.Phase("t"), "Pending");
    }
  }
}

const Error kCalledInvalid{ErrorKind::kInvalid, "status.phase: Unsupported value", {}};

TEST_F(StatusesTest, TheLastOneIsWrittenSoonAfterTheSchemaThatRefusedItIsMended) {
  api.AddTask("t");
  api.Settle();
  api.status_error = kCalledInvalid;
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(200));
  ASSERT_NE(api.Phase("t"), "Succeeded");
  api.status_error.reset();
  api.Advance(seconds(200));
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(StatusesTest, OneThatIsCalledInvalidForHoursIsTriedSeldomAndToldOnce) {
  api.AddTask("t");
  api.Settle();
  api.status_error = kCalledInvalid;
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.task_writes = 0;
  api.Advance(seconds(7'200));
  EXPECT_LE(api.task_writes, 7'200 / 150 + 4);
  EXPECT_EQ(std::count_if(api.notes.begin(), api.notes.end(),
                          [](const Note& note) { return note.reason == "StatusRefused"; }),
            1);
  api.status_error.reset();
  api.Advance(seconds(300));
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(StatusesTest, WhatSaysSomethingElseDoesNotWaitForWhatWasCalledInvalid) {
  api.AddTask("t");
  api.Settle();
  api.refuse = [](const Write& write) {
    const bool runs = write.kind == Kind::kTask && write.body.value("phase", "") == "Running";
    return runs ? std::optional(kCalledInvalid) : std::nullopt;
  };
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Advance(seconds(100));
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(15));
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(StatusesTest, OneOfAnyKindIsWrittenSoonAfterTheSchemaIsMended) {
  for (const Kind kind : {Kind::kServer, Kind::kPool, Kind::kScale, Kind::kBudget}) {
    ApiModel model;
    model.refuse = Denies(Verb::kPatchStatus, kind, kCalledInvalid);
    model.AddServer("s1", "1");
    model.AddPool("p");
    model.AddBudget("b", "100");
    model.AddTask("t", {}, "2");
    model.Advance(seconds(200));
    EXPECT_LE((model.tries[{Verb::kPatchStatus, kind}]), 20) << ToString(kind);
    model.refuse = nullptr;
    model.Advance(seconds(200));
    EXPECT_EQ(model.servers.at("s1").status.phase, "Ready") << ToString(kind);
    EXPECT_NE(model.budgets.at("ns/b").status.observed_generation, 0) << ToString(kind);
    EXPECT_NE(model.pools.at("p").status.observed_generation, 0) << ToString(kind);
    for (const auto& [name, scale] : model.scales)
      EXPECT_NE(scale.status.phase, api::ScalePhase::kNone) << ToString(kind);
  }
}

}  // namespace
}  // namespace spillway::core
