#include "operator/runtime/await_task.h"

#include <gmock/gmock.h>

#include <vector>

namespace spillway::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Answers each request with the next of the responses, the last one for ever.
class AnsweringTransport : public kube::Transport {
 public:
  explicit AnsweringTransport(std::vector<kube::Response> responses)
      : responses_(std::move(responses)) {}

  Result<kube::Response> Send(const kube::Request& request, std::stop_token) override {
    path = request.path;
    const kube::Response response = responses_[at_];
    at_ = std::min(at_ + 1, responses_.size() - 1);
    return response;
  }
  Result<kube::Response> Stream(const kube::Request& request, std::stop_token stop,
                                const std::function<void(std::string_view)>&) override {
    return Send(request, stop);
  }

  std::string path;

 private:
  std::vector<kube::Response> responses_;
  size_t at_ = 0;
};

kube::Response Task(const std::string& status) {
  return {200, R"({"kind":"TaskRequest","metadata":{"uid":"u-1"},"status":)" + status + "}",
          std::nullopt};
}

struct Waited {
  Result<bool> result;
  std::vector<std::string> told;
  AwaitedTask task;
};

Waited Await(AnsweringTransport& transport) {
  std::vector<std::string> told;
  auto [result, task] =
      AwaitTask(transport, {"team", "hello", std::chrono::seconds(1), {}},
                [&](const std::string& line, const AwaitedTask&) { told.push_back(line); }, {});
  return {std::move(result), std::move(told), std::move(task)};
}

TEST(AwaitTask, TellsEachPhaseOnceAndEndsWithSuccess) {
  const std::string running =
      R"({"phase":"Running","conditions":[{"type":"Ready","message":"on server local-1"}]})";
  AnsweringTransport transport(
      {Task("{}"), Task(running), Task(running), Task(R"({"phase":"Succeeded"})")});
  const auto [result, told, task] = Await(transport);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(*result);
  EXPECT_THAT(told, ElementsAre("Running: on server local-1", "Succeeded"));
  EXPECT_EQ(transport.path, "/apis/spillway.dev/v1alpha1/namespaces/team/taskrequests/hello");
}

TEST(AwaitTask, IsFalseForATaskThatFailed) {
  AnsweringTransport transport({Task(R"({"phase":"Failed"})")});
  const auto [result, told, task] = Await(transport);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(*result);
}

TEST(AwaitTask, SaysWhatTheTaskWaitsForWhenTheTimeIsOver) {
  AnsweringTransport transport({Task(
      R"({"phase":"Pending","conditions":[{"type":"Ready","message":"no server is registered"}]})")});
  const auto [result, told, task] = Await(transport);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message, HasSubstr("after 1 s; Pending: no server is registered"));
}

TEST(AwaitTask, NamesTheTaskAndItsAttemptHoweverTheWaitingEnds) {
  AnsweringTransport none_yet({Task("{}")});
  EXPECT_EQ(Await(none_yet).task.uid, "u-1") << "nothing of it was ever told";
  AnsweringTransport second(
      {Task(R"({"phase":"Running","assignment":{"attempt":2}})"), {404, "{}", std::nullopt}});
  const Waited gone = Await(second);
  EXPECT_FALSE(gone.result.ok());
  EXPECT_EQ(gone.task.uid, "u-1");
  EXPECT_EQ(gone.task.attempt, 2);
}

TEST(AwaitTask, GivesUpAtOnceWhereThereIsNoSuchTask) {
  AnsweringTransport transport({{404, R"({"kind":"Status","message":"not found"})", std::nullopt}});
  const auto [result, told, task] = Await(transport);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kNotFound);
}

TEST(AwaitTask, OutlivesAnApiServerThatIsBusy) {
  AnsweringTransport transport(
      {{503, "busy", std::nullopt}, Task(R"({"phase":"Succeeded","conditions":"not a list"})")});
  const auto [result, told, task] = Await(transport);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(*result);
}

}  // namespace
}  // namespace spillway::runtime
