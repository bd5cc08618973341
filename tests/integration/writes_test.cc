#include <thread>

#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

using WritesTest = ClusterTest;

// The API server's own record of what the operator wrote.
std::map<std::string, int> AuditedWrites(const std::string& ns) {
  std::map<std::string, int> out;
  std::istringstream lines(ReadAll(Env("SPILLWAY_TEST_DIR") + "/log/audit.log"));
  for (std::string line; std::getline(lines, line);) {
    const Json entry = Json::parse(line, nullptr, false);
    if (entry.is_discarded() || At(entry, "objectRef.namespace") != ns) continue;
    std::string resource = At(entry, "objectRef.resource");
    if (const std::string sub = At(entry, "objectRef.subresource"); !sub.empty())
      resource += "/" + sub;
    ++out[At(entry, "verb") + " " + resource];
  }
  return out;
}

TEST_F(WritesTest, AFinishedTaskCostsAtMostThree) {
  AddServer("a", "64");
  constexpr int kTasks = 50;
  for (int i = 0; i < kTasks; ++i) AddTask("t" + std::to_string(i), "2s", i % 10 == 0 ? 1 : 0);
  for (int i = 0; i < kTasks; ++i)
    ASSERT_TRUE(Reaches("t" + std::to_string(i), i % 10 == 0 ? "Failed" : "Succeeded", 60));
  std::this_thread::sleep_for(std::chrono::seconds(3));  // the audit log is written in batches
  int total = 0;
  for (const auto& [what, count] : AuditedWrites(ns)) {
    std::printf("%-28s %d\n", what.c_str(), count);
    total += count;
  }
  std::printf("writes per finished task: %.2f\n", static_cast<double>(total) / kTasks);
  EXPECT_GE(total, 2 * kTasks) << "a pod and a result each: fewer means that they were not counted";
  EXPECT_LE(total, 3 * kTasks);
}

}  // namespace
}  // namespace spillway::test
