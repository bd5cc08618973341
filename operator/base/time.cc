#include "operator/base/time.h"

#include <absl/time/time.h>

#include <algorithm>

namespace spillway {
namespace {

// Go writes either sign for micro; Abseil reads "us".
std::string WithPlainMicro(std::string_view text) {
  std::string plain(text);
  for (const std::string_view micro : {"\u00b5s", "\u03bcs"}) {
    for (size_t at; (at = plain.find(micro)) != std::string::npos;)
      plain.replace(at, micro.size(), "us");
  }
  return plain;
}

// A longer text is refused unread: it comes from outside, and may be of any length.
constexpr size_t kMostText = 64;

// The API knows years of four digits only, of which none is before the first.
constexpr Time kFirst = std::chrono::sys_days{std::chrono::year{1} / 1 / 1};
constexpr Time kLast =
    std::chrono::sys_days{std::chrono::year{10'000} / 1 / 1} - std::chrono::milliseconds(1);

std::string Format(const char* format, Time time) {
  time = std::clamp(time, kFirst, kLast);
  return absl::FormatTime(format, absl::FromUnixMillis(time.time_since_epoch().count()),
                          absl::UTCTimeZone());
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string FormatTime(Time time) { return Format("%E4Y-%m-%d%ET%H:%M:%SZ", time); }
std::string FormatMicroTime(Time time) { return Format("%E4Y-%m-%d%ET%H:%M:%E6SZ", time); }

std::optional<Time> ParseTime(std::string_view text) {
  // Abseil reads more: spaces around it, years of any length, "infinite-future", offsets of hours
  // only.
  if (text.size() < 20 || text.size() > kMostText || text[4] != '-' || !IsDigit(text[0]))
    return std::nullopt;
  const bool utc = text.back() == 'Z';
  if (!utc && (!IsDigit(text.back()) || text[text.size() - 3] != ':')) return std::nullopt;
  absl::Time time;
  if (!absl::ParseTime(absl::RFC3339_full, {text.data(), text.size()}, &time, nullptr))
    return std::nullopt;
  return Time(Duration{absl::ToUnixMillis(time)});
}

std::optional<Duration> ParseDuration(std::string_view text) {
  if (text.size() > kMostText) return std::nullopt;
  constexpr absl::Duration kMost = absl::Milliseconds(1'000'000'000'000'000);
  absl::Duration duration;
  if (!absl::ParseDuration(WithPlainMicro(text), &duration) || text.starts_with('-') ||
      duration > kMost) {
    return std::nullopt;
  }
  return absl::ToChronoMilliseconds(duration);
}

std::string FormatDuration(Duration duration) {
  const auto total = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  const auto hours = total / 3600, minutes = total / 60 % 60, seconds = total % 60;
  if (hours > 0) return std::to_string(hours) + "h" + std::to_string(minutes) + "m";
  if (minutes > 0) return std::to_string(minutes) + "m" + std::to_string(seconds) + "s";
  return std::to_string(seconds) + "s";
}

}  // namespace spillway
