// What an admin sees from outside of a run in which most things happen: /metrics over TLS, and the
// log.
#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "operator/runtime/secure_metrics.h"
#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

// Names and labels as they stand in a line, and the value.
using Series = std::map<std::string, double>;

class ObservedTest : public ClusterTest {
 protected:
  static void SetUpTestSuite() {
    std::filesystem::create_directories(folder_);
    Renew();
    spillway = std::make_unique<Operator>(std::vector<std::string>{
        "-v", "4", "--leader-elect", "--leader-election-id", "observed", "--metrics-bind-address",
        Address(), "--metrics-secure", "--metrics-cert-path", folder_.string()});
    spillway->WaitUntilReady();
  }
  static void TearDownTestSuite() {
    spillway.reset();
    std::filesystem::remove_all(folder_);
    Cluster().Kubectl("-n spillway-system delete lease observed");
  }
  void TearDown() override {
    cluster.Kubectl("delete --ignore-not-found clusterrolebinding " + ns);
    ClusterTest::TearDown();
  }

  // A port that is most likely free.
  static std::string Address() { return "127.0.0.1:" + std::to_string(30'000 + getpid() % 10'000); }
  // A new pair in the folder; the certificate.
  static std::string Renew() {
    const auto made = runtime::SelfSignedCertificate();
    std::ofstream(folder_ / "tls.crt") << made->chain;
    std::ofstream(folder_ / "tls.key") << made->key;
    return made->chain;
  }

  // A service account's token; with the right to the metrics, or without.
  std::string Token(const std::string& account, bool allowed) {
    cluster.Kubectl("-n " + ns + " create serviceaccount " + account);
    if (allowed)
      cluster.Kubectl("create clusterrolebinding " + ns +
                      " --clusterrole=spillway-metrics-reader --serviceaccount=" + ns + ":" +
                      account);
    std::string token = cluster.Kubectl("-n " + ns + " create token " + account).second;
    token.erase(token.find_last_not_of(" \n") + 1);
    return token;
  }

  // The status, and the text.
  static std::pair<int, std::string> Ask(const std::string& token) {
    web::http::client::http_client_config config;
    config.set_validate_certificates(false);
    web::http::client::http_client client("https://" + Address(), config);
    web::http::http_request request(web::http::methods::GET);
    request.set_request_uri("/metrics");
    request.headers().add("Authorization", "Bearer " + token);
    const auto response = client.request(request).get();
    return {response.status_code(), response.extract_utf8string(true).get()};
  }
  static Series Scrape(const std::string& token) {
    Series out;
    std::istringstream lines(Ask(token).second);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line[0] == '#') continue;
      const size_t space = line.rfind(' ');
      out[line.substr(0, space)] = std::stod(line.substr(space + 1));
    }
    return out;
  }

  static inline const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("spillway-observed" + std::to_string(getpid()));
};

// Names of docs/metrics.md that are not there while nothing has happened that they tell of.
std::set<std::string> Missing(const Series& series) {
  std::set<std::string> out;
  std::ifstream page(Env("SPILLWAY_TEST_CRDS") + "/../docs/metrics.md");
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| `")) continue;
    const std::string name = line.substr(3, line.find('`', 3) - 3);
    const bool there = std::any_of(series.begin(), series.end(), [&](const auto& each) {
      const std::string found = each.first.substr(0, each.first.find('{'));
      return found == name || found == name + "_count";
    });
    if (!there) out.insert(name);
  }
  return out;
}

std::vector<Json> Lines(const std::string& log) {
  std::vector<Json> out;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) out.push_back(Json::parse(line));
  return out;
}

