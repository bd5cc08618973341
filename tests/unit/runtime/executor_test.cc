#include "operator/runtime/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "tests/unit/runtime/idle_engine.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;
using kube::Request;
using kube::Response;
using testing::HasSubstr;

// Answers by a function of the request; may be held.
class FakeTransport : public kube::Transport {
 public:
  Result<Response> Send(const Request& request, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    requests.push_back(request);
    changed_.notify_all();
    if (held && held(request)) {
      changed_.wait(lock, stop, [] { return false; });
      return Error{ErrorKind::kCancelled, "stopped"};
    }
    return answer(request);
  }
  Result<Response> Stream(const Request&, std::stop_token,
                          const std::function<void(std::string_view)>&) override {
    return Error{ErrorKind::kUnavailable, ""};
  }

  void AwaitRequest() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !requests.empty(); });
  }

  std::function<bool(const Request&)> held;
  std::function<Result<Response>(const Request&)> answer = [](const Request&) {
    return Response{200, "{}", std::nullopt};
  };
  std::vector<Request> requests;

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
};

class ThrowingEngine : public IdleEngine {
 public:
  Result<cloud::Ensured> Ensure(const std::string&, const std::string&, const api::ServerPool&,
                                std::stop_token) override {
    throw std::runtime_error("no engine");
  }
};

class ExecutorTest : public testing::Test {
 protected:
  void Push(core::Effect effect) {
    std::vector<core::Effect> effects;
    effects.push_back(std::move(effect));
    executor.Push(std::move(effects));
  }
  core::Outcome NextOutcome() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !reports_.empty(); });
    core::Outcome out = std::get<core::Outcome>(reports_.front());
    reports_.pop_front();
    return out;
  }
  static core::Write Write(Verb verb, Kind kind, const std::string& ns, const std::string& name) {
    core::Write write;
    write.verb = verb;
    write.kind = kind;
    write.ns = ns;
    write.name = name;
    write.body = api::Json::object();
    return write;
  }
  // Of a template that is no object where one must be.
  static core::Write BrokenPod() {
    core::Write write = Write(Verb::kCreate, Kind::kPod, "ns", "broken-1");
    write.pod = core::PodOrder{
        std::make_shared<const std::string>(R"({"metadata":{"labels":"none"},"spec":{}})"),
        "broken", std::make_shared<const api::Assignment>()};
    return write;
  }

  FakeTransport transport;
  cloud::Engines engines;
  Metrics metrics;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<core::Event> reports_;
  Executor executor{transport, engines, metrics, "me", 8, [this](core::Event event) {
                      const std::lock_guard lock(mutex_);
                      reports_.push_back(std::move(event));
                      changed_.notify_all();
                    }};
};

TEST_F(ExecutorTest, AnExceptionIsToldToTheObjectAndTheRestGoesOn) {
  executor.Start();
  Push(BrokenPod());
  const core::Outcome broken = NextOutcome();
  EXPECT_EQ(broken.key, "ns/broken-1");
  ASSERT_TRUE(broken.error);
  EXPECT_EQ(broken.error->kind, ErrorKind::kInvalid);
  engines.Add(std::make_unique<ThrowingEngine>());
  core::AskCloud ask;
  ask.pool.spec.engine = "fake";
  Push(ask);
  EXPECT_THAT(NextOutcome().error->message, HasSubstr("no engine"));
  Push(Write(Verb::kDelete, Kind::kPod, "ns", "good"));
  EXPECT_FALSE(NextOutcome().error);
}

