#include "operator/api/core_v1.h"

#include <gtest/gtest.h>

namespace spillway::api {
namespace {

TEST(PodTest, ReportsTheFirstContainerThatFailed) {
  const auto pod = DecodePod(
      Json::parse(R"({"metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[]},"status":{
    "phase":"Failed","containerStatuses":[
      {"state":{"terminated":{"exitCode":0,"reason":"Completed","message":"fine"}}},
      {"state":{"terminated":{"exitCode":3,"reason":"Error","message":"bad"}}}]}})"));
  ASSERT_TRUE(pod.ok());
  EXPECT_EQ(pod->termination->exit_code, 3);
  EXPECT_EQ(pod->termination->message, "bad");
}

TEST(PodTest, ReportsAFailedInitContainerButNotAnEndedOne) {
  const auto pod = DecodePod(Json::parse(R"({"status":{"phase":"Failed","initContainerStatuses":[
      {"state":{"terminated":{"exitCode":0}}},{"state":{"terminated":{"exitCode":9}}}]}})"));
  EXPECT_EQ(pod->termination->exit_code, 9);
  const auto good = DecodePod(Json::parse(
      R"({"status":{"phase":"Running","initContainerStatuses":[{"state":{"terminated":{"exitCode":0}}}]}})"));
  EXPECT_FALSE(good->termination.has_value());
}

TEST(PodTest, ASidecarThatIsStoppedAtTheEndIsNoFailure) {
  const auto pod = DecodePod(Json::parse(R"({"status":{"phase":"Succeeded",
      "containerStatuses":[{"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}],
      "initContainerStatuses":[{"state":{"terminated":{"exitCode":143,"reason":"Error"}}}]}})"));
  EXPECT_EQ(pod->termination->exit_code, 0);
}

TEST(PodTest, KnowsThatTheClusterEndedIt) {
  const auto pod = DecodePod(Json::parse(
      R"({"status":{"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True","reason":"EvictionByEvictionAPI","message":"drained"}]}})"));
  EXPECT_TRUE(pod->disrupted);
  EXPECT_EQ(pod->reason, "EvictionByEvictionAPI");
}

TEST(PodTest, TakesHostPortsOfTheHostNetworkToo) {
  const auto spec = Json::parse(
      R"({"hostNetwork":true,"containers":[{"ports":[{"containerPort":80},{"containerPort":1,"hostPort":53,"protocol":"UDP"}]}]})");
  EXPECT_EQ(DecodeHostPorts(spec), (std::vector<std::string>{"TCP/80", "UDP/53"}));
}

TEST(NodeTest, ReadsRoomTaintsAndReadiness) {
  const auto node = DecodeNode(Json::parse(
      R"({"metadata":{"name":"n"},"spec":{"unschedulable":true,"taints":[{"key":"k","effect":"NoSchedule"}]},
    "status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"1k"},"conditions":[{"type":"Ready","status":"True"}]}})"));
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node->allocatable.cpu_milli, 4000);
  EXPECT_EQ(node->max_pods, 1000);
  EXPECT_TRUE(node->unschedulable);
  EXPECT_EQ(node->ready, NodeReady::kTrue);
  EXPECT_EQ(node->taints[0].key, "k");
}

Pod PodWith(const Json& container_state) {
  const std::string endless(100'000, 'x');
  const Json container{{"name", "c"}, {"state", container_state}};
  return *DecodePod(
      {{"spec", {{"containers", {{{"name", "c"}}}}}},
       {"status",
        {{"reason", endless}, {"message", endless}, {"containerStatuses", {container}}}}});
}

// Its affinity is ours in part: nothing that admission has added.
TEST(PodTest, IsForTheSchedulerAlsoOnceThatHasBoundIt) {
  Json body{{"metadata", {{"name", "p"}, {"annotations", {{kNodeAnnotation, "s1"}}}}},
            {"spec", {{"nodeName", "s2"}}}};
  EXPECT_TRUE(DecodeCreatedPod(body)->admitted->for_scheduler);
  body["metadata"].erase("annotations");
  EXPECT_FALSE(DecodeCreatedPod(body)->admitted->for_scheduler);
  body["spec"].erase("nodeName");
  EXPECT_TRUE(DecodeCreatedPod(body)->admitted->for_scheduler);
}

TEST(PodTest, WordsOfOthersAreBounded) {
  const Pod pod =
      PodWith({{"waiting", {{"reason", "a\nb"}, {"message", std::string(100'000, 'x')}}}});
  EXPECT_LE(pod.reason.size(), 128u);
  EXPECT_LE(pod.message.size(), 4096u);
  EXPECT_EQ(pod.waiting_reason, "a b");
  EXPECT_LE(pod.waiting_message.size(), 4096u);
}

TEST(PodTest, OutputKeepsItsLines) {
  const std::string lines = "one\n\ttwo\n";
  const Pod pod = PodWith({{"terminated", {{"exitCode", 0}, {"message", lines}}}});
  ASSERT_TRUE(pod.termination);
  EXPECT_EQ(pod.termination->message, lines);
}

TEST(ConditionTest, KeepsTheTransitionTimeWhileTheStatusStays) {
  std::vector<Condition> conditions;
  const Time first = *ParseTime("2026-01-01T00:00:00Z"),
             second = *ParseTime("2026-01-01T00:01:00Z");
  SetProgress(conditions, Progress::kReconciling, "Waiting", "a", 1, first);
  SetProgress(conditions, Progress::kReconciling, "Waiting", "b", 1, second);
  EXPECT_EQ(FindCondition(conditions, "Reconciling")->last_transition, first);
  EXPECT_EQ(FindCondition(conditions, "Reconciling")->message.str(), "b");
  SetProgress(conditions, Progress::kReady, "Completed", "c", 1, second);
  EXPECT_EQ(FindCondition(conditions, "Ready")->status, "True");
  EXPECT_EQ(FindCondition(conditions, "Ready")->last_transition, second);
  EXPECT_EQ(FindCondition(conditions, "Stalled")->last_transition, first);
}

TEST(CoreV1Test, ReadsWhyAPodIsNotScheduled) {
  const auto read = [](const char* status) {
    return *DecodePod({{"metadata", {{"name", "p"}}},
                       {"status",
                        {{"conditions",
                          {{{"type", "PodScheduled"},
                            {"status", status},
                            {"reason", "Unschedulable"},
                            {"message", "0/1 nodes are available"}}}}}}});
  };
  EXPECT_EQ(read("False").waiting_reason, "Unschedulable");
  EXPECT_EQ(read("False").waiting_message, "0/1 nodes are available");
  EXPECT_FALSE(read("True").unscheduled);
  EXPECT_TRUE(read("False").unscheduled);
}

}  // namespace
}  // namespace spillway::api
