#include "operator/kube/watcher.h"

#include <gtest/gtest.h>

#include <deque>

namespace spillway::kube {
namespace {

// Answers from a script; stops the watch when it has ended.
class ScriptedTransport : public Transport {
 public:
  Result<Response> Send(const Request& request, std::stop_token) override {
    return Answer(request);
  }
  Result<Response> Stream(const Request& request, std::stop_token,
                          const std::function<void(std::string_view)>& piece) override {
    auto answer = Answer(request);
    if (answer && answer->status == 200) piece(answer->body);
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
  std::stop_source stop;
};

class WatcherTest : public testing::Test {
 protected:
  void Run() {
    WatchSink sink;
    sink.event = [&](WatchEvent what, const Json& object) {
      const char* names[] = {"listed", "upsert", "delete", "bookmark"};
      log.push_back(std::string(names[static_cast<int>(what)]) + " " +
                    object["metadata"].value("name", ""));
    };
    sink.listed = [&](int64_t version, std::set<std::string> keys) {
      log.push_back("listed " + std::to_string(version) + " " + std::to_string(keys.size()));
    };
    sink.listing = [&] { log.push_back("listing"); };
    sink.trouble = [&](const std::optional<Error>& error) {
      log.push_back(error ? "trouble" : "fine");
    };
    Watch(transport, {kPods, "", false, 2}, sink, transport.stop.get_token());
  }
  static Result<Response> Ok(const std::string& body) { return Response{200, body, std::nullopt}; }

  // An API server that lists only in pages.
  static Result<Response> Refused() { return Response{422, "{}", std::nullopt}; }

  ScriptedTransport transport;
  std::vector<std::string> log;
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

}  // namespace
}  // namespace spillway::kube
