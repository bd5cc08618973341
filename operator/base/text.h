// A text that is never changed and that its copies share. Safe to copy from several threads.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "operator/base/shared.h"

namespace spillway {

class Text {
 public:
  Text() = default;
  Text(std::string text)
      : text_(text.empty() ? Shared<std::string>() : Shared<std::string>(std::move(text))) {}
  Text(const char* text) : Text(std::string(text)) {}

  const std::string& str() const { return *text_; }
  bool operator==(const Text&) const = default;
  bool operator==(const std::convertible_to<std::string_view> auto& other) const {
    return str() == std::string_view(other);
  }

 private:
  Shared<std::string> text_;
};

}  // namespace spillway
