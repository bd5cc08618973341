// Structured logs: one JSON object a line, keys as controller-runtime writes them.
#pragma once

#include <spdlog/common.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace spillway::runtime {

using Field = std::pair<const char*, std::string>;

// Level: debug, info, warn, error. Once, before the first Log.
void InitLog(const std::string& level);
// Thread-safe. Never pass a secret.
void Log(spdlog::level::level_enum level, const std::string& message,
         std::initializer_list<Field> fields = {});

inline void Info(const std::string& message, std::initializer_list<Field> fields = {}) {
  Log(spdlog::level::info, message, fields);
}
inline void Warn(const std::string& message, std::initializer_list<Field> fields = {}) {
  Log(spdlog::level::warn, message, fields);
}
inline void Fail(const std::string& message, std::initializer_list<Field> fields = {}) {
  Log(spdlog::level::err, message, fields);
}

}  // namespace spillway::runtime
