// Serves the metrics of a small life of an operator (recorded.h) on a port, a round of it every
// second, for a Prometheus to scrape. Ends by a signal.
#include <chrono>
#include <cstdio>
#include <thread>

#include "operator/runtime/metrics.h"
#include "tests/dashboard/recorded.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: serve_metrics ADDRESS, such as 127.0.0.1:9201\n", stderr);
    return 2;
  }
  spillway::runtime::Metrics metrics("v0.0.0-recorded");
  if (const auto served = metrics.Serve(argv[1]); !served) {
    std::fprintf(stderr, "%s\n", served.error().message.c_str());
    return 1;
  }
  spillway::dashboard::Recorded recorded(metrics);
  for (;;) {
    recorded.Round();
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}
