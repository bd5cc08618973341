#include "operator/kube/watcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace spillway::kube {
namespace {

// Answers from a script; stops the watch when it has ended.
class ScriptedTransport : public Transport {
 public:
  Result<Response> Send(const Request& request, std::stop_token) override {
    return Answer(request);
  }
  Result<Response> Stream(const Request& request, std::stop_token hang_up,
                          const std::function<void(std::string_view)>& piece) override {
    auto answer = Answer(request);
    if (answer && answer->status == 200) piece(answer->body);
    streamed();
    if (hang_up.stop_requested()) ++hung_up;
    if (hang_up.stop_requested()) return Error{ErrorKind::kCancelled, "stopped", {}};
    return answer;
  }
  Result<Response> Answer(const Request& request) {
    paths.push_back(request.path);
    if (script.empty()) {
      stop.request_stop();
      return Error{ErrorKind::kCancelled, "", {}};
    }
    auto answer = script.front();
    script.pop_front();
    return answer;
  }
  std::deque<Result<Response>> script;
  std::vector<std::string> paths;
  std::function<void()> streamed = [] {};
  int hung_up = 0;  // streams that the watch ended itself
  std::stop_source stop;
};

class WatcherTest : public testing::Test {
 protected:
  void Run() {
    WatchSink sink;
    sink.event = [&](WatchEvent what, const Json& object) {
      const char* names[] = {"listed", "upsert", "delete", "bookmark"};
      log.push_back(std::string(names[static_cast<int>(what)]) + " " +
                    TextOf(PartOf(object, "metadata"), "name"));
    };
    sink.listed = [&](int64_t version, std::set<std::string> keys) {
      log.push_back("listed " + std::to_string(version) + " " + std::to_string(keys.size()));
    };
    sink.listing = [&] { log.push_back("listing"); };
    sink.trouble = [&](const std::optional<Error>& error) {
      log.push_back(error ? "trouble" : "fine");
    };
    ThreadClock clock;
    clock.sleep = [&](std::chrono::milliseconds time, std::stop_token) {
      waits.push_back(time);
      now += time;
    };
    clock.now = [&] { return now; };
    transport.streamed = [&] { now += lasts; };
    Watch(transport, {kPods, "", false, 2}, sink, transport.stop.get_token(), clock);
  }
  static Result<Response> Ok(const std::string& body) { return Response{200, body, std::nullopt}; }

  // An API server that lists only in pages.
  static Result<Response> Refused() { return Response{422, "{}", std::nullopt}; }

  ScriptedTransport transport;
  std::vector<std::string> log;
  std::vector<std::chrono::milliseconds> waits;
  std::chrono::steady_clock::time_point now{};
  std::chrono::seconds lasts{0};  // each stream
};

constexpr char kList[] =
    R"({"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"}}]})";

TEST_F(WatcherTest, ListsInPagesAndThenWatchesFromThatVersion) {
  transport.script = {
      Refused(),
      Ok(R"({"metadata":{"resourceVersion":"5","continue":"next"},"items":[{"metadata":{"name":"a"}}]})"),
      Ok(R"({"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"b"}}]})"),
      Ok("{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"9\"}"
         "}}\n"),
      Ok("")};
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"listing", "listing", "listed a", "listed b",
                                           "listed 5 2", "delete a"}));
  EXPECT_NE(transport.paths[2].find("continue=next"), std::string::npos);
  EXPECT_NE(transport.paths[3].find("resourceVersion=5&"), std::string::npos);
  EXPECT_NE(transport.paths[4].find("resourceVersion=9&"), std::string::npos)
      << "a clean end resumes";
}

TEST_F(WatcherTest, ListsAgainWhenItsVersionIsGone) {
  transport.script = {
      Refused(), Ok(kList),
      Ok("{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n"), Ok(kList)};
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"listing", "listing", "listed a", "listed 5 1",
                                           "listing", "listed a", "listed 5 1"}));
}

TEST_F(WatcherTest, ListsAgainWhenTheAnswerItselfIs410) {
  transport.script = {Refused(), Ok(kList), Response{410, "{}", std::nullopt}, Ok(kList)};
  Run();
  EXPECT_EQ(log.size(), 7u);
}

