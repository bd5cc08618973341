#include "operator/base/foreign_text.h"

#include <algorithm>
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

// C0, DEL, C1, the separators of lines and paragraphs, and what is not seen itself but turns the
// direction of a line around or hides in it (the format characters of Unicode, without the joiners
// that scripts need).
bool IsControl(std::string_view character) {
  const unsigned first = ByteAt(character, 0), second = ByteAt(character, 1);
  const unsigned third = ByteAt(character, 2);
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  if (character.size() == 2)
    return (first == 0xC2 && (second < 0xA0 || second == 0xAD)) || character == "\xD8\x9C";
  if (character.size() == 4) return first == 0xF3 && second == 0xA0 && third <= 0x81;  // tags
  if (first == 0xE2 && second == 0x80)
    return third == 0x8B || third == 0x8E || third == 0x8F || (third >= 0xA8 && third <= 0xAE);
  if (first == 0xE2 && second == 0x81) return third >= 0xA0 && third <= 0xAF;
  return character == "\xEF\xBB\xBF";
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
