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

// The lines of what one step of the core has brought. The end of an attempt that ended its task is
// told with that.
std::vector<Line> LinesOf(const std::vector<core::Milestone>& milestones);
// Of a Kubernetes Event, where no milestone tells the same.
std::optional<Line> LineOf(const core::Note& note);
// Whose task the effect is about: namespace, task, uid, attempt; empty if it is about none.
Fields TaskFields(const core::Effect& effect);
void WriteLines(const std::vector<Line>& lines);

}  // namespace spillway::runtime
