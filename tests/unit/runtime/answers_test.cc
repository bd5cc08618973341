#include "operator/runtime/answers.h"

#include <gtest/gtest.h>

namespace spillway::runtime {
namespace {

const core::AskWhy kAsk{"ns", "t-1", "pod-uid", "task-uid"};

TEST(AnswersTest, AsksForTheWarningsOfThePodAlone) {
  const kube::Request request = PodEventsRequest(kAsk);
  EXPECT_EQ(request.method, "GET");
  EXPECT_NE(request.path.find("/api/v1/namespaces/ns/events?limit="), std::string::npos);
  EXPECT_NE(request.path.find("involvedObject.uid%3Dpod-uid"), std::string::npos) << request.path;
}

TEST(AnswersTest, TellsTheLatestWarning) {
  const auto warned = LatestWarning(kAsk, api::Json::parse(R"({"items":[
    {"reason":"Old","message":"a","lastTimestamp":"2026-01-01T00:00:00Z"},
    {"reason":"FailedMount","message":"b","lastTimestamp":"2026-01-01T00:02:00Z"},
    {"reason":"Middle","message":"c","lastTimestamp":null,
     "eventTime":"2026-01-01T00:01:00.000000Z"}]})"));
  EXPECT_EQ(warned.reason, "FailedMount");
  EXPECT_EQ(warned.message, "b");
  EXPECT_EQ(warned.task_uid, "task-uid");
  EXPECT_EQ(warned.pod_uid, "pod-uid");
}

TEST(AnswersTest, TellsNothingWhereNothingWarns) {
  EXPECT_EQ(LatestWarning(kAsk, api::Json::object()).reason, "");
  EXPECT_EQ(LatestWarning(kAsk, api::Json::parse(R"({"items":[1,{"reason":7}]})")).reason, "");
}

}  // namespace
}  // namespace spillway::runtime
