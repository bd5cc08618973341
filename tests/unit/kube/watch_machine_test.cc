// The watch without threads: bytes, answers and times in, requests, waits and events out.
#include "operator/kube/watch_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace spillway::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Log = std::vector<std::string>;

Result<Response> Ok(const std::string& body = "") { return Response{200, body, std::nullopt}; }
Error Unavailable(const std::string& what) { return {ErrorKind::kUnavailable, what, std::nullopt}; }

std::string Line(const std::string& type, const std::string& name, const std::string& version) {
  return R"({"type":")" + type + R"(","object":{"metadata":{"name":")" + name +
         R"(","resourceVersion":")" + version + "\"}}}\n";
}
std::string EndOfList(const std::string& version) {
  return R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")" + version +
         R"(","annotations":{"k8s.io/initial-events-end":"true"}}}})"
         "\n";
}
std::string Page(const std::string& name, const std::string& next) {
  return R"({"metadata":{"resourceVersion":"5","continue":")" + next +
         R"("},"items":[{"metadata":{"name":")" + name + R"("}}]})";
}

// A machine, its clock, and what it has delivered.
class Driven {
 public:
  explicit Driven(bool optional = false) : target_{kPods, "", optional, 2} {
    sink_.event = [this](WatchEvent what, const Json& object) {
      const char* names[] = {"listed", "upsert", "delete", "bookmark"};
      log.push_back(std::string(names[static_cast<int>(what)]) + " " +
                    TextOf(PartOf(object, "metadata"), "name"));
    };
    sink_.listed = [this](int64_t version, std::set<std::string> keys) {
      log.push_back("all " + std::to_string(version) + " " + std::to_string(keys.size()));
    };
    sink_.listing = [this] { log.push_back("listing"); };
    sink_.trouble = [this](const std::optional<Error>& error) {
      log.push_back(error ? "trouble: " + error->message : "fine");
    };
  }

  // The next request, after whatever wait there is.
  WatchMachine::Call Next() {
    waited = milliseconds(0);
    while (true) {
      auto next = machine_.Begin(now);
      if (auto* call = std::get_if<WatchMachine::Call>(&next)) return *call;
      waited += std::get<WatchMachine::Wait>(next);
      now += std::get<WatchMachine::Wait>(next);
    }
  }
  // Whether it wants to read on.
  bool Feed(std::string_view bytes) { return machine_.Feed(bytes); }
  void End(const Result<Response>& answer, milliseconds lasted = seconds(60)) {
    machine_.End(answer, now += lasted);
  }
  // A whole stream, in pieces of that size.
  void Stream(std::string_view bytes, size_t piece = 1) {
    EXPECT_TRUE(Next().streams);
    for (size_t at = 0; at < bytes.size(); at += piece) Feed(bytes.substr(at, piece));
    End(Ok());
  }
  // Where the API server refuses to stream lists, one object.
  void ListInPages() {
    EXPECT_TRUE(Next().streams);
    End(Response{422, "{}", std::nullopt});
    EXPECT_FALSE(Next().streams);
    End(Ok(Page("a", "")));
    log.clear();
  }

  Log log;
  milliseconds waited{0};
  WatchMachine::Clock::time_point now{};

 private:
  WatchTarget target_;
  WatchSink sink_;
  WatchMachine machine_{target_, sink_, 1};
};

// Two objects, the end of the list, and what happens then.
std::string Session() {
  return Line("ADDED", "b", "7") + Line("ADDED", "a", "3") + EndOfList("8") +
         Line("MODIFIED", "a", "9") + Line("BOOKMARK", "", "11") + Line("DELETED", "b", "12");
}
const Log kSession = {"listing",  "listed b",  "listed a", "all 8 2",
                      "upsert a", "bookmark ", "delete b"};

TEST(WatchMachineTest, ItDoesNotMatterWhereAStreamIsCutIntoPieces) {
  for (size_t piece = 1; piece <= Session().size(); ++piece) {
    Driven watch;
    watch.Stream(Session(), piece);
    EXPECT_EQ(watch.log, kSession) << "in pieces of " << piece << " bytes";
    EXPECT_NE(watch.Next().request.path.find("resourceVersion=12&"), std::string::npos);
  }
}

