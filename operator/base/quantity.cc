#include "operator/base/quantity.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "operator/base/saturate.h"

namespace spillway {
namespace {

__extension__ using Wide = __int128;

// Powers of ten and two that a suffix stands for; nothing if it is unknown.
struct Factor {
  int ten = 0;
  int two = 0;
};

// Exponents beyond it make any number that is not zero too large, or next to nothing.
constexpr int kMostExponent = 1 << 20;

bool ParseExponent(std::string_view text, int* exponent) {
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
  if (text.empty()) return false;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = std::min(value * 10 + (c - '0'), kMostExponent);
  }
  *exponent = negative ? -value : value;
  return true;
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

// A number as it is written: its digits, and where the point is among them, which may be before
// the first or after the last.
struct Decimal {
  std::string digits;
  int64_t point = 0;
};

// Reads up to the suffix, which it returns; nothing if there is no digit.
std::optional<std::string_view> ParseDecimal(std::string_view text, Decimal* number) {
  bool point = false, any = false;
  size_t at = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      any = true;
      if (number->digits.empty() && c == '0') {
        number->point -= point ? 1 : 0;  // a leading zero
      } else {
        number->digits += c;
        number->point += point ? 0 : 1;
      }
    } else {
      break;
    }
  }
  if (!any) return std::nullopt;
  return text.substr(at);
}

// Multiplies a fraction, given by its decimals, by 1024; the whole part of the product.
int Times1024(std::string& decimals) {
  int carry = 0;
  for (size_t i = decimals.size(); i-- > 0;) {
    const int product = (decimals[i] - '0') * 1024 + carry;
    decimals[i] = static_cast<char>('0' + product % 10);
    carry = product / 10;
  }
  return carry;
}

// The number times a power of two, which must be one of 1024, rounded up: exact, however many
// digits there are.
int64_t RoundUp(const Decimal& number, int two) {
  constexpr int64_t kDigits = 19;  // of the greatest int64_t
  if (number.digits.empty()) return 0;
  if (number.point > kDigits) return kMostInt;
  if (number.point < -3 * kDigits) return 1;
  std::string fraction;
  Wide whole = 0;
  for (int64_t i = 0; i < number.point; ++i) {
    const auto at = static_cast<size_t>(i);
    whole = whole * 10 + (at < number.digits.size() ? number.digits[at] - '0' : 0);
  }
  fraction.append(static_cast<size_t>(std::max<int64_t>(0, -number.point)), '0');
  const auto used = static_cast<size_t>(std::max<int64_t>(0, number.point));
  if (used < number.digits.size()) fraction += number.digits.substr(used);
  for (int done = 0; done < two; done += 10) whole = whole * 1024 + Times1024(fraction);
  if (fraction.find_first_not_of('0') != std::string::npos) ++whole;
  return whole > kMostInt ? kMostInt : static_cast<int64_t>(whole);
}

}  // namespace

Result<int64_t> ParseQuantity(std::string_view text, Scale scale) {
  std::string_view rest = text;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) rest.remove_prefix(1);
  Decimal number;
  Factor factor;
  const auto suffix = ParseDecimal(rest, &number);
  if (!suffix || !ParseSuffix(*suffix, &factor)) {
    return Invalid("\"" + std::string(text) +
                   "\" is not a quantity; write a number with a suffix such as 500m, 2 or 4Gi");
  }
  number.point += factor.ten + (scale == Scale::kMilli ? 3 : 0);
  const int64_t value = RoundUp(number, factor.two);
  return negative ? -value : value;
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
