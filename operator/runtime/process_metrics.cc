#include "operator/runtime/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace spillway::runtime {
namespace {

double ToSeconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// When the machine was booted, in seconds; 0 if that cannot be read.
double BootTime() {
  std::ifstream stat("/proc/stat");
  for (std::string word; stat >> word;) {
    double time = 0;
    if (word == "btime" && stat >> time) return time;
  }
  return 0;
}

void AddStat(Gauges& out) {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  // The second field is the program's name, in parentheses, and may hold anything.
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return;
  std::istringstream fields(text.substr(end + 1));
  std::string skipped;
  for (int field = 3; field < 20; ++field) fields >> skipped;
  double threads = 0, started = 0, size = 0, pages = 0;
  fields >> threads >> skipped >> started >> size >> pages;
  if (!fields) return;
  const double boot = BootTime();
  out.Add("process_virtual_memory_bytes", "Virtual memory size in bytes.", {}, size);
  out.Add("process_resident_memory_bytes", "Resident memory size in bytes.", {},
          pages * static_cast<double>(sysconf(_SC_PAGESIZE)));
  out.Add("process_threads", "Number of threads.", {}, threads);
  if (boot > 0)
    out.Add("process_start_time_seconds", "Start time of the process since the epoch.", {},
            boot + started / static_cast<double>(sysconf(_SC_CLK_TCK)));
}

}  // namespace

void AddProcessMetrics(Gauges& out) {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    out.Add("process_cpu_seconds_total", "User and system CPU time in seconds.", {},
            ToSeconds(usage.ru_utime) + ToSeconds(usage.ru_stime), prometheus::MetricType::Counter);
  AddStat(out);
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  if (!error)
    out.Add("process_open_fds", "Number of open file descriptors.", {},
            static_cast<double>(std::distance(open, std::filesystem::directory_iterator())));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    out.Add("process_max_fds", "Maximum number of open file descriptors.", {},
            static_cast<double>(limit.rlim_cur));
}

}  // namespace spillway::runtime
