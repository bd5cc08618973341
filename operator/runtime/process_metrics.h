// The process metrics that every Prometheus client library has, from /proc.
#pragma once

#include "operator/runtime/gauges.h"

namespace spillway::runtime {

// Adds process_*; nothing where /proc cannot be read. Thread-safe.
void AddProcessMetrics(Gauges& out);

}  // namespace spillway::runtime
