#include "operator/core/servers/registrar.h"

#include <gtest/gtest.h>

#include "operator/core/servers/observe.h"
#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

class RegistrarTest : public testing::Test {
 protected:
  ApiModel api;
};

TEST_F(RegistrarTest, RegistersALabelledNodeAndTakesItBack) {
  api.AddNode("n", "4");
  api.Settle();
  EXPECT_TRUE(api.servers.empty());
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  api.Settle();
  ASSERT_TRUE(api.servers.contains("n"));
  EXPECT_EQ(api.servers["n"].meta.owners.at(0).kind, "Node");
  api.nodes["n"].meta.labels.clear();
  api.Change(api.nodes["n"]);
  api.Settle();
  EXPECT_TRUE(api.servers.empty());
}

// Where a policy, a NodePool or cloud-init labels every node.
TEST_F(RegistrarTest, ANodeThatWasBoughtIsNotRegisteredForItsLabel) {
  api.AddNode("requested", "4");
  api.AddNode("tainted", "4");
  api.nodes["requested"].meta.labels[api::kRequestLabel] = "uid";
  api.nodes["tainted"].taints = {{api::kPoolTaint, "p", "NoSchedule"}};
  for (const char* name : {"requested", "tainted"}) {
    api.nodes[name].meta.labels[api::kRegisterLabel] = "true";
    api.Change(api.nodes[name]);
  }
  api.Settle();
  EXPECT_TRUE(api.servers.empty());
}

TEST_F(RegistrarTest, OneThatWasRegisteredBeforeItsOwnerWasKnownIsTakenBack) {
  api.AddNode("n", "4");
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  api.Settle();
  ASSERT_TRUE(api.servers.contains("n"));
  api.nodes["n"].meta.labels[api::kRequestLabel] = "uid";
  api.Change(api.nodes["n"]);
  api.Settle();
  EXPECT_TRUE(api.servers.empty());
}

TEST_F(RegistrarTest, ALabelThatIsBackCountsAsSoonAsItIsKnownThatTheDeletionWasRefused) {
  api.AddNode("n", "4");
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  api.Settle();
  // Its deletion was refused for so long that the pauses between its tries have grown.
  api.refuse =
      Denies(Verb::kDelete, Kind::kServer, {ErrorKind::kUnavailable, "failed calling webhook", {}});
  api.nodes["n"].meta.labels.clear();
  api.Change(api.nodes["n"]);
  api.Advance(seconds(100));
  api.hangs = [](const Write& write) { return write.verb == Verb::kDelete; };
  api.Advance(seconds(70));
  ASSERT_EQ(api.hanging(), 1u);
  api.nodes["n"].meta.labels[api::kRegisterLabel] = "true";
  api.Change(api.nodes["n"]);
  api.AddTask("t");
  api.Settle();
  EXPECT_TRUE(api.pods.empty()) << "it may be deleted yet";
  api.Unblock();
  api.Settle();
  ASSERT_TRUE(api.pods.contains("ns/t-1"));
  EXPECT_EQ(api.pods.at("ns/t-1").node_name, "n");
}

TEST_F(RegistrarTest, LeavesAServerAloneThatWasRegisteredByHand) {
  api.AddServer("n");
  api.Settle();
  api.Advance(seconds(30));
  EXPECT_TRUE(api.servers.contains("n"));
}

TEST_F(RegistrarTest, ReportsPhaseRoomAndTasks) {
  api.AddServer("n", "4");
  api.AddTask("t");
  api.Settle();
  api.Advance(kServerStatusEvery);
  EXPECT_EQ(api.servers["n"].status.phase, "Ready");
  EXPECT_EQ(api.servers["n"].status.tasks, 1);
  EXPECT_EQ(api.servers["n"].status.allocated.at("cpu"), "1");
  api.servers["n"].spec.cordoned = true;
  api.Change(api.servers["n"]);
  api.Settle();
  EXPECT_EQ(api.servers["n"].status.phase, "Cordoned");
}

TEST_F(RegistrarTest, AServerThatIsCordonedStaysReadyAsItsNodeDoes) {
  api.AddServer("n");
  api.servers["n"].spec.cordoned = true;
  api.Change(api.servers["n"]);
  api.Settle();
  const auto& conditions = api.servers["n"].status.conditions;
  EXPECT_EQ(api::FindCondition(conditions, "Ready")->status, "True");
  EXPECT_EQ(api::FindCondition(conditions, "Ready")->reason, "Cordoned");
  EXPECT_EQ(api::FindCondition(conditions, "Reconciling")->status, "False");
}

TEST_F(RegistrarTest, WithoutTheMeasurementThatItRequiresAServerTakesNoTasks) {
  api.AddServer("n");
  api.servers["n"].spec.requires_metrics = true;
  api.Change(api.servers["n"]);
  api.AddTask("t");
  api.Settle();
  EXPECT_TRUE(api.pods.empty());
  EXPECT_EQ(api::FindCondition(api.servers["n"].status.conditions, "Ready")->reason,
            "NoMeasurement");
}

TEST_F(RegistrarTest, AServerThatIsJudgedBetweenTwoHeartbeatsIsJudgedAgain) {
  api.AddServer("n");
  api.Settle();  // nodes are checked now, and every 5 s from now
  api.Advance(seconds(1));
  api.RenewLease("n");
  api.Advance(kHeartbeatTimeout + std::chrono::milliseconds(500));
  api.servers["n"].spec.capabilities["a"] = "b";
  api.Change(api.servers["n"]);
  api.Settle();
  ASSERT_EQ(api.world().servers.by_name.at("n").reason, "HeartbeatLost");
  api.RenewLease("n");
  api.Settle();
  EXPECT_TRUE(api.world().servers.by_name.at("n").schedulable);
}

