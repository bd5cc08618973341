// Carries out what the core asks of engines.
#pragma once

#include <optional>

#include "operator/cloud/engines.h"
#include "operator/core/events.h"

namespace spillway::runtime {

struct Asked {
  std::optional<Error> error;  // what is tried again, if it may pass
  core::Event report;          // for the core, if it is not
};
// Blocks. Thread-safe.
Asked Ask(const cloud::Engines& engines, const core::AskCloud& ask, std::stop_token stop);

// The order of what is observed of polled engines, which have no versions of their own: grows with
// each call in this process. Thread-safe.
int64_t NextObservation();

}  // namespace spillway::runtime
