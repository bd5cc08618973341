// Points in time as the API writes them. Milliseconds since the Unix epoch, UTC.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace spillway {

using Duration = std::chrono::milliseconds;
using Time = std::chrono::sys_time<Duration>;

// Never: later than any real time, for "no deadline".
inline constexpr Time kNever = Time::max();

// RFC 3339 with whole seconds, such as 2026-01-02T03:04:05Z: metav1.Time.
std::string FormatTime(Time time);
// RFC 3339 with six decimals: metav1.MicroTime.
std::string FormatMicroTime(Time time);
// Accepts both; nothing if the text is not such a time.
std::optional<Time> ParseTime(std::string_view text);
// "42s", "3m10s", "2h5m": as kubectl shows ages.
std::string FormatDuration(Duration duration);

// A duration as Go writes it: "15.02s", "1m30s", "200ms"; nothing if the text is none. Finer than a
// millisecond is cut off.
std::optional<Duration> ParseDuration(std::string_view text);

}  // namespace spillway