TEST_F(WatcherTest, ABookmarkMovesTheVersion) {
  transport.script = {
      Refused(), Ok(kList),
      Ok("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"77\"}}}\n"),
      Ok("")};
  Run();
  EXPECT_NE(transport.paths[3].find("resourceVersion=77&"), std::string::npos);
}

TEST_F(WatcherTest, TellsOfTroubleOnceAndOfItsEnd) {
  const Error broken{ErrorKind::kUnavailable, "refused", {}};
  transport.script = {broken, broken, Refused(), Ok(kList)};
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"listing", "trouble", "listing", "listing", "listing",
                                           "listed a", "listed 5 1", "fine"}));
}

// A list as a stream, up to where it is complete.
std::string Streamed(const std::string& events) {
  return events + R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8","annotations":)"
                  R"({"k8s.io/initial-events-end":"true"}}}})"
                  "\n";
}
std::string Event(const std::string& type, const std::string& name, const std::string& version) {
  return R"({"type":")" + type + R"(","object":{"metadata":{"name":")" + name +
         R"(","resourceVersion":")" + version + "\"}}}\n";
}

TEST_F(WatcherTest, TakesAListAsAStreamAndGoesOnWithTheSameStream) {
  transport.script = {Ok(Streamed(Event("ADDED", "b", "7") + Event("ADDED", "a", "3")) +
                         Event("MODIFIED", "a", "9")),
                      Ok("")};
  Run();
  EXPECT_EQ(
      log, (std::vector<std::string>{"listing", "listed b", "listed a", "listed 8 2", "upsert a"}));
  EXPECT_NE(transport.paths[0].find("sendInitialEvents=true"), std::string::npos);
  EXPECT_NE(transport.paths[1].find("resourceVersion=9&"), std::string::npos);
}

TEST_F(WatcherTest, WhatIsDeletedBeforeTheStreamedListIsCompleteIsNotInIt) {
  transport.script = {Ok(
      Streamed(Event("ADDED", "a", "3") + Event("ADDED", "b", "4") + Event("DELETED", "a", "8")))};
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"listing", "listed a", "listed b", "listed 8 1"}));
}

TEST_F(WatcherTest, AStreamedListThatBreaksOffIsBegunAnew) {
  transport.script = {Ok(Event("ADDED", "a", "3")), Ok(Streamed(Event("ADDED", "b", "4")))};
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"listing", "listed a", "trouble", "listing", "listed b",
                                           "listed 8 1", "fine"}));
}

TEST_F(WatcherTest, ABookmarkInTheMiddleOfAStreamedListIsNotItsEnd) {
  transport.script = {
      Ok("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"2\"}}}\n" +
         Streamed(Event("ADDED", "a", "3")))};
  Run();
  EXPECT_EQ(log, (std::vector<std::string>{"listing", "listed a", "listed 8 1"}));
}

TEST_F(WatcherTest, AWatchThatEndsAsSoonAsItBeginsIsNotBegunAgainAtOnce) {
  transport.script = {Refused(), Ok(kList)};
  for (int i = 0; i < 10; ++i) transport.script.push_back(Ok(""));
  Run();
  ASSERT_EQ(waits.size(), 9u) << "the first is resumed at once";
  EXPECT_GE(waits.back(), std::chrono::seconds(7));
  EXPECT_EQ(std::count(log.begin(), log.end(), "trouble"), 1);
}

TEST_F(WatcherTest, AWatchThatLastedIsResumedAtOnce) {
  lasts = std::chrono::seconds(300);
  transport.script = {Refused(), Ok(kList)};
  for (int i = 0; i < 10; ++i) transport.script.push_back(Ok(Event("BOOKMARK", "", "6")));
  Run();
  EXPECT_TRUE(waits.empty());
  EXPECT_EQ(std::count(log.begin(), log.end(), "listing"), 2) << "in a stream, and in pages";
}

