#include "operator/base/foreign_text.h"

#include <algorithm>
#include <array>
#include <utility>

namespace spillway {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD", kEllipsis = "\xE2\x80\xA6";

unsigned ByteAt(std::string_view text, size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
}

bool Continues(std::string_view text, size_t at) { return (ByteAt(text, at) & 0xC0u) == 0x80u; }

// The second byte's range says what is overlong, a surrogate, or beyond U+10FFFF (RFC 3629).
bool MaySecond(unsigned first, unsigned second) {
  switch (first) {
    case 0xE0:
      return second >= 0xA0;
    case 0xED:
      return second <= 0x9F;
    case 0xF0:
      return second >= 0x90;
    case 0xF4:
      return second <= 0x8F;
    default:
      return true;
  }
}

// How many bytes the character at this place has; 0 where there is none.
size_t CharacterAt(std::string_view text, size_t at) {
  const unsigned first = ByteAt(text, at);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                      : first >= 0xE0 && first <= 0xEF ? 3
                      : first >= 0xF0 && first <= 0xF4 ? 4
                                                       : 0;
  for (size_t i = 1; i < size; ++i) {
    if (!Continues(text, at + i)) return 0;
  }
  return size > 0 && MaySecond(first, ByteAt(text, at + 1)) ? size : 0;
}

char32_t CodePointOf(std::string_view character) {
  if (character.size() == 1) return ByteAt(character, 0);
  char32_t code = ByteAt(character, 0) & (0x7Fu >> character.size());
  for (size_t at = 1; at < character.size(); ++at)
    code = code << 6 | (ByteAt(character, at) & 0x3Fu);
  return code;
}

// C0, DEL, C1, the separators of lines and paragraphs, and what is not seen itself but turns the
// direction of a line around or hides in it (the format characters of Unicode, without the joiners
// that scripts need and the signs that are seen).
bool IsControl(std::string_view character) {
  static constexpr std::array<std::pair<char32_t, char32_t>, 14> kRanges{{
      {0x00, 0x1F},
      {0x7F, 0x9F},
      {0xAD, 0xAD},
      {0x61C, 0x61C},
      {0x180E, 0x180E},
      {0x200B, 0x200B},
      {0x200E, 0x200F},
      {0x2028, 0x202E},
      {0x2060, 0x206F},
      {0xFEFF, 0xFEFF},
      {0xFFF9, 0xFFFB},
      {0x1BCA0, 0x1BCA3},
      {0x1D173, 0x1D17A},
      {0xE0000, 0xE007F},
  }};
  const char32_t code = CodePointOf(character);
  return std::any_of(kRanges.begin(), kRanges.end(), [&](const auto& range) {
    return range.first <= code && code <= range.second;
  });
}

class Builder {
 public:
  explicit Builder(size_t most) : most_(most) {}

  // False once nothing more has room; the text then ends with an ellipsis.
  bool Add(std::string_view piece) {
    if (out_.size() + piece.size() > most_) {
      out_.resize(fits_);
      if (most_ >= kEllipsis.size()) out_ += kEllipsis;
      return false;
    }
    out_ += piece;
    if (out_.size() + kEllipsis.size() <= most_) fits_ = out_.size();
    return true;
  }
  std::string Take() { return std::move(out_); }
  bool empty() const { return out_.empty(); }

 private:
  const size_t most_;
  size_t fits_ = 0;  // as much of it as leaves room for an ellipsis
  std::string out_;
};

// Calls visit with each character, or what stands for it, until it returns false.
template <typename Visit>
void EachCharacter(std::string_view text, Visit visit) {
  for (size_t at = 0; at < text.size();) {
    const size_t size = CharacterAt(text, at);
    if (!visit(size == 0 ? kReplacement : text.substr(at, size))) return;
    at += size == 0 ? 1 : size;
  }
}

// Most texts are ASCII and short: these are left as they are, since each status is full of them.
bool IsBounded(std::string_view text, size_t most) {
  return text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80; });
}

bool IsLine(std::string_view text, size_t most) {
  const bool printable =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7F; });
  return printable && text.size() <= most && !text.starts_with(' ') && !text.ends_with(' ') &&
         text.find("  ") == std::string_view::npos;
}

Text Keep(const Text& text, std::string changed) {
  return changed == text.str() ? text : Text(std::move(changed));
}

}  // namespace

std::string Bounded(std::string_view text, size_t most) {
  if (IsBounded(text, most)) return std::string(text);
  Builder out(most);
  EachCharacter(text, [&](std::string_view character) { return out.Add(character); });
  return out.Take();
}

std::string OneLine(std::string_view text, size_t most) {
  if (IsLine(text, most)) return std::string(text);
  Builder out(most);
  bool blank = false;  // to be written before the next character
  EachCharacter(text, [&](std::string_view character) {
    if (character == " " || IsControl(character)) {
      blank = !out.empty();
      return true;
    }
    if (std::exchange(blank, false) && !out.Add(" ")) return false;
    return out.Add(character);
  });
  return out.Take();
}

Text BoundedText(const Text& text, size_t most) {
  return IsBounded(text.str(), most) ? text : Keep(text, Bounded(text.str(), most));
}

Text LineText(const Text& text, size_t most) {
  return IsLine(text.str(), most) ? text : Keep(text, OneLine(text.str(), most));
}

}  // namespace spillway
