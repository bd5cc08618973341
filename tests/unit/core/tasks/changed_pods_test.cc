#include "operator/core/tasks/changed_pods.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class ChangedPodsTest : public testing::Test {
 protected:
  ChangedPodsTest() {
    api.AddServer("s1", "8");
    api.Settle();
  }
  void LoseOwners() {
    api.admit = [](api::Pod& pod) { pod.meta.owners.clear(); };
  }
  ApiModel api;
};

TEST_F(ChangedPodsTest, APodWithoutItsOwnerReferenceIsDeletedAndTheTaskSaysWhy) {
  LoseOwners();
  api.AddTask("t");
  api.Advance(seconds(5));
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api.Phase("t"), "Pending");
  EXPECT_NE(api.Says("t").find("without Spillway's owner reference"), std::string::npos)
      << api.Says("t");
}

TEST_F(ChangedPodsTest, OneUnderAnotherControllerIsAsLittleTheTasks) {
  api.admit = [](api::Pod& pod) { pod.meta.owners.front().controller = false; };
  api.AddTask("t");
  api.Advance(seconds(5));
  EXPECT_TRUE(api.pods.empty());
}

TEST_F(ChangedPodsTest, PodsAreMadeEverMoreSeldom) {
  LoseOwners();
  api.AddTask("t");
  api.Advance(minutes(2));
  EXPECT_GE(api.pods_made, 3);
  EXPECT_LE(api.pods_made, 12);
}

TEST_F(ChangedPodsTest, NoOtherIsMadeWhileTheLastOneMayRun) {
  LoseOwners();
  api.slow_deletion = true;
  api.AddTask("t");
  api.Advance(minutes(2));
  EXPECT_EQ(api.pods_made, 1);
  api.slow_deletion = false;
  api.admit = nullptr;
  api.Remove(api.pods, "ns/t-1");
  api.Advance(minutes(1));
  EXPECT_EQ(api.pods_made, 2);
  EXPECT_EQ(api.Phase("t"), "Assigned");
}

TEST_F(ChangedPodsTest, ADeletionThatIsRefusedIsAskedForAgainAndTold) {
  LoseOwners();
  api.refuse = [](const Write& write) -> std::optional<Error> {
    if (write.verb != Verb::kDelete) return std::nullopt;
    return Error{ErrorKind::kForbidden, "no deletions", {}};
  };
  api.AddTask("t");
  api.Advance(minutes(1));
  EXPECT_EQ(api.pods_made, 1);
  EXPECT_EQ(std::count_if(api.notes.begin(), api.notes.end(),
                          [](const Note& note) { return note.reason == kDeleteFailed; }),
            1);
  api.refuse = nullptr;
  api.admit = nullptr;
  api.Advance(minutes(2));
  EXPECT_EQ(api.pods_made, 2);
}

class UndeletableTest : public ChangedPodsTest {
 protected:
  // One pod is there, and its deletion was refused for a while.
  UndeletableTest() {
    LoseOwners();
    api.refuse = [](const Write& write) -> std::optional<Error> {
      if (write.verb != Verb::kDelete) return std::nullopt;
      return Error{ErrorKind::kForbidden, "no deletions", {}};
    };
    api.AddTask("t");
    api.Advance(seconds(30));
  }
  void Recovers() {
    api.Advance(seconds(30));
    EXPECT_EQ(api.pods.size(), 1u);
    api.refuse = nullptr;
    api.Advance(minutes(2));
    EXPECT_TRUE(api.pods.empty());
  }
};

TEST_F(UndeletableTest, ThatOfACancelledTaskIsAskedForAgain) {
  api.tasks.at("ns/t").spec.cancel = true;
  api.Change(api.tasks.at("ns/t"));
  Recovers();
}

TEST_F(UndeletableTest, ThatOfADeletedTaskIsAskedForAgain) {
  api.Remove(api.tasks, "ns/t");
  Recovers();
}

TEST_F(ChangedPodsTest, ADeletedTasksPodIsDeletedAsWell) {
  LoseOwners();
  api.hangs = [](const Write& write) { return write.kind == Kind::kPod; };
  api.AddTask("t");
  api.Settle();
  api.Remove(api.tasks, "ns/t");
  api.hangs = nullptr;
  api.Unblock();
  api.Advance(seconds(5));
  EXPECT_TRUE(api.pods.empty());
}

}  // namespace
}  // namespace spillway::core
