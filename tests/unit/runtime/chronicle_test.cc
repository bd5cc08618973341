#include "operator/runtime/chronicle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

std::string Text(const Fields& fields, const std::string& key) {
  for (const Field& field : fields) {
    if (field.key != key) continue;
    if (const auto* number = std::get_if<int64_t>(&field.value)) return std::to_string(*number);
    return std::get<std::string>(field.value);
  }
  return "(none)";
}

std::vector<std::string> Messages(const std::vector<Line>& lines) {
  std::vector<std::string> out;
  for (const Line& line : lines) out.push_back(line.message);
  return out;
}

class ChronicleTest : public testing::Test {
 protected:
  ChronicleTest() {
    api.AddNode("n", "4");
    api.AddServer("n");
  }
  core::ApiModel api;
};

TEST_F(ChronicleTest, ATaskThatRunsIsThreeLinesEachWithItsUidAndAttempt) {
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Advance(seconds(20));
  api.SetPod("t-1", api::PodPhase::kSucceeded);
  api.Advance(seconds(5));
  const auto lines = LinesOf(api.milestones);
  EXPECT_THAT(Messages(lines), ElementsAre("task bound", "task runs", "task ended"));
  for (const Line& line : lines) {
    EXPECT_EQ(Text(line.fields, "uid"), api.tasks.at("ns/t").meta.uid);
    EXPECT_EQ(Text(line.fields, "attempt"), "1");
    EXPECT_EQ(Text(line.fields, "namespace"), "ns");
  }
  EXPECT_EQ(Text(lines.back().fields, "result"), "Succeeded");
}

TEST_F(ChronicleTest, ALossIsToldByItsAttemptAndNotByItsEventAsWell) {
  api.AddTask("t");
  api.Settle();
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Advance(seconds(20));
  api.Remove(api.pods, "ns/t-1");
  api.Settle();
  EXPECT_THAT(Messages(LinesOf(api.milestones)), Contains("attempt ended"));
  ASSERT_FALSE(api.notes.empty());
  for (const core::Note& note : api.notes) EXPECT_FALSE(LineOf(note));
}

TEST_F(ChronicleTest, AnEventThatNoMilestoneTellsHasTheTasksUidAndAttempt) {
  const auto line =
      LineOf({Kind::kTask, "ns", "t", "u-1", true, "FailedCreate", "the pod could not", 2});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->level, spdlog::level::warn);
  EXPECT_EQ(Text(line->fields, "uid"), "u-1");
  EXPECT_EQ(Text(line->fields, "attempt"), "2");
}

TEST_F(ChronicleTest, EveryWriteForATaskKnowsWhoseItIs) {
  core::Write status;
  status.verb = Verb::kPatchStatus;
  status.kind = Kind::kTask;
  status.ns = "ns";
  status.name = "t";
  status.uid = "u-1";
  status.body = {{"assignment", {{"attempt", 4}}}};
  EXPECT_EQ(Text(TaskFields(status), "uid"), "u-1");
  EXPECT_EQ(Text(TaskFields(status), "attempt"), "4");
  core::Write pod;
  pod.kind = Kind::kPod;
  pod.ns = "ns";
  pod.name = "t-2";
  pod.uid = "u-1";
  auto assignment = std::make_shared<api::Assignment>();
  assignment->attempt = 2;
  pod.pod = core::PodOrder{nullptr, "t", assignment};
  EXPECT_EQ(Text(TaskFields(pod), "task"), "t");
  EXPECT_EQ(Text(TaskFields(pod), "attempt"), "2");
}

TEST_F(ChronicleTest, TheDeletionOfAPodKnowsItsTask) {
  std::vector<core::Write> writes;
  api.hangs = [&](const core::Write& write) {
    writes.push_back(write);
    return false;
  };
  api.AddTask("t");
  api.Settle();
  api.tasks.at("ns/t").spec.cancel = true;
  api.Change(api.tasks.at("ns/t"));
  api.Settle();
  const auto deletion = std::find_if(writes.begin(), writes.end(), [](const core::Write& write) {
    return write.verb == Verb::kDelete;
  });
  ASSERT_NE(deletion, writes.end());
  EXPECT_EQ(Text(TaskFields(*deletion), "uid"), api.tasks.at("ns/t").meta.uid);
  EXPECT_EQ(Text(TaskFields(*deletion), "attempt"), "1");
}

TEST_F(ChronicleTest, AWriteOfAServerSpeaksOfNoTask) {
  core::Write write;
  write.kind = Kind::kServer;
  EXPECT_THAT(TaskFields(write), IsEmpty());
}

}  // namespace
}  // namespace spillway::runtime