// The connection ends after any byte; what comes afterwards is the rest.
TEST(WatchMachineTest, AWatchThatEndsInTheMiddleOfALineGoesOnAfterTheLastWholeOne) {
  const std::string list = Line("ADDED", "a", "3") + EndOfList("8");
  const std::vector<std::string> lines = {Line("MODIFIED", "a", "9"), Line("MODIFIED", "a", "10"),
                                          Line("DELETED", "a", "12")};
  const std::string all = lines[0] + lines[1] + lines[2];
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    Driven watch;
    EXPECT_TRUE(watch.Next().streams);
    watch.Feed(list + all.substr(0, cut));
    watch.End(Ok());
    const auto whole =
        static_cast<size_t>(std::count(all.begin(), all.begin() + static_cast<int>(cut), '\n'));
    const char* versions[] = {"=8&", "=9&", "=10&", "=12&"};
    EXPECT_NE(watch.Next().request.path.find(std::string("resourceVersion") + versions[whole]),
              std::string::npos)
        << "cut after " << cut << " bytes";
    for (size_t i = whole; i < lines.size(); ++i) watch.Feed(lines[i]);
    EXPECT_EQ(watch.log,
              (Log{"listing", "listed a", "all 8 1", "upsert a", "upsert a", "delete a"}))
        << "cut after " << cut << " bytes";
  }
}

TEST(WatchMachineTest, AStreamedListThatEndsAfterAnyByteIsBegunAnew) {
  const std::string list = Line("ADDED", "b", "7") + Line("ADDED", "a", "3") + EndOfList("8");
  for (size_t cut = 0; cut < list.size(); ++cut) {
    Driven watch;
    EXPECT_TRUE(watch.Next().streams);
    watch.Feed(list.substr(0, cut));
    watch.End(Ok());
    EXPECT_EQ(watch.log.back(), "trouble: the list ended before it was complete");
    EXPECT_NE(watch.Next().request.path.find("sendInitialEvents"), std::string::npos);
    EXPECT_GT(watch.waited, milliseconds(0));
    watch.Feed(list);
    EXPECT_EQ(Log(watch.log.end() - 4, watch.log.end()),
              (Log{"listed b", "listed a", "all 8 2", "fine"}));
  }
}

TEST(WatchMachineTest, PagesAreAskedForOneAfterTheOtherAtOnce) {
  Driven watch;
  watch.Next();
  watch.End(Response{422, "{}", std::nullopt});
  EXPECT_NE(watch.Next().request.path.find("pods?limit=2"), std::string::npos);
  watch.End(Ok(Page("a", "more")));
  EXPECT_NE(watch.Next().request.path.find("&continue=more"), std::string::npos);
  EXPECT_EQ(watch.waited, milliseconds(0));
  watch.End(Ok(Page("b", "")));
  EXPECT_EQ(watch.log, (Log{"listing", "listing", "listed a", "listed b", "all 5 2"}));
  EXPECT_NE(watch.Next().request.path.find("resourceVersion=5&"), std::string::npos);
}

TEST(WatchMachineTest, AListWhoseNextPageIsGoneBeginsWithItsFirst) {
  Driven watch;
  watch.Next();
  watch.End(Response{422, "{}", std::nullopt});
  watch.Next();
  watch.End(Ok(Page("a", "more")));
  watch.Next();
  watch.End(Response{410, "{}", std::nullopt});
  EXPECT_EQ(watch.Next().request.path.find("continue="), std::string::npos);
  watch.End(Ok(Page("b", "")));
  EXPECT_EQ(watch.log.back(), "all 5 1")
      << "what was on the page before need not be there any more";
}

TEST(WatchMachineTest, AHistoryThatIsGoneIsListedAnew) {
  Driven watch;
  watch.Stream(Session());
  watch.Next();
  watch.Feed("{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n");
  watch.End(Ok());
  EXPECT_NE(watch.Next().request.path.find("sendInitialEvents"), std::string::npos);
  EXPECT_EQ(watch.waited, milliseconds(0));
  EXPECT_EQ(watch.log.back(), "listing");
}

// The transport gives a silent connection up; what was known is asked for again soon after.
TEST(WatchMachineTest, ADeadWatchIsListedAnewWithin150Seconds) {
  Driven watch;
  watch.Stream(Session());
  watch.Next();
  const auto began = watch.now;
  watch.End(Unavailable("timed out"), kStreamSilence);
  EXPECT_NE(watch.Next().request.path.find("sendInitialEvents"), std::string::npos);
  EXPECT_LE(watch.now - began, seconds(150));
}

TEST(WatchMachineTest, OneLineIsEnoughToBeAlive) {
  Driven watch;
  watch.Stream(Session());
  watch.Next();
  watch.Feed(Line("BOOKMARK", "", "20"));
  watch.End(Unavailable("cut off"), kStreamSilence);
  EXPECT_NE(watch.Next().request.path.find("resourceVersion=20&"), std::string::npos);
}

TEST(WatchMachineTest, WaitsForAsLongAsItIsTold) {
  Driven watch;
  watch.Next();
  watch.End(Response{429, "{}", seconds(20)});
  watch.Next();
  EXPECT_EQ(watch.waited, seconds(20));
}

