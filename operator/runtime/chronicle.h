// Tells what has happened: one line of the log for each thing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/core/events.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {

struct Line {
  spdlog::level::level_enum level = spdlog::level::info;
  int verbosity = 2;
  std::string message;
  Fields fields;
};

// The lines of one step of the core. The end of an attempt that ended its task is part of the
// task's line.
std::vector<Line> LinesOf(const std::vector<core::Milestone>& milestones);
// The line of a Kubernetes Event; nothing if a milestone says the same.
std::optional<Line> LineOf(const core::Note& note);
// Whose task the effect is about: namespace, task, uid, attempt; empty if it is about none.
Fields TaskFields(const core::Effect& effect);
void WriteLines(const std::vector<Line>& lines);

}  // namespace spillway::runtime
