// Structured logs: one JSON object a line for each thing that happens, keys as controller-runtime
// writes them, verbosity as klog counts it:
//   0  starts, leadership, what an admin must see; errors and warnings as well
//   1  purchases
//   2  what tasks do (the default)
//   4  every write   6  every request
// A line that speaks of a task has namespace, task, uid and attempt (0: none yet).
#pragma once

#include <spdlog/common.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace spillway::runtime {

struct Field {
  const char* key;
  std::variant<std::string, int64_t> value;
};
using Fields = std::vector<Field>;

inline constexpr int kDefaultVerbosity = 2;

// Level: debug (which is verbosity 4 at least), info, warn or error: what is below is left out.
// Once, before the first Log.
void InitLog(const std::string& level, int verbosity = kDefaultVerbosity);
// Whether lines of that verbosity are written. Ask before making fields that cost time.
bool LogsAt(int verbosity);
// The line, without its end. verbosity: of info alone.
std::string LogLine(spdlog::level::level_enum level, int verbosity, const std::string& message,
                    const Fields& fields);
// Thread-safe. Never pass a secret.
void Log(spdlog::level::level_enum level, int verbosity, const std::string& message,
         const Fields& fields = {});

inline void InfoAt(int verbosity, const std::string& message, const Fields& fields = {}) {
  Log(spdlog::level::info, verbosity, message, fields);
}
inline void Info(const std::string& message, const Fields& fields = {}) {
  Log(spdlog::level::info, 0, message, fields);
}
inline void Warn(const std::string& message, const Fields& fields = {}) {
  Log(spdlog::level::warn, 0, message, fields);
}
inline void Fail(const std::string& message, const Fields& fields = {}) {
  Log(spdlog::level::err, 0, message, fields);
}

}  // namespace spillway::runtime
