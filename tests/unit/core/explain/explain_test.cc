#include "operator/core/explain/explain.h"

#include <gtest/gtest.h>

#include "tests/unit/core/api_model.h"

namespace spillway::core {
namespace {

using std::chrono::seconds;

api::Explanation ExplainTask(ApiModel& api, const std::string& name) {
  api.Advance(seconds(1));
  const auto& task = api.world().tasks.by_key.at("ns/" + name);
  return task.object.status.explanation ? *task.object.status.explanation : api::Explanation{};
}

TEST(ExplainTest, CountsServersByTheTestThatFailed) {
  ApiModel api;
  api.AddServer("a", "1");
  api.AddServer("b", "1");
  api.AddServer("c", "8");
  api.servers["c"].spec.cordoned = true;
  api.Change(api.servers["c"]);
  api.AddTask("t", api::Json::object(), "2");
  const auto why = ExplainTask(api, "t");
  EXPECT_EQ(why.summary,
            "0 of 3 servers fit: 2 insufficient cpu, 1 cordoned; no ServerPool exists, so no cloud "
            "server can be requested");
}

TEST(ExplainTest, SaysHowToRegisterAServerWhereThereIsNone) {
  ApiModel api;
  api.AddTask("t");
  api.AddTask("cloud", {{"placement", {{"policy", "CloudOnly"}}}});
  EXPECT_EQ(ExplainTask(api, "t").summary,
            "no server is registered (kubectl label node <node> spillway.dev/register=true); no "
            "ServerPool exists, so no cloud server can be requested");
  EXPECT_EQ(ExplainTask(api, "cloud").summary,
            "no server is registered; no ServerPool exists, so no cloud server can be requested");
}

TEST(ExplainTest, SaysAgainWhyATaskWaitsWhosePriorityClassIsBack) {
  ApiModel api;
  api.AddServer("s1", "1");
  api.Occupy();
  api.AddPriorityClass("urgent", 10);
  api.AddTask("t", {{"priorityClassName", "urgent"}});
  api.Advance(seconds(10));
  const std::string before = api.Says("t");
  api.Remove(api.classes, "urgent");
  api.Advance(seconds(10));
  EXPECT_EQ(api.Says("t"),
            "PriorityClass urgent does not exist; create it, or change spec.priorityClassName");
  EXPECT_EQ(api.Summary("t"), "") << "there is more to it only once it has its class";
  api.AddPriorityClass("urgent", 10);
  api.Advance(seconds(30));
  EXPECT_EQ(api.Says("t"), before);
  EXPECT_EQ(api.Summary("t"), before);
}

TEST(ExplainTest, SpreadsTheLookAtManyServersOverSteps) {
  ApiModel api;
  for (int i = 0; i < 2'000; ++i) api.AddServer("s" + std::to_string(i), "1");
  for (int i = 0; i < 20; ++i)
    api.AddTask("t" + std::to_string(i), api::Json::object(), std::to_string(2 + i));
  api.Advance(seconds(1));
  for (const auto& [key, task] : api.tasks) EXPECT_NE(task.status.explanation, nullptr) << key;
  EXPECT_GE(api.most_tested, 2'000u);
  EXPECT_LT(api.most_tested, kMostTested + 2 * 2'000);
}

TEST(ExplainTest, NamesTheNearestServerWithItsNumbers) {
  ApiModel api;
  api.AddServer("far", "1");
  api.AddServer("near", "3500m");
  api.AddTask("t", api::Json::object(), "4");
  const auto why = ExplainTask(api, "t");
  ASSERT_FALSE(why.servers.empty());
  EXPECT_EQ(why.servers[0].name, "near");
  EXPECT_EQ(why.servers[0].message, "requests 4 cpu, 3500m free (500m short)");
  EXPECT_EQ(why.nearest_fit, "would fit server near with cpu 3500m instead of 4");
}

TEST(ExplainTest, TellsFirstThatATaskIsLargerThanAllThereIs) {
  ApiModel api;
  api.AddServer("large", "16");
  api.AddServer("busy", "8");
  api.AddTask("other", api::Json::object(), "15");
  api.Settle();
  api.AddPool("p", "8");
  api.AddTask("t", api::Json::object(), "200");
  const auto why = ExplainTask(api, "t");
  EXPECT_TRUE(why.summary.starts_with(
      "requests 200 cpu; the largest server has 16, the largest pool 8: it will never fit; 0 of 2"))
      << why.summary;
  EXPECT_EQ(why.nearest_fit, "would fit server large with cpu 16 instead of 200");
}

TEST(ExplainTest, DoesNotSayNeverOfATaskThatWouldFitAnEmptyServer) {
  ApiModel api;
  api.AddServer("a", "16");
  api.AddTask("other", api::Json::object(), "15");
  api.Settle();
  api.AddTask("t", api::Json::object(), "16");
  const auto why = ExplainTask(api, "t");
  EXPECT_EQ(why.summary.find("never"), std::string::npos) << why.summary;
  EXPECT_EQ(why.nearest_fit, "would fit server a with cpu 1 instead of 16");
}

TEST(ExplainTest, NamesEachResourceOfWhichThereIsNotEnoughAnywhere) {
  ApiModel api;
  api.AddServer("a", "4");
  api.AddTask(
      "t",
      {{"placement", {{"policy", "LocalOnly"}}},
       {"template",
        {{"spec",
          api::Json::parse(
              R"({"containers":[{"resources":{"requests":{"cpu":"5","nvidia.com/gpu":"1"}}}]})")}}}});
  EXPECT_TRUE(ExplainTask(api, "t").summary.starts_with(
      "requests 5 cpu; the largest server has 4; requests 1 nvidia.com/gpu; the largest server has "
      "0: "
      "it will never fit"))
      << ExplainTask(api, "t").summary;
}

TEST(ExplainTest, TellsUntilWhenAPoolBacksOff) {
  ApiModel api;
  api.AddPool("p");
  api.AddTask("t");
  api.Settle();
  api.Remove(api.claims, api.claims.begin()->first);
  const auto first = ExplainTask(api, "t");
  ASSERT_EQ(first.pools.size(), 1u);
  EXPECT_TRUE(first.pools[0].message.starts_with("backing off until 2027-01-15T08:00:3"))
      << first.pools[0].message;
  EXPECT_EQ(ExplainTask(api, "t").pools[0].message, first.pools[0].message);
}

TEST(ExplainTest, DoesNotPromiseAFitThatAnotherTestWouldRefuse) {
  ApiModel api;
  api.AddServer("a", "3");
  api.AddTask(
      "t",
      {{"template",
        {{"spec",
          api::Json::parse(
              R"({"containers":[{"resources":{"requests":{"cpu":"4","nvidia.com/gpu":"1"}}}]})")}}}});
  EXPECT_EQ(ExplainTask(api, "t").nearest_fit, "");
}

TEST(ExplainTest, NamesEveryPoolAndWhyNot) {
  ApiModel api;
  api.AddPool("small", "1");
  api.AddTask("t", {{"placement", {{"pools", {"small", "missing"}}}}}, "2");
  const auto why = ExplainTask(api, "t");
  ASSERT_EQ(why.pools.size(), 2u);
  EXPECT_EQ(why.pools[0].reason, "ServerTooSmall");
  EXPECT_EQ(why.pools[1].reason, "PoolNotFound");
}

// They come last by their names.
TEST(ExplainTest, NamesFirstWhatIsWithThePoolsThatTheTaskNames) {
  ApiModel api;
  for (int i = 0; i < 8; ++i) api.AddPool("a" + std::to_string(i));
  api.AddPool("zero");
  api.pools["zero"].spec.max_servers = 0;
  api.Change(api.pools["zero"]);
  api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}, {"pools", {"zero", "nosuch"}}}}});
  const auto why = ExplainTask(api, "t");
  ASSERT_GE(why.pools.size(), 2u);
  EXPECT_EQ(why.pools[0].name, "zero");
  EXPECT_EQ(why.pools[1].name, "nosuch");
  EXPECT_EQ(
      why.summary,
      "no server is registered; pools: zero full (has 0 of at most 0 servers), nosuch not found "
      "(ServerPool nosuch does not exist), a0 of another pool, a1 of another pool, a2 of another "
      "pool, and 5 more");
}

