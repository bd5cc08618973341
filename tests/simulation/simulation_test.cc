#include <gtest/gtest.h>

#include <algorithm>

#include "tests/simulation/shrink.h"

namespace spillway::simulation {
namespace {

TEST(SimulationTest, TheSameSeedGivesTheSameRun) {
  for (uint64_t episode = 1; episode <= 8; ++episode) {
    const Script script = Script::Make(42, episode, 500);
    std::vector<std::string> trace;
    const Result one = Episode(script, nullptr).Run(), other = Episode(script, &trace).Run();
    EXPECT_EQ(one.digest, other.digest) << "a trace must not change what happens";
    EXPECT_EQ(one.steps, other.steps);
  }
}

// What is read from bytes is what was written, in whatever pieces it comes.
TEST(SimulationTest, AnEpisodeWithoutFaultsIsTheSameThroughBytes) {
  int compared = 0;
  for (uint64_t episode = 1; episode <= 60; ++episode) {
    Script script = Script::Make(42, episode, 500);
    if (script.seed % 4 != 0) continue;
    script.reads = Reads::kObjects;
    const Result objects = Episode(script, nullptr).Run();
    script.reads = Reads::kBytes;
    const Result bytes = Episode(script, nullptr).Run();
    EXPECT_EQ(objects.digest, bytes.digest) << "episode " << episode;
    ++compared;
  }
  EXPECT_GE(compared, 8);
}

TEST(SimulationTest, AnotherSeedGivesAnotherRun) {
  EXPECT_NE(Episode(Script::Make(1, 1, 500), nullptr).Run().digest,
            Episode(Script::Make(2, 1, 500), nullptr).Run().digest);
  EXPECT_NE(Script::Make(1, 2, 1).seed, Script::Make(2, 1, 1).seed);
}

TEST(SimulationTest, AScriptIsShrunkToTheStepsThatMatter) {
  const Script script = Script::Make(7, 1, 1'000);
  const uint64_t one = script.steps[100], other = script.steps[900];
  const auto fails = [&](const Script& candidate) {
    const auto has = [&](uint64_t step) {
      return std::find(candidate.steps.begin(), candidate.steps.end(), step) !=
             candidate.steps.end();
    };
    return has(one) && has(other);
  };
  const Script shrunk = Shrink(script, fails, std::chrono::seconds(60));
  EXPECT_EQ(shrunk.steps, (std::vector<uint64_t>{one, other}));
}

}  // namespace
}  // namespace spillway::simulation
