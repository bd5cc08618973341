#include "operator/base/version.h"

#include <algorithm>
#include <charconv>

namespace spillway {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// One dot-separated identifier of a pre-release: numbers before words, numbers by value.
int CompareIdentifier(std::string_view a, std::string_view b) {
  if (IsNumber(a) && IsNumber(b)) {
    if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
    return a.compare(b);
  }
  if (IsNumber(a) != IsNumber(b)) return IsNumber(a) ? -1 : 1;
  return a.compare(b);
}

int ComparePreRelease(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return static_cast<int>(a.empty()) - static_cast<int>(b.empty());
  while (!a.empty() && !b.empty()) {
    const auto x = a.substr(0, a.find('.')), y = b.substr(0, b.find('.'));
    if (const int order = CompareIdentifier(x, y); order != 0) return order;
    a.remove_prefix(std::min(a.size(), x.size() + 1));
    b.remove_prefix(std::min(b.size(), y.size() + 1));
  }
  return static_cast<int>(b.empty()) - static_cast<int>(a.empty());
}

// The first version that ^ or ~ no longer covers.
Version UpperBound(const Version& low, char op) {
  Version high;
  high.parts = 4;
  size_t keep = 0;
  if (op == '^') {
    while (keep + 1 < static_cast<size_t>(low.parts) && low.number[keep] == 0) ++keep;
  } else if (low.parts > 1) {
    keep = 1;
  }
  for (size_t i = 0; i <= keep; ++i) high.number[i] = low.number[i];
  if (high.number[keep] == UINT64_MAX) {  // nothing comes after it
    high.number.fill(UINT64_MAX);
    return high;
  }
  ++high.number[keep];
  high.pre_release = "0";  // a pre-release of the bound is outside as well
  return high;
}

bool Holds(const Version& version, std::string_view op, const Version& bound) {
  const int order = CompareVersions(version, bound);
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  if (op == ">=") return order >= 0;
  if (op == "!=") return order != 0;
  if (op == "^" || op == "~")
    return order >= 0 && CompareVersions(version, UpperBound(bound, op[0])) < 0;
  return order == 0;
}

}  // namespace

std::optional<Version> ParseVersion(std::string_view text) {
  if (!text.empty() && (text[0] == 'v' || text[0] == 'V')) text.remove_prefix(1);
  text = text.substr(0, text.find('+'));
  Version version;
  const size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    version.pre_release = text.substr(dash + 1);
    if (version.pre_release.empty()) return std::nullopt;
    text = text.substr(0, dash);
  }
  const char* at = text.data();
  const char* end = at + text.size();
  while (version.parts < 4) {
    const auto [next, error] =
        std::from_chars(at, end, version.number[static_cast<size_t>(version.parts)]);
    if (error != std::errc() || next == at) return std::nullopt;
    ++version.parts;
    at = next;
    if (at == end) return version;
    if (*at++ != '.') return std::nullopt;
  }
  return std::nullopt;
}

int CompareVersions(const Version& a, const Version& b) {
  if (a.number != b.number) return a.number < b.number ? -1 : 1;
  return ComparePreRelease(a.pre_release, b.pre_release);
}

std::optional<bool> VersionInRange(const Version& version, std::string_view range) {
  bool all = true, any = false;
  size_t at = 0;
  const auto skip = [&](std::string_view set) {
    while (at < range.size() && set.find(range[at]) != std::string_view::npos) ++at;
  };
  for (skip(" ,\t"); at < range.size(); skip(" ,\t")) {
    const size_t op_at = at;
    skip("<>=!~^");
    const std::string_view op = range.substr(op_at, at - op_at);
    skip(" \t");
    const size_t end = std::min(range.find_first_of(" ,\t", at), range.size());
    const auto bound = ParseVersion(range.substr(at, end - at));
    at = end;
    static constexpr std::string_view kOps[] = {"", "=", "<", "<=", ">", ">=", "!=", "^", "~"};
    if (!bound || std::find(std::begin(kOps), std::end(kOps), op) == std::end(kOps))
      return std::nullopt;
    all = all && Holds(version, op, *bound);
    any = true;
  }
  if (!any) return std::nullopt;
  return all;
}

}  // namespace spillway
