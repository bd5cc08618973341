// Versions and ranges: the first line is a version, the rest a range. A version equals itself.
#include <cstdlib>

#include "operator/base/version.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\n');
  const auto version = spillway::ParseVersion(text.substr(0, end));
  if (!version) return 0;
  if (spillway::CompareVersions(*version, *version) != 0) std::abort();
  if (end != std::string_view::npos)
    static_cast<void>(spillway::VersionInRange(*version, text.substr(end + 1)));
  return 0;
}
