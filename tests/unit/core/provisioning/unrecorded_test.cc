// What is bought in a namespace whose statuses are not answered any more.
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using api::Json;
using std::chrono::seconds;

const Json kOnce{{"lossLimit", 0}};

class UnrecordedTest : public testing::Test {
 protected:
  UnrecordedTest() {
    api.AddServer("s1");
    api.AddPool("p");
    api.pools.at("p").spec.idle_before_release = seconds(15);
    api.Change(api.pools.at("p"));
  }
  // For task t, that is. Its server has not joined when no status can tell of anything for a while.
  void Buy(Json spec) {
    api.AddTask("t", std::move(spec), "8");
    api.Settle();
    ASSERT_EQ(api.scales_made, 1);
    api.statuses_hang_in = "ns";
    for (const char* name : {"a", "b", "c", "d"}) {
      api.AddTask(name, {{"retry", kOnce}, {"placement", {{"policy", "LocalOnly"}}}});
      AdvanceUntil([&] { return api.now < tenant().unrecorded_until; });
      if (*name != 'd') AdvanceUntil([&] { return api.now >= tenant().unrecorded_until; });
    }
    ASSERT_GE(tenant().unrecorded_until, api.now + seconds(40));
  }
  void AdvanceUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 200 && !done(); ++i) api.Advance(seconds(1));
    ASSERT_TRUE(done());
  }
  const Tenant& tenant() const { return api.world().scheduling.tenants.at("ns"); }
  bool IsQueued() const { return api.world().tasks.by_key.at("ns/t").queued.has_value(); }
  ApiModel api;
};

TEST_F(UnrecordedTest, WhatWasIdleMeanwhileCountsForATaskThatMustNotRunTwice) {
  Buy({{"retry", kOnce}});
  api.ProvideServer("n");
  api.Advance(seconds(20));
  EXPECT_FALSE(IsQueued());
  EXPECT_TRUE(api.claims.empty());
  AdvanceUntil([&] { return api.now >= tenant().unrecorded_until; });
  EXPECT_TRUE(IsQueued());
  EXPECT_EQ(api.scales_made, 1);
}

// It waited for something else.
TEST_F(UnrecordedTest, WhatWasIdleMeanwhileDoesNotCountForATaskThatMayBeLost) {
  api.AddPriorityClass("c", 0);
  Buy({{"priorityClassName", "c"}});
  api.Remove(api.classes, "c");
  api.Change(api.tasks.at("ns/t"));
  api.ProvideServer("n");
  api.Advance(seconds(20));
  EXPECT_FALSE(IsQueued());
  EXPECT_TRUE(api.claims.empty());
  api.AddPriorityClass("c", 0);
  api.Settle();
  EXPECT_TRUE(IsQueued());
  EXPECT_EQ(api.scales_made, 2);
}

}  // namespace
}  // namespace spillway::core