TEST_F(RegistrarTest, ALostHeartbeatIsToldWithItsTimeAndNotAgainAsItGrowsOlder) {
  api.AddServer("n");
  api.Settle();
  const Time renewed = api.now;
  api.RenewLease("n");
  api.Advance(kHeartbeatTimeout + seconds(20));
  const auto* ready = api::FindCondition(api.servers["n"].status.conditions, "Ready");
  EXPECT_EQ(ready->message.str(), "the node's Lease was last renewed at " + FormatTime(renewed));
  const int written = api.tries[{Verb::kPatchStatus, Kind::kServer}];
  api.Advance(seconds(300));
  EXPECT_EQ((api.tries[{Verb::kPatchStatus, Kind::kServer}]), written);
}

TEST_F(RegistrarTest, SaysWhatTheNodeSaysNow) {
  api.AddServer("n");
  api.nodes["n"].ready = api::NodeReady::kFalse;
  for (const char* says : {"container runtime is down", "cni plugin not initialized"}) {
    api.nodes["n"].ready_message = says;
    api.Change(api.nodes["n"]);
    api.Advance(seconds(11));
    EXPECT_EQ(api::FindCondition(api.servers["n"].status.conditions, "Ready")->message.str(), says);
  }
}

TEST_F(RegistrarTest, SaysThatTheNodeDoesNotExist) {
  api.AddServer("n");
  api.Remove(api.nodes, "n");
  api.Settle();
  EXPECT_EQ(api.servers["n"].status.phase, "NotReady");
  EXPECT_EQ(api::FindCondition(api.servers["n"].status.conditions, "Ready")->reason,
            "NodeNotFound");
}

TEST_F(RegistrarTest, OfTwoServersOnOneNodeTheOlderCounts) {
  api.AddServer("n");
  api.Advance(seconds(1));
  api::RegisteredServer twin = api.servers["n"];
  twin.meta.name = "twin", twin.meta.uid = "twin", twin.meta.created = api.now;
  api.servers["twin"] = twin;
  api.Change(api.servers["twin"]);
  api.Settle();
  EXPECT_EQ(api.servers["n"].status.phase, "Ready");
  EXPECT_EQ(api::FindCondition(api.servers["twin"].status.conditions, "Ready")->reason,
            "DuplicateNode");
}

TEST_F(RegistrarTest, ANodeThatAppearsIsSilentNoSoonerThanItsOwnHeartbeatIsOverdue) {
  api.AddServer("n");
  api.RenewLease("n");
  api.Settle();
  api.Remove(api.nodes, "n");
  api.Settle();
  const auto others = [&](Duration time) {
    for (Duration passed{0}; passed < time; passed += seconds(10)) {
      api.Advance(seconds(10));
      api.RenewLease("other");
    }
    api.Settle();
  };
  others(seconds(120));
  api.AddNode("n", "4");  // with the Lease that the one before has left
  api.Settle();
  EXPECT_TRUE(api.world().servers.by_name.at("n").schedulable);
  others(kHeartbeatTimeout + seconds(10));
  EXPECT_EQ(api.world().servers.by_name.at("n").reason, "HeartbeatLost");
}

TEST_F(RegistrarTest, TheFirstLeaseOfANodeCountsFromItsArrivalAlsoIfOurClockIsAhead) {
  api.AddServer("n");
  api.Settle();
  api.RenewLease("n", seconds(-60));
  api.Settle();
  EXPECT_TRUE(api.world().servers.by_name.at("n").schedulable);
}

TEST_F(RegistrarTest, ALeaseThatWasThereBeforeThisProcessCountsByItsOwnTime) {
  api.AddServer("n");
  api.Settle();
  Servers servers;
  Context context;
  context.now = context.news = At(100);
  OnSeen(context, servers, api.nodes["n"]);
  api::NodeLease lease;
  lease.meta.name = "n";
  lease.renewed = At(40);
  OnSeen(context, servers, lease);
  EXPECT_EQ(servers.nodes["n"].heard, At(40));
}

TEST_F(RegistrarTest, ANodeWhoseLeaseIsGoneIsNotSilent) {
  api.AddServer("gone");
  api.AddServer("missed");
  api.RenewLease("gone");
  api.RenewLease("missed");
  api.Settle();
  api.Push(Gone{Kind::kLease, "kube-node-lease/gone", "", 100});
  api.Push(Listed{Kind::kLease, 100, {}});  // the watch was cut meanwhile
  api.Advance(2 * kHeartbeatTimeout);
  for (const char* name : {"gone", "missed"})
    EXPECT_TRUE(api.world().servers.by_name.at(name).schedulable) << name;
}

TEST_F(RegistrarTest, ALeaseThatIsNotRenewedMakesTheNodeUnready) {
  api.AddServer("n");
  api.Settle();
  World world;
  world.servers.nodes["n"].object = api.nodes["n"];
  world.servers.nodes["n"].renewed = At(0);
  world.servers.nodes["n"].heard = At(0);
  world.heard_of[static_cast<size_t>(Kind::kLease)] = At(0) + kHeartbeatTimeout - seconds(1);
  CheckNode(world, world.servers, "n");
  EXPECT_EQ(world.servers.nodes["n"].not_ready_since, kNever);
  world.news = world.heard_of[static_cast<size_t>(Kind::kLease)] = At(0) + kHeartbeatTimeout;
  CheckNode(world, world.servers, "n");
  EXPECT_EQ(world.servers.nodes["n"].not_ready_since, world.news);
}

}  // namespace
}  // namespace spillway::core
