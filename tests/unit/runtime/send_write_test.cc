#include "operator/runtime/send_write.h"

#include <gtest/gtest.h>

#include <deque>

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;
using kube::Response;

// Gives the answers in their order.
class Answers : public kube::Transport {
 public:
  explicit Answers(std::deque<Response> answers) : answers_(std::move(answers)) {}
  Result<Response> Send(const kube::Request& request, std::stop_token) override {
    sent.push_back(request.method + " " + request.path);
    Response next = answers_.front();
    answers_.pop_front();
    return next;
  }
  Result<Response> Stream(const kube::Request&, std::stop_token,
                          const std::function<void(std::string_view)>&) override {
    return Invalid("no write streams");
  }

  std::vector<std::string> sent;

 private:
  std::deque<Response> answers_;
};

core::Write Write(Verb verb, Kind kind) {
  core::Write write;
  write.verb = verb;
  write.kind = kind;
  write.ns = "ns";
  write.name = "p-1";
  write.uid = "u-1";
  write.body = api::Json::object();
  return write;
}

constexpr char kPod[] = R"({"metadata":{"name":"p-1","namespace":"ns","uid":"u-2"},
    "spec":{"nodeName":"n","tolerations":[{"key":"reserved","operator":"Exists"}]}})";
const Response kExists{409, R"({"reason":"AlreadyExists","message":"it is there"})", {}};

TEST(SendWriteTest, APodIsReportedWithWhatItWasAdmittedWith) {
  Answers answers({{201, kPod, {}}});
  const core::Outcome outcome = SendWrite(Write(Verb::kCreate, Kind::kPod), answers, {});
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.key, "ns/p-1");
  const auto& pod = std::get<api::Pod>(*outcome.object);
  EXPECT_EQ(pod.meta.uid, "u-2");
  ASSERT_EQ(pod.admitted->tolerations.size(), 1u);
  EXPECT_EQ(pod.admitted->tolerations[0].key, "reserved");
}

TEST(SendWriteTest, WhoseObjectWasThereFirstIsRead) {
  Answers answers({kExists, {200, kPod, {}}});
  const core::Outcome outcome = SendWrite(Write(Verb::kCreate, Kind::kPod), answers, {});
  EXPECT_EQ(outcome.error->kind, ErrorKind::kAlreadyExists);
  EXPECT_EQ(std::get<api::Pod>(*outcome.object).meta.uid, "u-2");
  EXPECT_EQ(answers.sent, (std::vector<std::string>{"POST /api/v1/namespaces/ns/pods",
                                                    "GET /api/v1/namespaces/ns/pods/p-1"}));
}

TEST(SendWriteTest, WhatWasThereAndIsGoneMayBeCreatedNow) {
  Answers answers({kExists, {404, R"({"reason":"NotFound","message":"gone"})", {}}});
  const core::Outcome outcome = SendWrite(Write(Verb::kCreate, Kind::kPod), answers, {});
  EXPECT_EQ(outcome.error->kind, ErrorKind::kUnavailable);
  EXPECT_FALSE(outcome.error->ambiguous);
  EXPECT_FALSE(outcome.object);
}

TEST(SendWriteTest, WhatWasThereAndCannotBeReadMayBeOurs) {
  Answers answers({kExists, {503, R"({"reason":"ServiceUnavailable","message":"later"})", {}}});
  const core::Outcome outcome = SendWrite(Write(Verb::kCreate, Kind::kPod), answers, {});
  EXPECT_TRUE(outcome.error->ambiguous);
}

TEST(SendWriteTest, TheDeletionOfAPodReportsHowItWas) {
  Answers answers({{200, kPod, {}}});
  core::Write write = Write(Verb::kDelete, Kind::kPod);
  write.uid = "u-2";
  const core::Outcome outcome = SendWrite(write, answers, {});
  EXPECT_FALSE(outcome.error);
  ASSERT_TRUE(outcome.object);
  EXPECT_EQ(std::get<api::Pod>(*outcome.object).node_name, "n");
}

TEST(SendWriteTest, NoOtherDeletionReportsAnObject) {
  constexpr char kDone[] = R"({"kind":"Status","status":"Success","details":{"uid":"u-1"}})";
  Answers answers({{200, kPod, {}}, {200, kDone, {}}, {200, kPod, {}}});
  EXPECT_FALSE(SendWrite(Write(Verb::kDelete, Kind::kPod), answers, {}).object) << "another uid";
  EXPECT_FALSE(SendWrite(Write(Verb::kDelete, Kind::kPod), answers, {}).object) << "a Status";
  EXPECT_FALSE(SendWrite(Write(Verb::kDelete, Kind::kServer), answers, {}).object);
}

TEST(SendWriteTest, AConflictIsReportedAsItIs) {
  Answers answers({{409, R"({"reason":"Conflict","message":"modified"})", {}}});
  const core::Outcome outcome = SendWrite(Write(Verb::kPatchStatus, Kind::kTask), answers, {});
  EXPECT_EQ(outcome.error->kind, ErrorKind::kConflict);
  EXPECT_EQ(outcome.error->message, "modified");
  EXPECT_EQ(answers.sent.size(), 1u);
}

}  // namespace
}  // namespace spillway::runtime
