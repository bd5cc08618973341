// What engines say in words, since they have no other field for it.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

namespace spillway::cloud {

// Whether the text has any of the words in it; in the same case.
template <typename Range = std::initializer_list<std::string_view>>
bool HasAny(const std::string& text, const Range& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

}  // namespace spillway::cloud
