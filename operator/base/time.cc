#include "operator/base/time.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace spillway {
namespace {

std::string Format(Time time, bool micro) {
  using std::chrono::days;
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  std::string out = text;
  if (micro) {
    std::snprintf(text, sizeof text, ".%03d000", static_cast<int>(clock.subseconds().count()));
    out += text;
  }
  return out + "Z";
}

}  // namespace

std::string FormatTime(Time time) { return Format(time, false); }
std::string FormatMicroTime(Time time) { return Format(time, true); }

std::optional<Time> ParseTime(std::string_view text) {
  const std::string copy(text);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, used = 0;
  if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute,
                  &second, &used) != 6) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  Time time = std::chrono::sys_days{date} + std::chrono::hours{hour} +
              std::chrono::minutes{minute} + std::chrono::seconds{second};
  const char* rest = copy.c_str() + used;
  if (*rest == '.') {
    char* end = nullptr;
    const double fraction = std::strtod(rest, &end);
    time += Duration{static_cast<int>(fraction * 1000)};
    rest = end;
  }
  if (*rest == 'Z' && rest[1] == '\0') return time;
  char sign = 0;
  int offset_hour = 0, offset_minute = 0;
  if (std::sscanf(rest, "%c%2d:%2d", &sign, &offset_hour, &offset_minute) != 3) return std::nullopt;
  const auto offset = std::chrono::hours{offset_hour} + std::chrono::minutes{offset_minute};
  return sign == '-' ? time + offset : time - offset;
}

std::optional<Duration> ParseDuration(std::string_view text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ms", 1}, {"us", 1e-3}, {"µs", 1e-3}, {"ns", 1e-6}, {"h", 3.6e6}, {"m", 6e4}, {"s", 1e3}};
  if (text.empty()) return std::nullopt;
  if (text == "0") return Duration{0};
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                    [&](const auto& each) { return text.starts_with(each.first); });
    if (unit == std::end(kUnits)) return std::nullopt;
    text.remove_prefix(unit->first.size());
    total += number * unit->second;
  }
  if (total > 1e15) return std::nullopt;
  return Duration{static_cast<int64_t>(total)};
}

std::string FormatDuration(Duration duration) {
  const auto total = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  const auto hours = total / 3600, minutes = total / 60 % 60, seconds = total % 60;
  if (hours > 0) return std::to_string(hours) + "h" + std::to_string(minutes) + "m";
  if (minutes > 0) return std::to_string(minutes) + "m" + std::to_string(seconds) + "s";
  return std::to_string(seconds) + "s";
}

}  // namespace spillway
