// Statuses that are refused, or not answered.
#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

class StatusesTest : public testing::Test {
 protected:
  StatusesTest() { api.AddServer("small", "1"); }

  ApiModel api;
};

TEST_F(StatusesTest, ANamespaceWhoseWritesHangDoesNotKeepOthersFromTelling) {
  api.statuses_hang_in = "hangs";
  for (int i = 0; i < 200; ++i) api.AddTask("t" + std::to_string(i), {}, "2", "hangs");
  api.Advance(seconds(30));
  api.AddTask("t", {}, "2", "other");
  api.Advance(seconds(30));
  const api::TaskStatus& status = api.tasks.at("other/t").status;
  EXPECT_EQ(status.phase, api::TaskPhase::kPending);
  EXPECT_NE(status.explanation, nullptr);
}

TEST_F(StatusesTest, ThoseThatWaitedForTheirNamespaceAreWrittenWhenItAnswersAgain) {
  api.status_error = Error{ErrorKind::kUnavailable, "failed calling webhook"};
  for (int i = 0; i < 200; ++i) api.AddTask("t" + std::to_string(i), {}, "2");
  api.Advance(seconds(30));
  api.status_error.reset();
  api.Advance(seconds(120));
  for (int i = 0; i < 200; ++i) EXPECT_EQ(api.Phase("t" + std::to_string(i)), "Pending") << i;
}

TEST_F(StatusesTest, OneThatIsRefusedForEverIsWrittenEverMoreSeldom) {
  for (const ErrorKind kind : {ErrorKind::kForbidden, ErrorKind::kConflict, ErrorKind::kNotFound,
                               ErrorKind::kUnavailable}) {
    ApiModel model;
    model.AddServer("small", "1");
    model.status_error = Error{kind, "refused"};
    model.AddTask("t", {}, "2");
    model.Advance(seconds(600));
    EXPECT_LT(model.task_writes, 40) << static_cast<int>(kind);
    model.status_error.reset();
    model.Advance(seconds(120));
    if (kind != ErrorKind::kNotFound) {
      EXPECT_EQ(model.Phase("t"), "Pending");
    }
  }
}

}  // namespace
}  // namespace spillway::core
