#include "operator/base/quantity.h"

#include <array>
#include <cstdlib>
#include <limits>
#include <utility>

namespace spillway {
namespace {

__extension__ using Wide = __int128;
constexpr Wide kLimit = Wide{1} << 100;

// Powers of ten and two that a suffix stands for; nothing if it is unknown.
struct Factor {
  int ten = 0;
  int two = 0;
};

bool ParseExponent(std::string_view digits, int* exponent) {
  if (digits.empty() || digits.size() > 4) return false;
  char* end = nullptr;
  const std::string text(digits);
  *exponent = static_cast<int>(std::strtol(text.c_str(), &end, 10));
  return *end == '\0' && end != text.c_str() && text.find(' ') == std::string::npos;
}

bool ParseSuffix(std::string_view suffix, Factor* factor) {
  static constexpr std::array<std::pair<std::string_view, Factor>, 16> kSuffixes{{
      {"", {0, 0}},
      {"n", {-9, 0}},
      {"u", {-6, 0}},
      {"m", {-3, 0}},
      {"k", {3, 0}},
      {"M", {6, 0}},
      {"G", {9, 0}},
      {"T", {12, 0}},
      {"P", {15, 0}},
      {"E", {18, 0}},
      {"Ki", {0, 10}},
      {"Mi", {0, 20}},
      {"Gi", {0, 30}},
      {"Ti", {0, 40}},
      {"Pi", {0, 50}},
      {"Ei", {0, 60}},
  }};
  for (const auto& [text, value] : kSuffixes) {
    if (text == suffix) {
      *factor = value;
      return true;
    }
  }
  return (suffix[0] == 'e' || suffix[0] == 'E') && ParseExponent(suffix.substr(1), &factor->ten);
}

int64_t Saturate(Wide value) {
  constexpr Wide kMax = std::numeric_limits<int64_t>::max();
  if (value > kMax) return std::numeric_limits<int64_t>::max();
  if (value < -kMax) return -std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(value);
}

}  // namespace

Result<int64_t> ParseQuantity(std::string_view text, Scale scale) {
  const auto bad = [&] {
    return Invalid("\"" + std::string(text) +
                   "\" is not a quantity; write a number with a suffix such as 500m, 2 or 4Gi");
  };
  size_t at = 0;
  bool negative = false;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
  Wide mantissa = 0;
  int digits = 0, decimals = 0;
  bool point = false;
  for (; at < text.size(); ++at) {
    if (text[at] == '.' && !point) {
      point = true;
    } else if (text[at] >= '0' && text[at] <= '9') {
      ++digits;
      if (mantissa < kLimit) {
        mantissa = mantissa * 10 + (text[at] - '0');
        decimals += point ? 1 : 0;
      } else if (!point) {
        --decimals;
      }
    } else {
      break;
    }
  }
  Factor factor;
  if (digits == 0 || !ParseSuffix(text.substr(at), &factor)) return bad();
  int ten = factor.ten - decimals + (scale == Scale::kMilli ? 3 : 0);
  Wide value = mantissa;
  for (int i = 0; i < factor.two && value < kLimit; ++i) value *= 2;
  for (; ten > 0 && value != 0 && value < kLimit; --ten) value *= 10;
  bool rest = false;
  for (; ten < 0 && value != 0; ++ten) {
    rest = rest || value % 10 != 0;
    value /= 10;
  }
  if (rest && !negative) ++value;
  return Saturate(negative ? -value : value);
}

std::string FormatMilli(int64_t milli) {
  return milli % 1000 == 0 ? std::to_string(milli / 1000) : std::to_string(milli) + "m";
}

std::string FormatBytes(int64_t bytes) {
  static constexpr const char* kSuffix[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  int power = 0;
  while (bytes != 0 && bytes % 1024 == 0 && power < 6) {
    bytes /= 1024;
    ++power;
  }
  return std::to_string(bytes) + kSuffix[power];
}

}  // namespace spillway