TEST(ExplainTest, SaysUntilWhenAndAfterWhatTheNamedPoolHoldsOff) {
  ApiModel api;
  for (int i = 0; i < 8; ++i) api.AddPool("a" + std::to_string(i));
  api.AddPool("z");
  api.ensure_error = Invalid("node class nosuch not found");
  api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}, {"pools", {"z"}}}}});
  api.Advance(seconds(5));
  EXPECT_NE(ExplainTask(api, "t").summary.find("pools: z InvalidRequest (backing off until "),
            std::string::npos)
      << ExplainTask(api, "t").summary;
  EXPECT_NE(ExplainTask(api, "t").summary.find("node class nosuch not found"), std::string::npos);
}

TEST(ExplainTest, ShowsAllPoolsThatTheTaskNames) {
  ApiModel api;
  api::Json names = api::Json::array();
  for (int i = 0; i < 9; ++i) names.push_back("p" + std::to_string(i));
  api.AddPool("a");
  api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}, {"pools", names}}}});
  const auto why = ExplainTask(api, "t");
  EXPECT_EQ(why.pools.size(), 9u);
  for (const auto& verdict : why.pools) EXPECT_EQ(verdict.reason, "PoolNotFound") << verdict.name;
}

TEST(ExplainTest, NamesThePoolsThatMayBeAskedLaterInTheirOrderBeforeThoseThatNeverAre) {
  ApiModel api;
  for (int i = 0; i < 8; ++i) api.AddPool("a" + std::to_string(i), "1");
  for (const auto& [name, priority] : {std::pair("y", 1), std::pair("z", 2)}) {
    api.AddPool(name, "8", priority);
    api.pools[name].spec.max_servers = 0;
    api.Change(api.pools[name]);
  }
  api.AddTask("t", api::Json::object(), "4");
  const auto why = ExplainTask(api, "t");
  ASSERT_EQ(why.pools.size(), kMostVerdicts);
  EXPECT_EQ(why.pools[0].name, "z");
  EXPECT_EQ(why.pools[1].name, "y");
}

