#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

class WritesTest : public ClusterTest {
 protected:
  std::string Tasks() const {
    return "/apis/spillway.dev/v1alpha1/namespaces/" + ns + "/taskrequests";
  }

  // The tasks whose status said Assigned at some time since then: a pod that has not started within
  // three seconds is worth a write of its own.
  std::set<std::string> SlowToStart(const std::string& since) {
    std::set<std::string> out;
    std::istringstream events(cluster
                                  .Kubectl("get --raw '" + Tasks() +
                                           "?watch=1&timeoutSeconds=3&resourceVersion=" + since +
                                           "'")
                                  .second);
    for (std::string line; std::getline(events, line);) {
      const Json event = Json::parse(line, nullptr, false);
      if (At(event, "object.status.phase") == "Assigned")
        out.insert(At(event, "object.metadata.name"));
    }
    return out;
  }
};

struct Writes {
  std::map<std::string, int> of_kind, of_task;
};

// The API server's own record of what the operator wrote. Every task here has one attempt.
Writes AuditedWrites(const std::string& ns) {
  Writes out;
  std::istringstream lines(ReadAll(Env("SPILLWAY_TEST_DIR") + "/log/audit.log"));
  for (std::string line; std::getline(lines, line);) {
    const Json entry = Json::parse(line, nullptr, false);
    if (entry.is_discarded() || At(entry, "objectRef.namespace") != ns) continue;
    std::string resource = At(entry, "objectRef.resource");
    if (const std::string sub = At(entry, "objectRef.subresource"); !sub.empty())
      resource += "/" + sub;
    ++out.of_kind[At(entry, "verb") + " " + resource];
    const std::string name = At(entry, "objectRef.name");
    ++out.of_task[name.substr(0, name.find('-'))];
  }
  return out;
}

TEST_F(WritesTest, AFinishedTaskCostsAtMostThree) {
  AddServer("a", "64");
  const std::string before = At(cluster.Get(Tasks()), "metadata.resourceVersion");
  constexpr int kTasks = 50;
  for (int i = 0; i < kTasks; ++i) AddTask("t" + std::to_string(i), "2s", i % 10 == 0 ? 1 : 0);
  for (int i = 0; i < kTasks; ++i)
    ASSERT_TRUE(Reaches("t" + std::to_string(i), i % 10 == 0 ? "Failed" : "Succeeded", 60));
  std::this_thread::sleep_for(std::chrono::seconds(3));  // the audit log is written in batches
  const std::set<std::string> slow = SlowToStart(before);
  const Writes writes = AuditedWrites(ns);
  for (const auto& [what, count] : writes.of_kind) std::printf("%-28s %d\n", what.c_str(), count);
  std::printf("slow to start                %zu\n", slow.size());
  for (int i = 0; i < kTasks; ++i) {
    const std::string name = "t" + std::to_string(i);
    ASSERT_TRUE(writes.of_task.contains(name));
    EXPECT_GE(writes.of_task.at(name), 2)
        << name << ": a pod and a result, or they were not counted";
    EXPECT_LE(writes.of_task.at(name), slow.contains(name) ? 4 : 3) << name;
  }
}

}  // namespace
}  // namespace spillway::test
