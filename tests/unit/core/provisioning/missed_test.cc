// What was asked for came and went, and no watch has told of it: a list took the place of what was
// missed while the watch was cut.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class MissedTest : public testing::Test {
 protected:
  MissedTest() { api.AddPool("p"); }
  // The next creation of the kind is carried out, and its object is gone again before the answer.
  void Miss(Kind kind) {
    api.hangs = [=, this](const Write& write) {
      if (write.verb == Verb::kCreate && write.kind == kind) name = write.name;
      return write.verb == Verb::kCreate && write.kind == kind;
    };
  }
  template <typename T>
  void Answer(T made, std::optional<Error> error = std::nullopt) {
    api.hangs = nullptr;
    made.meta.name = name, made.meta.uid = "made", made.meta.resource_version = 900;
    const Kind kind = KindOf(made);
    api.Push(Listed{kind, 1'000, {}});
    api.Settle();
    api.Push(Outcome{Verb::kCreate, kind, name, "", std::move(error), made});
    api.Settle();
  }

  // Of a purchase for ns/t, which is returned as it was asked for.
  api::ScaleRequest MissPurchase() {
    Miss(Kind::kScale);
    api.AddTask("t");
    api.Settle();
    EXPECT_EQ(api.hanging(), 1U);
    return api.world().provisioning.scales.at(name).object;
  }
  void ExpectMadeAnew(seconds within = seconds(10)) {
    api.Advance(within);
    EXPECT_EQ(api.scales_made, 1) << api.Says("t");
    EXPECT_EQ(api.claims_made, 1);
  }

  ApiModel api;
  std::string name;
};

TEST_F(MissedTest, APurchaseThatIsGoneBeforeItsAnswerIsMadeAnew) {
  Answer(MissPurchase());
  ExpectMadeAnew();
}

TEST_F(MissedTest, NotBeforeThatAnswerWhereItIsSeenToComeAndGo) {
  api::ScaleRequest made = MissPurchase();
  made.meta.uid = "made", made.meta.resource_version = 900;
  api.Push(Seen{made});
  api.Push(Gone{Kind::kScale, name, made.meta.uid, 901});
  api.Settle();
  EXPECT_EQ(api.hanging(), 1U) << "the answer would be taken for that to the second";
  Answer(made);
  ExpectMadeAnew();
}

TEST_F(MissedTest, SoIsOneThatWasThereAlready) {
  Answer(MissPurchase(), Error{ErrorKind::kAlreadyExists, "exists", {}});
  ExpectMadeAnew();
}

TEST_F(MissedTest, SoIsOneThatAPolicyHasChangedOnceItsPoolIsNotHeldAnyMore) {
  api::ScaleRequest changed = MissPurchase();
  changed.pool = "other";
  Answer(changed);
  ExpectMadeAnew(seconds(610));
}

TEST_F(MissedTest, ABoughtServerWhoseRegistrationIsGoneIsRegisteredAnew) {
  api.AddTask("t");
  api.Settle();
  Miss(Kind::kServer);
  api.ProvideServer("n");
  api.Settle();
  ASSERT_EQ(api.hanging(), 1U);
  api::RegisteredServer made;
  made.spec.node_name = "n";
  Answer(made);
  api.Advance(seconds(10));
  EXPECT_TRUE(api.servers.contains(name));
  EXPECT_EQ(api.ServerOf("t"), name) << api.Says("t");
}

TEST_F(MissedTest, ALabelledNodeWhoseRegistrationIsGoneIsRegisteredAnew) {
  Miss(Kind::kServer);
  api.AddNode("n", "4");
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  api.Settle();
  ASSERT_EQ(api.hanging(), 1U);
  api::RegisteredServer made;
  made.spec.node_name = "n";
  Answer(made);
  api.Advance(seconds(10));
  EXPECT_TRUE(api.servers.contains("n"));
}

// Such as by a controller that takes it for a stray.
class DeletedAtOnceTest : public testing::Test {
 protected:
  // How often it is registered in two minutes in which somebody deletes it each time.
  int Registrations() {
    const int before = Made();
    for (int i = 0; i < 240; ++i) {
      api.Advance(milliseconds(500));
      if (!api.servers.empty()) api.Remove(api.servers, api.servers.begin()->first);
    }
    return Made() - before;
  }
  int Made() { return api.tries[{Verb::kCreate, Kind::kServer}]; }

  ApiModel api;
};

TEST_F(DeletedAtOnceTest, ABoughtServerIsRegisteredAgainWithGrowingPauses) {
  api.AddPool("p");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("n");
  const int made = Registrations();
  EXPECT_GE(made, 3);
  EXPECT_LE(made, 7);
}

// As with kubectl delete --cascade=foreground.
TEST_F(DeletedAtOnceTest, ABoughtServerThatGoesWithItsPurchaseIsNotSaidToBeRegisteredAgain) {
  api.AddPool("p");
  api.AddTask("t");
  api.Settle();
  api.ProvideServer("n");
  api.Settle();
  ASSERT_EQ(api.servers.size(), 1U);
  api::ScaleRequest& scale = api.scales.begin()->second;
  scale.meta.deleted = api.now;
  api.Change(scale);
  api.Remove(api.servers, api.servers.begin()->first);
  api.Settle();
  for (const Note& note : api.notes) EXPECT_NE(note.reason, "RegisterFailed") << note.message;
}

TEST_F(DeletedAtOnceTest, ALabelledNodeIsRegisteredAgainWithGrowingPauses) {
  api.AddNode("n", "4");
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  const int made = Registrations();
  EXPECT_GE(made, 3);
  EXPECT_LE(made, 7);
}

}  // namespace
}  // namespace spillway::core