TEST(ExplainTest, NamesTheServerThatTheTaskSelectsBeforeThoseThatItDoesNot) {
  ApiModel api;
  for (int i = 0; i < 8; ++i) api.AddServer("a" + std::to_string(i));
  api.AddServer("z");
  api.servers["z"].spec.cordoned = true;
  api.Change(api.servers["z"]);
  api.nodes["z"].meta.labels["disk"] = "ssd";
  api.Change(api.nodes["z"]);
  api.AddTask(
      "t",
      {{"template",
        {{"spec", {{"containers", {{{"name", "c"}}}}, {"nodeSelector", {{"disk", "ssd"}}}}}}}});
  const auto why = ExplainTask(api, "t");
  ASSERT_EQ(why.servers.size(), kMostVerdicts);
  EXPECT_EQ(why.servers[0].name, "z");
}

TEST(ExplainTest, ProposesThePoolThatTheTaskNamesWhereOthersWouldCostNoMoreChange) {
  ApiModel api;
  for (const char* name : {"a", "z"}) api.AddPool(name, "2");
  api.AddTask("t", {{"placement", {{"policy", "CloudOnly"}, {"pools", {"z"}}}}}, "4");
  EXPECT_EQ(ExplainTask(api, "t").nearest_fit,
            "would fit a server of pool z with cpu 2 instead of 4");
}

TEST(ExplainTest, StaysBounded) {
  ApiModel api;
  for (int i = 0; i < 200; ++i) api.AddServer("s" + std::to_string(i), "1");
  api.AddTask("t", api::Json::object(), "2");
  const auto why = ExplainTask(api, "t");
  EXPECT_EQ(why.servers.size(), kMostVerdicts);
  EXPECT_LT(why.summary.size(), 500u);
}

TEST(ExplainTest, IsGoneOnceTheTaskIsBound) {
  ApiModel api;
  api.AddTask("t");
  ASSERT_FALSE(ExplainTask(api, "t").summary.empty());
  api.AddServer("a", "1");
  api.Settle();
  api.SetPod("t-1", api::PodPhase::kRunning);
  api.Settle();
  EXPECT_EQ(api.Status("t").explanation, nullptr);
}

TEST(ExplainTest, IsWrittenOnceForATaskThatBindsAtOnce) {
  ApiModel api;
  api.AddServer("a", "1");
  api.AddTask("t");
  api.Settle();
  EXPECT_EQ(api.task_writes, 0);
}

TEST(ExplainTest, IsNotWrittenAgainWithoutNews) {
  ApiModel api;
  api.AddTask("t");
  for (int i = 0; i < 60; ++i) api.Advance(seconds(10));
  EXPECT_EQ(api.task_writes, 1);
}

TEST(ExplainTest, IsNotToldByWhatIsKnownWhileAWatchIsBroken) {
  ApiModel api;
  api.Settle();
  api.AddTask("t");
  api.Break(Kind::kServer);
  api.Advance(seconds(30));
  EXPECT_EQ(api.task_writes, 0);
  api.Resume(Kind::kServer);
  api.Advance(seconds(1));
  EXPECT_EQ(api.task_writes, 1);
}

TEST(ExplainTest, IsToldOnceTheServersAreListedAgain) {
  ApiModel api;
  api.Settle();
  api.AddTask("t");
  api.Break(Kind::kServer);
  api.AddServer("a", "500m");  // an event of the watch: it works again
  api.Advance(seconds(30));
  EXPECT_EQ(api.task_writes, 1);
}

TEST(ExplainTest, IsTheSameObjectForAsLongAsItSaysTheSame) {
  ApiModel api;
  api.AddServer("a", "500m");
  api.AddTask("t", {{"placement", {{"policy", "LocalOnly"}}}});
  api.Advance(seconds(5));
  const auto& shape = *api.world().tasks.by_key.at("ns/t").shape;
  const auto before = shape.explanation;
  ASSERT_NE(before, nullptr);
  api.Change(api.servers.at("a"));
  for (int i = 0; i < 120; ++i) api.Advance(seconds(10));
  EXPECT_GT(shape.explained_at, At(600));
  EXPECT_EQ(shape.explanation, before);
}

}  // namespace
}  // namespace spillway::core
