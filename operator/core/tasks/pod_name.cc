#include "operator/core/tasks/pod_name.h"

#include <charconv>

namespace spillway::core {

std::string PodName(const std::string& task, int64_t attempt) {
  return task + "-" + std::to_string(attempt);
}

int64_t AttemptOf(std::string_view task, std::string_view pod) {
  if (!pod.starts_with(task) || pod.size() < task.size() + 2 || pod[task.size()] != '-') return 0;
  const std::string_view digits = pod.substr(task.size() + 1);
  constexpr size_t kMostDigits = 15;
  int64_t attempt = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), attempt);
  const bool number = error == std::errc() && end == digits.data() + digits.size();
  return number && digits.size() <= kMostDigits && digits[0] != '0' && attempt > 0 ? attempt : 0;
}

}  // namespace spillway::core
