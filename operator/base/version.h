// Versions and version ranges, for requirements with the operator Version. Looser than semver,
// because drivers and kernels are: one to four numbers, an optional v, an optional pre-release.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spillway {

struct Version {
  std::array<uint64_t, 4> number{};
  int parts = 0;            // how many numbers were written
  std::string pre_release;  // "rc.1"; empty sorts after any pre-release, as in semver 2.0 §11
};

std::optional<Version> ParseVersion(std::string_view text);
// Negative, zero or positive; missing numbers count as 0, build metadata is ignored.
int CompareVersions(const Version& a, const Version& b);
// range: comparisons that must all hold, separated by spaces or commas: ">=550.54 <600", "^1.4",
// "~2.1.3", "!=1.2.0", "1.4.2" (equal). Nothing if the range is not understood.
std::optional<bool> VersionInRange(const Version& version, std::string_view range);

}  // namespace spillway
