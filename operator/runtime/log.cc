#include "operator/runtime/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "operator/base/foreign_text.h"
#include "operator/base/time.h"

namespace spillway::runtime {

void InitLog(const std::string& level) {
  auto logger = spdlog::stderr_logger_mt("spillway");
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void Log(spdlog::level::level_enum level, const std::string& message,
         std::initializer_list<Field> fields) {
  if (!spdlog::should_log(level)) return;
  const auto now = std::chrono::floor<Duration>(std::chrono::system_clock::now());
  nlohmann::ordered_json line{{"level", spdlog::level::to_string_view(level).data()},
                              {"ts", FormatMicroTime(now)},
                              {"msg", Bounded(message, kMostMessage)}};
  for (const auto& [key, value] : fields) line[key] = Bounded(value, kMostMessage);
  spdlog::log(level, "{}", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace spillway::runtime
