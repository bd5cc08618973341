#include <gtest/gtest.h>

#include <chrono>

#include "operator/cloud/karpenter.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

// Karpenter was asked for a server, and its answer is still to come.
class LaunchTest : public testing::Test {
 protected:
  LaunchTest() {
    api.AddPool("p");
    api.purchases_hang = true;
    api.AddTask("t");
    api.Settle();
    const api::ScaleRequest& scale = api.scales.begin()->second;
    made.engine = cloud::kKarpenter, made.kind = "NodeClaim";
    made.name = cloud::NodeClaimName(scale.meta.uid), made.uid = "made";
    made.request_uid = scale.meta.uid, made.pool = "p";
    made.resource_version = 1'000;
    api.purchases_hang = false;
  }

  // As it is created, whatever has become of it.
  void Answer() {
    Outcome outcome{Verb::kCreate, Kind::kCloudServer, "", made.request_uid, {}, made};
    outcome.engine = cloud::kKarpenter;
    api.Push(outcome);
  }
  // The answer gets lost, and Karpenter is asked again.
  void Lose() {
    Outcome lost{Verb::kCreate, Kind::kCloudServer, "", made.request_uid, {}, {}};
    lost.engine = cloud::kKarpenter;
    lost.error = Error{ErrorKind::kUnavailable, "the request timed out", {}, true};
    api.Push(lost);
    api.Advance(seconds(10));
  }
  void SeeDeleting() {
    api::CloudServer going = made;
    going.deleting = true, going.resource_version = 1'001;
    api.Push(Seen{going});
  }
  void SeeGone() {
    api.Push(Gone{Kind::kCloudServer, made.name, made.uid, 1'002, cloud::kKarpenter});
  }
  const api::ScaleStatus& First() const { return api.scales.begin()->second.status; }
  void ExpectReplaced() {
    api.Advance(seconds(60));
    EXPECT_EQ(First().error, api::CloudError::kInsufficientCapacity) << First().message;
    EXPECT_EQ(First().backend_name, made.name);
    EXPECT_EQ(api.scales_made, 2) << api.Says("t");
  }

  ApiModel api;
  api::CloudServer made;
};

TEST_F(LaunchTest, AServerThatIsGoneInTheMomentInWhichItsEngineAnswersHasFailed) {
  Answer();
  SeeGone();
  ExpectReplaced();
}

TEST_F(LaunchTest, AServerThatGoesBeforeItsEngineAnswersHasFailed) {
  api.Push(Seen{made});
  SeeDeleting();
  api.Settle();
  Answer();
  api.Settle();
  EXPECT_EQ(First().phase, api::ScalePhase::kProvisioning) << "it may still run";
  SeeGone();
  ExpectReplaced();
}

TEST_F(LaunchTest, AServerThatIsGoneBeforeItsEngineAnswersHasFailed) {
  api.Push(Seen{made});
  SeeGone();
  api.Settle();
  EXPECT_EQ(First().phase, api::ScalePhase::kRequested);
  Answer();
  ExpectReplaced();
}

TEST_F(LaunchTest, AServerOfTheSecondTryThatIsGoneBeforeItsEngineAnswersHasFailed) {
  api.purchases_hang = true;
  Lose();
  api.purchases_hang = false;
  Answer();
  SeeGone();
  ExpectReplaced();
}

TEST_F(LaunchTest, AServerThatWasSeenAndGoesBeforeItsSecondTryIsAnsweredHasFailed) {
  api.Push(Seen{made});
  api.Settle();
  SeeDeleting();
  api.purchases_hang = true;
  Lose();
  ASSERT_EQ(First().phase, api::ScalePhase::kRequested) << First().message;
  api.purchases_hang = false;
  Answer();
  api.Settle();
  EXPECT_EQ(First().phase, api::ScalePhase::kProvisioning) << "it may still run";
  SeeGone();
  ExpectReplaced();
}

TEST_F(LaunchTest, AServerThatCameAndWentBetweenTwoListsHasFailed) {
  api.Push(Listed{Kind::kCloudServer, 1'002, {}, cloud::kKarpenter});
  api.Settle();
  Answer();
  ExpectReplaced();
}

}  // namespace
}  // namespace spillway::core
