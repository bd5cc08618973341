// hack/simulate: the operator's core in a simulated cluster, from a seed.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cinttypes>
#include <cstdio>

#include "tests/simulation/shrink.h"

namespace {

using namespace spillway::simulation;
using Clock = std::chrono::steady_clock;

struct Flags {
  uint64_t seed = 1, steps = 1'000'000, episode = 2'000, only = 0, from = 0;
  int64_t shrink = 30, seconds = 0;
  bool must_fail = false;
};

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void Print(const std::vector<std::string>& lines, size_t most) {
  const size_t skip = lines.size() > most ? lines.size() - most : 0;
  if (skip > 0) std::printf("… %zu lines before\n", skip);
  for (size_t i = skip; i < lines.size(); ++i) std::printf("%s\n", lines[i].c_str());
}

void Explain(const Flags& flags, const Script& script, uint64_t index, const Violation& found) {
  std::printf("seed %" PRIu64 ", episode %" PRIu64 ": %s: %s\n", flags.seed, index,
              found.invariant.c_str(), found.message.c_str());
  const auto fails = [&](const Script& candidate) {
    const Result result = Episode(candidate, nullptr).Run();
    return result.violation && result.violation->invariant == found.invariant;
  };
  const Script shorter = Shrink(script, fails, std::chrono::seconds(flags.shrink));
  std::vector<std::string> trace;
  const Result again = Episode(shorter, &trace).Run();
  std::printf("shrunk from %zu to %zu steps; replay it with --seed %" PRIu64 " --episode %" PRIu64
              "\n",
              script.steps.size(), shorter.steps.size(), flags.seed, index);
  Print(trace, 400);
  if (again.violation)
    std::printf("%s: %s\n", again.violation->invariant.c_str(), again.violation->message.c_str());
}

int Run(const Flags& flags) {
  const auto begin = Clock::now();
  Digest digest;
  size_t steps = 0, turns = 0;
  uint64_t index = std::max({flags.only, flags.from, uint64_t{1}});
  for (; steps < flags.steps; ++index) {
    const Script script = Script::Make(flags.seed, index, flags.episode);
    const Result result = Episode(script, nullptr).Run();
    digest.Add(result.digest);
    steps += result.steps;
    turns += result.turns;
    if (result.violation) {
      std::printf("FAILED after %zu steps in %.1f s\n", steps, Since(begin));
      Explain(flags, script, index, *result.violation);
      return flags.must_fail ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (flags.only != 0) break;
    if (flags.seconds > 0 && Since(begin) > static_cast<double>(flags.seconds)) break;
  }
  std::printf("%zu steps (%zu turns of the core) in %.1f s, %.0f steps/s; nothing found\n", steps,
              turns, Since(begin), static_cast<double>(steps) / Since(begin));
  std::printf("digest %016" PRIx64 "\n", digest.value());
  return flags.must_fail ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs the operator's core in a simulated cluster with faults, from a seed."};
  Flags flags;
  app.add_option("--seed", flags.seed, "The same seed gives the same run.")->capture_default_str();
  app.add_option("--steps", flags.steps, "At least so many steps.")->capture_default_str();
  app.add_option("--episode", flags.only, "Only this episode of the run (from 1).");
  app.add_option("--from-episode", flags.from, "Goes on from this episode of the run (from 1).");
  app.add_option("--episode-steps", flags.episode,
                 "Steps of an episode before it is left in peace.")
      ->capture_default_str();
  app.add_option("--seconds", flags.seconds, "Ends after about so long; 0: only by --steps.")
      ->capture_default_str();
  app.add_option("--shrink-seconds", flags.shrink, "How long a failure may be shrunk.")
      ->capture_default_str();
  app.add_flag("--must-fail", flags.must_fail, "Succeeds only if something is found.");
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}
