#include "operator/core/tasks/kept.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using api::PodPhase;
using std::chrono::seconds;

class KeptTaskTest : public testing::Test {
 protected:
  void Start(Json spec = Json::object()) {
    api.AddServer("s1");
    api.AddTask("t", std::move(spec));
    api.Settle();
    api.SetPod("t-1", PodPhase::kRunning);
    api.Settle();
  }
  // It stays for somebody's finalizer.
  void Delete(const std::string& name = "t") {
    api.tasks["ns/" + name].meta.deleted = api.now;
    api.Change(api.tasks["ns/" + name]);
    api.Settle();
  }
  int64_t Committed() const { return api.world().budgets.accounts.at("ns").committed; }
  ApiModel api;
};

TEST_F(KeptTaskTest, TellsWhereItsPodIs) {
  api.AddServer("s1", "2");
  api.AddServer("s2", "4");
  api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
  api.AddTask("t");
  api.Settle();
  Delete();
  api.admit = [](api::Pod& pod) { pod.node_name = "s2"; };  // as another leader has bound it
  api.Unblock();
  api.Advance(seconds(4));
  EXPECT_EQ(api.ServerOf("t"), "s2");
}

TEST_F(KeptTaskTest, TellsHowItsPodHasEnded) {
  Start();
  Delete();
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "42");
  api.Settle();
  ASSERT_EQ(api.Phase("t"), "Succeeded");
  EXPECT_EQ(api.Status("t").result->output, "42");
}

TEST_F(KeptTaskTest, TellsTheNextLeadersToo) {
  Start();
  Delete();
  api.Restart();
  api.SetPod("t-1", PodPhase::kSucceeded, 0, "42");
  api.Settle();
  EXPECT_EQ(api.Phase("t"), "Succeeded");
}

TEST_F(KeptTaskTest, IsNotRetried) {
  Start({{"retry", {{"limit", 3}}}});
  Delete();
  api.SetPod("t-1", PodPhase::kFailed, 7);
  api.Advance(seconds(600));
  ASSERT_EQ(api.Phase("t"), "Failed");
  EXPECT_EQ(api.Status("t").result->exit_code, 7);
  EXPECT_EQ(api.Status("t").retries, 0);
  EXPECT_EQ(api.pods_made, 1);
}

TEST_F(KeptTaskTest, SaysThatItBeginsNoMoreOnceItsPodIsGone) {
  Start();
  Delete();
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(600));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_EQ(api.Says("t", "Reconciling"), "the task is being deleted: it does not begin any more");
  ASSERT_EQ(api.Status("t").attempts.size(), 1u);
  EXPECT_EQ(api.Status("t").attempts.back().reason, "PodDeleted");
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_TRUE(api.notes.empty()) << api.notes.back().message;
}

TEST_F(KeptTaskTest, OfWhichNoPodMayBeLostHasNotFailedByItsDeletion) {
  Start({{"retry", {{"lossLimit", 0}}}});
  Delete();
  api.Remove(api.pods, "ns/t-1");
  api.Advance(seconds(600));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_TRUE(api.notes.empty()) << api.notes.back().message;
}

TEST_F(KeptTaskTest, DoesNotBeginAndSaysSo) {
  api.AddTask("t", {{"startDeadlineSeconds", 60}});
  api.Advance(seconds(10));
  EXPECT_NE(api.Summary("t"), "");
  Delete();
  api.AddServer("s1");
  api.Advance(seconds(600));
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_EQ(api.Summary("t"), "");
  EXPECT_FALSE(api.Status("t").forecast);
  EXPECT_EQ(api.Says("t", "Reconciling"), "the task is being deleted: it does not begin any more");
  EXPECT_EQ(api.pods_made, 0);
}

TEST_F(KeptTaskTest, ThatIsGoneInAMomentCostsNoWrite) {
  api.AddTask("t");
  api.Advance(seconds(10));
  const int writes = api.task_writes;
  Delete();
  api.Advance(std::chrono::milliseconds(300));
  api.Remove(api.tasks, "ns/t");
  api.Advance(seconds(10));
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(KeptTaskTest, ThatGoesWithItsPodCostsNoWrite) {
  Start();
  const int writes = api.task_writes;
  Delete();
  api::Pod& pod = api.pods.at("ns/t-1");  // as the garbage collector does
  pod.meta.deleted = pod.asked_to_end = api.now;
  api.Change(pod);
  api.Advance(seconds(20));
  api.SetPod("t-1", PodPhase::kFailed, 143);
  api.Settle();
  api.Remove(api.pods, "ns/t-1");
  api.Remove(api.tasks, "ns/t");
  api.Advance(seconds(10));
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(KeptTaskTest, ThatHasEndedCostsNoWrite) {
  Start();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Settle();
  const int writes = api.task_writes;
  Delete();
  api.Advance(seconds(10));
  EXPECT_EQ(api.task_writes, writes);
}

TEST_F(KeptTaskTest, IsStoppedByItsDeadline) {
  Start({{"activeDeadlineSeconds", 60}});
  Delete();
  api.Advance(seconds(61));
  EXPECT_EQ(api.Phase("t"), "Failed");
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
}

TEST_F(KeptTaskTest, IsStoppedByItsUser) {
  Start();
  Delete();
  api.tasks["ns/t"].spec.cancel = true;
  api.Change(api.tasks["ns/t"]);
  api.Advance(seconds(1));
  EXPECT_EQ(api.Phase("t"), "Cancelled");
  EXPECT_FALSE(api.pods.contains("ns/t-1"));
}

TEST_F(KeptTaskTest, IsNotDeletedOnceMoreWhenItIsOld) {
  Start({{"ttlSecondsAfterFinished", 60}});
  Delete();
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(600));
  EXPECT_EQ((api.tries[{Verb::kDelete, Kind::kTask}]), 0);
}

TEST_F(KeptTaskTest, CommitsNoMoneyOnceItBeginsNoMore) {
  api.AddPool("pool");
  api.AddBudget("b", "10");
  api.AddTask("t", {{"activeDeadlineSeconds", 3600}});
  api.Advance(seconds(1));
  EXPECT_GT(Committed(), 0);
  Delete();
  api.Advance(seconds(1));
  EXPECT_EQ(Committed(), 0);
}

TEST_F(KeptTaskTest, CommitsNoMoreMoneyThanItsPodMayCost) {
  api.AddPool("pool");
  api.AddBudget("b", "10");
  api.AddTask("t", {{"activeDeadlineSeconds", 3600}});
  api.Advance(seconds(1));
  api.ProvideServer("n1");
  api.Advance(seconds(10));
  api.SetPod("t-1", PodPhase::kRunning);
  api.Advance(seconds(1));
  Delete();
  EXPECT_GT(Committed(), 0);
  api.SetPod("t-1", PodPhase::kSucceeded);
  api.Advance(seconds(1));
  EXPECT_EQ(Committed(), 0);
}

// Neither waits for money.
TEST_F(KeptTaskTest, IsNotHeldByABudgetNorIsASuspendedOne) {
  api.AddPool("pool");
  api.AddBudget("b", "0.1");
  api.AddTask("t", {{"activeDeadlineSeconds", 3600}});
  api.AddTask("u", {{"activeDeadlineSeconds", 3600}});
  api.Advance(seconds(15));
  EXPECT_EQ(api.budgets.at("ns/b").status.held, 2);
  Delete();
  api.tasks["ns/u"].spec.suspend = true;
  api.Change(api.tasks["ns/u"]);
  api.Advance(seconds(15));
  EXPECT_EQ(api.budgets.at("ns/b").status.held, 0);
}

}  // namespace
}  // namespace spillway::core