// As after an etcd was restored: the API server is older than our version, and waits for it.
TEST_F(WatcherTest, AWatchThatDoesNotEvenSayHowFarItIsIsListedAnew) {
  lasts = std::chrono::seconds(130);
  transport.script = {Refused(), Ok(kList), Ok(""), Ok(kList)};
  Run();
  EXPECT_EQ(std::count(log.begin(), log.end(), "listed 5 1"), 2);
}

TEST_F(WatcherTest, SoIsOneThatTimesOut) {
  lasts = std::chrono::seconds(130);
  transport.script = {Refused(), Ok(kList), Error{ErrorKind::kUnavailable, "timed out", {}},
                      Ok(kList)};
  Run();
  EXPECT_EQ(std::count(log.begin(), log.end(), "listed 5 1"), 2);
}

TEST_F(WatcherTest, AWatchThatIsCutOffSoonIsResumedWhereItWas) {
  lasts = std::chrono::seconds(20);
  transport.script = {Refused(), Ok(kList), Ok(""), Ok("")};
  Run();
  EXPECT_EQ(std::count(log.begin(), log.end(), "listed 5 1"), 1);
}

TEST_F(WatcherTest, AnErrorEachTimeIsTriedEverMoreSeldomAndToldOnce) {
  transport.script = {Refused(), Ok(kList)};
  for (int i = 0; i < 8; ++i)
    transport.script.push_back(
        Ok("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"broken\"}}\n"));
  Run();
  ASSERT_EQ(waits.size(), 8u);
  EXPECT_GE(waits.back(), std::chrono::seconds(7));
  EXPECT_EQ(std::count(log.begin(), log.end(), "trouble"), 1);
}

TEST_F(WatcherTest, AHistoryThatIsGoneEachTimeIsListedEverMoreSeldom) {
  transport.script = {Refused()};
  for (int i = 0; i < 8; ++i) {
    transport.script.push_back(Ok(kList));
    transport.script.push_back(
        Ok("{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n"));
  }
  Run();
  ASSERT_EQ(waits.size(), 7u);
  EXPECT_GE(waits.back(), std::chrono::seconds(7));
}

// Whatever comes, the watch goes on, and what is right in it is delivered.
TEST_F(WatcherTest, WhatIsNotAnObjectOfTheApiIsNoReasonToEnd) {
  for (const char* line :
       {"[]", "7", "{}", "{\"object\":[]}", "{\"object\":{\"metadata\":[]}}",
        "{\"type\":{},\"object\":{\"metadata\":{\"name\":7,\"namespace\":[]}}}",
        "{\"type\":\"ERROR\",\"object\":{\"code\":\"x\",\"message\":{}}}", "\xFF\xFE"})
    transport.script.push_back(Ok(std::string(line) + "\n"));
  transport.script.push_back(Refused());
  for (const char* list : {"[]", "7", "{}", "{\"items\":{}}", "{\"metadata\":[],\"items\":[]}",
                           "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":7}"})
    transport.script.push_back(Ok(list));
  transport.script.push_back(
      Ok("{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[7,{},{\"metadata\":7},"
         "{\"metadata\":{\"name\":\"a\"}}]}"));
  Run();
  EXPECT_EQ(std::count(log.begin(), log.end(), "listed a"), 1);
  EXPECT_EQ(log.back(), "fine");
}

// Nobody waits for the end of such a stream, which may be minutes away.
TEST_F(WatcherTest, AStreamThatSendsWhatIsNoEventIsHungUpAndTheWatchGoesOn) {
  transport.script = {Refused(), Ok(kList), Ok("<html>\n"), Ok(kList), Ok("")};
  Run();
  EXPECT_EQ(transport.hung_up, 1 + 1) << "and once more when all is stopped";
  EXPECT_EQ(std::count(log.begin(), log.end(), "listed 5 1"), 2);
  EXPECT_EQ(log.back(), "fine");
}

TEST_F(WatcherTest, AnEventWithBytesThatAreNotUtf8IsAnEventLikeAnyOther) {
  transport.script = {Refused(), Ok(kList), Ok(Event("MODIFIED", "a\xFF", "9"))};
  Run();
  EXPECT_EQ(log.back(), "upsert a\xEF\xBF\xBD");
}

}  // namespace
}  // namespace spillway::kube
