#include "operator/api/pod_status.h"

#include <gtest/gtest.h>

namespace spillway::api {
namespace {

constexpr char kSpec[] = R"({"containers":[{"name":"work"},{"name":"aide"}],
    "initContainers":[{"name":"fetch"},{"name":"proxy","restartPolicy":"Always"}]})";

Json Ended(const char* name, int code, const char* reason = "", const char* message = "",
           const char* from = "2026-01-01T10:00:00Z", const char* to = "2026-01-01T10:00:10Z") {
  const std::string told = reason[0] != '\0' ? reason : code == 0 ? "Completed" : "Error";
  return {{"name", name},
          {"state",
           {{"terminated",
             {{"exitCode", code},
              {"reason", told},
              {"message", message},
              {"startedAt", from},
              {"finishedAt", to}}}}}};
}

Json Running(const char* name, const char* from) {
  return {{"name", name}, {"state", {{"running", {{"startedAt", from}}}}}};
}

Json Waits(const char* name, const char* reason, const char* message = "") {
  return {{"name", name}, {"state", {{"waiting", {{"reason", reason}, {"message", message}}}}}};
}

Pod Decode(const char* phase, const std::vector<Json>& main, const std::vector<Json>& init = {},
           const Json& rest = Json::object()) {
  Json status{{"phase", phase}, {"containerStatuses", main}, {"initContainerStatuses", init}};
  status.update(rest);
  return *DecodePod({{"spec", Json::parse(kSpec)}, {"status", status}});
}

Time At(const char* text) { return *ParseTime(text); }

TEST(PodStatusTest, TheOutputIsThatOfTheFirstContainerOfTheSpecNotOfTheFirstByName) {
  const Pod pod =
      Decode("Succeeded", {Ended("aide", 0, "", "of aide"), Ended("work", 0, "", "of work")});
  EXPECT_EQ(pod.termination->message, "of work");
}

TEST(PodStatusTest, OfSeveralThatFailedTheFirstOfTheSpecIsTheResult) {
  const Pod pod = Decode("Failed", {Ended("aide", 3), Ended("work", 4)});
  EXPECT_EQ(pod.termination->exit_code, 4);
  EXPECT_EQ(pod.termination->container, "container work");
}

TEST(PodStatusTest, OneThatFailedIsTheResultWhereverItStands) {
  EXPECT_EQ(Decode("Failed", {Ended("aide", 3), Ended("work", 0)}).termination->exit_code, 3);
}

// One that is down for a while, as its kubelet waits longer before each start.
Json CrashLoops(const char* name, int restarts, int code) {
  Json status = Waits(name, "CrashLoopBackOff", "back-off 40s restarting failed container");
  status["restartCount"] = restarts;
  status["lastState"] = Ended(name, code)["state"];
  return status;
}

TEST(PodStatusTest, AContainerThatIsStartedAgainAndAgainIsTold) {
  const Pod pod =
      Decode("Running", {Running("aide", "2026-01-01T10:00:00Z"), CrashLoops("work", 7, 3)});
  ASSERT_TRUE(pod.restarts);
  EXPECT_EQ(pod.restarts->container, "container work");
  EXPECT_EQ(pod.restarts->count, 7);
  EXPECT_EQ(pod.restarts->exit_code, 3);
  EXPECT_EQ(pod.restarts->reason, "Error");
  EXPECT_TRUE(pod.restarts->backing_off);
}

TEST(PodStatusTest, OfSeveralThatWereStartedAgainTheOneThatWasMostOftenIsTold) {
  const Pod pod = Decode("Running", {CrashLoops("work", 1, 3)}, {CrashLoops("proxy", 4, 1)});
  ASSERT_TRUE(pod.restarts);
  EXPECT_EQ(pod.restarts->container, "sidecar proxy");
}

TEST(PodStatusTest, WhatWasNeverStartedAgainHasNoRestarts) {
  EXPECT_FALSE(Decode("Running", {Running("work", "2026-01-01T10:00:00Z")}).restarts);
}

TEST(PodStatusTest, ThereIsNoResultWhileAContainerRuns) {
  const Pod pod = Decode("Running", {Ended("aide", 3), Running("work", "2026-01-01T10:00:00Z")});
  EXPECT_FALSE(pod.termination.has_value());
}

TEST(PodStatusTest, AFailedInitContainerIsTheResultWhereTheOthersNeverRan) {
  const Pod pod =
      Decode("Failed", {Waits("aide", "PodInitializing"), Waits("work", "PodInitializing")},
             {Ended("fetch", 7, "", "no network")});
  EXPECT_EQ(pod.termination->exit_code, 7);
  EXPECT_EQ(pod.termination->container, "init container fetch");
  EXPECT_EQ(pod.termination->message, "no network");
}

TEST(PodStatusTest, AFailedInitContainerStandsBeforeContainersThatTheNodeDoesNotKnow) {
  const Pod pod = Decode("Failed",
                         {Ended("aide", 137, "ContainerStatusUnknown", "", "", ""),
                          Ended("work", 137, "ContainerStatusUnknown", "", "", "")},
                         {Ended("fetch", 7)});
  EXPECT_EQ(pod.termination->exit_code, 7);
  EXPECT_FALSE(pod.termination->lost);
}