TEST_F(ExecutorTest, ARefusalOf290KilobytesWithACharacterAtTheCutIsReportedBounded) {
  std::string message(1023, 'x');
  while (message.size() < 290'000) message += "ü";
  transport.answer = [&](const Request& request) -> Result<Response> {
    if (request.path.find("/events") != std::string::npos) return Response{201, "{}", {}};
    return Response{403, api::Json{{"message", message}}.dump(), {}};
  };
  executor.Start();
  Push(Write(Verb::kPatchStatus, Kind::kTask, "ns", "t"));
  const core::Outcome outcome = NextOutcome();
  ASSERT_TRUE(outcome.error);
  EXPECT_LE(outcome.error->message.size(), 8192u);
  Push(core::Note{Kind::kTask, "ns", "t", "u", true, "Refused", message});
  Push(Write(Verb::kDelete, Kind::kPod, "ns", "p"));
  EXPECT_EQ(NextOutcome().key, "ns/p");
}

TEST_F(ExecutorTest, ANamespaceThatHangsDoesNotKeepOthersWaiting) {
  transport.held = [](const Request& request) {
    return request.path.find("/namespaces/hangs/") != std::string::npos;
  };
  executor.Start();
  for (int i = 0; i < 50; ++i)
    Push(Write(Verb::kDelete, Kind::kPod, "hangs", "p" + std::to_string(i)));
  for (int i = 0; i < 50; ++i)
    Push(Write(Verb::kDelete, Kind::kPod, "other", "p" + std::to_string(i)));
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(NextOutcome().key.starts_with("other/"));
}

TEST_F(ExecutorTest, APodThatCannotBeMadeIsReportedAfterOneMoreTry) {
  transport.answer = [](const Request&) {
    return Response{500, R"({"message":"failed calling webhook \"x\": timeout"})", {}};
  };
  executor.Start();
  Push(Write(Verb::kCreate, Kind::kPod, "ns", "p-1"));
  const core::Outcome outcome = NextOutcome();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind, ErrorKind::kUnavailable);
  EXPECT_THAT(outcome.error->message, HasSubstr("failed calling webhook"));
  EXPECT_EQ(transport.requests.size(), 2u);
}

// What is logged while it lives.
class Captured {
 public:
  Captured() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_pattern("%v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~Captured() { spdlog::set_default_logger(before_); }
  std::vector<api::Json> Lines() const {
    std::vector<api::Json> out;
    std::istringstream lines(text_.str());
    for (std::string line; std::getline(lines, line);) out.push_back(api::Json::parse(line));
    return out;
  }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(ExecutorTest, ARefusalIsLoggedOnceForEachChangeWithTheTasksUidAndAttempt) {
  std::string message = "denied: 1 of 4 used";
  transport.answer = [&](const Request&) {
    return Response{403, api::Json{{"message", message}}.dump(), {}};
  };
  const Captured captured;
  executor.Start();
  core::Write status = Write(Verb::kPatchStatus, Kind::kTask, "ns", "t");
  status.uid = "u-1";
  status.body = {{"assignment", {{"attempt", 2}}}};
  for (const char* said : {"denied: 1 of 4 used", "denied: 2 of 4 used", "no more than that"}) {
    message = said;
    Push(status);
    (void)NextOutcome();
  }
  ASSERT_TRUE(executor.Stop(std::chrono::seconds(60)));
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 2u);
  for (const api::Json& line : lines) {
    EXPECT_EQ(line.at("uid"), "u-1");
    EXPECT_EQ(line.at("attempt"), 2);
    EXPECT_EQ(line.at("task"), "t");
    EXPECT_EQ(line.at("level"), "warning");
  }
}

TEST_F(ExecutorTest, EventsThatAreDroppedAreCountedAndInTheLogAndThatIsToldOnce) {
  const Captured captured;
  for (size_t i = 0; i < kMostNotes / 2 + 2; ++i)
    Push(core::Note{Kind::kTask, "ns", "t", std::to_string(i), true, "FailedCreate", "no quota"});
  const auto lines = captured.Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].at("uid"), std::to_string(kMostNotes / 2));
  EXPECT_THAT(std::string(lines[1].at("msg")), HasSubstr("dropping"));
  EXPECT_EQ(lines[2].at("msg"), "no quota");
  EXPECT_THAT(metrics.Text(), HasSubstr(R"(outcome="error",resource="events",verb="create"} 2)"));
}

TEST_F(ExecutorTest, StoppingWaitsForWhatIsInFlightAndSaysWhatWasGivenUp) {
  executor.Start();
  Push(Write(Verb::kDelete, Kind::kPod, "ns", "p"));
  (void)NextOutcome();
  EXPECT_TRUE(executor.Stop(std::chrono::seconds(60)));
}

TEST_F(ExecutorTest, StoppingGivesUpWhatHangs) {
  transport.held = [](const Request&) { return true; };
  executor.Start();
  Push(Write(Verb::kDelete, Kind::kPod, "ns", "p"));
  transport.AwaitRequest();
  EXPECT_FALSE(executor.Stop(std::chrono::milliseconds(1)));
}

}  // namespace
}  // namespace spillway::runtime
