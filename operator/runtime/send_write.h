// A write as requests to the API server, and what comes of their answers. No threads, retries or
// clock, so that the simulator writes by the same code.
#pragma once

#include <stop_token>

#include "operator/core/events.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

// Tries it once. A creation that meets an object reads whose it is: what follows depends on that.
core::Outcome SendWrite(const core::Write& write, kube::Transport& transport, std::stop_token stop);

}  // namespace spillway::runtime