TEST(PodStatusTest, ASidecarsEndDecidesNothing) {
  const Pod good = Decode("Succeeded", {Ended("aide", 0), Ended("work", 0, "", "done")},
                          {Ended("fetch", 0), Ended("proxy", 137)});
  EXPECT_EQ(good.termination->exit_code, 0);
  EXPECT_EQ(good.termination->message, "done");
  const Pod bad = Decode("Failed", {Ended("aide", 0), Ended("work", 5)},
                         {Ended("proxy", 143), Ended("fetch", 0)});
  EXPECT_EQ(bad.termination->exit_code, 5);
}

TEST(PodStatusTest, AContainerThatTheNodeLostIsNotHiddenAndHidesNoFailure) {
  const Pod lost = Decode("Failed", {Ended("aide", 0), Ended("work", 255, "Unknown")});
  EXPECT_TRUE(lost.termination->lost);
  const Pod failed = Decode("Failed", {Ended("aide", 2), Ended("work", 255, "Unknown")});
  EXPECT_EQ(failed.termination->exit_code, 2);
  EXPECT_FALSE(failed.termination->lost);
}

TEST(PodStatusTest, TheTimesSpanAllContainersButSidecars) {
  const Pod pod =
      Decode("Succeeded",
             {Ended("aide", 0, "", "", "2026-01-01T10:00:05Z", "2026-01-01T10:00:06Z"),
              Ended("work", 0, "", "", "2026-01-01T10:00:05Z", "2026-01-01T10:00:09Z")},
             {Ended("fetch", 0, "", "", "2026-01-01T10:00:00Z", "2026-01-01T10:00:04Z"),
              Ended("proxy", 0, "", "", "2026-01-01T09:59:00Z", "2026-01-01T10:00:30Z")});
  EXPECT_EQ(pod.termination->started, At("2026-01-01T10:00:00Z"));
  EXPECT_EQ(pod.termination->finished, At("2026-01-01T10:00:09Z"));
}

TEST(PodStatusTest, AContainerThatNeverRanHasNoStart) {
  Json object =
      Json::parse(R"({"spec":{"containers":[{"name":"work"}]},"status":{"phase":"Failed"}})");
  object["status"]["containerStatuses"].push_back(
      Ended("work", 128, "StartError", "no such file", "1970-01-01T00:00:00Z"));
  const Pod pod = *DecodePod(object);
  EXPECT_EQ(pod.termination->exit_code, 128);
  EXPECT_EQ(pod.termination->started, std::nullopt);
  EXPECT_EQ(pod.termination->finished, At("2026-01-01T10:00:10Z"));
  EXPECT_EQ(pod.termination->container, "");
  EXPECT_EQ(pod.started, std::nullopt);
}

TEST(PodStatusTest, AReasonThatTellsSomethingIsNotHiddenByOneThatDoesNot) {
  const Pod init =
      Decode("Pending", {Waits("aide", "PodInitializing"), Waits("work", "PodInitializing")},
             {Waits("fetch", "ImagePullBackOff", "no such image")});
  EXPECT_EQ(init.waiting_reason, "ImagePullBackOff");
  EXPECT_EQ(init.waiting_message, "init container fetch: no such image");
  const Pod main = Decode("Pending", {Waits("aide", "CreateContainerConfigError", "no ConfigMap c"),
                                      Waits("work", "ContainerCreating")});
  EXPECT_EQ(main.waiting_reason, "CreateContainerConfigError");
  EXPECT_EQ(main.waiting_message, "container aide: no ConfigMap c");
  EXPECT_EQ(Decode("Pending", {Waits("work", "ContainerCreating")}).waiting_reason,
            "ContainerCreating");
}

TEST(PodStatusTest, KnowsWhetherAnythingWasEverStarted) {
  EXPECT_FALSE(Decode("Failed", {}).started_any);
  EXPECT_FALSE(Decode("Failed", {Waits("work", "ContainerCreating")}).started_any);
  EXPECT_TRUE(Decode("Failed", {Ended("work", 1)}).started_any);
  EXPECT_TRUE(Decode("Failed", {}, {Running("proxy", "2026-01-01T10:00:00Z")}).started_any);
  Json again = Waits("fetch", "CrashLoopBackOff");
  again["lastState"] = Ended("fetch", 1)["state"];
  EXPECT_TRUE(Decode("Pending", {}, {again}).started_any);
}

TEST(PodStatusTest, KnowsWhenItsEndWasAskedFor) {
  const Pod deleted = *DecodePod(Json::parse(
      R"({"metadata":{"deletionTimestamp":"2026-01-01T10:00:30Z","deletionGracePeriodSeconds":30}})"));
  EXPECT_EQ(deleted.asked_to_end, At("2026-01-01T10:00:00Z"));
  const Json conditions = Json::parse(
      R"([{"type":"DisruptionTarget","status":"True","lastTransitionTime":"2026-01-01T09:00:00Z"}])");
  EXPECT_EQ(Decode("Running", {}, {}, Json{{"conditions", conditions}}).asked_to_end,
            At("2026-01-01T09:00:00Z"));
  EXPECT_EQ(Decode("Running", {}).asked_to_end, std::nullopt);
}

}  // namespace
}  // namespace spillway::api
