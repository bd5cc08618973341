#include "operator/runtime/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>

#include "operator/base/foreign_text.h"
#include "operator/base/time.h"

namespace spillway::runtime {
namespace {

constexpr int kVerbosityOfDebug = 4;

// Like spdlog's own level, of the whole process.
std::atomic<int>& Verbosity() {
  static std::atomic<int> verbosity{kDefaultVerbosity};
  return verbosity;
}

// Built by hand: a tree of JSON for each line took longer than the decision that it tells.
void AppendText(std::string& line, const std::string& text) {
  const bool plain =
      text.size() <= kMostMessage && std::all_of(text.begin(), text.end(), [](char c) {
        return c >= ' ' && c <= '~' && c != '"' && c != '\\';
      });
  if (plain) {
    line += '"';
    line += text;
    line += '"';
  } else {
    line += nlohmann::json(Bounded(text, kMostMessage))
                .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
}

void AppendKey(std::string& line, const char* key) {
  line += ",\"";
  line += key;
  line += "\":";
}

}  // namespace

void InitLog(const std::string& level, int verbosity) {
  auto logger = spdlog::stderr_logger_mt("spillway");
  logger->set_pattern("%v");
  const bool debug = level == "debug";
  Verbosity() = debug ? std::max(verbosity, kVerbosityOfDebug) : verbosity;
  logger->set_level(debug ? spdlog::level::info : spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

bool LogsAt(int verbosity) {
  return verbosity <= Verbosity() && spdlog::should_log(spdlog::level::info);
}

std::string LogLine(spdlog::level::level_enum level, int verbosity, const std::string& message,
                    const Fields& fields) {
  const auto now = std::chrono::floor<Duration>(std::chrono::system_clock::now());
  std::string line = "{\"level\":";
  AppendText(line, spdlog::level::to_string_view(level).data());
  AppendKey(line, "ts");
  AppendText(line, FormatMicroTime(now));
  if (level == spdlog::level::info) {
    AppendKey(line, "v");
    line += std::to_string(verbosity);
  }
  AppendKey(line, "msg");
  AppendText(line, message);
  for (const auto& [key, value] : fields) {
    AppendKey(line, key);
    if (const auto* number = std::get_if<int64_t>(&value)) {
      line += std::to_string(*number);
    } else {
      AppendText(line, std::get<std::string>(value));
    }
  }
  return line += '}';
}

void Log(spdlog::level::level_enum level, int verbosity, const std::string& message,
         const Fields& fields) {
  if (level == spdlog::level::info ? !LogsAt(verbosity) : !spdlog::should_log(level)) return;
  spdlog::log(level, "{}", LogLine(level, verbosity, message, fields));
}

}  // namespace spillway::runtime