TEST(WatchMachineTest, WaitsEverLongerAndNeverForMoreThanAQuarterOfAMinute) {
  Driven watch;
  milliseconds longest{0};
  for (int i = 0; i < 20; ++i) {
    watch.Next();
    longest = std::max(longest, watch.waited);
    watch.End(Unavailable("refused"));
  }
  EXPECT_GE(longest, seconds(7));
  EXPECT_LE(longest, seconds(15));
}

TEST(WatchMachineTest, WhatMayBeMissingCountsAsEmptyUntilItIsThere) {
  Driven watch(true);
  watch.Next();
  watch.End(Response{404, "{}", std::nullopt});
  EXPECT_EQ(watch.log, (Log{"listing", "all 0 0"}));
  watch.Next();
  EXPECT_EQ(watch.waited, seconds(20));
  watch.Feed(Session());
  EXPECT_EQ(Log(watch.log.end() - 6, watch.log.end()), Log(kSession.begin() + 1, kSession.end()));
}

TEST(WatchMachineTest, TheFirstByteOfAWatchThatWorksAgainEndsTheTrouble) {
  Driven watch;
  watch.ListInPages();
  watch.Next();
  watch.End(Unavailable("cut off"), seconds(20));
  EXPECT_EQ(watch.log, (Log{"trouble: cut off"}));
  watch.Next();
  watch.Feed("{");
  EXPECT_EQ(watch.log, (Log{"trouble: cut off", "fine"}));
}

// What came with such a line is not known, and only a list tells.
TEST(WatchMachineTest, ALineThatIsNoEventEndsTheWatchAndAllIsListedAgain) {
  const std::string meta = R"("metadata":{"name":"a","resourceVersion":"20"})";
  const std::vector<std::string> lines = {"<html>",
                                          "{}",
                                          "[1]",
                                          "{\"type\":\"ADDED\"}",
                                          R"({"type":"ADDED","object":[]})",
                                          R"({"type":"ADDED","object":{}})",
                                          "{\"object\":{" + meta + "}}",
                                          R"({"type":"MOVED","object":{)" + meta + "}}",
                                          "{" + meta + "}"};
  for (const std::string& line : lines) {
    Driven watch;
    watch.Stream(Session());
    watch.Next();
    EXPECT_TRUE(watch.Feed(Line("MODIFIED", "a", "14")));
    EXPECT_FALSE(watch.Feed(line + "\n")) << line;
    EXPECT_FALSE(watch.Feed(Line("MODIFIED", "a", "15")));
    watch.End(Unavailable("hung up"), seconds(20));
    EXPECT_TRUE(watch.log.back().starts_with("trouble: the watch sent a line that is not an event"))
        << watch.log.back();
    EXPECT_EQ(watch.log.size(), kSession.size() + 2) << "of " << line;
    EXPECT_NE(watch.Next().request.path.find("sendInitialEvents"), std::string::npos);
    EXPECT_LE(watch.waited, milliseconds(500)) << "the first time";
  }
}

TEST(WatchMachineTest, AWatchThatIsGarbledAgainAndAgainIsWaitedForLonger) {
  Driven watch;
  milliseconds longest{0};
  for (int i = 0; i < 12; ++i) {
    watch.Next();
    longest = std::max(longest, watch.waited);
    EXPECT_TRUE(watch.Feed(Line("ADDED", "a", "3") + EndOfList("8")));
    EXPECT_FALSE(watch.Feed("nonsense\n"));
    watch.End(Ok());
  }
  EXPECT_GE(longest, seconds(7)) << "though its lists were complete";
  EXPECT_LE(longest, seconds(15));
  watch.Stream(Session());
  watch.Next();
  EXPECT_EQ(watch.waited, milliseconds(0));
  EXPECT_FALSE(watch.Feed("nonsense\n"));
  watch.End(Ok());
  watch.Next();
  EXPECT_LE(watch.waited, milliseconds(500)) << "once a watch was sound";
}

TEST(WatchMachineTest, AWatchThatTellsOfAnErrorIsNotReadOn) {
  Driven watch;
  watch.Stream(Session());
  watch.Next();
  EXPECT_FALSE(watch.Feed("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"x\"}}\n"));
  watch.End(Unavailable("hung up"));
  EXPECT_NE(watch.Next().request.path.find("resourceVersion=12&"), std::string::npos);
}

TEST(WatchMachineTest, AWatchThatClosesAtOnceIsResumedOnceAndThenWaitedFor) {
  Driven watch;
  watch.ListInPages();
  watch.Next();
  watch.End(Ok(), milliseconds(10));
  watch.Next();
  EXPECT_EQ(watch.waited, milliseconds(0));
  watch.End(Ok(), milliseconds(10));
  watch.Next();
  EXPECT_GT(watch.waited, milliseconds(0));
}

}  // namespace
}  // namespace spillway::kube
