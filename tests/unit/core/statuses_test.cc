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
  EXPECT_NE(api.notes.back().message.find(
                "; tried again with growing pauses of up to five minutes while it says the same"),
            std::string::npos)
      << api.notes.back().message;
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

// As anybody may write it who may write statuses, or as a schema let it pass that was relaxed.
api::Json Forged() {
  api::Json conditions = api::Json::array();
  for (int i = 0; i < 20; ++i)
    conditions.push_back({{"type", "Foreign" + std::to_string(i)}, {"status", "True"}});
  conditions.push_back({{"type", "Ready"}, {"status", "maybe"}});
  conditions.push_back({{"type", "Assigned"}, {"status", "True"}});
  conditions.push_back({{"type", "Assigned"}, {"status", "False"}});
  conditions.push_back(7);
  api::Json attempts = api::Json::array();
  for (int i = 0; i < 50; ++i)
    attempts.push_back({{"attempt", int64_t{1} << 60},
                        {"startedAt", "0000-01-01T00:00:00+14:00"},
                        {"finishedAt", "9999-12-31T23:59:59-14:00"},
                        {"cost", "99999999999999999999"}});
  return {{"phase", "Nonsense"},
          {"observedGeneration", int64_t{1} << 62},
          {"errorClass", "Nonsense"},
          {"conditions", conditions},
          {"attempts", attempts},
          {"startedAt", "9999-12-31T23:59:59-14:00"},
          {"requestedAt", "9999-12-31T23:59:59-14:00"},
          {"finishedAt", "0000-01-01T00:00:00+14:00"},
          {"periodStart", "9999-12-31T23:59:59-14:00"},
          {"endedUntil", "9999-12-31T23:59:59-14:00"},
          {"lastHeartbeatTime", "9999-12-31T23:59:59-14:00"},
          {"load", {{"observedAt", "9999-12-31T23:59:59-14:00"}, {"cpuPercent", "x"}}},
          {"retries", int64_t{1} << 62},
          {"losses", -5},
          {"result", {{"startedAt", 7}, {"finishedAt", "9999-12-31T23:59:59-14:00"}}},
          {"assignment", {{"attempt", 1e300}, {"assignedAt", "9999-12-31T23:59:59-14:00"}}},
          {"backendRef", {{"name", "x"}, {"uid", 5}}}};
}