TEST_F(ObservedTest, EveryLineThatSpeaksOfATaskNamesItsUidAndAttempt) {
  AddServer("a");
  AddTask("seen-good", "1s", 0, {{"podTTLSeconds", 0}});
  AddTask("seen-bad", "1s", 3, {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  AddTask("seen-long", "600s");
  ASSERT_TRUE(Reaches("seen-long", "Running"));
  cluster.MergePatch(TaskPath("seen-long"), {{"spec", {{"cancel", true}}}});
  ASSERT_TRUE(Reaches("seen-bad", "Failed"));
  ASSERT_TRUE(Reaches("seen-long", "Cancelled"));
  ASSERT_TRUE(Eventually([&] { return Pods().size() == 2; })) << Pods().dump(1);
  std::map<std::string, int> told;
  for (const Json& line : Lines(spillway->log())) {
    if (line.dump().find("seen-") == std::string::npos) continue;
    const std::string task = line.value("task", "");
    ASSERT_TRUE(task.starts_with("seen-")) << line;
    EXPECT_EQ(line.value("namespace", ""), ns) << line;
    EXPECT_EQ(line.value("uid", ""), At(Get(task), "metadata.uid")) << line;
    EXPECT_TRUE(line.contains("attempt")) << line;
    ++told[line.value("msg", "")];
  }
  EXPECT_EQ(told["task bound"], 4);
  EXPECT_EQ(told["task ended"], 3);
}

TEST_F(ObservedTest, ARefusalIsToldOnceHoweverOftenItIsTriedAgain) {
  AddServer("a");
  AddTask("refused", "1s", 0, {{"pod", {{"serviceAccountName", "nobody"}}}});
  const auto count = [&](const std::string& text, const std::string& level) {
    int found = 0;
    for (const Json& line : Lines(spillway->log()))
      found += line.value("namespace", "") == ns && line.value("level", "") == level &&
               line.dump().find(text) != std::string::npos;
    return found;
  };
  ASSERT_TRUE(Eventually([&] { return count("try failed", "info") >= 3; })) << spillway->log();
  EXPECT_EQ(count("nobody", "warning"), 1);
}

TEST_F(ObservedTest, MetricsTellWhatHasHappened) {
  const std::string token = Token("prometheus", true);
  EXPECT_EQ(Ask(Token("somebody", false)).first, 403);
  EXPECT_EQ(Ask("nonsense").first, 401);
  ASSERT_EQ(Ask(token).first, 200);
  Renew();
  Series before = Scrape(token);  // other tests' tasks

  AddServer("local", "4");
  AddPool("pool");
  cluster.Create(
      "{apiVersion: spillway.dev/v1alpha1, kind: Budget, metadata: {name: all, namespace: " + ns +
      "}, spec: {amount: \"100\", action: Warn}}");
  AddTask("good");
  AddTask("bad", "1s", 3, {{"retry", {{"limit", 1}, {"backoffSeconds", 1}}}});
  AddTask("bought", "1s", 0, {{"placement", {{"policy", "CloudOnly"}}}});
  AddTask("refused", "1s", 0, {{"pod", {{"serviceAccountName", "nobody"}}}});
  ASSERT_TRUE(Reaches("good", "Succeeded"));
  ASSERT_TRUE(Reaches("bad", "Failed"));
  ASSERT_TRUE(Reaches("bought", "Succeeded", 60));
  ASSERT_TRUE(Eventually([&] { return NodeClaims().empty(); }, 60));

  const std::string pool = "pool=\"" + ServerName("pool") + "\"";
  const std::string budget = "namespace=\"" + ns + "\",budget=\"all\"";
  const Series expected{
      {"spillway_tasks_finished_total{origin=\"Local\",reason=\"Completed\",result=\"Succeeded\"}",
       1},
      {"spillway_tasks_finished_total{origin=\"Local\",reason=\"BackoffLimitExceeded\",result="
       "\"Failed\"}",
       1},
      {"spillway_tasks_finished_total{origin=\"Cloud\",reason=\"Completed\",result=\"Succeeded\"}",
       1},
      {"spillway_attempts_ended_total{origin=\"Local\",reason=\"Error\"}", 2},
      {"spillway_task_run_duration_seconds_count{origin=\"Local\",result=\"Succeeded\"}", 1},
      {"spillway_task_wait_duration_seconds_count{origin=\"Cloud\",result=\"Succeeded\"}", 1},
      {"spillway_task_bind_duration_seconds_count{origin=\"Cloud\"}", 1},
      {"spillway_pending_tasks{namespace=\"" + ns + "\",reason=\"FailedCreate\"}", 1},
      {"spillway_purchases_total{class=\"\",outcome=\"Ready\"," + pool + "}", 1},
      {"spillway_purchase_duration_seconds_count{outcome=\"Ready\"," + pool + "}", 1},
      {"spillway_cloud_servers_released_total{" + pool + "}", 1},
      {"spillway_pool_limit{" + pool + "}", 10},
      {"spillway_pool_price_per_hour{" + pool + "}", 0.4},
      {"spillway_budget_amount{" + budget + "}", 100}};
  Series now;
  EXPECT_TRUE(Eventually([&] {
    now = Scrape(token);
    return std::all_of(expected.begin(), expected.end(), [&](const auto& each) {
      return now.contains(each.first) && now[each.first] - before[each.first] == each.second;
    });
  }));
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(now.contains(name)) << name << " of\n" << Ask(token).second;
    EXPECT_EQ(now[name] - before[name], value) << name;
  }
  EXPECT_GT(now["spillway_cost_total{namespace=\"" + ns + "\"," + pool + "}"], 0);
  EXPECT_TRUE(
      Eventually([&] { return Scrape(token)["spillway_budget_spent{" + budget + "}"] > 0; }));
  EXPECT_EQ(now["leader_election_master_status{name=\"observed\"}"], 1);
  EXPECT_EQ(Missing(now), std::set<std::string>{"spillway_servers_used"}) << "nothing is measured";
  EXPECT_TRUE(Eventually(
      [&] { return spillway->log().find("metrics certificate renewed") != std::string::npos; }));
  EXPECT_EQ(Ask(token).first, 200);
}

}  // namespace
}  // namespace spillway::test
