// hack/simulate: the operator's core in a simulated cluster, from a seed.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "tests/simulation/shrink.h"

namespace {

using namespace spillway::simulation;
using Clock = std::chrono::steady_clock;

// In so many steps everything must have happened that can.
constexpr size_t kLong = 1'000'000;

struct Flags {
  uint64_t seed = 1, steps = 1'000'000, episode = 2'000, only = 0, from = 0;
  size_t lines = 400;
  int64_t shrink = 30, seconds = 0;
  std::string invariant;
  bool must_fail = false, go_on = false, counts = false;
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
  Print(trace, flags.lines);
  if (again.violation)
    std::printf("%s: %s\n", again.violation->invariant.c_str(), again.violation->message.c_str());
}

// What the run was to try and never did.
bool NeverHappened(const Flags& flags, const std::map<std::string, size_t>& happened,
                   size_t steps) {
  bool missing = false;
  for (const auto& [what, times] : happened) {
    if (times > 0 || flags.only != 0 || steps < kLong) continue;
    std::printf("never happened: %s\n", what.c_str());
    missing = true;
  }
  return missing;
}

int Run(const Flags& flags) {
  const auto begin = Clock::now();
  Digest digest;
  size_t steps = 0, turns = 0;
  std::map<std::string, size_t> happened;
  std::map<std::string, std::pair<size_t, std::string>> found;
  uint64_t index = std::max({flags.only, flags.from, uint64_t{1}});
  for (; steps < flags.steps; ++index) {
    Script script = Script::Make(flags.seed, index, flags.episode);
    script.only = flags.invariant;
    const Result result = Episode(script, nullptr).Run();
    digest.Add(result.digest);
    steps += result.steps;
    turns += result.turns;
    for (const auto& [what, times] : result.happened) happened[what] += times;
    if (result.violation && flags.go_on) {
      auto& [times, first] = found[result.violation->invariant];
      if (++times <= 3)
        first += "\n  episode " + std::to_string(index) + ": " + result.violation->message;
    } else if (result.violation) {
      std::printf("FAILED after %zu steps in %.1f s\n", steps, Since(begin));
      Explain(flags, script, index, *result.violation);
      return flags.must_fail ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (flags.only != 0) break;
    if (flags.seconds > 0 && Since(begin) > static_cast<double>(flags.seconds)) break;
  }
  for (const auto& [invariant, times] : found)
    std::printf("%s: %zu episodes%s\n", invariant.c_str(), times.first, times.second.c_str());
  std::printf("%zu steps (%zu turns of the core) in %.1f s, %.0f steps/s; %s\n", steps, turns,
              Since(begin), static_cast<double>(steps) / Since(begin),
              found.empty() ? "nothing found" : "FAILED");
  std::printf("digest %016" PRIx64 "\n", digest.value());
  if (flags.counts) {
    for (const auto& [what, times] : happened) std::printf("%8zu %s\n", times, what.c_str());
  }
  const bool missing = NeverHappened(flags, happened, steps);
  return flags.must_fail || missing || !found.empty() ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Runs the operator's core in a simulated cluster with faults, "
      "from a seed."};
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
  app.add_option("--lines", flags.lines, "How many of the last lines of the trace are printed.")
      ->capture_default_str();
  app.add_flag("--must-fail", flags.must_fail, "Succeeds only if something is found.");
  app.add_flag("--go-on", flags.go_on, "Counts what is found, and the first episodes of each.");
  app.add_flag("--counts", flags.counts, "Prints how often each thing has happened.");
  app.add_option("--only", flags.invariant, "Judges this invariant and no other.");
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}