// api_model.h throws where a status is not as its schema has it.
TEST_F(StatusesTest, WhateverStoodInThemTheyAreWrittenAsTheirSchemasHaveThem) {
  api.AddPool("p");
  api.AddBudget("b", "100");
  api.AddTask("waits", {}, "2");
  api.AddTask("runs");
  const auto decode = [](api::Json spec) {
    return api::Json{{"spec", std::move(spec)}, {"status", Forged()}};
  };
  api.tasks.at("ns/waits").status = api.tasks.at("ns/runs").status =
      api::DecodeTaskRequest(decode({{"template", api::Json::object()}}))->status;
  api.servers.at("small").status = api::DecodeRegisteredServer(decode({{"nodeName", "x"}}))->status;
  api.pools.at("p").status = api::DecodeServerPool(decode(api::Json::object()))->status;
  api.budgets.at("ns/b").status = api::DecodeBudget(decode({{"amount", "1"}}))->status;
  api::ScaleRequest scale;
  scale.meta.name = "spw-1", scale.meta.uid = "uid-s";
  scale.pool = "p";
  scale.status = api::DecodeScaleRequest(decode(api::Json::object()))->status;
  api.Change(api.scales["spw-1"] = scale);
  api.Restart();
  api.Advance(seconds(900));
  EXPECT_NE(api.Phase("waits"), "");
  EXPECT_EQ(api.servers.at("small").status.phase, "Ready");
  api.Remove(api.servers, "small");
  api.Advance(seconds(60));
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

TEST_F(StatusesTest, ThatOfAServerIsWrittenSoonAfterItWasRefused) {
  api.Advance(seconds(10));
  ASSERT_EQ(api.servers.at("small").status.phase, "Ready");
  api.refuse =
      Denies(Verb::kPatchStatus, Kind::kServer, Error{ErrorKind::kConflict, "changed", {}});
  api.nodes.at("small").ready = api::NodeReady::kFalse;
  api.Change(api.nodes.at("small"));
  api.Settle();
  api.refuse = nullptr;
  api.Advance(seconds(10));
  EXPECT_EQ(api.servers.at("small").status.phase, "NotReady");
}

// Another process leads as well, and writes whatever it likes.
class WrittenOverTest : public StatusesTest {
 protected:
  WrittenOverTest() {
    api.AddPool("p");
    api.AddBudget("b", "100");
    api.AddTask("t", {}, "2");
    api.Advance(seconds(60));
  }
  // Nothing but what has changed in it: a status does not count as a generation.
  template <typename T>
  void Save(T& object) {
    --object.meta.generation;
    api.Change(object);
  }
  template <typename T>
  void Clear(T& object) {
    object.status = {};
    Save(object);
  }
};

TEST_F(WrittenOverTest, OneOfAnyKindIsWrittenAgain) {
  ASSERT_EQ(api.scales.size(), 1U);
  api::ScaleRequest& scale = api.scales.begin()->second;
  const std::string phase = api.Phase("t"), message = scale.status.message;
  ASSERT_NE(phase, "");
  ASSERT_NE(message, "");
  Clear(api.tasks.at("ns/t"));
  Clear(api.servers.at("small"));
  Clear(api.pools.at("p"));
  Clear(api.budgets.at("ns/b"));
  scale.status.message = "another";
  Save(scale);
  api.Advance(seconds(30));
  EXPECT_EQ(api.Phase("t"), phase);
  EXPECT_EQ(api.servers.at("small").status.phase, "Ready");
  EXPECT_FALSE(api.pools.at("p").status.conditions.empty());
  EXPECT_FALSE(api.budgets.at("ns/b").status.conditions.empty());
  EXPECT_EQ(scale.status.message, message);
}

TEST_F(WrittenOverTest, ByOneThatGoesOnItIsWrittenEverMoreSeldom) {
  const auto writes = [&] { return api.tries[{Verb::kPatchStatus, Kind::kServer}]; };
  const int tasks = api.task_writes, servers = writes();
  for (int i = 0; i < 7'200; ++i) {
    if (api.Phase("t") != "") Clear(api.tasks.at("ns/t"));
    if (api.servers.at("small").status.phase != "") Clear(api.servers.at("small"));
    api.RenewLease("small");
    api.Advance(seconds(1));
  }
  EXPECT_GT(api.task_writes - tasks, 7'200 / 300);
  EXPECT_LE(api.task_writes - tasks, 7'200 / 150 + 10);
  EXPECT_LE(writes() - servers, 7'200 / 150 + 10);
}

TEST_F(WrittenOverTest, BeforeOursIsAnsweredItIsWrittenAgain) {
  std::optional<Write> sent;
  api.hangs = [&](const Write& write) {
    if (write.verb != Verb::kPatchStatus || write.kind != Kind::kTask) return false;
    sent = write;
    return true;
  };
  api.tasks.at("ns/t").spec.suspend = true;
  api.Change(api.tasks.at("ns/t"));
  api.Advance(seconds(5));
  ASSERT_TRUE(sent);
  api.hangs = nullptr;
  api::TaskRequest& task = api.tasks.at("ns/t");
  task.status.phase = api::TaskPhase::kSuspended;
  Save(task);
  const api::TaskRequest answer = task;
  Clear(task);
  api.Push(Outcome{Verb::kPatchStatus, Kind::kTask, "ns/t", task.meta.uid, std::nullopt, answer});
  api.Advance(seconds(30));
  EXPECT_EQ(api.Phase("t"), "Suspended");
}

TEST_F(WrittenOverTest, NewsThatAreRefusedOnceAreNoRepetition) {
  Clear(api.tasks.at("ns/t"));
  api.Settle();
  int refusals = 0;
  api.refuse = [&](const Write& write) -> std::optional<Error> {
    if (write.verb != Verb::kPatchStatus || write.kind != Kind::kTask || refusals++ > 0)
      return std::nullopt;
    return Error{ErrorKind::kConflict, "it has changed", {}};
  };
  api.tasks.at("ns/t").spec.suspend = true;
  api.Change(api.tasks.at("ns/t"));
  api.Advance(seconds(2));
  EXPECT_EQ(refusals, 2);
  EXPECT_EQ(api.Phase("t"), "Suspended");
}

TEST_F(WrittenOverTest, OursThatArrivesWithoutAnAnswerIsNotAnothers) {
  api.hangs = [](const Write& write) { return write.kind == Kind::kBudget; };
  api.budgets.at("ns/b").spec.amount_micros = 1;
  api.Change(api.budgets.at("ns/b"));
  api.Advance(seconds(60));
  ASSERT_GT(api.hanging(), 0U);
  api.hangs = nullptr;
  const api::Budget& known = api.world().budgets.by_key.at("ns/b").object;
  api::Budget& budget = api.budgets.at("ns/b");
  api.Push(Outcome{Verb::kPatchStatus, Kind::kBudget, "ns/b", budget.meta.uid,
                   Error{ErrorKind::kUnavailable, "timed out", {}}, std::nullopt});
  api.refuse = Denies(Verb::kPatchStatus, Kind::kBudget, {ErrorKind::kForbidden, "no", {}});
  budget.status = known.status;
  Save(budget);
  api.Settle();
  EXPECT_FALSE(api.world().budgets.by_key.at("ns/b").writer.over);
}

// As one does that was made for an older operator.
TEST_F(WrittenOverTest, WhatASchemaLeavesOutIsNotWrittenAgain) {
  api.Remove(api.pools, "p");
  api.Advance(seconds(600));
  ASSERT_EQ(api.Phase("t"), "Pending");
  const int writes = api.task_writes;
  // The model leaves out what is told of servers.
  for (int i = 0; i < 10; ++i) {
    api.tasks.at("ns/t").meta.labels["i"] = std::to_string(i);
    Save(api.tasks.at("ns/t"));
    api.Advance(seconds(10));
  }
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(WrittenOverTest, WhatTellsOfLaterAttemptsIsLeftWhileNothingHappensHere) {
  api.Remove(api.pools, "p");
  api.Advance(seconds(600));
  api::TaskRequest& task = api.tasks.at("ns/t");
  task.status.attempts.push_back({});
  task.status.attempts.back().attempt = 1;
  Save(task);
  api.Advance(seconds(60));
  EXPECT_EQ(task.status.attempts.size(), 1U);
}

}  // namespace
}  // namespace spillway::core
