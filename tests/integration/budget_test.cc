#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

class BudgetTest : public ClusterTest {
 protected:
  void AddBudget(const std::string& amount, const std::string& action = "Hold") {
    cluster.Create({{"apiVersion", "spillway.dev/v1alpha1"},
                    {"kind", "Budget"},
                    {"metadata", {{"name", "b"}, {"namespace", ns}}},
                    {"spec", {{"amount", amount}, {"action", action}}}});
  }
  std::string Path() const { return "/apis/spillway.dev/v1alpha1/namespaces/" + ns + "/budgets/b"; }
  // Of a budget that is written at most every ten seconds.
  bool Tells(const std::string& path, const std::string& value) {
    return Eventually([&] { return At(cluster.Get(Path()), path) == value; }, 40);
  }
};

// 3600 an hour: a second costs 1.
const Json kPaid{{"pricePerHour", "3600"}};

TEST_F(BudgetTest, ATaskThatIsNotCoveredWaitsUntilTheAmountIsRaised) {
  AddBudget("5");
  AddServer("paid", "4", kPaid);
  AddTask("t", "1s", 0, {{"activeDeadlineSeconds", 30}, {"placement", {{"policy", "LocalOnly"}}}});
  ASSERT_TRUE(Eventually([&] {
    return At(Get("t"), "status.explanation.summary").find("Budget b is ") != std::string::npos;
  })) << Get("t").dump(1);
  EXPECT_TRUE(Pods().empty());
  EXPECT_TRUE(Tells("status.heldTasks", "1"));
  cluster.MergePatch(Path(), {{"spec", {{"amount", "50"}}}});
  ASSERT_TRUE(Reaches("t", "Succeeded")) << Get("t").dump(1);
  const Json task = Get("t");
  EXPECT_NE(At(task, "status.result.cost"), "");
  EXPECT_EQ(At(task, "status.attempts.0.cost"), At(task, "status.result.cost"));
  EXPECT_TRUE(Tells("status.spent", At(task, "status.result.cost"))) << cluster.Get(Path()).dump(1);
  EXPECT_TRUE(Tells("status.committed", "0"));
}

TEST_F(BudgetTest, WithDenyATaskThatIsNotCoveredFails) {
  AddBudget("0", "Deny");
  AddServer("paid", "4", kPaid);
  AddTask("t", "1s");
  ASSERT_TRUE(Reaches("t", "Failed"));
  EXPECT_EQ(At(Get("t"), "status.result.reason"), "BudgetExceeded");
  EXPECT_TRUE(Pods().empty());
}

TEST_F(BudgetTest, AFreeServerTakesTasksWhateverTheBudget) {
  AddBudget("0");
  AddServer("free");
  AddTask("t", "1s");
  EXPECT_TRUE(Reaches("t", "Succeeded"));
}

}  // namespace
}  // namespace spillway::test
